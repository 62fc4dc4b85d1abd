"""The labels of a zoo once more, in files of their own: what the shards say, or refused."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strangers_folders import forge

from rnnzoo.format import label_table
from rnnzoo.format.label_table import write_table
from rnnzoo.format.manifest import LABEL_TABLE, file_sha256, read_manifest
from rnnzoo.format.schema import Column, DType, label_columns
from rnnzoo.format.verification import verify
from rnnzoo.generation import label_writer
from rnnzoo.generation.building.build import build
from rnnzoo.generation.label_writer import with_labels
from rnnzoo.generation.recipes import Recipe
from rnnzoo.zoo.zoo import load

KEPT = Path(__file__).parent / "kept_zoos"


def problems(folder: Path) -> dict[str, list[str]]:
    return {check.name: list(check.problems) for check in verify(folder) if check.problems}


def accept(folder: Path) -> None:
    """Make the manifest fit the files of labels, as a careful forger would."""

    def measured(data: dict[str, Any]) -> None:
        for file in data["label_files"]:
            file.update(size=(folder / file["path"]).stat().st_size, sha256=file_sha256(folder / file["path"]))

    forge(folder, measured)


@pytest.mark.parametrize("folder", ["built_folder", "digit_folder"])
def test_the_table_says_what_the_shards_say(folder: str, request: pytest.FixtureRequest) -> None:
    zoo = load(request.getfixturevalue(folder))
    table = pd.read_parquet(zoo.folder / LABEL_TABLE)
    columns = label_columns(zoo.columns)
    assert list(table.columns) == [*(column.name for column in columns), "split"]
    assert table["split"].tolist() == zoo.split_of().tolist()
    schema = pq.read_schema(zoo.folder / LABEL_TABLE)
    for column in columns:
        values = np.stack(table[column.name].to_numpy())
        assert np.array_equal(values, zoo[column.name], equal_nan=column.dtype.startswith("float"))
        assert column.shape or table[column.name].dtype == column.dtype
        assert schema.field(column.name).metadata[b"description"].decode() == column.description


def test_sql_reads_the_table(built_folder: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"select split, count(*), max(task[1]) from '{built_folder / LABEL_TABLE}' where step = 50 group by split"
    zoo = load(built_folder).at_step(50)
    expected = {
        (split, len(rows), int(rows["task"][:, 0].max()))
        for split in zoo.manifest.splits
        for rows in [zoo.split(split)]
    }
    assert set(duckdb.sql(query).fetchall()) == expected


def test_polars_reads_the_table(built_folder: Path) -> None:
    polars = pytest.importorskip("polars")
    table = polars.read_parquet(built_folder / LABEL_TABLE)
    assert table["train_loss"].to_list() == load(built_folder)["train_loss"].tolist()


@pytest.mark.slow
def test_many_labels_are_cut_into_files_and_groups(
    small_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_writer, "SHARD_BYTES", 4 * 28)
    monkeypatch.setattr(label_table, "MOST_ROWS", 4)
    folder = tmp_path / "zoo"
    manifest = build(small_recipe, folder, "reference")
    rows = [file.rows for file in manifest.label_files if file.split == "train"]
    assert sum(rows) == manifest.splits["train"]["rows"]
    assert len(rows) > 1
    assert pq.read_metadata(folder / LABEL_TABLE).num_row_groups > 1
    assert problems(folder) == {}


def test_a_zoo_of_version_0_gets_them(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(KEPT / "formal-languages-2.0", tmp_path / "zoo"))
    assert [file.path for file in read_manifest(folder).listed_files] == [f.path for f in read_manifest(folder).files]
    with_labels(folder, read_manifest(folder)).write(folder)
    assert len(read_manifest(folder).label_files) == 4
    assert problems(folder) == {}


HDF5 = "labels/train-00000-of-00001.h5"


def in_hdf5(change: Callable[[h5py.File], Any]) -> Callable[[Path], None]:
    def altered(folder: Path) -> None:
        with h5py.File(folder / HDF5, "r+") as file:
            change(file)

    return altered


def in_table(change: Callable[[pa.Table], pa.Table], **options: Any) -> Callable[[Path], None]:
    def altered(folder: Path) -> None:
        pq.write_table(change(pq.read_table(folder / LABEL_TABLE)), folder / LABEL_TABLE, **options)

    return altered


def another_loss(table: pa.Table) -> pa.Table:
    values = table["train_loss"].to_numpy().copy()
    values[3] += 1
    place = table.column_names.index("train_loss")
    return table.set_column(place, table.schema.field(place), pa.array(values))


def shorter_tasks(table: pa.Table) -> pa.Table:
    place = table.column_names.index("task")
    tasks = [task[:2] for task in table["task"].to_pylist()]
    return table.set_column(place, table.schema.field(place), pa.array(tasks, table.schema.field(place).type))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (in_hdf5(lambda file: file["accuracy"].__setitem__(1, 0.123)), "column 'accuracy' is not that of the shards"),
        (in_hdf5(lambda file: file.create_dataset("weights", data=np.zeros(3))), "'weights' is not in the schema"),
        (in_hdf5(lambda file: file.__delitem__("step")), "'step' is missing"),
        (in_hdf5(lambda file: file.attrs.__setitem__("zoo", np.bytes_(b"smnist"))), "attribute zoo"),
        (in_table(another_loss), "column 'train_loss' is not that of the shards"),
        (in_table(shorter_tasks), "column 'task' is not that of the shards"),
        (in_table(lambda table: table.slice(1)), "is not that of the shards"),
        (in_table(lambda table: table.slice(0, 10)), "it has 10 rows, the shards have 18"),
        (in_table(lambda table: pa.concat_tables([table, table])), "it has more rows than the 18 of the shards"),
        (in_table(lambda table: table.drop_columns(["step"])), "its columns are not the labels"),
        (in_table(lambda table: table.append_column("more", table["step"])), "its columns are not the labels"),
        (lambda folder: (folder / LABEL_TABLE).write_bytes(b"PAR1" + bytes(500) + b"PAR1"), "it is damaged"),
    ],
)  # fmt: skip
def test_labels_that_are_not_the_shards_are_named(
    copied_folder: Path, change: Callable[[Path], Any], named: str
) -> None:
    change(copied_folder)
    assert any("labels" in problem for problem in problems(copied_folder)["checksums"])
    accept(copied_folder)
    found = problems(copied_folder)
    assert list(found) == ["labels once more"]
    assert named in found["labels once more"][0]
    assert str(copied_folder / "labels") in found["labels once more"][0]


def test_the_same_labels_written_otherwise_are_sound(copied_folder: Path) -> None:
    """As another version of pyarrow may write them."""
    in_table(lambda table: table, compression="gzip", row_group_size=5)(copied_folder)
    accept(copied_folder)
    assert problems(copied_folder) == {}


@pytest.mark.slow
def test_tables_altered_at_random_are_named_or_sound(copied_folder: Path) -> None:
    """Whatever becomes of the process that reads them."""
    path = copied_folder / LABEL_TABLE
    whole, generator = path.read_bytes(), random.Random(0)
    for _ in range(8):
        altered = bytearray(whole)
        for _ in range(4):
            altered[generator.randrange(len(whole) // 2, len(whole))] = generator.randrange(256)
        path.write_bytes(altered)
        accept(copied_folder)
        assert all("labels.parquet: " in problem for problem in problems(copied_folder).get("labels once more", []))


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="memory is bounded on Linux")
def test_a_table_that_unpacks_to_gigabytes(copied_folder: Path) -> None:
    """One long text, stored once and said by every row."""
    rows = 100

    def repeated(table: pa.Table) -> pa.Table:
        arrays = [table[name].take(pa.array([0] * rows)) for name in table.column_names[:-1]]
        split = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 2**24]))
        schema = table.schema.set(len(arrays), pa.field("split", split.type, nullable=False))
        return pa.Table.from_arrays([*arrays, split], schema=schema)

    in_table(repeated, store_schema=False, write_statistics=False)(copied_folder)
    assert (copied_folder / LABEL_TABLE).stat().st_size < 2**21
    accept(copied_folder)
    (problem,) = problems(copied_folder)["labels once more"]
    assert "labels.parquet: it is damaged (" in problem


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda files: files.clear(), "label_files"),
        (lambda files: files.pop(), "every row once by split, and once in one table"),
        (lambda files: files.pop(0), "every row once by split"),
        (lambda files: files.append(files[0]), "twice"),
        (lambda files: files[0].__setitem__("split", None), "cannot be of split None"),
        (lambda files: files[-1].__setitem__("split", "train"), "cannot be of split train"),
        (lambda files: files[0].__setitem__("rows", 10**6), "cannot hold"),
        (lambda files: files[0].__setitem__("path", "labels/../../x.h5"), "label_files"),
        (lambda files: files[0].__setitem__("path", "data/train-00000-of-00001.h5"), "label_files"),
        (lambda files: files[0].__setitem__("moon", 1), "moon' is unknown"),
    ],
)
def test_a_manifest_whose_labels_cannot_be_true(
    copied_folder: Path, change: Callable[[list[dict[str, Any]]], Any], named: str
) -> None:
    forge(copied_folder, lambda data: change(data["label_files"]))
    (problem,) = problems(copied_folder)["manifest"]
    assert "manifest.json is damaged" in problem
    assert named in problem


@pytest.mark.parametrize("path", [HDF5, LABEL_TABLE])
def test_a_missing_or_linked_file_is_named(copied_folder: Path, tmp_path: Path, path: str) -> None:
    moved = (copied_folder / path).rename(tmp_path / "elsewhere")
    assert any(path in problem and "missing" in problem for problem in problems(copied_folder)["checksums"])
    (copied_folder / path).symlink_to(moved)
    assert any("a link to elsewhere" in problem for problem in problems(copied_folder)["manifest"])


def test_a_stray_file_of_labels_is_named(copied_folder: Path) -> None:
    (copied_folder / "labels" / "more.h5").write_bytes(b"")
    assert any("labels/more.h5 is not in the manifest" in problem for problem in problems(copied_folder)["checksums"])


class TableRows:
    """Rows with labels of any sort, as a kind of zoo from outside may have them."""

    def __init__(self, columns: tuple[Column, ...], values: dict[str, np.ndarray]) -> None:
        self.columns, self.values = columns, values

    def __len__(self) -> int:
        return len(self.values["label"])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self.values[key]
        return TableRows(self.columns, {name: values[key] for name, values in self.values.items()})

    def split_of(self) -> np.ndarray:
        return np.array(["train"] * len(self))


@given(
    dtype=st.sampled_from(get_args(DType)),
    rows=st.integers(1, 7),
    shape=st.lists(st.integers(1, 3), max_size=4).map(tuple),
    together=st.integers(1, 4),
    data=st.data(),
)
def test_labels_of_every_dtype_and_shape_come_back(
    dtype: DType, rows: int, shape: tuple[int, ...], together: int, data: st.DataObject
) -> None:
    values = data.draw(arrays(dtype, (rows, *shape)))
    column = Column("label", dtype, shape, "", "of any sort")
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_table, "MOST_ROWS", together)
        write_table(TableRows((column,), {"label": values}), file)  # type: ignore[arg-type]
    table = pq.read_table(file)
    assert table["label"].null_count == 0
    expected = values.astype(np.float32) if dtype == "float16" else values
    # Without the type, NumPy makes floats of large whole numbers.
    back = np.array(table["label"].to_pylist(), dtype=expected.dtype).reshape(values.shape)
    assert np.array_equal(back, expected, equal_nan=expected.dtype.kind == "f")
    assert table["split"].to_pylist() == ["train"] * rows
