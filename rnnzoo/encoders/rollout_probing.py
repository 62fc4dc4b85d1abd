"""Probes that start as recorded rollouts, many in parallel, every answer read: rnnzoo's own encoder."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.encoders.parts.telling_probes import example_answers, most_telling, principal_components
from rnnzoo.encoders.probing import initial_probes
from rnnzoo.encoders.protocol import Context, Encoder, Rows


class RolloutProbingEncoder(Encoder):
    """Non-interactive probing that starts from what training networks answer.

    Sharp inputs keep the networks on the paths they were trained on. Of the recorded rollouts it takes those whose
    answers differ most between training networks, and its MLP starts as a random function of the principal components
    of these answers at unit variance: what tells networks apart reaches z from the first update on. All of it is then
    trained, probes included.

    Args:
        probes: parallel probing sequences.
        steps: inputs per sequence; None for the context's probe length.
        hidden_size: width of the MLP's hidden layer.
        choose: whether to choose among the recorded rollouts, not take the first.
        components: principal components of the answers that the MLP starts from; 0 leaves it to PyTorch.
        sharpness: how near to recorded inputs the probes start.
        start: "rollouts" or "uniform"; see `ProbingEncoder`.
    """

    mechanistic = False
    profiles: ClassVar = {"quick": {"probes": 16}}
    mean: Tensor

    def __init__(
        self,
        context: Context,
        probes: int = 32,
        steps: int | None = None,
        hidden_size: int = 256,
        choose: bool = True,
        components: int = 8,
        sharpness: float = 8.0,
        start: str = "rollouts",
    ) -> None:
        super().__init__(context)
        steps = steps or context.probe_length
        recorded = 0 if context.example_inputs is None else len(context.example_inputs)
        choose = choose and start == "rollouts" and context.example_weights is not None
        free = initial_probes(context, max(probes, recorded) if choose else probes, steps, start, sharpness)
        answers = probes * steps * context.network.output_size
        self.mlp = mlp((answers, hidden_size, context.z_size))
        mean = torch.zeros(answers)
        if context.example_weights is not None and (choose or components):
            known = example_answers(context, context.input_space.squash(free))
            if choose:
                chosen = most_telling(known, probes)
                free, known = free[chosen], known[:, chosen]
            if components:
                mean, components_of_answers = principal_components(known, components)
                self._start_from(components_of_answers)
        self.free_inputs = nn.Parameter(free)
        self.register_buffer("mean", mean)

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return self.mlp(rows.prober.run(self.probing_inputs(rows)).exp().flatten(1) - self.mean)

    def probing_inputs(self, rows: Rows) -> Tensor:
        """The learned inputs, [1, probes, steps, input_size]."""
        return self.context.input_space.squash(self.free_inputs)[None]

    @torch.no_grad()
    def _start_from(self, components: Tensor) -> None:
        """Let the first layer be a random map of components [components, answers], its outputs of unit variance."""
        first = next(layer for layer in self.mlp if isinstance(layer, nn.Linear))
        mixed = torch.randn(first.out_features, len(components)) / len(components) ** 0.5
        first.weight.copy_(mixed @ components)
        first.bias.copy_(0.1 * torch.randn(first.out_features))
