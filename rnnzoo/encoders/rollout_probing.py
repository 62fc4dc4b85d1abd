"""Probes that start as recorded rollouts, many in parallel, every answer read: rnnzoo's own encoder."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from rnnzoo.encoders.layers import mlp
from rnnzoo.encoders.probing import initial_probes
from rnnzoo.encoders.protocol import Context, Encoder, Rows


class RolloutProbingEncoder(Encoder):
    """Non-interactive probing whose inputs start where networks are known to show what they learned.

    Sharp inputs keep the networks on the paths they were trained on, and an MLP that sees every answer at once has
    a short way back to each of them, so it learns far sooner than a recurrent core.

    Args:
        probes: parallel probing sequences.
        steps: inputs per sequence; None for the context's probe length.
        hidden_size: width of the MLP's two hidden layers.
        sharpness: how near to recorded inputs the probes start.
        start: "rollouts" or "uniform"; see `ProbingEncoder`.
    """

    mechanistic = False
    profiles: ClassVar = {"quick": {"probes": 16}}

    def __init__(
        self,
        context: Context,
        probes: int = 32,
        steps: int | None = None,
        hidden_size: int = 256,
        sharpness: float = 5.0,
        start: str = "rollouts",
    ) -> None:
        super().__init__(context)
        steps = steps or context.probe_length
        self.free_inputs = nn.Parameter(initial_probes(context, probes, steps, start, sharpness))
        answers = probes * steps * context.network.output_size
        self.mlp = mlp((answers, hidden_size, hidden_size, context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return self.mlp(rows.prober.run(self.probing_inputs(rows)).exp().flatten(1))

    def probing_inputs(self, rows: Rows) -> Tensor:
        """The learned inputs, [1, probes, steps, input_size]."""
        return self.context.input_space.squash(self.free_inputs)[None]
