"""A zoo in memory: rows as lazy columns, single models, filters, and batches for torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnzoo.errors import UsageError
from rnnzoo.format.manifest import Manifest, read_manifest
from rnnzoo.format.schema import SPLITS, Column
from rnnzoo.format.shards import Part, ShardReader, split_rows
from rnnzoo.hub.names import resolve
from rnnzoo.kinds import Kind
from rnnzoo.networks.network import Network, tensors_of
from rnnzoo.zoo.conditions import meets

if TYPE_CHECKING:
    import torch

    from rnnzoo.networks.lstm import LSTMNetwork
    from rnnzoo.zoo.torch_data import ZooDataset


class Zoo:
    """Some rows of a zoo, each one snapshot of one model. Nothing is read until it is asked for.

    `zoo["accuracy"]` is a column as a NumPy array, `zoo[3]` one snapshot, `zoo[10:20]` or
    `zoo[zoo["finished"] > 0.9]` a smaller zoo.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        rows: NDArray[np.int64] | None = None,
        reader: ShardReader | None = None,
        numbers: dict[str, NDArray[Any]] | None = None,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self._reader = reader or ShardReader(folder, manifest)
        self._rows = np.arange(self._reader.rows) if rows is None else rows
        # Columns of plain numbers are small; each is read once for all rows and shared by every subset.
        self._numbers = {} if numbers is None else numbers

    @property
    def network(self) -> Network:
        """Shape of the zoo's networks."""
        return self.manifest.network

    @property
    def kind(self) -> Kind:
        """What kind of zoo it is; what is particular to it."""
        return self.manifest.kind

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, dtype, shape and meaning of every column."""
        return self.manifest.columns

    @property
    def snapshots(self) -> tuple[int, ...]:
        """The optimizer steps the zoo has snapshots of."""
        return self.manifest.snapshots

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """Numbers of these rows among all rows of the zoo, int64 [len(zoo)]."""
        return self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Model]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"Zoo({str(self.folder)!r}, {self.manifest.zoo}, {len(self)} rows, {self.network.describe()})"

    @overload
    def __getitem__(self, key: int | np.integer) -> Model: ...
    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | NDArray[Any]) -> Zoo: ...
    def __getitem__(self, key: Any) -> Any:
        """A column by name, a model by number, or the rows a slice, mask or list of numbers selects.

        Raises:
            UsageError: no such column.
            IndexError: no such row, or a key that selects no rows: a mask of another length, a table of numbers.
        """
        if isinstance(key, str):
            return self.column(key)
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            if not -len(self) <= key < len(self):
                raise IndexError(f"row {key} is not among this zoo's {len(self)} rows")
            return Model(self, int(key) % len(self))
        return self._select(self._rows[key if isinstance(key, slice) else self._selection(key)])

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

    def split(self, name: str) -> Zoo:
        """The rows of one split: "train", "validation" or "ood_test".

        Raises:
            UsageError: no such split in this zoo.
        """
        if name not in self.manifest.splits:
            there = ", ".join(self.manifest.splits)
            known = "" if name in SPLITS else f" (the split names are {', '.join(SPLITS)})"
            raise UsageError(f"{self.folder} has no split {name!r}{known}: it has {there}.")
        return self._select(np.intersect1d(self._rows, split_rows(self.manifest.files, name)))

    def split_of(self) -> NDArray[np.str_]:
        """The split each of these rows is in."""
        labels = np.repeat([f.split for f in self.manifest.files], [f.rows for f in self.manifest.files])
        return labels[self._rows]

    def at_step(self, step: int) -> Zoo:
        """The snapshots taken after `step` optimizer updates: one row per model.

        Raises:
            UsageError: the zoo has no snapshot at that step.
        """
        if step not in self.snapshots:
            raise UsageError(
                f"{self.folder} has no snapshot at step {step}: its steps are {', '.join(map(str, self.snapshots))}."
            )
        return self.filter(step=step)

    def filter(self, **conditions: Any) -> Zoo:
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

    def recorded_inputs(self) -> NDArray[Any]:
        """What the networks were fed when their traces were recorded, as networks take it.

        Returns:
            formal-languages and other zoos of tokens: tokens, uint8 [len(zoo), recorded, positions]. smnist: tiles,
            normalised, behind an all-zero one, float32 [len(zoo), recorded, 50, 16].

        Raises:
            UsageError: the zoo recorded nothing.
        """
        if (inputs := self.manifest.inputs) is None:
            raise UsageError(f"{self.folder} has no recorded inputs: only weights and labels were kept.")
        return inputs.as_fed(self[inputs.column])

    def run(
        self, inputs: ArrayLike | torch.Tensor, models_at_once: int = 64, device: str = "cpu"
    ) -> NDArray[np.float32]:
        """What every network of these rows answers to inputs.

        Args:
            inputs: the same for all networks: integer tokens [batch, positions] or float
                [batch, positions, input_size]; or one set per network, with a leading [len(zoo)]. smnist takes
                integer tiles [batch, 49, 16] instead of tokens and normalises them.
            models_at_once: networks computed together, which bounds memory.
            device: torch device to compute on.

        Returns:
            Log-probabilities, float32 [len(zoo), batch, positions, output_size].

        Raises:
            UsageError: inputs that fit neither form or are empty, tokens outside the vocabulary, or no rows.
        """
        import torch

        from rnnzoo.networks.lstm import run
        from rnnzoo.zoo.network_inputs import checked_inputs

        own = checked_inputs(self.manifest.inputs, self.network, len(self), inputs)
        if models_at_once < 1:
            raise UsageError(f"models_at_once={models_at_once} is impossible: give at least 1.")
        answers = []
        for start in range(0, len(self), models_at_once):
            part = self[start : start + models_at_once]
            part_inputs = own if len(own) == 1 else own[start : start + models_at_once]
            weights = torch.from_numpy(part["weights"]).to(device)
            with torch.no_grad():
                answers.append(run(self.network, weights, part_inputs.to(device)).cpu().numpy())
        return np.concatenate(answers)

    def torch_dataset(self, columns: Iterable[str] | None = None) -> ZooDataset:
        """These rows as a `torch.utils.data.Dataset` of dicts of tensors; safe with any number of workers.

        Args:
            columns: which columns to read, by default all.
        """
        from rnnzoo.zoo.torch_data import ZooDataset

        names = [column.name for column in self.columns] if columns is None else list(columns)
        for name in names:
            self._column(name)
        return ZooDataset(self, names)

    def _selection(self, key: Any) -> NDArray[Any]:
        """A mask or a list of row numbers, as NumPy takes it along one axis."""
        index = np.asarray(key)
        if not index.size and isinstance(key, list):
            index = index.astype(np.int64)
        if index.ndim != 1 or isinstance(key, tuple) or index.dtype.kind not in "biu":
            raise IndexError(
                f"rows are selected by a number, a slice, a mask or a flat list of numbers, not by {key!r}"
            )
        if index.dtype.kind == "b" and len(index) != len(self):
            raise IndexError(f"a mask of {len(index)} values does not fit the {len(self)} rows of this zoo")
        return index

    def _column(self, name: str) -> Column:
        if name in self._reader.columns:
            return self._reader.columns[name]
        raise UsageError(
            f"{self.folder} has no column {name!r}: it has {', '.join(column.name for column in self.columns)}."
        )

    @cached_property
    def _parts(self) -> list[Part]:
        """Where these rows lie, found once for all columns."""
        return self._reader.locate(self._rows)

    def _select(self, rows: NDArray[np.int64]) -> Zoo:
        return Zoo(self.folder, self.manifest, rows, self._reader, self._numbers)


@dataclass(frozen=True)
class Model:
    """One snapshot of one network. `model["accuracy"]` is the value of any column."""

    zoo: Zoo
    index: int

    def __getitem__(self, column: str) -> Any:
        """The value of a column in this row: a number or an array of the column's shape."""
        return self.zoo[self.index : self.index + 1][column][0]

    def __repr__(self) -> str:
        return f"Model(model_id={self.model_id}, step={self.step}, task={self.task}, split={self.split!r})"

    @property
    def model_id(self) -> int:
        """Number of the model in its zoo."""
        return int(self["model_id"])

    @property
    def step(self) -> int:
        """Optimizer updates the weights have had."""
        return int(self["step"])

    @property
    def task(self) -> Any:
        """What the network was trained on, as stored."""
        value = self["task"]
        return tuple(value.tolist()) if isinstance(value, np.ndarray) else value.item()

    @property
    def split(self) -> str:
        """The split this model is in."""
        return str(self.zoo[self.index : self.index + 1].split_of()[0])

    def recorded_inputs(self) -> NDArray[Any]:
        """What the network was fed when its traces were recorded; see `Zoo.recorded_inputs`."""
        return self.zoo[self.index : self.index + 1].recorded_inputs()[0]

    @property
    def weights(self) -> NDArray[np.float32]:
        """All parameters, flat, float32 [P]."""
        return self["weights"]

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The parameters by PyTorch name, each in its own shape."""
        return tensors_of(self.weights, self.zoo.manifest.weight_layout)

    def to_torch(self) -> LSTMNetwork:
        """The network as a `torch.nn.Module` that maps tokens or inputs to log-probabilities."""
        from rnnzoo.networks.lstm import LSTMNetwork

        return LSTMNetwork.from_weights(self.zoo.network, self.weights)


def load(path_or_name: str | Path, split: str | None = None, revision: str | None = None) -> Zoo:
    """Open a zoo: a folder that `rnnzoo build` wrote, or a name on the Hugging Face Hub such as "rnnzoo/smnist".

    Args:
        path_or_name: folder, or `namespace/name` of a dataset on the Hub, fetched once and cached.
        split: only the rows of "train", "validation" or "ood_test".
        revision: branch, tag or commit on the Hub.

    Raises:
        UsageError: no such folder or name, or no such split.
        RnnzooError: the zoo is damaged, or of a version this rnnzoo does not read.
    """
    # Absolute, so that a later change of the current folder does not change what is read.
    folder = resolve(path_or_name, revision).absolute()
    zoo = Zoo(folder, read_manifest(folder))
    return zoo if split is None else zoo.split(split)
