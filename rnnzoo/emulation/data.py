"""The rows that emulation learns from, in memory: weights, recorded rollouts and what the networks answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.encoders.parts.label_features import label_features
from rnnzoo.encoders.protocol import Context, InputSpace, Rows
from rnnzoo.errors import UsageError
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.networks.network import Network

if TYPE_CHECKING:
    from rnnzoo.zoo.zoo import Zoo

EXAMPLES = 64
ROWS_AT_ONCE = 256
LOWEST_LOG_PROB = -60.0
_TENSORS = ("steps", "weights", "recorded", "log_probs", "labels")


@dataclass(frozen=True)
class EmulationData:
    """Rows of one split. Rollouts stay in the dtypes of the zoo and become floats batch by batch.

    Args:
        inputs: how recorded inputs become what networks are fed.
        probe_length: steps of a probing sequence.
        network: shape of the networks.
        row_numbers: rows of the zoo, int64 [R]; diverged rows are left out.
        steps: optimizer updates, int64 [R].
        weights: float32 [R, P].
        recorded: tokens uint8 [R, S, positions], or tiles of pixels uint8 [R, S, positions - 1, input_size].
        log_probs: float16 [R, S, positions, output_size].
        labels: float32 [R, labels_size]; see `rnnzoo.encoders.parts.label_features.label_features`.
    """

    inputs: RecordedInputs
    probe_length: int
    network: Network
    row_numbers: NDArray[np.int64]
    steps: Tensor
    weights: Tensor
    recorded: Tensor
    log_probs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def rollouts(self) -> int:
        """Rollouts held per row."""
        return self.log_probs.shape[1]

    @property
    def networks(self) -> Rows:
        """The networks as encoders see them, with their labels."""
        return Rows(self.network, self.weights, None, self.labels)

    def batch(self, rows: Tensor, rollouts: Tensor) -> tuple[Tensor, Tensor]:
        """Some rollouts of some rows, time first.

        Args:
            rows: int64 [N], which rows.
            rollouts: int64 [N], which rollout of each.

        Returns:
            Inputs float32 [positions, N, input_size] and log-probabilities float32 [positions, N, output_size].
        """
        inputs = self._dense(self.recorded[rows, rollouts])
        # Half precision ends at -65504 and a network may be surer than that; the loss needs finite numbers.
        targets = self.log_probs[rows, rollouts].float().clamp_min(LOWEST_LOG_PROB)
        return inputs.transpose(0, 1), targets.transpose(0, 1)

    def context(self, z_size: int, seed: int) -> Context:
        """What encoders may know of these rows: shapes, and rollouts of distinct networks at their last snapshot."""
        generator = np.random.Generator(np.random.Philox(key=seed))
        last = torch.nonzero(self.steps == self.steps.max()).flatten()
        chosen = last[torch.from_numpy(generator.permutation(len(last))[:EXAMPLES])]
        if len(chosen) < EXAMPLES:
            chosen = chosen.repeat(-(-EXAMPLES // len(chosen)))[:EXAMPLES]
        rollouts = torch.from_numpy(generator.integers(self.rollouts, size=len(chosen)))
        inputs = self._dense(self.recorded[chosen, rollouts])
        return Context(
            self.network,
            input_space(self.inputs, self.network),
            self.probe_length,
            z_size,
            self.labels.shape[1],
            inputs,
            self.weights,
        )

    def part(self, rows: slice) -> EmulationData:
        """Consecutive rows, as views that share memory with these."""
        return replace(
            self, row_numbers=self.row_numbers[rows], **{name: getattr(self, name)[rows] for name in _TENSORS}
        )

    def to(self, device: str | torch.device) -> EmulationData:
        """The same rows with their tensors on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in _TENSORS})

    def _dense(self, recorded: Tensor) -> Tensor:
        """Recorded inputs [N, ...] as the networks saw them, float32 [N, positions, input_size]."""
        if self.inputs.form == "tokens":
            tokens = torch.arange(self.network.input_size, dtype=recorded.dtype, device=recorded.device)
            return (recorded[..., None] == tokens).float()
        numbers = _values(self.inputs, recorded.device)[recorded.long()]
        return torch.nn.functional.pad(numbers, (0, 0, self.inputs.zeros_before, 0))


@cache
def _values(inputs: RecordedInputs, device: torch.device) -> Tensor:
    """What a network sees for each stored number, float32 [256], brought to a device once."""
    return torch.from_numpy(inputs.values).to(device)


def load_data(zoo: Zoo, rollouts: int | None = None) -> EmulationData:
    """Read the rows of a zoo that emulation needs.

    Memory per row is the stored size of weights, recorded inputs and log-probabilities (about 109 kB for 100 rollouts
    of formal-languages, 200 kB for smnist); fewer rollouts bound it. Shards are read 256 rows at a time.

    Args:
        zoo: usually one split.
        rollouts: keep only the first so many of each row; None keeps all.

    Raises:
        UsageError: no sound rows, or a zoo without recorded rollouts.
    """
    if (inputs := zoo.manifest.inputs) is None:
        raise UsageError(f"{zoo.folder} has no recorded rollouts, which emulation needs: name a zoo that keeps traces.")
    zoo = zoo[np.flatnonzero(~zoo["diverged"])]
    if not len(zoo):
        raise UsageError(f"{zoo.folder} has no sound rows in this split: build a larger zoo.")
    parts = []
    for start in range(0, len(zoo), ROWS_AT_ONCE):
        rows = zoo[start : start + ROWS_AT_ONCE]
        parts.append(
            (rows["weights"], rows[inputs.column][:, :rollouts].copy(), rows["log_probs"][:, :rollouts].copy())
        )
    weights, recorded, log_probs = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
    if inputs.form == "tokens":
        recorded = recorded[:, :, : inputs.positions]
    steps = torch.from_numpy(zoo["step"].astype(np.int64))
    length = zoo.kind.probe_length(inputs)
    labels = label_features(zoo)
    return EmulationData(inputs, length, zoo.network, zoo.row_numbers, steps, weights, recorded, log_probs, labels)


def input_space(inputs: RecordedInputs, network: Network) -> InputSpace:
    """The inputs that a zoo's networks know."""
    if inputs.form == "tokens":
        return InputSpace("tokens", network.input_size)
    lowest, highest = inputs.values[[0, -1]].tolist()
    return InputSpace("dense", network.input_size, lowest, highest)
