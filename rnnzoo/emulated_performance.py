"""Emulated performance: how well the emulator does the task of the network it imitates (paper section 5.2)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.emulation_data import EmulationData
from rnnzoo.emulator import Emulator
from rnnzoo.languages import START, score_strings
from rnnzoo.zoo import Zoo

SEQUENCES_AT_ONCE = 4096


def emulated_accuracy(
    emulator: Emulator, z: Tensor, data: EmulationData, zoo: Zoo, strings: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracy of each network on its task, and of the emulator in its place.

    formal-languages: the share of strings in the language, the network's as recorded in the zoo, the emulator's among
    strings sampled from it. smnist: the share of the recorded images classified right, both on the same images; NaN
    where an imported zoo knows no labels.

    Args:
        emulator: trained together with the encoder that made z.
        z: embeddings [R, z_size] of the rows of `data`, on the emulator's device.
        data: rows of the zoo, on the same device.
        zoo: the same zoo, with the rows that `data.row_numbers` names.
        strings: how many strings to sample per row.
        seed: of the sampling.

    Returns:
        Real and emulated accuracy, float64 [R] each.
    """
    rows = zoo[np.searchsorted(zoo.row_numbers, data.row_numbers)]
    if data.kind == "formal-languages":
        return rows["accuracy"].astype(np.float64), _sampled_accuracy(emulator, z, rows, strings, seed)
    if "labels" not in {column.name for column in zoo.columns}:
        unknown = np.full(len(data), np.nan)
        return unknown, unknown
    return _classified(emulator, z, data, rows["labels"])


@torch.no_grad()
def sample_strings(emulator: Emulator, z: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Strings of tokens drawn from the emulator, one per z: int64 [N, length], the start token in front."""
    vocabulary = emulator.enter.in_features
    tokens = [torch.full((len(z),), START, device=z.device)]
    state = emulator.begin(z)
    for _ in range(length - 1):
        log_probs, state = emulator.advance(torch.nn.functional.one_hot(tokens[-1], vocabulary).float(), state)
        tokens.append(torch.multinomial(log_probs.exp(), 1, generator=generator)[:, 0])
    return torch.stack(tokens, dim=1)


def _sampled_accuracy(emulator: Emulator, z: Tensor, rows: Zoo, strings: int, seed: int) -> NDArray[np.float64]:
    length = rows.manifest.recipe["tasks"]["length"]
    generator = torch.Generator(z.device).manual_seed(seed)
    tasks, shares = rows["task"], []
    at_once = max(1, SEQUENCES_AT_ONCE // strings)
    for start in range(0, len(z), at_once):
        part = z[start : start + at_once].repeat_interleave(strings, dim=0)
        tokens = sample_strings(emulator, part, length, generator).cpu().numpy().astype(np.uint8)
        score = score_strings(tokens.reshape(-1, strings, length), tasks[start : start + at_once, None])
        shares.append(score.in_language.mean(axis=1))
    return np.concatenate(shares)


@torch.no_grad()
def _classified(
    emulator: Emulator, z: Tensor, data: EmulationData, labels: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels [R, recorded]; the prediction is the likeliest class at the last position."""
    images = data.rollouts
    truth = torch.from_numpy(labels[:, :images].astype(np.int64)).to(z.device)
    at_once = max(1, SEQUENCES_AT_ONCE // images)
    real: list[Tensor] = []
    emulated: list[Tensor] = []
    for rows in torch.arange(len(data), device=z.device).split(at_once):
        inputs, log_probs = data.batch(
            rows.repeat_interleave(images), torch.arange(images).repeat(len(rows)).to(z.device)
        )
        answers = emulator(z[rows].repeat_interleave(images, dim=0), inputs)
        for shares, answered in ((real, log_probs), (emulated, answers)):
            right = answered[-1].argmax(-1).unflatten(0, (len(rows), images)) == truth[rows]
            shares.append(right.double().mean(1))
    return torch.cat(real).cpu().numpy(), torch.cat(emulated).cpu().numpy()
