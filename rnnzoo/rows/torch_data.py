"""Rows of a zoo as a torch Dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from torch.utils.data._utils.collate import default_collate_fn_map


class Table(Protocol):
    """Rows as a `Zoo` has them: an array of numbers selects rows, a name gives the column of those."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...


class Row(Mapping[str, Tensor]):
    """One row of a batch: tensors by column name, views of the batch's.

    Attributes:
        batch: columns of all rows that were read together, [rows, *shape].
        index: which of them this is.
    """

    def __init__(self, batch: dict[str, Tensor], index: int) -> None:
        self.batch = batch
        self.index = index

    def __getitem__(self, column: str) -> Tensor:
        return self.batch[column][self.index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch)

    def __len__(self) -> int:
        return len(self.batch)


class Rows(Sequence[Row]):
    """Rows that were read together.

    Attributes:
        batch: their columns, [rows, *shape].
    """

    def __init__(self, batch: dict[str, Tensor], rows: int) -> None:
        self.batch = batch
        self.rows = rows

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: Any) -> Any:
        numbers = range(self.rows)[index]
        return Row(self.batch, numbers) if isinstance(numbers, int) else [Row(self.batch, row) for row in numbers]

    def __len__(self) -> int:
        return self.rows


class ZooDataset(Dataset):
    """Rows as mappings from column names to tensors in the dtypes of the schema.

    Safe with any number of workers, forked or spawned, and threads. The rows of a batch are read together
    (`__getitems__`), and PyTorch's default collation takes them as they were read, without another copy.
    """

    def __init__(self, zoo: Table, columns: Sequence[str]) -> None:
        self.zoo = zoo
        self.columns = list(columns)

    def __len__(self) -> int:
        return len(self.zoo)

    def __getitem__(self, index: int) -> Row:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} is not among this zoo's {len(self)} rows")
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Rows:
        """The rows of a batch, read together."""
        rows = self.zoo[np.asarray(indices, dtype=np.int64)]
        return Rows({name: torch.from_numpy(rows[name]) for name in self.columns}, len(indices))


def collate_rows(rows: Sequence[Row], *, collate_fn_map: Mapping[Any, Callable] | None = None) -> dict[str, Tensor]:
    """The batch of rows, tensors [len(rows), *shape] by column name: as it was read, or stacked from several."""
    if isinstance(rows, Rows):
        return rows.batch
    return {name: default_collate([row[name] for row in rows]) for name in rows[0]}


# PyTorch's documented way to extend its default collation.
default_collate_fn_map[Row] = collate_rows
