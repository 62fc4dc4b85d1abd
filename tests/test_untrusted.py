"""Folders from a stranger: whatever they hold, the answer is the same or one clear error, in bounded memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limited_process import LimitedProcess, limited_process
from strangers_folders import forge, forge_encoder

import rnnzoo
from rnnzoo.encoders import Context, InputSpace, build_encoder, save_encoder
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.building.plan import Plan
from rnnzoo.generation.recipes import Recipe
from rnnzoo.networks.network import Network

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory through /proc and setrlimit")

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results" / "encoders-formal-languages-quick" / "runs.jsonl"
CONTEXT = Context(Network(6, 5, 2, 6), InputSpace("tokens", 6), 22, 16, 5)


@pytest.fixture(scope="module")
def limited() -> Iterator[LimitedProcess]:
    with limited_process(str(Path(__file__).parent)) as process:
        yield process


def set_in(data: dict[str, Any], field: str, value: Any) -> None:
    """Set a field of JSON data, given with dots between its parts."""
    *parents, last = field.split(".")
    node: Any = data
    for name in parents:
        node = node[int(name)] if isinstance(node, list) else node[name]
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"format": "rnnzoo-zoo", "a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested deeper"),
        ('{"format": "rnnzoo-zoo", "schema_version": ' + "1" * 10_000 + "}", "digits"),
        ('{"format": "rnnzoo-zoo", "a": [' + "{}," * 20_000_000 + "0]}", "values"),
        ('{"format": "rnnzoo-zoo", "format": "rnnzoo-zoo"}', "'format' is there twice"),
        ('{"format": "rnnzoo-zoo", "schema_version": NaN}', "NaN"),
        (" " * (100 * 2**20), "larger than"),
        ("\0" * 1000, "damaged"),
    ],
    ids=["deep", "digits", "values", "twice", "nan", "large", "zeros"],
)
def test_a_manifest_no_parser_should_meet(limited: LimitedProcess, tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    answer = limited.call("strangers_folders.load", str(tmp_path))
    assert "manifest.json" in answer["error"]
    assert named in answer["error"]


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("zoo", "smnist", "field zoo"),
        ("zoo", 3, "field zoo"),
        ("moon", 1, "'moon' is unknown"),
        ("columns.0.dtype", "int64", "field columns"),
        ("columns", [], "field columns"),
        ("weight_layout.1.offset", 7, "field weight_layout"),
        ("recipe_hash", "0" * 64, "field recipe_hash"),
        ("recipe", [], "field recipe"),
        ("recipe.zoo", "chess", "chess"),
        ("recipe.zoo", ["smnist"], "zoo"),
        ("recipe.moon", 1, "'moon' is unknown"),
        ("recipe.models", 7, "rows"),
        ("recipe.models", 10**9, "models"),
        ("recipe.models", "6", "models"),
        ("recipe.snapshots", [0, 20, 20], "snapshots"),
        ("recipe.snapshots", [], "snapshots"),
        ("recipe.snapshots", [0, 20, 2**40], "snapshots"),
        ("recipe.snapshots", list(range(11_000)), "snapshots"),
        ("recipe.network.layers", 10**8, "layers"),
        ("recipe.network.layers", 0, "layers"),
        ("recipe.network.layers", 2.0, "layers"),
        ("recipe.network.hidden_size", 10**30, "hidden_size"),
        ("recipe.network.hidden_size", 65_536, "field weight_layout"),
        ("recipe.network.output_size", 10**7, "output_size"),
        ("recipe.tasks.length", 10**9, "length"),
        ("recipe.tasks.smallest_offset", 90, "smallest_offset"),
        ("recipe.tasks.smallest_offset", -(10**6), "smallest_offset"),
        ("recipe.rollouts.recorded", 10**12, "recorded"),
        ("splits.train.rows", 1, "split train"),
        ("splits.train.models", 10**6, "models"),
        ("splits.train.models", -1, "models"),
        ("splits.secret", {"rows": 3, "models": 1, "tasks": 1}, "splits"),
        ("files.0.rows", 10**8, "rows"),
        ("files.0.rows", 10**12, "rows"),
        ("files.0.rows", -3, "rows"),
        ("files.0.size", 10, "cannot hold"),
        ("files.0.split", "test", "split"),
        ("files.0.sha256", "x", "sha256"),
        ("files.0.path", "/etc/passwd", "path"),
        ("files.0.path", "data/../../secret.h5", "path"),
        ("files.0.path", "data/..", "path"),
        ("files.0.path", "data/train-00000-of-00001.h5\n", "path"),
        ("files.0.path", "data/" + "x" * 5000 + ".h5", "path"),
        ("files.0.path", "data/ood_test-00000-of-00001.h5", "twice"),
        ("files", [], "files"),
        ("files", {}, "files"),
        ("files.0", {"path": "data/x.h5"}, "files"),
        ("provenance", [], "provenance"),
        ("provenance.source", 3, "source"),
        ("provenance.device", "CPU\nzoo is sound.", "device"),
        ("provenance.versions", ["1.0"], "versions"),
    ],
)
def test_a_manifest_that_cannot_be_true(
    limited: LimitedProcess, copied_folder: Path, field: str, value: Any, named: str
) -> None:
    forge(copied_folder, lambda data: set_in(data, field, value))
    for action in ("load", "verify"):
        answer = limited.call(f"strangers_folders.{action}", str(copied_folder))
        assert "manifest.json is damaged" in answer["error"]
        assert named in answer["error"]


def test_fields_of_a_manifest_that_are_missing(copied_folder: Path) -> None:
    whole = json.loads((copied_folder / "manifest.json").read_text())
    for name in whole.keys() - {"manifest_sha256"}:
        (copied_folder / "manifest.json").write_text(json.dumps(whole))
        forge(copied_folder, lambda data, name=name: data.pop(name))
        with pytest.raises(RnnzooError, match=rf"manifest\.json.*{name}"):
            rnnzoo.load(copied_folder)


SHARD = "data/train-00000-of-00001.h5"


def as_hub_cache(folder: Path, cache: Path, target: str) -> Path:
    """The zoo in a folder as the Hub's cache keeps it, with one shard's link as given."""
    snapshot = cache / "datasets--stranger--zoo" / "snapshots" / "0123abcd"
    blobs = snapshot.parent.parent / "blobs"
    shutil.copytree(folder, snapshot)
    blobs.mkdir()
    (snapshot / SHARD).rename(blobs / "0a1b")
    (snapshot / SHARD).symlink_to(target.format(blobs=blobs))
    return snapshot


@pytest.mark.parametrize("target", ["../../../blobs/0a1b", "{blobs}/0a1b"])
def test_the_hubs_cache_links_into_its_blobs(built_folder: Path, tmp_path: Path, target: str) -> None:
    snapshot = as_hub_cache(built_folder, tmp_path, target)
    assert rnnzoo.load(snapshot)["weights"].tobytes() == rnnzoo.load(built_folder)["weights"].tobytes()
    (tmp_path / "mine").symlink_to(snapshot)
    assert len(rnnzoo.load(tmp_path / "mine")) == 18


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../secret", "../../../blobs/../../secret", "../../../blobs/link", "../x.h5"]
)
def test_other_links_are_refused(built_folder: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_bytes((built_folder / SHARD).read_bytes())
    snapshot = as_hub_cache(built_folder, tmp_path, target)
    (snapshot.parent.parent / "blobs" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(RnnzooError, match=r"train-00000-of-00001\.h5 is a link to elsewhere"):
        rnnzoo.load(snapshot)


def test_a_folder_of_a_zoo_is_no_link_either(copied_folder: Path, tmp_path: Path) -> None:
    (copied_folder / "data").rename(tmp_path / "elsewhere")
    (copied_folder / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RnnzooError, match="data is a link to elsewhere"):
        rnnzoo.load(copied_folder)


def test_one_bad_zoo_does_not_end_the_list(limited: LimitedProcess, built_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(built_folder, tmp_path / "good")
    bad: dict[str, Callable[[Path], Any]] = {
        "deep": lambda path: path.write_text("[" * 100_000),
        "large": lambda path: path.write_bytes(b" " * (100 * 2**20)),
        "empty": lambda path: path.write_bytes(b""),
        "locked": lambda path: path.symlink_to("/proc/1/mem"),
        "folder": lambda path: path.mkdir(),
        "pipe": os.mkfifo,
        "layers": lambda path: path.write_bytes((built_folder / "manifest.json").read_bytes()),
    }
    for name, write in bad.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name / "manifest.json")
    forge(tmp_path / "layers", lambda data: set_in(data, "recipe.network.layers", 10**8))
    answer = limited.call("strangers_folders.command", f"list --folder {tmp_path}")
    assert "good" in answer["answer"]
    assert all(name in answer["answer"] for name in bad)


@pytest.fixture
def begun(tmp_path: Path, small_recipe: Recipe) -> Path:
    """A folder with a build that has only begun."""
    out = tmp_path / "begun"
    (out / ".build").mkdir(parents=True)
    Plan(small_recipe, "reference", "", 16).write(out)
    return out


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("moon", 1, "'moon' is unknown"),
        ("models_per_unit", 0, "models_per_unit"),
        ("models_per_unit", "16", "models_per_unit"),
        ("kept_models", 7, "kept_models"),
        ("kept_models", 10**30, "kept_models"),
        ("engine", None, "engine"),
        ("recipe_hash", "0" * 64, "recipe_hash"),
        ("recipe", [], "recipe"),
        ("recipe.moon", 1, "moon"),
        ("recipe.models", 2**40, "models"),
        ("recipe.version", "x", "version"),
        ("recipe.zoo", {}, "zoo"),
        ("recipe.network", 3, "network"),
        ("recipe.network.hidden_size", 10**12, "hidden_size"),
        ("recipe.snapshots", [0, 0.5], "snapshots"),
        ("recipe.protocol.betas", [0.9], "betas"),
        ("recipe.tasks.moon", 1, "moon"),
    ],
)
def test_a_plan_that_cannot_be_true(limited: LimitedProcess, begun: Path, field: str, value: Any, named: str) -> None:
    path = begun / ".build" / "plan.json"
    data = json.loads(path.read_text())
    set_in(data, field, value)
    path.write_text(json.dumps(data))
    answer = limited.call("strangers_folders.begun_build", str(begun))
    assert "plan.json is damaged" in answer["error"]
    assert named in answer["error"]


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, "1" * 10_000, " " * (100 * 2**20)])
def test_a_plan_that_is_none(limited: LimitedProcess, begun: Path, text: str) -> None:
    (begun / ".build" / "plan.json").write_text(text)
    assert "plan.json" in limited.call("strangers_folders.begun_build", str(begun))["error"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with a saved encoder."""
    save_encoder(build_encoder("non-interactive", CONTEXT, probes=2, core_size=8), tmp_path / "encoder")
    return tmp_path / "encoder"


