"""The file format, executable: every promise a zoo makes, checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError
from rnnzoo.format.labels import label_problems
from rnnzoo.format.manifest import MANIFEST, Manifest, file_sha256, read_manifest
from rnnzoo.format.schema import SCHEMA_MINOR_VERSION, Column
from rnnzoo.format.shards import shard_problems
from rnnzoo.format.trace_check import Advance, rerun_traces
from rnnzoo.networks.network import CELLS
from rnnzoo.zoo.zoo import Model, Zoo


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what was checked.
        problems: what is wrong, each naming file and field; empty if all is well.
        detail: what was seen, in a few words.
    """

    name: str
    problems: tuple[str, ...]
    detail: str = ""


SAMPLED_ROWS = 64
"""Rows whose traces are re-run unless all are asked for."""

BLOCK_BYTES = 64 * 2**20
"""Of one column that are looked at together."""


def verify(folder: Path, every_trace: bool = False, advance: Advance = lambda done, total: None) -> Iterator[Check]:
    """Check a zoo from the outside in; stops after the first group of checks that makes the next meaningless.

    Args:
        folder: the zoo's folder.
        every_trace: re-run the traces of all rows, not of a sample.
        advance: told of the progress of re-running.
    """
    try:
        manifest = read_manifest(folder)
    except RnnzooError as error:
        yield Check("manifest", (str(error),))
        return
    yield Check("manifest", (), f"{manifest.zoo}, {manifest.rows} rows")
    checksums = Check("checksums", tuple(_file_problems(folder, manifest)), f"{len(manifest.listed_files)} files")
    yield checksums
    kind, known = manifest.kind, f"as {manifest.zoo} has them"
    if manifest.network.cell not in CELLS:
        known = f"not compared with what {manifest.zoo} has: the cell {manifest.network.cell} is not known here"
    if not kind.known:
        known = f"not compared with what {manifest.zoo} has: no such kind of zoo is installed"
    schema = Check("schema", tuple(_schema_problems(folder, manifest)), f"{len(manifest.columns)} columns, {known}")
    yield schema
    if schema.problems:
        return
    zoo = Zoo(folder, manifest)
    try:
        yield Check("rows", tuple(_row_problems(zoo)), f"{len(manifest.snapshots)} snapshots of every model")
        finite = _finite_rows(zoo, "weights")
        yield Check("finite values", tuple(_finite_problems(zoo, finite)), f"{int((~finite).sum())} diverged rows")
        ranges = Check("ranges", tuple(_range_problems(zoo)), "shares, losses, tasks, tokens and labels")
        yield ranges
        yield Check("split leakage", tuple(_leakage_problems(zoo)), "by task and by model")
        equal = f"{len(manifest.label_files)} files equal the shards" if manifest.label_files else "not there"
        yield Check("labels once more", tuple(label_problems(zoo)), equal)
        # Whether a row's traces can be checked is seen from its weights; what its publisher says does not count.
        rows = np.flatnonzero(finite)
        if not every_trace and len(rows) > SAMPLED_ROWS:
            rows = rows[np.linspace(0, len(rows) - 1, SAMPLED_ROWS).astype(int)]
        if manifest.inputs is None or manifest.network.cell not in CELLS:
            why = "nothing was recorded" if manifest.inputs is None else f"unknown cell {manifest.network.cell}"
            yield Check("traces re-run", (), f"not checked: {why}")
        elif not ranges.problems:
            problems, seen = rerun_traces(zoo, rows, advance)
            yield Check("traces re-run", problems, f"{'all' if every_trace else 'sampled'} {len(rows)} rows, {seen}")
    except RnnzooError as error:
        yield Check("reading", (str(error),))


def _file_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    listed = {file.path for file in manifest.listed_files}
    for path in sorted([*(folder / "data").glob("*"), *(folder / "labels").glob("*")]):
        if path.relative_to(folder).as_posix() not in listed:
            yield f"{path} is not in the manifest"
    by_checksum = {file.sha256: file.path for file in manifest.listed_files}
    for file in manifest.listed_files:
        path = folder / file.path
        if not path.is_file():
            yield f"{path} is missing"
        elif path.stat().st_size != file.size:
            yield f"{path} is {path.stat().st_size} bytes long, the manifest says {file.size}: truncated or altered"
        elif (found := file_sha256(path)) != file.sha256:
            other = by_checksum.get(found)
            why = f"it holds the contents of {other}" if other else "it was altered"
            yield f"{path}: SHA-256 is not the manifest's; {why}"


def _schema_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    yield from _table_problems(folder, manifest)
    for listed in manifest.files:
        yield from shard_problems(folder, manifest, listed)


