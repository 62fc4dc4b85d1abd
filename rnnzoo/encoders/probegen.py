"""Deep linear probe generators (Kahana et al., "Deep Linear Probe Generators for Weight Space Learning", 2024)."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.encoders.protocol import Context, Encoder, Rows


class ProbeGeneratorEncoder(Encoder):
    """Probing inputs made from learned codes by one linear network without nonlinearities, shared by all probes.

    The linear layers add no expressive power; they tie the probes together and thereby regularise them.

    Args:
        probes: parallel probing sequences.
        steps: inputs per sequence; None for the context's probe length.
        code_size: numbers a probe is made from.
        generator_size: width of the generator's two hidden layers.
        hidden_size: width of the MLP that reads the answers.
    """

    mechanistic = False
    profiles: ClassVar = {"quick": {"probes": 8}}

    def __init__(
        self,
        context: Context,
        probes: int = 16,
        steps: int | None = None,
        code_size: int = 32,
        generator_size: int = 64,
        hidden_size: int = 256,
    ) -> None:
        super().__init__(context)
        steps = steps or context.probe_length
        self.shape = (probes, steps, context.network.input_size)
        self.codes = nn.Parameter(torch.randn(probes, code_size))
        sizes = (code_size, generator_size, generator_size, steps * context.network.input_size)
        self.generator = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))
        self.mlp = mlp((probes * steps * context.network.output_size, hidden_size, hidden_size, context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return self.mlp(rows.prober.run(self.probing_inputs(rows)).exp().flatten(1))

    def probing_inputs(self, rows: Rows) -> Tensor:
        """The generated inputs, [1, probes, steps, input_size]."""
        return self.context.input_space.squash(self.generator(self.codes).view(self.shape))[None]