def test_a_saved_encoder_imports_no_module(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Encoder: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    forge_encoder(saved, lambda data: set_in(data, "encoder", "stranger:Encoder"))
    with pytest.raises(UsageError, match=r"'stranger:Encoder'.*trust_code=True"):
        rnnzoo.load_encoder(saved)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UsageError, match="is no encoder"):
        rnnzoo.load_encoder(saved, trust_code=True)
    assert (tmp_path / "ran").exists()


def test_a_trusted_class_of_ones_own_is_loaded(tmp_path: Path) -> None:
    name = "tests.test_encoders:AverageEncoder"
    save_encoder(build_encoder(name, CONTEXT), tmp_path)
    with pytest.raises(UsageError, match="trust_code"):
        rnnzoo.load_encoder(tmp_path)
    assert rnnzoo.load_encoder(tmp_path, trust_code=True).origin == name


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("encoder", 3, "encoder"),
        ("encoder", "moon", "moon"),
        ("moon", 1, "moon"),
        ("format", 1, "format 1"),
        ("settings", [], "settings"),
        ("settings.probes", 10**9, "settings"),
        ("settings.probes", 50_000, "shape"),
        ("settings.core_size", 50_000, "damaged"),
        ("settings.name", "flat", "damaged"),
        ("settings.moon", 1, "moon"),
        ("settings.start", "moon", "damaged"),
        ("context.z_size", 17, "shape"),
        ("context.z_size", 10**7, "z_size"),
        ("context.moon", 1, "moon"),
        ("context.network.layers", 10**8, "layers"),
        ("context.network.hidden_size", 10**6, "hidden_size"),
        ("context.input_space.kind", "moon", "kind"),
        ("context.probe_length", -1, "probe_length"),
    ],
)
def test_a_saved_encoder_that_cannot_be_true(
    limited: LimitedProcess, saved: Path, field: str, value: Any, named: str
) -> None:
    forge_encoder(saved, lambda data: set_in(data, field, value))
    assert named in limited.call("strangers_folders.load_encoder", str(saved))["error"]


