"""The properties of networks that embeddings are asked for: their labels, losses and scores (paper section 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rnnzoo.errors import UsageError
from rnnzoo.zoo import Zoo


@dataclass(frozen=True)
class Property:
    """One property: what is predicted, how a predictor learns it and how it is scored.

    Args:
        name: as given on the command line.
        meaning: in words.
        outputs: numbers a predictor must return per row, from what the zoo is.
        labels: the truth of every row, [rows, ...].
        loss: mean loss of predictions [rows, outputs] against labels.
        score: metrics by name, the most telling first.
        higher_is_better: whether that first metric grows with quality.
    """

    name: str
    meaning: str
    outputs: Callable[[Zoo], int]
    labels: Callable[[Zoo], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], dict[str, float]]
    higher_is_better: bool = False


def properties_of(kind: str, names: tuple[str, ...] | None = None) -> tuple[Property, ...]:
    """The properties of a kind of zoo, all or those named.

    Raises:
        UsageError: an unknown property.
    """
    known = {known.name: known for known in PROPERTIES[kind]}
    for name in names or ():
        if name not in known:
            raise UsageError(f"{kind} has no property {name!r}: choose from {', '.join(known)}.")
    return tuple(known[name] for name in (known if names is None else dict.fromkeys(names)))


def _offset_labels(zoo: Zoo) -> Tensor:
    smallest = zoo.manifest.recipe["tasks"]["smallest_offset"]
    return torch.from_numpy(zoo["task"].astype(np.int64) - smallest)


def _offset_choices(zoo: Zoo) -> int:
    tasks = zoo.manifest.recipe["tasks"]
    return tasks["largest_offset"] - tasks["smallest_offset"] + 1


def _offset_loss(predictions: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of one choice per offset; predictions [R, 3 * choices], labels [R, 3]."""
    return functional.cross_entropy(predictions.unflatten(1, (labels.shape[1], -1)).flatten(0, 1), labels.flatten())


def _offset_score(predictions: Tensor, labels: Tensor) -> dict[str, float]:
    right = predictions.unflatten(1, (labels.shape[1], -1)).argmax(-1) == labels
    return {
        "exact": float(right.all(1).double().mean()),
        "offsets": float(right.double().mean()),
        "cross_entropy": float(_offset_loss(predictions, labels)),
    }


def _number(column: str) -> Callable[[Zoo], Tensor]:
    return lambda zoo: torch.from_numpy(zoo[column].astype(np.float32))[:, None]


def _squared_error_score(predictions: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean squared error, and the share of the labels' variance that is explained, 0 where they do not vary."""
    error = float(functional.mse_loss(predictions.double(), labels.double()))
    variance = float(labels.double().var(correction=0))
    return {"mse": error, "r2": 1 - error / variance if variance else 0.0}


def _angle_labels(zoo: Zoo) -> Tensor:
    """Sine and cosine, so that 359 degrees lie next to 0."""
    radians = np.deg2rad(zoo["task"])
    return torch.from_numpy(np.stack([np.sin(radians), np.cos(radians)], axis=1).astype(np.float32))


def _angle_score(predictions: Tensor, labels: Tensor) -> dict[str, float]:
    difference = torch.atan2(*predictions.double().unbind(1)) - torch.atan2(*labels.double().unbind(1))
    wrapped = torch.atan2(difference.sin(), difference.cos()).rad2deg().abs()
    return {"degrees": float(wrapped.mean()), "mse": float(functional.mse_loss(predictions, labels))}


def _step_labels(zoo: Zoo) -> Tensor:
    """Which of the zoo's snapshots a row is, int64 [R]."""
    return torch.from_numpy(np.searchsorted(zoo.snapshots, zoo["step"]))


def _choice_score(predictions: Tensor, labels: Tensor) -> dict[str, float]:
    return {
        "correct": float((predictions.argmax(1) == labels).double().mean()),
        "cross_entropy": float(functional.cross_entropy(predictions, labels)),
    }


def _scalar(name: str, column: str, meaning: str) -> Property:
    return Property(name, meaning, lambda zoo: 1, _number(column), functional.mse_loss, _squared_error_score)


PROPERTIES: dict[str, tuple[Property, ...]] = {
    "formal-languages": (
        Property(
            "task",
            "the three offsets of the language, each one of six",
            lambda zoo: 3 * _offset_choices(zoo),
            _offset_labels,
            _offset_loss,
            _offset_score,
            higher_is_better=True,
        ),
        _scalar("accuracy", "accuracy", "share of sampled strings in the language"),
    ),
    "smnist": (
        Property("angle", "rotation", lambda zoo: 2, _angle_labels, functional.mse_loss, _angle_score),
        _scalar("accuracy", "eval_accuracy", "share of evaluation images classified right"),
        Property(
            "step",
            "training step of the snapshot",
            lambda zoo: len(zoo.snapshots),
            _step_labels,
            functional.cross_entropy,
            _choice_score,
            higher_is_better=True,
        ),
        _scalar("generalization_gap", "generalization_gap", "evaluation loss minus training loss, in nats"),
    ),
}
"""The properties of each kind of zoo, in the order of the tables (system section 8)."""
