"""Rows of a zoo as a torch Dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from rnnzoo.zoo import Zoo


class ZooDataset(Dataset):
    """Rows as dicts of tensors in the dtypes of the schema.

    Each worker process opens its own files. Batches are read together (`__getitems__`), so a DataLoader costs
    a few reads per batch.
    """

    def __init__(self, zoo: Zoo, columns: Sequence[str]) -> None:
        self.zoo = zoo
        self.columns = list(columns)

    def __len__(self) -> int:
        return len(self.zoo)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        """The rows of a batch, read together."""
        rows = self.zoo[np.asarray(indices)]
        batch = {name: torch.from_numpy(rows[name]) for name in self.columns}
        return [{name: values[i] for name, values in batch.items()} for i in range(len(indices))]
