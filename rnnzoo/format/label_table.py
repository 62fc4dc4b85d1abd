"""The labels of a zoo as one table of Parquet, for queries: written, and held against the shards."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rnnzoo.format.manifest import LABEL_TABLE, LabelFile
from rnnzoo.format.schema import Column, label_columns
from rnnzoo.jobs.memory import take_at_most
from rnnzoo.zoo.zoo import Zoo, load

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 2**20
"""Rows of a row group; DuckDB and others read groups side by side."""
GROUP_BYTES = 64 * 2**20
SPARE_BYTES = 512 * 2**20
"""Memory that reading a table may take beyond some copies of its labels."""


def table_schema(columns: Sequence[Column]) -> pa.Schema:
    """The columns of the table, with their units and descriptions: the labels as they are, then `split`.

    Half precision becomes single precision, since not every reader of Parquet knows it.
    """
    import pyarrow as pa

    fields = []
    for column in label_columns(columns):
        kind = pa.from_numpy_dtype(np.dtype("float32" if column.dtype == "float16" else column.dtype))
        for _ in column.shape:
            kind = pa.list_(pa.field("element", kind, nullable=False))
        about = {"unit": column.unit, "description": column.description}
        fields.append(pa.field(column.name, kind, nullable=False, metadata=about))
    split = pa.field("split", pa.string(), nullable=False, metadata={"description": "the split that the row is in"})
    return pa.schema([*fields, split])


def write_table(zoo: Zoo, file: BinaryIO) -> None:
    """Write the table of all rows, in their order. One version of pyarrow writes the same bytes everywhere."""
    import pyarrow.parquet as pq

    together = _rows_together(zoo.columns)
    options: dict[str, Any] = {"compression": "none", "use_dictionary": ["split"], "version": "2.6"}
    with pq.ParquetWriter(file, table_schema(zoo.columns), **options) as writer:
        for start in range(0, len(zoo), together):
            writer.write_table(_table(zoo[start : start + together]), row_group_size=together)


def table_problems(zoo: Zoo, listed: LabelFile) -> Iterator[str]:
    """What a zoo's table says that its shards do not.

    A table of the checksum that the shards' own would have need not be read. Another, as other versions of pyarrow
    write, is read by a process of its own with little memory: pyarrow ends its process at some damaged files.
    """
    with tempfile.TemporaryFile() as file:
        write_table(zoo, file)
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() == listed.sha256:
            return
    command = [sys.executable, "-P", "-m", "rnnzoo.format.label_table", str(zoo.folder.absolute())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout) if done.returncode == 0 else ["it is damaged: pyarrow cannot read it"]
    yield from (f"{zoo.folder / listed.path}: {problem}" for problem in found)


def _rows_together(columns: Sequence[Column]) -> int:
    """Rows of a row group."""
    return max(1, min(MOST_ROWS, GROUP_BYTES // sum(column.row_bytes for column in label_columns(columns))))


def _table(rows: Zoo) -> pa.Table:
    import pyarrow as pa

    schema = table_schema(rows.columns)
    arrays = [_nested(rows[field.name], field.type) for field in schema if field.name != "split"]
    return pa.Table.from_arrays([*arrays, pa.array(rows.split_of(), pa.string())], schema=schema)


def _nested(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """An array [rows, ...] as lists in lists."""
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values.astype(kind.to_pandas_dtype(), copy=False), kind)
    length = values.shape[1]
    inner = _nested(values.reshape(-1, *values.shape[2:]), kind.value_type)
    return pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32) * length, inner, type=kind)


def _differences(zoo: Zoo) -> Iterator[str]:
    """What is read from a zoo's table and is not so in its shards."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(zoo.folder / LABEL_TABLE) as table:
        if not table.schema_arrow.equals(table_schema(zoo.columns)):
            yield "its columns are not the labels of the manifest and 'split'"
            return
        rows = 0
        for batch in table.iter_batches(_rows_together(zoo.columns), use_threads=False):
            expected = _table(zoo[rows : rows + len(batch)])
            rows += len(batch)
            if len(expected) < len(batch):
                yield f"it has more rows than the {len(zoo)} of the shards"
                return
            for name in expected.column_names:
                if not _equal(batch[name], expected[name].combine_chunks()):
                    yield f"column {name!r} is not that of the shards"
                    return
        if rows < len(zoo):
            yield f"it has {rows} rows, the shards have {len(zoo)}"


def _equal(found: pa.Array, expected: pa.Array) -> bool:
    """Whether two columns have the same values; NaN is NaN."""
    import pyarrow as pa

    while pa.types.is_list(expected.type):
        if not found.value_lengths().equals(expected.value_lengths()):
            return False
        found, expected = found.flatten(), expected.flatten()
    if not pa.types.is_floating(expected.type):
        return bool(found.equals(expected))
    return np.array_equal(found.to_numpy(), expected.to_numpy(), equal_nan=True)


def main() -> None:
    """Print, as JSON, what is wrong with the table of the zoo in a folder."""
    import pyarrow as pa
    import pyarrow.parquet

    zoo = load(sys.argv[1])
    pa.set_memory_pool(pa.system_memory_pool())
    row_bytes = sum(column.row_bytes for column in label_columns(zoo.columns))
    take_at_most(SPARE_BYTES + 8 * len(zoo) * row_bytes)
    try:
        problems = list(_differences(zoo))
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        problems = [f"it is damaged ({str(error) or 'it takes too much memory'})"]
    print(json.dumps(problems))


if __name__ == "__main__":
    main()
