"""The two rails of every emulation table: knowing nothing of a network, and being told its labels.

Labels may be passed: they do not determine how a network behaves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows
from rnnzoo.errors import RnnzooError


class ConstantEncoder(Encoder):
    """The same learned z for every network: the lower rail."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.z = nn.Parameter(torch.randn(context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return self.z.expand(len(rows), -1)


class LabelsEncoder(Encoder):
    """z from the network's task, training step and accuracy instead of the network: the upper rail.

    Args:
        hidden_size: width of the MLP's two hidden layers.
    """

    needs_labels = True

    def __init__(self, context: Context, hidden_size: int = 128) -> None:
        super().__init__(context)
        self.mlp = mlp((context.labels_size, hidden_size, hidden_size, context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size].

        Raises:
            RnnzooError: the rows come without their labels.
        """
        if rows.labels is None:
            raise RnnzooError("The encoder labels needs each row's task, step and accuracy, and these rows have none.")
        return self.mlp(rows.labels)
