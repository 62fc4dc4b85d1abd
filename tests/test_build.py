from __future__ import annotations

import errno
import json
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from interrupted_builds import Collector

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.folder_lock import locked
from rnnzoo.format.manifest import Manifest
from rnnzoo.format.verification import verify
from rnnzoo.generation import packing
from rnnzoo.generation.building import build as build_module
from rnnzoo.generation.building import plan as plan_module
from rnnzoo.generation.building.build import build
from rnnzoo.generation.building.plan import BUILD_FOLDER, LOCK_NAME, unit_folder
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.recipes import Recipe
from rnnzoo.zoo.cards import write_card
from rnnzoo.zoo.zoo import Zoo, load

ENGINES = [
    "reference",
    pytest.param(
        "numba",
        marks=[pytest.mark.slow, pytest.mark.skipif(not find_spec("numba"), reason="numba is not installed")],
    ),
]


@pytest.fixture(scope="module")
def quick_recipe(small_recipe: Recipe) -> Recipe:
    return small_recipe.override({"models": 5, "snapshots": (0, 4), "rollouts.evaluated": 8, "rollouts.recorded": 3})


@pytest.fixture
def two_models_per_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "MODELS_PER_UNIT", 2)


def by_model(zoo: Zoo) -> dict[str, np.ndarray]:
    """All columns in order of model and step, whatever the splits."""
    order = np.lexsort((zoo["step"], zoo["model_id"]))
    return {column.name: zoo[column.name][order] for column in zoo.columns}


def assert_identical(left: dict[str, np.ndarray], right: dict[str, np.ndarray], rows: int | None = None) -> None:
    for name, values in left.items():
        other = right[name][:rows]
        assert values.dtype == other.dtype
        assert values.tobytes() == other.tobytes(), name


def sound(folder: Path) -> None:
    assert [problem for check in verify(folder, every_trace=True) for problem in check.problems] == []


