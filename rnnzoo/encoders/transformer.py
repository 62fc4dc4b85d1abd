"""The parameter transformer: every row of every weight matrix is a token (paper section 3.1; Schürholt et al. 2021)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnzoo.encoders.protocol import Context, Encoder, Rows


class TransformerEncoder(Encoder):
    """Transformer over neuron rows, read out at an extra token; hidden units are renumbered at random in training.

    A token is one row of a weight matrix with its bias: 4H for each of an LSTM layer's two matrices, and one per
    output. Each matrix has its own projection.

    Args:
        width: size of a token.
        layers: encoder layers.
        heads: attention heads.
        feed_forward: width of the feed-forward part.
    """

    mechanistic = True
    permuted_in_training = True
    profiles: ClassVar = {"quick": {"width": 64, "layers": 1, "heads": 1, "feed_forward": 128}}

    def __init__(
        self, context: Context, width: int = 128, layers: int = 6, heads: int = 2, feed_forward: int = 512
    ) -> None:
        super().__init__(context)
        shapes = {p.name: p.shape for p in context.network.parameters() if len(p.shape) == 2}
        self.names = list(shapes)
        self.projections = nn.ModuleList(nn.Linear(columns + 1, width) for _, columns in shapes.values())
        tokens = 1 + sum(rows for rows, _ in shapes.values())
        self.readout_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.blocks = nn.ModuleList(_Block(width, heads, feed_forward) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, context.z_size)

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        tensors = rows.network.unflatten(rows.weights)
        tokens = [self.readout_token.expand(len(rows), -1, -1)]
        for name, projection in zip(self.names, self.projections, strict=True):
            bias = tensors[name.replace("weight", "bias")]
            tokens.append(projection(torch.cat([tensors[name], bias[..., None]], dim=-1)))
        hidden = torch.cat(tokens, dim=1) + self.positions
        *blocks, last = self.blocks
        for block in blocks:
            hidden = block(hidden)
        # Only the read-out token is read, so the last block need not make the others.
        return self.head(self.norm(last(hidden, queries=1)[:, 0]))


class _Block(nn.Module):
    """Self-attention and a feed-forward part, each after a layer norm and added to its input."""

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_in, self.feed_out = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)

    def forward(self, hidden: Tensor, queries: int | None = None) -> Tensor:
        """Tokens [M, N, width] to the first `queries` tokens of the same width, by default all."""
        normalised, wanted = self.attention_norm(hidden), hidden[:, :queries]
        width = hidden.shape[-1]
        query_weight, others_weight = self.attention_in.weight.split((width, 2 * width))
        query_bias, others_bias = self.attention_in.bias.split((width, 2 * width))
        query = self._by_head(nn.functional.linear(normalised[:, :queries], query_weight, query_bias))
        key, value = map(self._by_head, nn.functional.linear(normalised, others_weight, others_bias).chunk(2, dim=-1))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        wanted = wanted + self.attention_out(mixed.transpose(1, 2).flatten(2))
        return wanted + self.feed_out(self.feed_in(self.feed_norm(wanted)).relu())

    def _by_head(self, values: Tensor) -> Tensor:
        """Tokens [M, N, width] as [M, heads, N, width / heads]."""
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)
