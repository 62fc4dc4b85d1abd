"""Properties of networks that embeddings are asked for: labels, losses and scores (paper section 5.3).

Which of them a zoo has is said by its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from rnnzoo.zoo.zoo import Zoo


@dataclass(frozen=True)
class Metric:
    """A score of predictions.

    Attributes:
        name: in records.
        words: what it is, with its unit.
        higher_is_better: whether it grows with quality.
        decimals: that a table shows; None for three significant digits.
    """

    name: str
    words: str
    higher_is_better: bool = False
    decimals: int | None = None


@dataclass(frozen=True)
class Property:
    """One property: what is predicted, how a predictor learns it and how it is scored.

    Args:
        name: as given on the command line.
        meaning: in words.
        outputs: numbers a predictor must return per row, from what the zoo is.
        labels: the truth of every row, [rows, ...].
        loss: mean loss of predictions [rows, outputs] against labels.
        score: the numbers of `metrics` by name.
        metrics: what they are, the most telling first.
    """

    name: str
    meaning: str
    outputs: Callable[[Zoo], int]
    labels: Callable[[Zoo], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], dict[str, float]]
    metrics: tuple[Metric, ...]


def number_property(name: str, column: str, meaning: str, squared: str) -> Property:
    """A number, as a column has it: mean squared error, `squared` naming its unit, and explained variance."""

    def labels(zoo: Zoo) -> Tensor:
        return torch.from_numpy(zoo[column].astype(np.float32))[:, None]

    metrics = (
        Metric("mse", f"mean squared error {squared}"),
        Metric("r2", "R², share of variance explained", True, 3),
    )
    return Property(name, meaning, lambda zoo: 1, labels, functional.mse_loss, _squared_error_score, metrics)


def angle_property(name: str, meaning: str, column: str) -> Property:
    """An angle in degrees, as a column has it, learned as sine and cosine, so that 359 degrees lie next to 0."""

    def labels(zoo: Zoo) -> Tensor:
        radians = np.deg2rad(zoo[column])
        return torch.from_numpy(np.stack([np.sin(radians), np.cos(radians)], axis=1).astype(np.float32))

    metrics = (
        Metric("degrees", "mean absolute error in degrees", decimals=1),
        Metric("mse", "mean squared error of sine and cosine"),
    )
    return Property(name, meaning, lambda zoo: 2, labels, functional.mse_loss, _angle_score, metrics)


def choices_property(
    name: str, meaning: str, labels: Callable[[Zoo], NDArray[np.int64]], choices: Callable[[Zoo], int], each: str
) -> Property:
    """Several choices at once, scored by the share of rows in which all are right.

    Args:
        name, meaning: as in `Property`.
        labels: the choices of every row, int64 [rows, K] in [0, choices).
        choices: how many there are to choose from.
        each: name of the share of single choices that are right.
    """

    def outputs(zoo: Zoo) -> int:
        return labels(zoo[:1]).shape[1] * choices(zoo)

    def score(predictions: Tensor, truth: Tensor) -> dict[str, float]:
        right = predictions.unflatten(1, (truth.shape[1], -1)).argmax(-1) == truth
        return {
            "exact": float(right.all(1).double().mean()),
            each: float(right.double().mean()),
            "cross_entropy": float(_choices_loss(predictions, truth)),
        }

    metrics = (
        Metric("exact", f"share of networks with all {each} right", True, 3),
        Metric(each, f"share of single {each} right", True, 3),
        Metric("cross_entropy", "cross-entropy in nats", decimals=3),
    )
    return Property(name, meaning, outputs, lambda zoo: torch.from_numpy(labels(zoo)), _choices_loss, score, metrics)


def choice_property(
    name: str, meaning: str, labels: Callable[[Zoo], NDArray[np.int64]], choices: Callable[[Zoo], int], each: str
) -> Property:
    """One of several choices, int64 [rows] in [0, choices): the share that is right, and the cross-entropy."""
    metrics = (
        Metric("correct", f"share of {each} recognised", True, 3),
        Metric("cross_entropy", "cross-entropy in nats", decimals=3),
    )
    return Property(
        name,
        meaning,
        choices,
        lambda zoo: torch.from_numpy(labels(zoo)),
        functional.cross_entropy,
        _choice_score,
        metrics,
    )


def snapshot_property() -> Property:
    """Which of the zoo's snapshots a row is."""
    return choice_property(
        "step",
        "training step of the snapshot",
        lambda zoo: np.searchsorted(zoo.snapshots, zoo["step"]),
        lambda zoo: len(zoo.snapshots),
        "snapshots",
    )


def _choices_loss(predictions: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each choice; predictions [R, K * choices], labels [R, K]."""
    return functional.cross_entropy(predictions.unflatten(1, (labels.shape[1], -1)).flatten(0, 1), labels.flatten())


def _choice_score(predictions: Tensor, labels: Tensor) -> dict[str, float]:
    return {
        "correct": float((predictions.argmax(1) == labels).double().mean()),
        "cross_entropy": float(functional.cross_entropy(predictions, labels)),
    }


def _squared_error_score(predictions: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean squared error, and the share of the labels' variance that is explained, 0 where they do not vary."""
    error = float(functional.mse_loss(predictions.double(), labels.double()))
    variance = float(labels.double().var(correction=0))
    return {"mse": error, "r2": 1 - error / variance if variance else 0.0}


def _angle_score(predictions: Tensor, labels: Tensor) -> dict[str, float]:
    difference = torch.atan2(*predictions.double().unbind(1)) - torch.atan2(*labels.double().unbind(1))
    wrapped = torch.atan2(difference.sin(), difference.cos()).rad2deg().abs()
    return {"degrees": float(wrapped.mean()), "mse": float(functional.mse_loss(predictions, labels))}
