"""What the rows of a snapshot have in common, whatever the kind of zoo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.generation.engines import Snapshot
from rnnzoo.generation.population import Population, TokenExamples
from rnnzoo.networks.network import Network


def identity_values(population: Population, snapshot: Snapshot) -> dict[str, NDArray[Any]]:
    """The columns every kind of zoo has."""
    return {
        "model_id": population.model_ids.astype(np.int32),
        "step": np.full(len(population), snapshot.step, dtype=np.int32),
        "weights": snapshot.weights,
        "diverged": np.logical_not(np.isfinite(snapshot.weights).all(axis=1)),
    }


def half_precision(log_probs: NDArray[np.float32]) -> NDArray[np.float16]:
    """Log-probabilities as traces keep them; what a diverged model is sure of becomes infinite."""
    with np.errstate(over="ignore"):
        return log_probs.astype(np.float16)


def expected_loss(
    network: Network, examples: TokenExamples, weights: NDArray[np.float32], models_at_once: int = 64
) -> NDArray[np.float32]:
    """Expected training loss of models with weights [M, P] in nats per position, float32 [M].

    Exact, because a task has only a few training strings, all equally likely; every position has a target. Computed
    in float64: the order of summation, which may depend on threads and on how many models are computed at once, then
    moves the last bit of one float32 result in some ten million.
    """
    # Recipes are listed without PyTorch, which takes seconds to load.
    import torch

    from rnnzoo.networks.lstm import run

    losses = []
    for chunk in _chunks(len(weights), models_at_once):
        inputs = torch.from_numpy(examples.inputs[chunk].astype(np.int64))
        targets = torch.from_numpy(examples.targets[chunk].astype(np.int64))
        log_probs = run(network, torch.from_numpy(weights[chunk]).double(), inputs)
        loss = -log_probs.gather(-1, targets[..., None]).mean(dim=(2, 3)).numpy()
        drawable = np.arange(loss.shape[1]) < examples.counts[chunk][:, None]
        losses.append(np.where(drawable, loss, 0).sum(axis=1) / examples.counts[chunk])
    return np.concatenate(losses).astype(np.float32)


def _chunks(total: int, size: int) -> Sequence[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]
