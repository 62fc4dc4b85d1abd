"""One network of a zoo at one time of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

    from rnnzoo.networks.lstm import LSTMNetwork
    from rnnzoo.rows.running import Activations
    from rnnzoo.rows.zoo_rows import ZooRows


@dataclass(frozen=True)
class Model:
    """One snapshot of one network. `model["accuracy"]` is the value of any column."""

    zoo: ZooRows
    index: int

    def __getitem__(self, column: str) -> Any:
        """The value of a column in this row: a number or an array of the column's shape."""
        return self._row[column][0]

    def _ipython_key_completions_(self) -> list[str]:
        return self.zoo._ipython_key_completions_()

    def __repr__(self) -> str:
        return f"Model(model_id={self.model_id}, step={self.step}, task={self.task}, split={self.split!r})"

    @property
    def _row(self) -> ZooRows:
        return self.zoo[self.index : self.index + 1]

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
        return str(self._row.split_of()[0])

    def recorded_inputs(self) -> NDArray[Any]:
        """What the network was fed when its traces were recorded; see `Zoo.recorded_inputs`."""
        return self._row.recorded_inputs()[0]

    @property
    def weights(self) -> NDArray[np.float32]:
        """All parameters, flat, float32 [P]."""
        return self["weights"]

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The parameters, each in its own shape, under the names they have in `to_torch().state_dict()`."""
        return {name: values[0] for name, values in self._row.tensors().items()}

    @overload
    def run(
        self, inputs: ArrayLike | torch.Tensor, device: str = "cpu", *, states: Literal[False] = False
    ) -> NDArray[np.float32]: ...
    @overload
    def run(self, inputs: ArrayLike | torch.Tensor, device: str = "cpu", *, states: Literal[True]) -> Activations: ...
    def run(self, inputs: ArrayLike | torch.Tensor, device: str = "cpu", *, states: bool = False) -> Any:
        """What the network answers to inputs.

        Args:
            inputs: as `Zoo.run` takes them, integer tokens [batch, positions] for one.
            device: torch device to compute on.
            states: also answer with hidden and cell states.

        Returns:
            Log-probabilities, float32 [batch, positions, output_size]; with `states`, these and the hidden and the
            cell states, float32 [batch, positions, layers, hidden_size] each.

        Raises:
            UsageError: see `Zoo.run`.
        """
        found = self._row.run(inputs, device=device, states=True) if states else self._row.run(inputs, device=device)
        return type(found)(*(values[0] for values in found)) if states else found[0]

    def to_torch(self) -> LSTMNetwork:
        """The network as a `torch.nn.Module` that maps tokens or inputs to log-probabilities."""
        from rnnzoo.networks.lstm import LSTMNetwork

        return LSTMNetwork.from_weights(self.zoo.network, self.weights)
