"""Rows of several zoos, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import UsageError
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.format.schema import Column
from rnnzoo.kinds import Kind
from rnnzoo.networks.network import Network, Parameter
from rnnzoo.rows.zoo_rows import ZooRows
from rnnzoo.zoo.zoo import Zoo

if TYPE_CHECKING:
    import pandas


class Concatenation(ZooRows):
    """Rows of several zoos, read where they lie: columns, selections, what networks answer, tables and batches.

    It is no zoo on disk: it has no folder, manifest or checksums, and cannot be verified, published or evaluated as
    one; each of its zoos can. A row keeps its model_id and its split, so one number may name several networks, and a
    task may be in `train` of one zoo and in `ood_test` of another: `zoo_of` tells rows apart, and whoever needs
    disjoint tasks compares tasks. Bounds of columns are those that hold in all zoos.

    Attributes:
        zoos: those that were given, in order; selections keep all of them.
    """

    def __init__(
        self,
        zoos: Sequence[ZooRows],
        rows: NDArray[np.int64] | None = None,
        reader: _JoinedRows | None = None,
        numbers: dict[str, NDArray[Any]] | None = None,
    ) -> None:
        self.zoos = tuple(zoos)
        self._joined = reader or _JoinedRows(self.zoos)
        super().__init__(self._joined, rows, numbers)

    @property
    def origin(self) -> str:
        """Where these rows come from, for people."""
        return ", ".join(zoo.origin for zoo in self.zoos)

    @property
    def network(self) -> Network:
        """Shape of the networks of all zoos."""
        return self.zoos[0].network

    @property
    def kind(self) -> Kind:
        """What kind of zoo all are of."""
        return self.zoos[0].kind

    @property
    def weight_layout(self) -> tuple[Parameter, ...]:
        """Where each tensor lies in the column `weights`."""
        return self.zoos[0].weight_layout

    @property
    def inputs(self) -> RecordedInputs | None:
        """What the networks were fed when their traces were recorded; None if nothing was."""
        return self.zoos[0].inputs

    @property
    def snapshots(self) -> tuple[int, ...]:
        """The optimizer steps that some zoo has snapshots of, rising."""
        return tuple(sorted({step for zoo in self.zoos for step in zoo.snapshots}))

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that some zoo has."""
        return tuple(dict.fromkeys(name for zoo in self.zoos for name in zoo.split_names))

    def zoo_of(self) -> NDArray[np.int64]:
        """Which of `zoos` each row is of, int64 [rows], counted from 0."""
        return self._joined.zoo_of(self._rows)

    def split_of(self) -> NDArray[np.str_]:
        """The split each of these rows is in, in its own zoo."""
        return np.concatenate([zoo.split_of() for zoo in self.zoos])[self._rows]

    def to_pandas(self) -> pandas.DataFrame:
        """The labels as a table, as those of a zoo, then `split` and `zoo`, which is `zoo_of`."""
        return super().to_pandas().assign(zoo=self.zoo_of())

    def _select(self, rows: NDArray[np.int64]) -> Self:
        return type(self)(self.zoos, rows, self._joined, self._numbers)


def concatenate(zoos: Iterable[Zoo | Concatenation]) -> Concatenation:
    """The rows of zoos, or of selections of zoos, one after the other; nothing is copied.

    Args:
        zoos: at least one, all of one kind, with networks of one shape and the same columns.

    Raises:
        UsageError: none, or some that differ, naming in what.
    """
    parts = list(zoos)
    for part in parts:
        if not isinstance(part, ZooRows):
            raise UsageError(f"concatenate takes a list of zoos that rnnzoo.load gave, not {type(part).__name__}.")
    if not parts:
        raise UsageError("There is nothing to concatenate: give at least one zoo.")
    for part in parts[1:]:
        if difference := next(_differences(parts[0], part), None):
            raise UsageError(
                f"{parts[0].origin} and {part.origin} cannot be concatenated: {difference}. Join zoos of one recipe "
                "that differ in seed, number of models or steps."
            )
    return Concatenation(parts)


def _differences(first: ZooRows, other: ZooRows) -> Iterator[str]:
    """In what two zoos differ that joined rows must have in common."""
    if first.kind.name != other.kind.name:
        yield f"they are of the kinds {first.kind.name} and {other.kind.name}"
    if first.network != other.network:
        yield f"they have networks of {first.network.describe()} and of {other.network.describe()}"
    if first.weight_layout != other.weight_layout:
        yield "their weights are laid out differently"
    ours, theirs = ({column.name: _unbounded(column) for column in zoo.columns} for zoo in (first, other))
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            yield f"the column {name!r} is not the same in both"
    if list(ours) != list(theirs):
        yield "their columns have another order"
    if first.inputs != other.inputs:
        yield "their traces were recorded on inputs of different forms"


def _unbounded(column: Column) -> Column:
    return replace(column, low=None, high=None)


def _widest(columns: Sequence[Column]) -> Column:
    """A column with bounds that hold in every zoo."""
    lows, highs = ([getattr(column, bound) for column in columns] for bound in ("low", "high"))
    return replace(columns[0], low=None if None in lows else min(lows), high=None if None in highs else max(highs))


class _JoinedRows:
    """Reads rows that are numbered through several zoos."""

    def __init__(self, zoos: Sequence[ZooRows]) -> None:
        self.zoos = zoos
        self.starts = np.cumsum([0, *map(len, zoos)])
        of_each = zip(*(zoo.columns for zoo in zoos), strict=True)
        self.columns = {columns[0].name: _widest(columns) for columns in of_each}

    @property
    def rows(self) -> int:
        """Rows of all zoos."""
        return int(self.starts[-1])

    def zoo_of(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Which zoo rows are of."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def locate(self, rows: NDArray[np.integer]) -> list[tuple[NDArray[np.int64], ZooRows]]:
        """For each zoo that has some of the rows, their places among all that are asked for, and these rows of it."""
        zoo_of = self.zoo_of(rows)
        places = [(number, np.flatnonzero(zoo_of == number)) for number in np.unique(zoo_of).tolist()]
        return [(at, self.zoos[number][rows[at] - self.starts[number]]) for number, at in places]

    def read(self, name: str, parts: list[tuple[NDArray[np.int64], ZooRows]], rows: int) -> NDArray[Any]:
        """A column of rows that were located, [rows, *shape]."""
        column = self.columns[name]
        values = np.empty((rows, *column.shape), dtype=column.dtype)
        for at, part in parts:
            values[at] = part[name]
        return values
