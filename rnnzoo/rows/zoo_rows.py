"""Rows, each one snapshot of one network: what the networks answer, their tensors, tables and batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnzoo.errors import UsageError
from rnnzoo.networks.network import tensors_of
from rnnzoo.rows.model import Model
from rnnzoo.rows.selection import Selection

if TYPE_CHECKING:
    import pandas
    import torch

    from rnnzoo.rows.running import Activations
    from rnnzoo.rows.torch_data import ZooDataset


class ZooRows(Selection):
    """What zoos and joined rows of zoos have in common: all but where the rows lie and how they came about."""

    def __iter__(self) -> Iterator[Model]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}({self.origin!r}, {self.kind.name}, {len(self)} rows, {self.network.describe()})"

    def _repr_html_(self) -> str:
        """What notebooks show: how many rows and networks of each split there are, and how well they do."""
        from rnnzoo.rows.notebook import html_of

        return html_of(self)

    def _ipython_key_completions_(self) -> list[str]:
        """The columns, for whoever presses tab after `zoo[`."""
        return [column.name for column in self.columns]

    @overload
    def __getitem__(self, key: int | np.integer) -> Model: ...
    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | NDArray[Any]) -> Self: ...
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
        return self._selected(key)

    def recorded_inputs(self) -> NDArray[Any]:
        """What the networks were fed when their traces were recorded, as networks take it.

        Returns:
            formal-languages and other zoos of tokens: tokens, uint8 [len(zoo), recorded, positions]. smnist: tiles,
            normalised, behind an all-zero one, float32 [len(zoo), recorded, 50, 16].

        Raises:
            UsageError: the zoo recorded nothing.
        """
        if (inputs := self.inputs) is None:
            raise UsageError(f"{self.origin} has no recorded inputs: only weights and labels were kept.")
        return inputs.as_fed(self[inputs.column])

    @overload
    def run(
        self,
        inputs: ArrayLike | torch.Tensor,
        models_at_once: int = 64,
        device: str = "cpu",
        *,
        states: Literal[False] = False,
    ) -> NDArray[np.float32]: ...
    @overload
    def run(
        self,
        inputs: ArrayLike | torch.Tensor,
        models_at_once: int = 64,
        device: str = "cpu",
        *,
        states: Literal[True],
    ) -> Activations: ...
    def run(
        self, inputs: ArrayLike | torch.Tensor, models_at_once: int = 64, device: str = "cpu", *, states: bool = False
    ) -> NDArray[np.float32] | Activations:
        """What every network of these rows answers to inputs.

        Args:
            inputs: the same for all networks: integer tokens [batch, positions] or float
                [batch, positions, input_size]; or one set per network, with a leading [len(zoo)]. smnist takes
                integer tiles [batch, 49, 16] instead of tokens and normalises them.
            models_at_once: networks computed together, which bounds memory.
            device: torch device to compute on.
            states: also answer with hidden and cell states.

        Returns:
            Log-probabilities, float32 [len(zoo), batch, positions, output_size]; with `states`, these and the hidden
            and the cell states, float32 [len(zoo), batch, positions, layers, hidden_size] each, as `log_probs`,
            `hidden` and `cell` of a named tuple.

        Raises:
            UsageError: inputs that fit neither form or are empty, tokens outside the vocabulary, or no rows.
        """
        from rnnzoo.rows.running import run_rows

        return run_rows(self, inputs, models_at_once, device, states)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The parameters of all networks, float32 [len(zoo), *shape] each, under the names they have in a `state_dict`.

        These are the names of `Model.to_torch().state_dict()`, such as "lstm.weight_ih_l0" and "linear.bias", so that
        the tensors are what `torch.func.functional_call` takes, stacked.
        """
        tensors = tensors_of(self["weights"], self.weight_layout)
        return {self.network.state_name(name): values for name, values in tensors.items()}

    def to_pandas(self) -> pandas.DataFrame:
        """The labels as a table: a column for each that is neither weights nor a recording, then `split`.

        It is what labels.parquet holds of these rows. Values of several numbers, such as the task of formal-languages,
        are tuples.
        """
        from rnnzoo.rows.notebook import label_frame

        return label_frame(self)

    def torch_dataset(self, columns: Iterable[str] | None = None) -> ZooDataset:
        """These rows as a `torch.utils.data.Dataset` of dicts of tensors; safe with any number of workers.

        Args:
            columns: which columns to read, by default all.
        """
        from rnnzoo.rows.torch_data import ZooDataset

        names = [column.name for column in self.columns] if columns is None else list(columns)
        for name in names:
            self._column(name)
        return ZooDataset(self, names)