@pytest.mark.parametrize("engine", ENGINES)
def test_two_builds_are_identical_whatever_the_units(
    engine: str, quick_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(quick_recipe, tmp_path / "one", engine)
    monkeypatch.setattr(plan_module, "MODELS_PER_UNIT", 2)
    monkeypatch.setattr(packing, "SHARD_BYTES", 1)
    manifest = build(quick_recipe, tmp_path / "two", engine)
    assert len(manifest.files) == 5
    assert_identical(by_model(load(tmp_path / "one")), by_model(load(tmp_path / "two")))
    sound(tmp_path / "one")
    sound(tmp_path / "two")


@pytest.mark.parametrize("engine", ENGINES)
def test_fewer_models_are_the_first_of_more(engine: str, quick_recipe: Recipe, tmp_path: Path) -> None:
    build(quick_recipe, tmp_path / "five", engine)
    build(quick_recipe.override({"models": 3}), tmp_path / "three", engine)
    assert_identical(by_model(load(tmp_path / "three")), by_model(load(tmp_path / "five")), rows=6)


@pytest.mark.parametrize("models", [1, 2, 3])
def test_the_smallest_zoos(quick_recipe: Recipe, tmp_path: Path, models: int) -> None:
    """A split that would be empty is left out, since `datasets` cannot read one."""
    manifest = build(quick_recipe.override({"models": models, "snapshots": (0,)}), tmp_path / "zoo", "reference")
    assert list(manifest.splits) == (["train", "validation", "ood_test"] if models == 3 else ["train"])
    sound(tmp_path / "zoo")


def test_other_network_sizes(quick_recipe: Recipe, tmp_path: Path) -> None:
    fields = {"models": 3, "network.hidden_size": 5, "network.layers": 3, "tasks.length": 12}
    build(quick_recipe.override(fields), tmp_path / "zoo", "reference")
    sound(tmp_path / "zoo")
    assert load(tmp_path / "zoo")["log_probs"].shape == (6, 3, 11, 6)


def test_an_interrupted_build_goes_on(
    quick_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_models_per_unit: None
) -> None:
    trained: list[int] = []
    original = ReferenceEngine.train

    def stop_at_the_second(self, population, progress):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(int(population.model_ids[0]))
        return original(self, population, progress)

    monkeypatch.setattr(ReferenceEngine, "train", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        build(quick_recipe, tmp_path / "zoo", "reference")
    assert not (tmp_path / "zoo" / "manifest.json").exists()
    whole = {path.name for path in unit_folder(tmp_path / "zoo").iterdir()}
    assert whole == {"models-00000000-00000002.h5", "models-00000000-00000002.json"}

    def count(self, population, progress):
        trained.append(int(population.model_ids[0]))
        return original(self, population, progress)

    monkeypatch.setattr(ReferenceEngine, "train", count)
    build(quick_recipe, tmp_path / "zoo")
    assert trained == [0, 2, 4]
    assert not (tmp_path / "zoo" / BUILD_FOLDER).exists()
    build(quick_recipe, tmp_path / "undisturbed", "reference")
    assert_identical(by_model(load(tmp_path / "zoo")), by_model(load(tmp_path / "undisturbed")))


def test_an_unfinished_build_keeps_its_engine(
    quick_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_models_per_unit: None
) -> None:
    """As soon as a unit is whole; a build stopped before that may go on with another."""
    original = ReferenceEngine.train

    def stop_at_the_second(self, population, progress):
        if population.model_ids[0] == first_refused:
            raise KeyboardInterrupt
        return original(self, population, progress)

    monkeypatch.setattr(ReferenceEngine, "train", stop_at_the_second)
    first_refused = 0
    with pytest.raises(KeyboardInterrupt):
        build(quick_recipe, tmp_path / "zoo", "reference")
    with pytest.raises(UsageError, match="There is no engine 'nosuch'"):
        build(quick_recipe, tmp_path / "zoo", "nosuch")
    first_refused = 2
    with pytest.raises(KeyboardInterrupt):
        build(quick_recipe, tmp_path / "zoo", "reference")
    with pytest.raises(UsageError, match="unfinished build by the reference engine"):
        build(quick_recipe, tmp_path / "zoo", "cuda")
    with pytest.raises(UsageError, match="seed=0 there and 1 asked for"):
        build(quick_recipe.override({"seed": 1}), tmp_path / "zoo", "reference")


def test_an_altered_unit_is_trained_anew(
    quick_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_models_per_unit: None
) -> None:
    def full(*arguments):
        raise RnnzooError("stop before packing")

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "pack_zoo", full)
        with pytest.raises(RnnzooError, match="stop before packing"):
            build(quick_recipe, tmp_path / "zoo", "reference")
    unit = unit_folder(tmp_path / "zoo") / "models-00000002-00000004.h5"
    data = bytearray(unit.read_bytes())
    data[-100] ^= 1
    unit.write_bytes(data)
    with pytest.raises(RnnzooError, match=r"models-00000002-00000004\.h5 was altered"):
        build(quick_recipe, tmp_path / "zoo", "reference")
    build(quick_recipe, tmp_path / "zoo", "reference")
    sound(tmp_path / "zoo")


def test_a_finished_zoo_is_left_alone(built_folder: Path, small_recipe: Recipe) -> None:
    before = {path: path.stat().st_mtime_ns for path in built_folder.rglob("*")}
    build(small_recipe, built_folder, "reference")
    with pytest.raises(UsageError, match="models=6 there and 7 asked for"):
        build(small_recipe.override({"models": 7}), built_folder, "reference")
    assert before == {path: path.stat().st_mtime_ns for path in built_folder.rglob("*")}


def test_a_finished_zoo_that_lost_a_file_is_not_called_finished(copied_folder: Path, small_recipe: Recipe) -> None:
    lost = copied_folder / "data" / "train-00000-of-00001.h5"
    lost.unlink()
    with pytest.raises(RnnzooError, match=r"train-00000-of-00001\.h5 is missing"):
        build(small_recipe, copied_folder, "reference")


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path, quick_recipe: Recipe) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no zoo"):
        build(quick_recipe, tmp_path, "reference")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file"):
        build(quick_recipe, tmp_path / "thesis.tex", "reference")


