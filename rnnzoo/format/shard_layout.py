"""Where the columns of an HDF5 shard lie in its file, told only if the file is built exactly as ours are.

HDF5 is asked for the structure alone; it never reads a value. So a file may not make it follow links, open other
files, run filters or allocate what a header claims: what is not laid out as `rnnzoo` writes it is refused.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import h5py
import numpy as np

from rnnzoo.files import limits
from rnnzoo.format.schema import SCHEMA_VERSION, Column

CHUNK_ROWS = 32
"""Rows per compressed chunk of a trace column; smaller chunks make streaming fetch the file many times."""
COMPRESSION = {"compression": "gzip", "shuffle": True}
"""Filters of a compressed column, as h5py's `create_dataset` takes them."""
FRAME_BYTES = 1024
"""Room for what deflate adds to data that does not shrink."""
_SHUFFLE_AND_DEFLATE = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE)
_DEFLATE_SKIPPED = 0b10
"""Filter mask of a chunk that would not have become smaller."""


@dataclass(frozen=True)
class Chunk:
    """One compressed piece of a column: so many bytes at an offset of the file; `deflated` unless stored plainly."""

    offset: int
    size: int
    deflated: bool


@dataclass(frozen=True)
class StoredColumn:
    """Where a column lies in a file.

    Attributes:
        offset: of its first byte, if it is stored in one piece.
        chunks: otherwise its compressed pieces, each `chunk_rows` rows, in their order.
        chunk_rows: rows of a chunk.
    """

    offset: int | None
    chunks: tuple[Chunk, ...] = ()
    chunk_rows: int = 0


