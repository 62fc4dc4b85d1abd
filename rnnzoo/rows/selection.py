"""Which rows of a zoo are meant, and their columns; nothing is read until it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import UsageError
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.format.schema import SPLITS, Column
from rnnzoo.kinds import Kind
from rnnzoo.networks.network import Network, Parameter
from rnnzoo.rows.conditions import meets, row_index


class RowReader(Protocol):
    """What reads columns of rows, which are numbered from 0."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Every column by name."""
        ...

    @property
    def rows(self) -> int:
        """How many there are."""
        ...

    def locate(self, rows: NDArray[np.integer], /) -> Any:
        """Where rows lie, the same for every column."""
        ...

    def read(self, name: str, parts: Any, rows: int, /) -> NDArray[Any]:
        """A column of so many rows that were located, [rows, *shape]."""
        ...


class Selection(ABC):
    """Some of the rows that a reader numbers, and what they are."""

    def __init__(
        self, reader: RowReader, rows: NDArray[np.int64] | None, numbers: dict[str, NDArray[Any]] | None
    ) -> None:
        self._reader = reader
        self._rows = np.arange(reader.rows) if rows is None else rows
        # Columns of plain numbers are small; each is read once for all rows and shared by every subset.
        self._numbers = {} if numbers is None else numbers

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where the rows come from, for people."""

    @property
    @abstractmethod
    def network(self) -> Network:
        """Shape of the networks."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What kind of zoo it is; what is particular to it."""

    @property
    @abstractmethod
    def weight_layout(self) -> tuple[Parameter, ...]:
        """Where each tensor lies in the column `weights`."""

    @property
    @abstractmethod
    def inputs(self) -> RecordedInputs | None:
        """What the networks were fed when their traces were recorded; None if nothing was."""

    @property
    @abstractmethod
    def snapshots(self) -> tuple[int, ...]:
        """The optimizer steps there are snapshots of."""

    @property
    @abstractmethod
    def split_names(self) -> tuple[str, ...]:
        """The splits there are."""

    @abstractmethod
    def split_of(self) -> NDArray[np.str_]:
        """The split each of these rows is in."""

    @abstractmethod
    def _select(self, rows: NDArray[np.int64]) -> Self: ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, dtype, shape and meaning of every column."""
        return tuple(self._reader.columns.values())

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """Numbers of these rows among all rows of the zoo, int64 [len(zoo)]."""
        return self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> NDArray[Any]:
        """One column of these rows: [len(zoo), *shape] in the dtype of the schema.

        Raises:
            UsageError: no such column.
        """
        column = self._column(name)
        if column.shape:
            return self._reader.read(name, self._parts, len(self))
        if name not in self._numbers:
            every = np.arange(self._reader.rows)
            self._numbers[name] = self._reader.read(name, self._reader.locate(every), len(every))
        return self._numbers[name][self._rows]

    def split(self, name: str) -> Self:
        """The rows of one split: "train", "validation" or "ood_test".

        Raises:
            UsageError: no such split in this zoo.
        """
        if name not in self.split_names:
            there = ", ".join(self.split_names)
            known = "" if name in SPLITS else f" (the split names are {', '.join(SPLITS)})"
            raise UsageError(f"{self.origin} has no split {name!r}{known}: it has {there}.")
        return self._select(self._rows[self.split_of() == name])

    def at_step(self, step: int) -> Self:
        """The snapshots taken after `step` optimizer updates: one row per model.

        Raises:
            UsageError: the zoo has no snapshot at that step.
        """
        if step not in self.snapshots:
            raise UsageError(
                f"{self.origin} has no snapshot at step {step}: its steps are {', '.join(map(str, self.snapshots))}."
            )
        return self.filter(step=step)

    def filter(self, **conditions: Any) -> Self:
        """The rows that meet every condition, for example `filter(accuracy=(0.9, 1.0), step=[1000, 2000])`.

        Args:
            conditions: per column one of: a value to equal; a list of values to be among; a pair (lowest, highest),
                both included, for columns of one number; a function that takes the column, [len(zoo), *shape], and
                answers with bool [len(zoo)]. Columns of several numbers, such as the task of formal-languages, take
                whole values: `filter(task=(0, 1, 2))`, `filter(task=[(0, 1, 2), (0, 0, 0)])`.

        Raises:
            UsageError: no such column, or a condition that cannot be compared with it.
        """
        keep = np.ones(len(self), dtype=bool)
        for name, condition in conditions.items():
            keep &= meets(self.column(name), self._column(name), condition)
        return self._select(self._rows[keep])

    def _selected(self, key: Any) -> Self:
        """The rows that a slice, mask or list of numbers selects."""
        return self._select(self._rows[key if isinstance(key, slice) else row_index(key, len(self))])

    def _column(self, name: str) -> Column:
        if name in self._reader.columns:
            return self._reader.columns[name]
        raise UsageError(
            f"{self.origin} has no column {name!r}: it has {', '.join(column.name for column in self.columns)}."
        )

    @cached_property
    def _parts(self) -> Any:
        """Where these rows lie, found once for all columns."""
        return self._reader.locate(self._rows)
