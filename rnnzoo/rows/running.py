"""Run all networks of some rows, a part of them at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from rnnzoo.errors import UsageError
from rnnzoo.networks.lstm import run, run_with_states
from rnnzoo.rows.network_inputs import checked_inputs

if TYPE_CHECKING:
    from rnnzoo.rows.zoo_rows import ZooRows


class Activations(NamedTuple):
    """What networks did at every position of their inputs; of one network, without the leading [rows].

    Attributes:
        log_probs: of every output, float32 [rows, batch, positions, output_size].
        hidden: hidden states of every layer after each position, float32 [rows, batch, positions, layers, hidden_size];
            the top layer's are what the read-out sees.
        cell: cell states, of the same shape.
    """

    log_probs: NDArray[np.float32]
    hidden: NDArray[np.float32]
    cell: NDArray[np.float32]


def run_rows(
    zoo: ZooRows, inputs: ArrayLike | torch.Tensor, models_at_once: int, device: str, states: bool
) -> NDArray[np.float32] | Activations:
    """See `Zoo.run`."""
    own = checked_inputs(zoo.inputs, zoo.network, len(zoo), inputs)
    if models_at_once < 1:
        raise UsageError(f"models_at_once={models_at_once} is impossible: give at least 1.")
    parts: list[list[NDArray[np.float32]]] = []
    for start in range(0, len(zoo), models_at_once):
        rows = zoo[start : start + models_at_once]
        part_inputs = own if len(own) == 1 else own[start : start + models_at_once]
        weights, part_inputs = torch.from_numpy(rows["weights"]).to(device), part_inputs.to(device)
        with torch.no_grad():
            if states:
                found: tuple[torch.Tensor, ...] = run_with_states(zoo.network, weights, part_inputs)
            else:
                found = (run(zoo.network, weights, part_inputs),)
        parts.append([values.cpu().numpy() for values in found])
    whole = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return Activations(*whole) if states else whole[0]