@dataclass(frozen=True)
class ShardPlan:
    """What a shard must be.

    Attributes:
        columns: its columns.
        rows: rows of each.
        attributes: of the file, each a text or a whole number.
        compressed: whether traces are compressed, as in published shards.
    """

    columns: tuple[Column, ...]
    rows: int
    attributes: Mapping[str, str | int]
    compressed: bool

    @property
    def contiguous_bytes(self) -> int:
        """Bytes of the columns that are stored in one piece."""
        return self.rows * sum(column.row_bytes for column in self.columns if not self.in_chunks(column))

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides where columns may lie, hexadecimal."""
        columns = [(c.name, c.dtype, c.shape, self.in_chunks(c)) for c in self.columns]
        return hashlib.sha256(repr((columns, self.rows, sorted(self.attributes.items()))).encode()).hexdigest()

    def in_chunks(self, column: Column) -> bool:
        """Whether a column is stored in compressed chunks."""
        return self.compressed and column.trace

    @classmethod
    def of_zoo(cls, zoo: str, recipe_hash: str, columns: tuple[Column, ...], rows: int, split: str | None) -> ShardPlan:
        """The plan of a shard of a split, or with None of the unit of an unfinished build.

        Args:
            zoo: kind of zoo.
            recipe_hash: SHA-256 of its recipe.
            columns: its columns.
            rows: rows of the file.
            split: its split.
        """
        attributes: dict[str, str | int] = {
            "schema_version": SCHEMA_VERSION,
            "zoo": zoo,
            "recipe_hash": recipe_hash,
            **({} if split is None else {"split": split}),
        }
        return cls(columns, rows, attributes, compressed=split is not None)

    def chunk_shape(self, column: Column) -> tuple[int, ...]:
        """Shape of each chunk of a compressed column."""
        return min(CHUNK_ROWS, self.rows), *column.shape


def find_columns(file: BinaryIO, plan: ShardPlan) -> tuple[dict[str, StoredColumn], list[str]]:
    """Where every column lies, and everything in which the file departs from the plan.

    Args:
        file: the shard, opened for reading.
        plan: what it must be.

    Returns:
        The columns that were found, by name, and the problems; only without problems may anything be read.
    """
    size = file.seek(0, 2)
    if plan.contiguous_bytes > size:
        return {}, [f"{size} bytes cannot hold {plan.rows} rows, which take {plan.contiguous_bytes} bytes or more"]
    found: dict[str, StoredColumn] = {}
    problems: list[str] = []
    try:
        with h5py.File(file, "r") as opened:
            problems += _attribute_problems(opened, plan.attributes)
            problems += _link_problems(opened, plan.columns)
            for column in () if problems else plan.columns:
                stored, departures = _stored_column(opened, column, plan)
                problems += [f"column {column.name!r} {departure}" for departure in departures]
                if stored is not None:
                    found[column.name] = stored
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        return {}, [*problems, f"its HDF5 structure is damaged ({error})"]
    return found, problems or list(extent_problems(found, plan, size))


def _attribute_problems(file: h5py.File, expected: Mapping[str, str | int]) -> Iterator[str]:
    for name in sorted(set(file.attrs) - set(expected)):
        yield f"attribute {name!r} is not one of a zoo's"
    for name, value in expected.items():
        if not h5py.h5a.exists(file.id, name.encode()):
            yield f"attribute {name} is missing"
            continue
        attribute = h5py.h5a.open(file.id, name.encode())
        # Texts of variable length lie elsewhere in the file, and following them there may never end.
        if attribute.shape != () or attribute.dtype.kind != ("S" if isinstance(value, str) else "i"):
            yield f"attribute {name} is not a single {'text' if isinstance(value, str) else 'whole number'}"
            continue
        there = np.zeros((), attribute.dtype)
        attribute.read(there)
        found = there.item().decode("utf-8", "replace") if isinstance(value, str) else there.item()
        if found != value:
            yield f"attribute {name} is {found!r}, expected {value!r}"


def _link_problems(file: h5py.File, columns: Sequence[Column]) -> Iterator[str]:
    expected = {column.name for column in columns}
    # A file may hold millions of names; a few are enough to say that it is wrong.
    names = set(itertools.islice(file, 2 * len(columns)))
    for name in sorted(names - expected):
        yield f"column {name!r} is not in the schema"
    addresses: dict[int, str] = {}
    for column in columns:
        name = column.name
        if name not in names:
            yield f"column {name!r} is missing"
        elif file.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            yield f"column {name!r} is a link to somewhere else, not data of this file"
        elif h5py.h5o.get_info(file.id, name.encode()).type != h5py.h5o.TYPE_DATASET:
            yield f"column {name!r} is no dataset"
        else:
            address = h5py.h5o.get_info(file.id, name.encode()).addr
            if address in addresses:
                yield f"columns {addresses[address]!r} and {name!r} are one and the same"
            addresses[address] = name


def _stored_column(file: h5py.File, column: Column, plan: ShardPlan) -> tuple[StoredColumn | None, list[str]]:
    dataset = h5py.h5d.open(file.id, column.name.encode())
    made = dataset.get_create_plist()
    problems = list(_type_problems(dataset, column, plan.rows))
    if made.get_external_count():
        return None, [*problems, "is stored in another file"]
    layout = h5py.h5d.CHUNKED if plan.in_chunks(column) else h5py.h5d.CONTIGUOUS
    if made.get_layout() != layout:
        kinds = {h5py.h5d.CHUNKED: "in chunks", h5py.h5d.CONTIGUOUS: "in one piece", h5py.h5d.VIRTUAL: "in other files"}
        there = kinds.get(made.get_layout(), "in the header")
        return None, [*problems, f"is stored {there}, expected {kinds[layout]}"]
    if problems:
        return None, problems
    if layout == h5py.h5d.CONTIGUOUS:
        offset = dataset.get_offset()
        if offset is None or dataset.get_storage_size() != plan.rows * column.row_bytes:
            return None, ["was never written, or not whole"]
        return StoredColumn(offset), []
    filters = tuple(made.get_filter(index)[0] for index in range(made.get_nfilters()))
    if filters != _SHUFFLE_AND_DEFLATE:
        return None, ["is not compressed as zoos are (shuffle and gzip)"]
    if made.get_chunk() != plan.chunk_shape(column):
        return None, [f"has chunks of shape {made.get_chunk()}, expected {plan.chunk_shape(column)}"]
    if plan.chunk_shape(column)[0] * column.row_bytes > limits.CHUNK_BYTES:
        return None, [f"has chunks of more than {limits.CHUNK_BYTES:,} bytes"]
    return _chunked_column(dataset, column, plan)


def _type_problems(dataset: h5py.h5d.DatasetID, column: Column, rows: int) -> Iterator[str]:
    expected = h5py.h5t.py_create(np.dtype(column.dtype), logical=True)
    if not dataset.get_type().equal(expected):
        yield f"has dtype {_type_name(dataset)}, expected {column.dtype}"
    space, shape = dataset.get_space(), (rows, *column.shape)
    if space.get_simple_extent_type() != h5py.h5s.SIMPLE or space.get_simple_extent_dims() != shape:
        yield f"has shape {space.get_simple_extent_dims()}, expected {shape}"
    elif space.get_simple_extent_dims(True) != shape:
        yield "can be resized, which no column of a zoo can"


def _type_name(dataset: h5py.h5d.DatasetID) -> str:
    try:
        return str(dataset.dtype)
    except (TypeError, ValueError):
        return "of a kind that NumPy has not"


def _chunked_column(
    dataset: h5py.h5d.DatasetID, column: Column, plan: ShardPlan
) -> tuple[StoredColumn | None, list[str]]:
    chunk_rows = plan.chunk_shape(column)[0]
    expected = math.ceil(plan.rows / chunk_rows)
    chunks: dict[int, Chunk] = {}
    count = 0

    def see(info: Any) -> bool | None:
        nonlocal count
        count += 1
        row, skipped = info.chunk_offset[0], info.filter_mask
        if row % chunk_rows == 0 and not any(info.chunk_offset[1:]) and skipped in (0, _DEFLATE_SKIPPED):
            chunks[row // chunk_rows] = Chunk(info.byte_offset, info.size, deflated=not skipped)
        # A true value ends the walk: no file needs to be followed beyond what it should have.
        return True if count > expected else None

    dataset.chunk_iter(see)
    if count != expected or set(chunks) != set(range(expected)):
        return None, [f"has chunks missing or in excess: {expected} are expected"]
    whole = chunk_rows * column.row_bytes
    for chunk in chunks.values():
        least, most = math.ceil(whole / limits.DEFLATE_RATIO), whole + FRAME_BYTES
        if not (least <= chunk.size <= most if chunk.deflated else chunk.size == whole):
            return None, [f"has a chunk of {chunk.size} bytes, which cannot hold the {whole} bytes of its rows"]
    return StoredColumn(None, tuple(chunks[index] for index in range(expected)), chunk_rows), []


def extent_problems(found: Mapping[str, StoredColumn], plan: ShardPlan, size: int) -> Iterator[str]:
    """What is wrong if a byte belongs to two columns, or lies beyond the end of a file of so many bytes."""
    row_bytes = {column.name: column.row_bytes for column in plan.columns}
    extents = sorted(
        (start, start + length, name)
        for name, column in found.items()
        for start, length in (
            [(column.offset, plan.rows * row_bytes[name])]
            if column.offset is not None
            else [(chunk.offset, chunk.size) for chunk in column.chunks]
        )
    )
    for start, stop, name in extents:
        if start < 0 or stop > size:
            yield f"column {name!r} lies beyond the end of the file: it is truncated or altered"
            return
    for (_, stop, before), (start, _, name) in itertools.pairwise(extents):
        if start < stop:
            yield f"columns {before!r} and {name!r} share bytes of the file"
            return
