"""Controls: encoders that learn nothing of networks, or are given other networks than they should be.

What is said of an encoder must hold against them. The principal components of answers are what anything that probes
networks has for nothing; networks that are exchanged or destroyed tell how far an emulator comes without them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.encoders.parts.telling_probes import ANSWERING, example_answers, most_telling, principal_components
from rnnzoo.encoders.probing import initial_probes
from rnnzoo.encoders.protocol import Context, Encoder, Rows
from rnnzoo.networks.network import Network


class AnswersEncoder(Encoder):
    """Principal components, at unit variance, of what networks answer to recorded rollouts; nothing is learned.

    Args:
        probes: recorded rollouts, those whose answers differ most between networks of the training split.
        steps: inputs per rollout; None for the context's probe length.
    """

    mean: Tensor
    components: Tensor
    inputs: Tensor
    examples: Tensor

    def __init__(self, context: Context, probes: int = 16, steps: int | None = None) -> None:
        super().__init__(context)
        steps, network = steps or context.probe_length, context.network
        answers = probes * steps * network.output_size
        inputs, mean = torch.zeros(probes, steps, network.input_size), torch.zeros(answers)
        components, examples = torch.zeros(context.z_size, answers), torch.zeros(ANSWERING, context.z_size)
        if context.example_inputs is not None and context.example_weights is not None:
            recorded = max(probes, len(context.example_inputs))
            free = initial_probes(context, recorded, steps, "rollouts", sharpness=8.0)
            inputs = context.input_space.squash(free)
            known = example_answers(context, inputs)
            chosen = most_telling(known, probes)
            inputs, known = inputs[chosen], known[:, chosen]
            mean, components = principal_components(known, context.z_size)
            examples = (known.flatten(1) - mean) @ components.T
        for name, values in (("inputs", inputs), ("mean", mean), ("components", components)):
            self.register_buffer(name, values)
        # As many as there are, so that a saved encoder has room for all.
        self.register_buffer("examples", examples[torch.arange(ANSWERING) % len(examples)])

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return (rows.prober.run(self.inputs[None]).exp().flatten(1) - self.mean) @ self.components.T

    def probing_inputs(self, rows: Rows) -> Tensor | None:
        """The recorded rollouts, [1, probes, steps, input_size]."""
        return self.inputs[None]


class NearestEncoder(AnswersEncoder):
    """A learned z for each of some training networks; others have that of the one whose answers are nearest."""

    def __init__(self, context: Context, probes: int = 16, steps: int | None = None) -> None:
        super().__init__(context, probes, steps)
        self.table = nn.Parameter(torch.randn(ANSWERING, context.z_size))

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return self.table[torch.cdist(super().forward(rows), self.examples).argmin(1)]


class ShuffledEncoder(AnswersEncoder):
    """The principal components of another network's answers: of a training network that the weights draw by chance."""

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        # The bits of the weights, so that the same network always has the same other one, on any device.
        drawn = rows.weights[:, :8].contiguous().view(torch.int32).long().sum(1)
        return self.examples[drawn % len(self.examples)]

    def probing_inputs(self, rows: Rows) -> None:
        """It sends nothing."""


class PermutedEncoder(AnswersEncoder):
    """Principal components of the answers of destroyed networks: the weights of each tensor change places.

    All statistics of a tensor stay, and how it computes is gone.
    """

    order: Tensor

    def __init__(self, context: Context, probes: int = 16, steps: int | None = None) -> None:
        order = _order_within_tensors(context.network)
        weights = context.example_weights
        destroyed = None if weights is None else weights[:, order.to(weights.device)]
        super().__init__(replace(context, example_weights=destroyed), probes, steps)
        self.register_buffer("order", order)

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return super().forward(Rows(rows.network, rows.weights[:, self.order]))


class RandomEncoder(Encoder):
    """A random function of the flat weights, which nothing trains.

    Args:
        hidden_size: width of its MLP's three hidden layers.
    """

    def __init__(self, context: Context, hidden_size: int = 128) -> None:
        super().__init__(context)
        self.mlp = mlp((context.network.parameter_count, *[hidden_size] * 3, context.z_size)).requires_grad_(False)

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""
        return self.mlp(rows.weights)


def _order_within_tensors(network: Network) -> Tensor:
    """Where each weight of destroyed networks comes from, int64 [P]; the same for all."""
    generator = torch.Generator().manual_seed(0)
    parts = [p.offset + torch.randperm(p.size, generator=generator) for p in network.parameters()]
    return torch.cat(parts)
