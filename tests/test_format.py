"""A manifest is the truth about its zoo: zoos of every version of the format are read, and of kinds nobody has here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from strangers_folders import forge

import rnnzoo
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.manifest import file_sha256
from rnnzoo.format.schema import Column
from rnnzoo.format.verification import verify
from rnnzoo.kinds.formal_languages import FormalLanguages
from rnnzoo.zoo.summary import extremes_text, provenance_text, snapshot_table
from rnnzoo.zoo.zoo import Zoo

KEPT = Path(__file__).parent / "kept_zoos"


def problems(folder: Path) -> list[str]:
    return [problem for check in verify(folder, every_trace=True) for problem in check.problems]


@pytest.mark.parametrize("version", ["2.0", "2.1"])
@pytest.mark.parametrize(
    ("kind", "weights", "task"), [("formal-languages", 14.651043, [0, 2, -3]), ("smnist", 24.593277, 8.974939)]
)
def test_zoos_of_earlier_versions_are_read_for_ever(kind: str, version: str, weights: float, task: Any) -> None:
    name = f"{kind}-{version}"
    zoo = rnnzoo.load(KEPT / name)
    assert (len(zoo), zoo.snapshots) == (6, (0, 2))
    assert zoo["weights"].sum(dtype=np.float64) == pytest.approx(weights, rel=1e-6)
    assert zoo["task"][0].tolist() == pytest.approx(task)
    assert problems(KEPT / name) == []


@pytest.mark.parametrize("name", ["formal-languages-2.0", "smnist-2.1"])
def test_a_zoo_whose_kind_is_not_installed(name: str, forget: Callable[[str], None], tmp_path: Path) -> None:
    known = rnnzoo.load(KEPT / name)
    expected, fed = known.column("log_probs"), known.recorded_inputs()
    forget(known.manifest.zoo)
    zoo = rnnzoo.load(KEPT / name)
    assert not zoo.kind.known
    assert np.array_equal(zoo["log_probs"], expected)
    assert np.array_equal(zoo.recorded_inputs(), fed)
    again = zoo.run(zoo.recorded_inputs())
    assert np.abs(again - expected).max() < 0.01
    assert len(zoo.filter(step=2, train_loss=(0, 9))) == 3
    batch = zoo.torch_dataset().__getitems__([0, 3])
    assert batch[0]["weights"].shape == (zoo.network.parameter_count,)
    checks = list(verify(KEPT / name, every_trace=True))
    assert [problem for check in checks for problem in check.problems] == []
    assert any("no such kind of zoo is installed" in check.detail for check in checks)
    assert any(check.name == "traces re-run" and "all 6 rows" in check.detail for check in checks)
    for text in (provenance_text(zoo), extremes_text(zoo.at_step(2))):
        assert "model" in text
    assert snapshot_table(zoo).row_count == 2
    zoo.kind.draw(zoo, tmp_path / "zoo.png")
    assert (tmp_path / "zoo.png").stat().st_size > 10_000


def test_it_is_loaded_by_datasets(forget: Callable[[str], None]) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(str(KEPT / "formal-languages-2.0"), split="train")
    assert len(rows) == 2


def copy_of(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(KEPT / name, folder / name))


def later(data: dict[str, Any]) -> None:
    """A manifest of a later minor version: fields that this one does not know, wherever fields may be."""
    data["schema_minor_version"] += 1
    data["moon"] = {"phase": "full"}
    data["columns"][0]["precision"] = 3
    data["files"][0]["compression"] = "none"
    data["label_files"][0]["compression"] = "none"
    data["splits"]["train"]["hours"] = 2
    data["recipe"]["weather"] = "fine"
    data["recipe"]["tasks"]["mood"] = 1.0


def test_a_later_minor_version_is_read(tmp_path: Path) -> None:
    folder = copy_of("formal-languages-2.1", tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    forge(folder, lambda data: data.__setitem__("schema_minor_version", 2))
    assert problems(folder) == []
    for field in ("moon", "columns", "files", "label_files", "splits"):
        part: dict[str, Any] = json.loads(json.dumps(manifest))
        later(part)
        forge(folder, lambda data, field=field, part=part: data.__setitem__(field, part[field]))
    assert len(rnnzoo.load(folder)) == 6
    forge(folder, lambda data: data.__setitem__("schema_minor_version", 0))
    with pytest.raises(RnnzooError, match="unknown"):
        rnnzoo.load(folder)


def test_another_major_version_is_refused(tmp_path: Path) -> None:
    folder = copy_of("formal-languages-2.0", tmp_path)
    forge(folder, lambda data: data.__setitem__("schema_version", 3))
    with pytest.raises(RnnzooError, match="field schema_version is 3, but this rnnzoo reads version 2"):
        rnnzoo.load(folder)


def test_a_column_that_is_not_known_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that lost a column since: the zoo has one that the table does not."""
    folder, columns = KEPT / "formal-languages-2.0", FormalLanguages.columns

    def fewer(kind: FormalLanguages, recipe: Any) -> tuple[Column, ...]:
        return tuple(column for column in columns(kind, recipe) if column.name != "finished")

    monkeypatch.setattr(FormalLanguages, "columns", fewer)
    zoo = rnnzoo.load(folder)
    assert zoo["finished"].shape == (6,)
    assert len(zoo.filter(finished=(0, 1))) == 6
    (problem,) = problems(folder)
    assert "column 'finished' is not as formal-languages of this recipe has it" in problem


def test_a_cell_that_is_not_known_here(tmp_path: Path) -> None:
    zoo = _with_cell("gru", tmp_path)
    assert zoo[0].tensors()["gru.weight_hh_l0"].shape == (16, 4)
    assert zoo["accuracy"].shape == (6,)
    with pytest.raises(UsageError, match="knows no recurrent cell 'gru'"):
        zoo.run(zoo.recorded_inputs())
    checks = {check.name: check for check in verify(zoo.folder)}
    assert checks["traces re-run"].detail == "not checked: unknown cell gru"


def _with_cell(cell: str, folder: Path) -> Zoo:
    """The kept zoo as if its networks had other cells; shards name the recipe, too."""
    copied = copy_of("formal-languages-2.0", folder)
    forge(copied, lambda data: data["recipe"]["network"].__setitem__("cell", cell))
    recipe_hash = json.loads((copied / "manifest.json").read_text())["recipe_hash"]
    for path in (copied / "data").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file.attrs.modify("recipe_hash", np.bytes_(recipe_hash.encode()))

    def measured(data: dict[str, Any]) -> None:
        for file in data["files"]:
            file.update(size=(copied / file["path"]).stat().st_size, sha256=file_sha256(copied / file["path"]))

    forge(copied, measured)
    return rnnzoo.load(copied)
