from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from rnnzoo.errors import RnnzooError
from rnnzoo.format.manifest import ShardFile, file_sha256, read_manifest
from rnnzoo.format.verification import verify
from rnnzoo.zoo.summary import extremes_text
from rnnzoo.zoo.zoo import load

TRAIN = "data/train-00000-of-00001.h5"
VALIDATION = "data/validation-00000-of-00001.h5"
OOD = "data/ood_test-00000-of-00001.h5"


def problems(folder: Path) -> dict[str, list[str]]:
    return {check.name: list(check.problems) for check in verify(folder, every_trace=True) if check.problems}


def accept(folder: Path) -> None:
    """Rewrite the manifest so that sizes and checksums fit the files, as a careful forger would."""
    manifest = read_manifest(folder)
    files = []
    for file in manifest.files:
        path = folder / file.path
        files.append(ShardFile(file.path, file.split, file.rows, path.stat().st_size, file_sha256(path)))
    object.__setattr__(manifest, "files", tuple(files))
    manifest.write(folder)


def edit(folder: Path, shard: str, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(folder / shard, "r+") as file:
        change(file)
    accept(folder)


def test_a_sound_zoo_passes_every_check(built_folder: Path) -> None:
    checks = list(verify(built_folder, every_trace=True))
    assert [check.name for check in checks] == [
        "manifest", "checksums", "schema", "rows", "finite values", "ranges", "split leakage",
        "labels once more", "traces re-run",
    ]  # fmt: skip
    assert all(not check.problems for check in checks)


@pytest.mark.parametrize("shard", [TRAIN, VALIDATION, OOD])
def test_a_flipped_byte_anywhere_is_named(copied_folder: Path, shard: str) -> None:
    path = copied_folder / shard
    whole = path.read_bytes()
    generator = random.Random(shard)
    for position in [0, len(whole) - 1, *(generator.randrange(len(whole)) for _ in range(6))]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << generator.randrange(8)
        path.write_bytes(flipped)
        assert any(shard in problem for problem in problems(copied_folder)["checksums"])


@pytest.mark.parametrize("kept", [0, 100, 0.5, -1])
def test_a_truncated_shard_is_named_and_cannot_be_read_by_mistake(copied_folder: Path, kept: float) -> None:
    path = copied_folder / TRAIN
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    assert any(TRAIN in problem and "truncated" in problem for problem in problems(copied_folder)["checksums"])
    with pytest.raises(RnnzooError, match=r"train-00000-of-00001\.h5.*truncated"):
        load(copied_folder, "train")["weights"]


def test_a_missing_shard_is_named(copied_folder: Path) -> None:
    (copied_folder / OOD).unlink()
    assert any(OOD in problem and "missing" in problem for problem in problems(copied_folder)["checksums"])
    with pytest.raises(RnnzooError, match="is missing"):
        load(copied_folder, "ood_test")["weights"]
    assert len(load(copied_folder, "train")["weights"])


def test_swapped_shards_are_both_named(copied_folder: Path) -> None:
    first, second = copied_folder / VALIDATION, copied_folder / OOD
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    found = problems(copied_folder)
    assert any(VALIDATION in problem for problem in found["checksums"])
    assert any(OOD in problem for problem in found["checksums"])
    assert any("attribute split" in problem for problem in found["schema"])
    with pytest.raises(RnnzooError, match=VALIDATION):
        load(copied_folder, "validation")["weights"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["splits"]["train"].__setitem__("models", 99),
        lambda data: data["files"][0].__setitem__("sha256", "0" * 64),
        lambda data: data["recipe"].__setitem__("seed", 5),
        lambda data: data["provenance"].__setitem__("engine", "magic"),
    ],
)
def test_an_edited_manifest_is_named(copied_folder: Path, change: Callable) -> None:
    path = copied_folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    assert any("manifest.json was edited" in problem for problem in problems(copied_folder)["manifest"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "rnnzoo-zoo"}', '{"format": "other"}'])
def test_a_damaged_manifest_is_named(copied_folder: Path, text: str) -> None:
    (copied_folder / "manifest.json").write_text(text)
    assert any("manifest.json is damaged" in problem for problem in problems(copied_folder)["manifest"])


def test_another_schema_version_is_refused_by_name(copied_folder: Path) -> None:
    path = copied_folder / "manifest.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"schema_version": 7}))
    with pytest.raises(RnnzooError, match="schema_version is 7"):
        load(copied_folder)


def test_a_shard_of_another_schema_version_is_named(copied_folder: Path) -> None:
    edit(copied_folder, TRAIN, lambda file: file.attrs.__setitem__("schema_version", 7))
    assert any(TRAIN in p and "schema_version is 7" in p for p in problems(copied_folder)["schema"])
    with pytest.raises(RnnzooError, match="schema_version is 7"):
        load(copied_folder, "train")["weights"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda file: file.create_dataset("extra", data=np.zeros(12)), "'extra' is not in the schema"),
        (lambda file: file.__delitem__("finished"), "'finished' is missing"),
    ],
)
def test_wrong_columns_are_named(copied_folder: Path, change: Callable, named: str) -> None:
    edit(copied_folder, TRAIN, change)
    assert any(named in problem for problem in problems(copied_folder)["schema"])


