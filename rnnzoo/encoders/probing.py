"""Probing encoders: an LSTM core reads the probabilities that networks answer with (paper section 3.2)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnzoo.compiled.fused_interrogation import can_interrogate, interrogate
from rnnzoo.encoders.parts.layers import ResidualCore, mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows
from rnnzoo.errors import UsageError

STARTS = ("uniform", "rollouts")


class ProbingEncoder(Encoder):
    """Common parts of both probing encoders: free probing inputs, the core, the way from its last output to z.

    Args:
        probes: parallel probing sequences (paper: 1, 2, 4 or 8).
        steps: inputs per sequence; None for the context's probe length.
        core_size, core_layers: the LSTM core.
        hidden_size: hidden layer between the core's last output and z.
        start: "uniform", probing inputs near the middle of the input space as in the paper, or "rollouts", recorded
            rollouts of training networks.
        sharpness: how near to one-hot (or to a dense value) inputs that start as rollouts are.

    Raises:
        UsageError: an unknown `start`.
    """

    mechanistic = False
    profiles: ClassVar = {"quick": {"probes": 8, "core_size": 64, "start": "rollouts"}}

    def __init__(
        self,
        context: Context,
        probes: int = 1,
        steps: int | None = None,
        core_size: int = 256,
        core_layers: int = 2,
        hidden_size: int = 128,
        start: str = "uniform",
        sharpness: float = 5.0,
    ) -> None:
        super().__init__(context)
        self.probes = probes
        self.steps = steps or context.probe_length
        self.free_inputs = nn.Parameter(initial_probes(context, probes, self.steps, start, sharpness))
        self.core = ResidualCore(core_layers, probes * context.network.output_size, core_size)
        self.head = mlp((core_size, hidden_size, context.z_size))


class NonInteractiveProbingEncoder(ProbingEncoder):
    """Learned probing inputs, the same for all networks (paper section 3.2, non-interactive)."""

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        answers = rows.prober.run(self.probing_inputs(rows))
        return self.head(self.core(answers.exp().permute(2, 0, 1, 3).flatten(2))[-1])

    def probing_inputs(self, rows: Rows) -> Tensor:
        """The learned inputs, [1, probes, steps, input_size]."""
        return self.context.input_space.squash(self.free_inputs)[None]


class InteractiveProbingEncoder(ProbingEncoder):
    """The core's state shifts each next probing input (paper section 3.2, interactive); takes the same settings."""

    def __init__(self, context: Context, probes: int = 1, core_size: int = 256, **settings: object) -> None:
        super().__init__(context, probes, core_size=core_size, **settings)  # type: ignore[arg-type]
        self.asker = nn.Linear(core_size, probes * context.network.input_size)

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return self.head(self._interrogate(rows)[0])

    def probing_inputs(self, rows: Rows) -> Tensor:
        """What this encoder asks each network, [M, probes, steps, input_size]."""
        return self._interrogate(rows)[1]

    def _interrogate(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """The core's last output [M, core_size] and the inputs sent, [M, probes, steps, input_size]."""
        if can_interrogate(rows.prober, self.core):
            return interrogate(rows.prober, self.context.input_space, self.free_inputs, self.asker, self.core)
        return self._interrogate_stepwise(rows)

    def _interrogate_stepwise(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """The same on any device and in any precision."""
        prober, core = rows.prober, self.core.session(len(rows))
        state = self.free_inputs.new_zeros(len(rows), self.core.hidden_size)
        prober.start(self.probes)
        sent = []
        for step, free in enumerate(self.free_inputs.unbind(1)):
            free = free.expand(len(rows), -1, -1)
            if step:
                free = free + self.asker(state).unflatten(1, (self.probes, -1))
            inputs = self.context.input_space.squash(free)
            answers = prober.step(inputs)
            state = core.step(answers.exp().flatten(1))
            sent.append(inputs)
        return state, torch.stack(sent, dim=2)


def initial_probes(context: Context, probes: int, steps: int, start: str, sharpness: float) -> Tensor:
    """Free numbers [probes, steps, input_size] that probing inputs start from.

    Raises:
        UsageError: an unknown `start`.
    """
    if start not in STARTS:
        raise UsageError(f"Probes cannot start from {start!r}: choose one of {', '.join(STARTS)}.")
    free = 0.1 * torch.randn(probes, steps, context.network.input_size)
    if start == "rollouts" and context.example_inputs is not None:
        examples = context.example_inputs[:probes, :steps]
        free[: examples.shape[0], : examples.shape[1]] += context.input_space.unsquash(examples, sharpness)
    return free
