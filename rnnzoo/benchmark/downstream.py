"""Downstream properties: an MLP on frozen embeddings, or the encoder itself trained on labels (paper section 5.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnnzoo.encoders import Encoder, Rows, embed_rows, encode, permute, prepare
from rnnzoo.encoders.parts.layers import mlp
from rnnzoo.errors import UsageError
from rnnzoo.kinds.properties import Property
from rnnzoo.networks.recurrence import plain_float32
from rnnzoo.networks.symmetry import symmetry_of

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class DownstreamConfig:
    """How predictors of properties are trained. A linear warm-up over a tenth of the steps, then a cosine to zero.

    Args:
        hidden_size: width of the predictor's two hidden layers.
        frozen_steps, frozen_rows: updates and rows per update on frozen embeddings.
        supervised_steps, supervised_rows: the same for an encoder trained end to end.
        learning_rate, weight_decay, clip_norm: AdamW's, and the largest gradient norm.

    Raises:
        UsageError: a size below 1.
    """

    hidden_size: int = 128
    frozen_steps: int = 5000
    frozen_rows: int = 256
    supervised_steps: int = 20_000
    supervised_rows: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        for field in ("hidden_size", "frozen_steps", "frozen_rows", "supervised_steps", "supervised_rows"):
            if getattr(self, field) < 1:
                raise UsageError(f"downstream.{field}={getattr(self, field)} is impossible: give at least 1.")


DOWNSTREAM_PROFILES = {
    "paper": DownstreamConfig(),
    "standard": DownstreamConfig(supervised_steps=5000),
    "quick": DownstreamConfig(frozen_steps=1000, supervised_steps=150),
}
"""By the names of the emulation profiles."""


def is_seen_half(tasks: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which rows of ood_test predictors may train on: those of half of its tasks (paper section 5.3).

    All rows of a task are in one half, and the halves depend on nothing but the set of tasks. bool [R] for tasks
    [R, ...].
    """
    unique, inverse = np.unique(tasks.reshape(len(tasks), -1), axis=0, return_inverse=True)
    # In the order of their hashes tasks are as if shuffled, and halves of that order are equally large.
    order = sorted(range(len(unique)), key=lambda i: hashlib.sha256(unique[i].tobytes()).digest())
    seen = np.zeros(len(unique), dtype=bool)
    seen[order[: len(order) // 2]] = True
    return seen[inverse.reshape(-1)]


def train_on_embeddings(
    asked: Property, outputs: int, embeddings: Tensor, labels: Tensor, config: DownstreamConfig, seed: int
) -> Callable[[Tensor], Tensor]:
    """A predictor of a property from frozen embeddings.

    Args:
        asked: the property.
        outputs: numbers per prediction, `asked.outputs(zoo)`.
        embeddings: to learn from, float32 [R, z_size].
        labels: their labels, on the same device.
        config: sizes and steps.
        seed: of its initial weights and batches.

    Returns:
        A function from embeddings [R, z_size] to predictions [R, outputs].
    """
    # Unit vectors of 16 numbers are small numbers: standardised, the predictor's usual learning rate fits.
    mean, scale = embeddings.mean(0), embeddings.std(0).clamp_min(1e-6)
    standardised = (embeddings - mean) / scale
    predictor = _predictor(embeddings.shape[1], outputs, config, seed).to(embeddings.device)

    def loss(rows: Tensor) -> Tensor:
        return asked.loss(predictor(standardised[rows]), labels[rows])

    _train(predictor, loss, len(embeddings), config.frozen_steps, config.frozen_rows, config, seed)

    @torch.no_grad()
    def predict(embeddings: Tensor) -> Tensor:
        return predictor((embeddings - mean) / scale)

    return predict


def train_end_to_end(
    asked: Property,
    outputs: int,
    encoder: Encoder,
    rows: Rows,
    labels: Tensor,
    config: DownstreamConfig,
    seed: int,
    progress: Progress | None = None,
) -> Callable[[Rows], Tensor]:
    """A predictor of a property from the networks themselves: encoder and MLP learn together from the labels alone.

    Args:
        asked: the property.
        outputs: numbers per prediction, `asked.outputs(zoo)`.
        encoder: with fresh weights, on the device of the rows; trained in place.
        rows: the networks to learn from.
        labels: their labels, on the same device.
        config: sizes and steps.
        seed: of the predictor's initial weights and of the batches.
        progress: told the updates done and the loss.

    Returns:
        A function from rows to predictions [R, outputs].

    Raises:
        RnnzooError: the encoder's answer has the wrong shape or is not finite.
    """
    z_size = encoder.context.z_size
    predictor = _predictor(z_size, outputs, config, seed).to(rows.weights.device)
    # Unit vectors have components of about z_size ** -0.5: brought to unit variance for the predictor.
    scale = z_size**0.5
    symmetry = symmetry_of(rows.network)
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 1, 0]))
    rows = prepare(encoder, rows)

    def loss(chosen: Tensor) -> Tensor:
        batch = rows.take(chosen)
        if encoder.permuted_in_training:
            batch = permute(encoder, batch, symmetry.random_permutations(len(batch), generator))
        return asked.loss(predictor(encode(encoder, batch, z_size) * scale), labels[chosen])

    encoder.train()
    both = nn.ModuleList((encoder, predictor))
    _train(both, loss, len(rows), config.supervised_steps, config.supervised_rows, config, seed, progress)

    @torch.no_grad()
    def predict(rows: Rows) -> Tensor:
        return predictor(embed_rows(encoder, rows) * scale)

    return predict


def _predictor(inputs: int, outputs: int, config: DownstreamConfig, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return mlp((inputs, config.hidden_size, config.hidden_size, outputs))


def _train(
    module: nn.Module,
    loss: Callable[[Tensor], Tensor],
    rows: int,
    steps: int,
    rows_per_step: int,
    config: DownstreamConfig,
    seed: int,
    progress: Progress | None = None,
) -> None:
    """AdamW on batches that are a pure function of seed and step."""
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(parameters, weight_decay=config.weight_decay, fused=True)
    warm_up = max(1, steps // 10)
    for step in range(steps):
        done = max(0, step - warm_up) / max(1, steps - warm_up)
        rate = min(1.0, (step + 1) / warm_up) * (1 + float(np.cos(np.pi * done))) / 2
        optimizer.param_groups[0]["lr"] = config.learning_rate * rate
        generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 2, step]))
        batch = torch.from_numpy(generator.integers(rows, size=min(rows_per_step, rows)))
        with plain_float32(parameters[0].device):
            value = loss(batch.to(parameters[0].device))
            optimizer.zero_grad()
            value.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        optimizer.step()
        if progress:
            progress(step + 1, float(value.detach()))
