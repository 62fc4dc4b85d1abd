"""Emulated performance: how well the emulator does the task of the network it imitates (paper section 5.2).

What the task is, and when it is done well, is said by the kind of zoo, which asks an `Emulated` for what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.emulation.data import EmulationData
from rnnzoo.emulation.emulator import Emulator
from rnnzoo.zoo.zoo import Zoo

SEQUENCES_AT_ONCE = 4096


@dataclass(frozen=True)
class Emulated:
    """Networks of a zoo, and an emulator that stands in for each.

    Args:
        emulator: trained together with the encoder that made z.
        z: embeddings [R, z_size] of the rows of `data`, on the emulator's device.
        data: rows of the zoo, on the same device.
        samples: how many strings to sample per row.
        seed: of the sampling.
    """

    emulator: Emulator
    z: Tensor
    data: EmulationData
    samples: int
    seed: int

    def strings(self, start: int, length: int) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """Strings of tokens sampled from the emulator, some rows at a time.

        Args:
            start: the first token of every string.
            length: of the strings, `start` included.

        Returns:
            Which rows, and tokens uint8 [rows, samples, length].
        """
        generator = torch.Generator(self.z.device).manual_seed(self.seed)
        for rows in _parts(len(self.z), self.samples):
            z = self.z[rows].repeat_interleave(self.samples, dim=0)
            tokens = sample_strings(self.emulator, z, start, length, generator).cpu().numpy().astype(np.uint8)
            yield rows, tokens.reshape(-1, self.samples, length)

    @torch.no_grad()
    def answers(self) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32]]]:
        """What networks and emulator answered to the recorded inputs, some rows at a time.

        Returns:
            Which rows, and the log-probabilities of the networks and of the emulator, float32
            [rows, recorded, positions, output_size] each.
        """
        recorded = self.data.rollouts
        for rows in _parts(len(self.data), recorded):
            numbers = torch.arange(rows.start, rows.stop, device=self.z.device).repeat_interleave(recorded)
            rollouts = torch.arange(recorded, device=self.z.device).repeat(rows.stop - rows.start)
            inputs, said = self.data.batch(numbers, rollouts)
            answered = self.emulator(self.z[numbers], inputs)
            yield rows, *(part.transpose(0, 1).unflatten(0, (-1, recorded)).cpu().numpy() for part in (said, answered))


def emulated_accuracy(emulated: Emulated, zoo: Zoo) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy of each network on its task, and of the emulator in its place.

    Args:
        emulated: the networks and the emulator.
        zoo: the same zoo, with the rows that the data names.

    Returns:
        Real and emulated accuracy, float64 [R] each; NaN where the kind of zoo cannot tell.
    """
    rows = zoo[np.searchsorted(zoo.row_numbers, emulated.data.row_numbers)]
    return zoo.kind.emulated_accuracy(rows, emulated)


@torch.no_grad()
def sample_strings(emulator: Emulator, z: Tensor, start: int, length: int, generator: torch.Generator) -> Tensor:
    """Strings of tokens drawn from the emulator, one per z: int64 [N, length], the start token in front."""
    vocabulary = emulator.projection.in_features
    tokens = [torch.full((len(z),), start, device=z.device)]
    state = emulator.begin(z)
    for _ in range(length - 1):
        log_probs, state = emulator.advance(torch.nn.functional.one_hot(tokens[-1], vocabulary).float(), state)
        tokens.append(torch.multinomial(log_probs.exp(), 1, generator=generator)[:, 0])
    return torch.stack(tokens, dim=1)


def _parts(rows: int, sequences: int) -> Iterator[slice]:
    """Consecutive rows, so many that their sequences fit in memory."""
    at_once = max(1, SEQUENCES_AT_ONCE // sequences)
    return (slice(start, min(start + at_once, rows)) for start in range(0, rows, at_once))