def test_weights_that_are_not_those_that_were_saved(saved: Path) -> None:
    path = saved / "encoder.safetensors"
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(RnnzooError, match=r"encoder\.safetensors is not what was saved"):
        rnnzoo.load_encoder(saved)


@pytest.mark.parametrize("text", [b"", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"{}", b"x" * 100])
def test_weights_that_are_none(limited: LimitedProcess, saved: Path, text: bytes) -> None:
    (saved / "encoder.safetensors").write_bytes(text)
    forge_encoder(saved)
    assert "damaged" in limited.call("strangers_folders.load_encoder", str(saved))["error"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda record: record.update(run="../../secret"), "leaves the results folder"),
        (lambda record: record.update(run="/etc"), "leaves the results folder"),
        (lambda record: record.update(seed="0"), "seed"),
        (lambda record: record.update(moon=1), "moon"),
        (lambda record: record.update(kind="moon"), "kind"),
        (lambda record: record["metrics"].update(validation=[1]), "metrics"),
        (lambda record: record["zoo"].update(models={"train": "x"}), "zoo"),
        (lambda record: record.pop("encoder"), "encoder"),
    ],
)
def test_results_that_cannot_be_true(
    limited: LimitedProcess, tmp_path: Path, change: Callable[[dict[str, Any]], Any], named: str
) -> None:
    line = RESULTS.read_text().splitlines()[0]
    record = json.loads(line)
    change(record)
    (tmp_path / "runs.jsonl").write_text(line + "\n" + json.dumps(record) + "\n")
    answer = limited.call("strangers_folders.read_results", str(tmp_path))
    assert "runs.jsonl, line 2 is damaged" in answer["error"]
    assert named in answer["error"]


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, '{"run": ' * 30_000, " " * (100 * 2**20), "\xff"])
def test_results_that_are_none(limited: LimitedProcess, tmp_path: Path, text: str) -> None:
    (tmp_path / "runs.jsonl").write_text(text, encoding="latin-1")
    assert "runs.jsonl" in limited.call("strangers_folders.read_results", str(tmp_path))["error"]
    (tmp_path / "benchmark.json").write_text(text, encoding="latin-1")
    assert "benchmark.json" in limited.call("strangers_folders.read_benchmark", str(tmp_path))["error"]


