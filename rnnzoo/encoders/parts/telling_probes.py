"""Which probes tell networks apart, and which combinations of their answers: read off networks known beforehand."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnzoo.encoders.protocol import Context
from rnnzoo.networks.prober import Prober

ANSWERING = 512
"""Networks that are asked."""
ACCOUNTED_FOR = 8
"""Differences between networks that a chosen probe accounts for, so that the next one is chosen for others."""


@torch.no_grad()
def example_answers(context: Context, inputs: Tensor, networks_at_once: int = 128) -> Tensor:
    """What some training networks answer, probabilities [N, probes, steps, output_size].

    Args:
        context: with example weights.
        inputs: [probes, steps, input_size].
        networks_at_once: asked together, which bounds memory.
    """
    weights = context.example_weights
    assert weights is not None
    chosen = weights[torch.randperm(len(weights))[:ANSWERING].to(weights.device)]
    parts = [Prober(context.network, part).run(inputs[None]).exp() for part in chosen.split(networks_at_once)]
    return torch.cat(parts).to(inputs.device)


def most_telling(answers: Tensor, count: int) -> list[int]:
    """The probes whose answers differ most between networks, each beyond what those before it account for.

    Args:
        answers: [N, probes, steps, output_size].
        count: how many are wanted, at most as many as there are.
    """
    left = (answers - answers.mean(0)).flatten(2)
    chosen: list[int] = []
    while len(chosen) < count:
        differences = left.square().sum((0, 2))
        differences[chosen] = -1.0
        chosen.append(int(differences.argmax()))
        directions, sizes, _ = torch.linalg.svd(left[:, chosen[-1]], full_matrices=False)
        directions = directions[:, :ACCOUNTED_FOR][:, sizes[:ACCOUNTED_FOR] > 1e-6 * sizes.max()]
        left = left - torch.tensordot(directions, torch.tensordot(directions.t(), left, 1), 1)
    return chosen


def principal_components(answers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The mean answer [F], and a map [count, F] of answers less that to their principal components at unit variance.

    Where networks differ in fewer ways, the last rows of the map are zero.

    Args:
        answers: [N, ...], F numbers of each network.
        count: how many components.
    """
    answers = answers.flatten(1)
    mean = answers.mean(0)
    _, sizes, components = torch.linalg.svd(answers - mean, full_matrices=False)
    deviations = sizes[:count] / len(answers) ** 0.5
    found = deviations > 1e-6 * max(1.0, float(deviations.max()))
    weight = answers.new_zeros(count, answers.shape[1])
    weight[: len(found)][found] = components[:count][found] / deviations[found, None]
    return mean, weight