def test_a_full_disk_leaves_nothing_half_written(
    quick_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_models_per_unit: None
) -> None:
    original = Path.write_bytes
    calls: list[int] = []

    def full(self: Path, data: bytes) -> int:
        calls.append(1)
        if len(calls) == 2:
            original(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RnnzooError, match=r"The disk is full: .*models-00000002-00000004\.h5"):
        build(quick_recipe, tmp_path / "zoo", "reference")
    names = {path.name for path in unit_folder(tmp_path / "zoo").iterdir()}
    assert names == {"models-00000000-00000002.h5", "models-00000000-00000002.json"}
    build(quick_recipe, tmp_path / "zoo", "reference")
    sound(tmp_path / "zoo")


@pytest.mark.slow
def test_a_build_that_cannot_fit_is_refused_at_once(quick_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RnnzooError, match="The disk is too full"):
        build(quick_recipe.override({"models": 2_000_000}), tmp_path / "zoo", "reference")


def test_a_second_build_into_the_same_folder_refuses(quick_recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "zoo"
    with (
        locked(out / LOCK_NAME, out, "build"),
        pytest.raises(UsageError, match="Another build"),
    ):
        build(quick_recipe, out, "reference")


def test_a_build_that_lost_a_shard_does_not_end_well(
    quick_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program deletes a shard while the zoo is described."""

    def write_card_and_lose_a_shard(out: Path, manifest: Manifest, *words: str | None) -> None:
        write_card(out, manifest, *words)
        (out / manifest.files[0].path).unlink()

    monkeypatch.setattr("rnnzoo.generation.building.build.write_card", write_card_and_lose_a_shard)
    with pytest.raises(RnnzooError, match="is missing: the finished zoo"):
        build(quick_recipe, tmp_path / "zoo", "reference")
    with pytest.raises(RnnzooError, match="is missing: the finished zoo"):
        build(quick_recipe, tmp_path / "zoo", "reference")


def test_a_build_that_another_finished_meanwhile_is_not_done_again(
    quick_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "zoo"

    def finish_first(lock: Path, folder: Path, work: str) -> AbstractContextManager[None]:
        monkeypatch.undo()
        build(quick_recipe, out, "reference")
        return locked(lock, folder, work)

    monkeypatch.setattr("rnnzoo.generation.building.build.locked", finish_first)
    reporter = Collector()
    build(quick_recipe, out, "reference", reporter)
    assert reporter.models == 0
    sound(out)
    assert not (out / BUILD_FOLDER).exists()


@pytest.mark.skipif(not find_spec("numba"), reason="numba is not installed")
@pytest.mark.parametrize("engine", ["auto", "numba"])
def test_a_build_that_another_engine_began_meanwhile_is_not_mixed(
    quick_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_models_per_unit: None, engine: str
) -> None:
    """Between the plan of one build and its lock, another begins with the reference engine and is stopped."""
    out = tmp_path / "zoo"

    def stop(*arguments: object) -> None:
        raise RnnzooError("stop before packing")

    def begin_first(lock: Path, folder: Path, work: str) -> AbstractContextManager[None]:
        with monkeypatch.context() as patch:
            patch.setattr(build_module, "locked", locked)
            patch.setattr(build_module, "pack_zoo", stop)
            with pytest.raises(RnnzooError, match="stop before packing"):
                build(quick_recipe, out, "reference")
        return locked(lock, folder, work)

    monkeypatch.setattr(build_module, "locked", begin_first)
    if engine == "numba":
        with pytest.raises(UsageError, match="unfinished build by the reference engine"):
            build(quick_recipe, out, engine)
    else:
        assert build(quick_recipe, out, engine).provenance["engine"] == "reference"
        sound(out)


def test_the_manifest_says_where_the_zoo_came_from(built_folder: Path, small_recipe: Recipe) -> None:
    data = json.loads((built_folder / "manifest.json").read_text())
    assert data["recipe_hash"] == small_recipe.hash
    provenance = data["provenance"]
    assert provenance["engine"] == "reference"
    assert {"rnnzoo", "python", "numpy", "torch", "h5py"} <= set(provenance["versions"])
    assert provenance["seconds"]["training"] > 0
    assert [tensor["name"] for tensor in data["weight_layout"]][:2] == ["weight_ih_l0", "weight_hh_l0"]