damage = st.tuples(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=3),
    st.none() | st.floats(0, 1),
)
"""Flipped bits, by place in the file and number in the byte, and where the file is cut."""


def damaged(whole: bytes, flips: list[tuple[float, int]], cut: float | None) -> bytes:
    changed = bytearray(whole)
    for place, bit in flips:
        changed[int(place * len(whole))] ^= 1 << bit
    return bytes(changed if cut is None else changed[: int(cut * len(whole))])


def fuzz(limited: LimitedProcess, action: str, folder: Path, file: Path, same: bool) -> None:
    """Damage a file in a hundred ways; a file under a checksum gives the same answer as before, or an error."""
    whole = file.read_bytes()
    before = limited.call(action, str(folder))
    assert "answer" in before

    @settings(max_examples=100, deadline=None, database=None)
    @given(damage)
    def check(drawn: tuple[list[tuple[float, int]], float | None]) -> None:
        file.write_bytes(damaged(whole, *drawn))
        answer = limited.call(action, str(folder))
        assert "crash" not in answer
        assert not same or "error" in answer or answer == before

    check()


def test_any_damage_to_a_manifest(limited: LimitedProcess, copied_folder: Path) -> None:
    fuzz(limited, "strangers_folders.load", copied_folder, copied_folder / "manifest.json", same=True)


@pytest.mark.parametrize("name", ["encoder.json", "encoder.safetensors"])
def test_any_damage_to_a_saved_encoder(limited: LimitedProcess, saved: Path, name: str) -> None:
    fuzz(limited, "strangers_folders.load_encoder", saved, saved / name, same=True)


@pytest.mark.slow
def test_any_damage_to_weights_whose_checksum_was_made_to_fit(limited: LimitedProcess, saved: Path) -> None:
    fuzz(limited, "strangers_folders.load_forged_encoder", saved, saved / "encoder.safetensors", same=False)


def test_any_damage_to_a_plan(limited: LimitedProcess, begun: Path) -> None:
    fuzz(limited, "strangers_folders.begun_build", begun, begun / ".build" / "plan.json", same=False)


def test_any_damage_to_results(limited: LimitedProcess, tmp_path: Path) -> None:
    lines = RESULTS.read_text().splitlines(keepends=True)
    (tmp_path / "runs.jsonl").write_text("".join(lines[:4]))
    fuzz(limited, "strangers_folders.read_results", tmp_path, tmp_path / "runs.jsonl", same=False)