def _table_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Where a manifest departs from what this version writes for a kind of zoo that it knows.

    A later minor version may have columns that this one does not know, and none less.
    """
    if not manifest.kind.known or manifest.network.cell not in CELLS:
        return
    written = {column.name: _unbounded(column) for column in manifest.kind.columns(manifest.recipe)}
    found = {column.name: _unbounded(column) for column in manifest.columns}
    later = manifest.schema_minor_version > SCHEMA_MINOR_VERSION
    for name in [*written, *(() if later else found.keys() - written.keys())]:
        if found.get(name) != written.get(name):
            yield f"{folder / MANIFEST}: column {name!r} is not as {manifest.zoo} of this recipe has it"
    if manifest.inputs != manifest.kind.inputs(manifest.recipe):
        yield f"{folder / MANIFEST}: field inputs is not as {manifest.zoo} of this recipe has it"
    if manifest.weight_layout != tuple(manifest.network.parameters()):
        yield f"{folder / MANIFEST}: field weight_layout is not that of its network"


def _unbounded(column: Column) -> Column:
    """A column but for its bounds, which may be narrower now than when a zoo was written."""
    return replace(column, low=None, high=None)


def _row_problems(zoo: Zoo) -> Iterator[str]:
    models, steps = zoo["model_id"], zoo["step"]
    snapshots = np.array(zoo.snapshots)
    if len(models) % len(snapshots):
        yield f"{len(models)} rows are no multiple of {len(snapshots)} snapshots"
        return
    grid = models.reshape(-1, len(snapshots)), steps.reshape(-1, len(snapshots))
    wrong = (grid[0] != grid[0][:, :1]).any(axis=1) | (grid[1] != snapshots).any(axis=1)
    for index in np.flatnonzero(wrong)[:5]:
        yield f"model {grid[0][index, 0]} does not have exactly one row per snapshot step {zoo.snapshots}, in order"
    expected = zoo.manifest.recipe["models"]
    distinct = len(np.unique(models))
    if distinct != expected or len(models) != expected * len(snapshots):
        yield f"{distinct} distinct models in {len(models)} rows; the recipe has {expected} models"


def _finite_rows(zoo: Zoo, name: str) -> NDArray[np.bool_]:
    """Which rows have no NaN or infinity in a column, bool [len(zoo)]."""
    finite = [np.isfinite(values).reshape(len(values), -1).all(axis=1) for _, values in _blocks(zoo, name)]
    return np.concatenate(finite)


def _finite_problems(zoo: Zoo, finite: NDArray[np.bool_]) -> Iterator[str]:
    diverged = zoo["diverged"]
    if (wrong := diverged & finite).any():
        yield f"column 'diverged' is true in {int(wrong.sum())} rows of finite weights, first in {_first(zoo, wrong)}"
    for column in zoo.columns:
        if not np.issubdtype(np.dtype(column.dtype), np.floating):
            continue
        sound = finite if column.name == "weights" else _finite_rows(zoo, column.name)
        wrong = ~sound & ~(diverged & column.may_diverge)
        if wrong.any():
            first = _first(zoo, wrong)
            yield f"column {column.name!r} is NaN or infinite in {int(wrong.sum())} rows, first in {first}"


def _range_problems(zoo: Zoo) -> Iterator[str]:
    # The bounds in a manifest are its publisher's; those of a kind that is installed count.
    written = zoo.kind.columns(zoo.manifest.recipe) if zoo.kind.known and zoo.network.cell in CELLS else ()
    known = {column.name: column for column in written}
    for column in (known.get(column.name, column) for column in zoo.columns):
        if column.low is None:
            continue
        for start, values in _blocks(zoo, column.name):
            outside = (values < column.low) | (values > (math.inf if column.high is None else column.high))
            wrong = outside.reshape(len(values), -1).any(axis=1)
            if wrong.any():
                model = zoo[start + int(np.argmax(wrong))]
                yield f"column {column.name!r} leaves {column.low:g} to {_shown(column.high)} in {model}, for one"
                break


def _shown(high: float | None) -> str:
    return "infinity" if high is None else f"{high:g}"


def _first(zoo: Zoo, wrong: NDArray[np.bool_]) -> Model:
    return zoo[int(np.argmax(wrong))]


def _leakage_problems(zoo: Zoo) -> Iterator[str]:
    splits = zoo.split_of()
    for name in ("model_id", "task"):
        values = zoo[name].reshape(len(zoo), -1)
        _, group = np.unique(values, axis=0, return_inverse=True)
        group = group.reshape(-1)
        first = np.zeros(group.max() + 1, dtype=np.int64)
        first[group[::-1]] = np.arange(len(zoo))[::-1]
        leaks = np.flatnonzero(splits != splits[first[group]])
        if len(leaks):
            row = int(leaks[0])
            yield (
                f"{name} {values[row].tolist()} is in split {splits[row]} and in split {splits[first[group[row]]]} "
                f"({len(leaks)} rows in all)"
            )


def _blocks(zoo: Zoo, name: str) -> Iterator[tuple[int, NDArray[Any]]]:
    """A column in blocks that fit in memory: the number of each block's first row, and its values."""
    (row_bytes,) = (column.row_bytes for column in zoo.columns if column.name == name)
    size = max(1, BLOCK_BYTES // row_bytes)
    return ((start, zoo[start : start + size][name]) for start in range(0, len(zoo), size))
