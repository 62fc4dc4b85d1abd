"""How far apart two categorical distributions are: the losses of emulation (paper section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Divergence = Callable[[Tensor, Tensor], Tensor]


def total_variation(target: Tensor, estimate: Tensor) -> Tensor:
    """Half the summed absolute difference. Like all here: two log-probabilities [..., K] -> [...], in nats or shares.

    Args:
        target: log-probabilities of the network that is imitated.
        estimate: log-probabilities of the emulator.
    """
    return (target.exp() - estimate.exp()).abs().sum(-1) / 2


def kl(target: Tensor, estimate: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the estimate from the target, KL(target || estimate)."""
    return (target.exp() * (target - estimate)).sum(-1)


def reverse_kl(target: Tensor, estimate: Tensor) -> Tensor:
    """KL(estimate || target), the loss that the paper names."""
    return kl(estimate, target)


def jensen_shannon(target: Tensor, estimate: Tensor) -> Tensor:
    """Mean KL divergence of both from their even mixture."""
    mixture = torch.logaddexp(target, estimate) - math.log(2)
    return (kl(target, mixture) + kl(estimate, mixture)) / 2


DIVERGENCES: dict[str, Divergence] = {
    "total_variation": total_variation,
    "kl": kl,
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
}
"""By name; total variation is the default of the original code."""
