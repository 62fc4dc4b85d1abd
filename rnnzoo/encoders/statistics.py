"""Layer-wise statistics of the weights (paper section 3.1; Unterthiner et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows
from rnnzoo.networks.symmetry import symmetry_of

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


class StatisticsEncoder(Encoder):
    """Mean, variance and quantiles of every gate of every tensor, then an MLP. Permutation invariant.

    The statistics are fixed functions of the weights, so they are made once per row and standardised by the
    training split.

    Args:
        hidden_size: width of the MLP's hidden layer.
    """

    mechanistic = True
    mean: Tensor
    scale: Tensor

    def __init__(self, context: Context, hidden_size: int = 128) -> None:
        super().__init__(context)
        blocks = sum(tensor.channels for tensor in symmetry_of(context.network).tensors)
        features = blocks * (2 + len(QUANTILES))
        mean, scale = torch.zeros(features), torch.ones(features)
        if context.example_weights is not None:
            examples = self.prepare(context.example_weights)
            mean, scale = examples.mean(0), examples.std(0).clamp_min(1e-6)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.mlp = mlp((features, hidden_size, context.z_size))

    def prepare(self, weights: Tensor) -> Tensor:
        """The statistics [M, F] of flat weights [M, P]."""
        tensors = symmetry_of(self.context.network).split(weights)
        return torch.cat([_statistics(tensor.flatten(2)) for tensor in tensors.values()], dim=1)

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        features = self.prepare(rows.weights) if rows.prepared is None else rows.prepared
        return self.mlp((features - self.mean) / self.scale)


def _statistics(values: Tensor) -> Tensor:
    """Statistics of values [M, blocks, n] along the last axis: [M, blocks * 7]."""
    ordered = values.sort(dim=-1).values
    # The sums run over sorted values, so that renumbering units cannot change even the rounding.
    mean, variance = ordered.mean(-1), ordered.var(-1, correction=0)
    last = values.shape[-1] - 1
    quantiles = []
    for quantile in QUANTILES:
        below = int(quantile * last)
        quantiles.append(torch.lerp(ordered[..., below], ordered[..., min(below + 1, last)], quantile * last - below))
    return torch.stack([mean, variance, *quantiles], dim=-1).flatten(1)
