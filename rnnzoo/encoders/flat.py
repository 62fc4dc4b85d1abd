"""The flat weight vector through an MLP (paper section 3.1)."""

from __future__ import annotations

from torch import Tensor

from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows


class FlatEncoder(Encoder):
    """MLP on all weights; hidden units are renumbered at random in training, since it is not invariant.

    Args:
        hidden_size: width of the hidden layers.
        hidden_layers: their number.
    """

    mechanistic = True
    permuted_in_training = True

    def __init__(self, context: Context, hidden_size: int = 128, hidden_layers: int = 3) -> None:
        super().__init__(context)
        self.mlp = mlp((context.network.parameter_count, *[hidden_size] * hidden_layers, context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return self.mlp(rows.weights)
