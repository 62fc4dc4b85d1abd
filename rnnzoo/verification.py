"""The file format, executable: every promise a zoo makes, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError
from rnnzoo.manifest import Manifest, file_sha256, read_manifest
from rnnzoo.schema import SPLITS
from rnnzoo.shards import open_shard, shard_problems
from rnnzoo.zoo import Zoo

ABSOLUTE_TOLERANCE = 2e-3
RELATIVE_TOLERANCE = 2e-3
"""A re-run log-probability x of a stored y must satisfy |x - y| <= 0.002 + 0.002 |y|: two float16 roundings
(2**-11 relative each) and the float32 rounding errors of another order of summation."""

SAMPLED_ROWS = 64
"""Rows whose traces are re-run unless all are asked for."""


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


Advance = Callable[[int, int], None]
"""Told (done, total) during long checks."""


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
    yield Check("manifest", tuple(_manifest_problems(manifest)), f"{manifest.zoo}, {manifest.rows} rows")
    checksums = Check("checksums", tuple(_file_problems(folder, manifest)), f"{len(manifest.files)} files")
    yield checksums
    schema = Check("schema", tuple(_schema_problems(folder, manifest)), f"{len(manifest.columns)} columns")
    yield schema
    if schema.problems:
        return
    zoo = Zoo(folder, manifest)
    try:
        yield Check("rows", tuple(_row_problems(zoo)), f"{len(manifest.snapshots)} snapshots of every model")
        yield Check("finite values", tuple(_finite_problems(zoo)), f"{int(zoo['diverged'].sum())} diverged rows")
        yield Check("split leakage", tuple(_leakage_problems(zoo)), "by task and by model")
        yield _trace_check(zoo, every_trace, advance)
    except RnnzooError as error:
        yield Check("reading", (str(error),))


def _manifest_problems(manifest: Manifest) -> Iterator[str]:
    for name, counts in manifest.splits.items():
        rows = sum(file.rows for file in manifest.files if file.split == name)
        if name not in SPLITS:
            yield f"manifest.json: field splits names {name!r}; the splits are {', '.join(SPLITS)}"
        if rows != counts["rows"]:
            yield f"manifest.json: split {name} states {counts['rows']} rows, but its files have {rows}"


def _file_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    listed = {file.path for file in manifest.files}
    for path in sorted((folder / "data").glob("*")):
        if f"data/{path.name}" not in listed:
            yield f"{path} is not in the manifest"
    by_checksum = {file.sha256: file.path for file in manifest.files}
    for file in manifest.files:
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
    for listed in manifest.files:
        path = folder / listed.path
        try:
            with open_shard(path) as file:
                for problem in shard_problems(file, listed, manifest):
                    yield f"{path}: {problem}"
        except RnnzooError as error:
            yield str(error)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            yield f"{path}: its HDF5 structure is damaged ({error})"


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


def _finite_problems(zoo: Zoo) -> Iterator[str]:
    diverged = zoo["diverged"]
    for column in zoo.columns:
        if not np.issubdtype(np.dtype(column.dtype), np.floating):
            continue
        for rows in _blocks(len(zoo)):
            finite = np.isfinite(zoo[rows][column.name]).reshape(rows.stop - rows.start, -1).all(axis=1)
            wrong = ~finite & ~(diverged[rows] if column.may_diverge else False)
            if wrong.any():
                model = zoo[rows.start + int(np.argmax(wrong))]
                yield f"column {column.name!r} is NaN or infinite in {int(wrong.sum())} rows, first in {model}"
                break


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


def _trace_check(zoo: Zoo, every_trace: bool, advance: Advance) -> Check:
    """Re-run recorded inputs through the weights and compare what the networks answer."""
    compare = _compare_logits if "logits" in (column.name for column in zoo.columns) else _compare_log_probs
    healthy = np.flatnonzero(~zoo["diverged"])
    if not every_trace and len(healthy) > SAMPLED_ROWS:
        healthy = healthy[np.linspace(0, len(healthy) - 1, SAMPLED_ROWS).astype(int)]
    problems = []
    worst = 0.0
    for start in range(0, len(healthy), 16):
        part = zoo[healthy[start : start + 16]]
        largest, excess = compare(part)
        worst = max(worst, largest)
        for row in np.flatnonzero(excess > 0):
            model = part[int(row)]
            problems.append(
                f"{file_of(zoo, int(part.row_numbers[row]))}: column 'log_probs' of {model} is not what its weights "
                f"give (beyond tolerance by {excess[row]:.4f})"
            )
        advance(min(start + 16, len(healthy)), len(healthy))
    what = "all rows" if every_trace else f"{len(healthy)} sampled rows"
    tolerance = f"|difference| <= {ABSOLUTE_TOLERANCE} + {RELATIVE_TOLERANCE} |value|"
    return Check("traces re-run", tuple(problems), f"{what}, largest difference {worst:.5f} nats, {tolerance}")


def _compare_log_probs(rows: Zoo) -> tuple[float, NDArray[np.float32]]:
    """The largest difference between recorded and re-run log-probabilities, and the excess of each row."""
    again, stored = rows.run(rows.recorded_inputs()), rows["log_probs"].astype(np.float32)
    return float(np.abs(again - stored).max()), trace_excess(again, stored)


def _compare_logits(rows: Zoo) -> tuple[float, NDArray[np.float32]]:
    """As `_compare_log_probs`, where logits were released and log-probabilities derived from them.

    Rounding large logits to float16 moves log-probabilities beyond the tolerance, so logits are compared, up to a
    constant per position, which no softmax sees; and log-probabilities with the log-softmax of the logits.
    """
    import torch

    from rnnzoo.lstm import run_logits

    with torch.no_grad():
        weights, inputs = torch.from_numpy(rows["weights"]), torch.from_numpy(rows.recorded_inputs())
        again = run_logits(rows.network, weights, inputs).numpy()
    stored = rows["logits"].astype(np.float32)
    difference = np.abs((again - again.mean(-1, keepdims=True)) - (stored - stored.mean(-1, keepdims=True)))
    excess = difference - (ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(stored).max(-1, keepdims=True))
    normalised = torch.log_softmax(torch.from_numpy(stored), dim=-1).numpy()
    derived = trace_excess(normalised, rows["log_probs"].astype(np.float32))
    return float(difference.max()), np.maximum(_worst_of_rows(excess), derived)


def trace_excess(again: NDArray[np.float32], stored: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the worst log-probability of each row lies beyond the tolerance, in nats; <= 0 is within."""
    excess = np.abs(again - stored) - (ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(stored))
    return _worst_of_rows(excess)


def _worst_of_rows(excess: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(excess, nan=np.inf).reshape(len(excess), -1).max(axis=1)


def file_of(zoo: Zoo, row: int) -> Path:
    """The shard that holds a row of the whole zoo."""
    starts = np.cumsum([file.rows for file in zoo.manifest.files])
    return zoo.folder / zoo.manifest.files[int(np.searchsorted(starts, row, side="right"))].path


def _blocks(rows: int, size: int = 512) -> Iterator[slice]:
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


__all__ = ["Check", "trace_excess", "verify"]