def test_a_wrong_dtype_is_named(copied_folder: Path) -> None:
    def change(file: h5py.File) -> None:
        values = file["step"][:]
        del file["step"]
        file["step"] = values.astype(np.int64)

    edit(copied_folder, TRAIN, change)
    assert any("'step' has dtype int64, expected int32" in problem for problem in problems(copied_folder)["schema"])


def test_weights_that_do_not_give_the_traces_are_named(copied_folder: Path) -> None:
    """One weight changed in a shard whose checksum was made to fit: only re-running can tell."""
    edit(copied_folder, TRAIN, lambda file: file["weights"].__setitem__((2, 100), 0.9))
    found = problems(copied_folder)
    assert list(found) == ["traces re-run"]
    assert TRAIN in found["traces re-run"][0]
    assert "log_probs" in found["traces re-run"][0]


def test_values_that_are_not_finite_are_named_unless_the_model_diverged(copied_folder: Path) -> None:
    edit(copied_folder, TRAIN, lambda file: file["weights"].__setitem__((2, 100), np.nan))
    assert any("'weights' is NaN" in problem for problem in problems(copied_folder)["finite values"])
    edit(copied_folder, TRAIN, lambda file: file["diverged"].__setitem__(2, True))
    assert "finite values" not in problems(copied_folder)


def test_diverged_is_what_the_weights_say(copied_folder: Path) -> None:
    """A publisher who calls a row diverged does not keep its traces from being re-run."""

    def change(file: h5py.File) -> None:
        file["diverged"][:] = True
        file["weights"][2, 100] = 0.9

    edit(copied_folder, TRAIN, change)
    found = problems(copied_folder)
    assert "'diverged' is true in" in found["finite values"][0]
    assert "rows of finite weights" in found["finite values"][0]
    assert TRAIN in found["traces re-run"][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("accuracy", 1.01),
        ("accuracy_counts", -0.5),
        ("finished", 2.0),
        ("train_loss", -1.0),
        ("task", -4),
        ("task", 3),
        ("model_id", 6),
        ("model_id", -1),
        ("sequences", 6),
        ("sequences", 255),
    ],
)
def test_values_outside_their_range_are_named(copied_folder: Path, column: str, value: float) -> None:
    edit(copied_folder, TRAIN, lambda file: file[column].__setitem__(1, value))
    found = problems(copied_folder)
    assert any(f"column '{column}' leaves" in problem for problem in found["ranges"])
    assert "traces re-run" not in found


def test_classes_angles_and_shares_outside_their_range_are_named(digit_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(digit_folder, tmp_path / "copy"))

    def change(file: h5py.File) -> None:
        for column, value in {"labels": 10, "image_indices": -1, "eval_accuracy": 1.5, "task": 361.0}.items():
            file[column][1] = value

    edit(folder, TRAIN, change)
    found = " ".join(problems(folder)["ranges"])
    assert all(f"'{column}' leaves" in found for column in ("labels", "image_indices", "eval_accuracy", "task"))


@pytest.mark.parametrize(("column", "value"), [("image_indices", 5_000), ("weight_decay", 0.2), ("weight_decay", -0.1)])
def test_images_and_weight_decays_that_the_recipe_does_not_have_are_named(
    digit_folder: Path, tmp_path: Path, column: str, value: float
) -> None:
    """The sample has 5,000 images, and the largest decay of the recipe is 0.1."""
    folder = Path(shutil.copytree(digit_folder, tmp_path / "copy"))
    edit(folder, TRAIN, lambda file: file[column].__setitem__(1, value))
    assert any(f"'{column}' leaves 0 to " in problem for problem in problems(folder)["ranges"])


def test_a_task_in_two_splits_is_named(copied_folder: Path) -> None:
    with h5py.File(copied_folder / TRAIN) as file:
        task = file["task"][0]
    edit(copied_folder, OOD, lambda file: file["task"].__setitem__(0, task))
    assert any(problem.startswith("task") for problem in problems(copied_folder)["split leakage"])


def test_a_model_in_two_splits_is_named(copied_folder: Path) -> None:
    with h5py.File(copied_folder / TRAIN) as file:
        model = file["model_id"][0]
    edit(copied_folder, OOD, lambda file: file["model_id"].__setitem__(slice(0, 3), model))
    assert any(problem.startswith("model_id") for problem in problems(copied_folder)["split leakage"])


def test_a_missing_snapshot_is_named(copied_folder: Path) -> None:
    edit(copied_folder, TRAIN, lambda file: file["step"].__setitem__(1, 0))
    assert any("one row per snapshot" in problem for problem in problems(copied_folder)["rows"])


def test_a_stray_file_is_named(copied_folder: Path) -> None:
    (copied_folder / "data" / "train-00001-of-00002.h5").write_bytes(b"")
    assert any("not in the manifest" in problem for problem in problems(copied_folder)["checksums"])


def test_tokens_outside_the_vocabulary_are_said(copied_folder: Path) -> None:
    """Neither `verify` nor what `show` prints fails on bytes that are no tokens."""

    def change(file: h5py.File) -> None:
        file["sequences"][:, :, 3] = 200

    edit(copied_folder, TRAIN, change)
    assert any("'sequences' leaves 0 to 5" in problem for problem in problems(copied_folder)["ranges"])
    train = load(copied_folder, "train")
    assert "?" in extremes_text(train)
