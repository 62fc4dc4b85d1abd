"""smnist's losses, measured again: the released ones weigh the last two evaluation images as much as a thousand."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.engines import Snapshot, find_engine
from rnnzoo.generation.kinds.digit_images import DigitImages
from rnnzoo.generation.kinds.smnist import tile_sources
from rnnzoo.generation.original.format import DIGIT_IMAGES_EVALUATED
from rnnzoo.generation.original.release import OriginalRelease
from rnnzoo.generation.population import Population, TileExamples
from rnnzoo.kinds.digits import pixel_values
from rnnzoo.terminal.durations import duration

IMAGES = 60_000
_KEY = 0x4095164213DD204
ROWS_AT_ONCE = 9
TIMED_IMAGES = 4000
"""Images on which the first rows are timed to estimate the rest."""
ACCURACY_TOLERANCE = 1e-3
"""Another processor or library may decide a dozen of 12,002 images otherwise; other images or weights, thousands."""
_REMEDY = "Import with --released-losses to keep the losses as they are."


def released_parts() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The released code's training part, 47,998 of MNIST's training images, and its evaluation part, the other 12,002.

    An image trains if its index, exclusive or a fixed key, ends in a decimal digit below 8.
    """
    trains = (np.arange(IMAGES) ^ _KEY) % 10 < 8
    return np.flatnonzero(trains).astype(np.int32), np.flatnonzero(~trains).astype(np.int32)


def check_images(images: DigitImages) -> None:
    """Refuse images on which losses cannot be measured.

    Raises:
        UsageError: they are not as many as MNIST's training images.
    """
    if len(images.labels) != IMAGES:
        raise UsageError(
            f"Losses are measured on {IMAGES:,} images, and {images.origin} has {len(images.labels):,}. {_REMEDY}"
        )


def check_parts(traced: NDArray[np.int32]) -> None:
    """Refuse to measure losses on a split that is not the one the models were trained on.

    Args:
        traced: indices of the images that traces show, which the released code takes from its training part.

    Raises:
        RnnzooError: a trace shows an image that the released code never trains on.
    """
    held_out = int(np.isin(traced, released_parts()[1]).sum())
    if held_out:
        raise RnnzooError(
            f"{held_out} of {traced.size} recorded images are in the evaluation part of the released code, so these "
            f"models were trained on another split. {_REMEDY}"
        )


def measure_losses(
    release: OriginalRelease, model: int, images: DigitImages
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Training and evaluation loss of every row of a model, float64 [rows], nats per position.

    The training loss is the mean of 13,000 images spread evenly over the training part, the same for every row; the
    evaluation loss that of the whole evaluation part.

    Raises:
        RnnzooError: the weights do not have the released accuracy on the evaluation part.
    """
    evaluation, training = _measured_images()
    rows = release.rows_of(model)
    losses, accuracies = [], []
    for start in range(rows.start, rows.stop, ROWS_AT_ONCE):
        weights = release.arrays["parameters"][start : min(start + ROWS_AT_ONCE, rows.stop)]
        population = _population(release, float(release.tasks[model]), images, len(weights))
        seen = np.broadcast_to(np.concatenate([evaluation, training]), (len(weights), len(evaluation) + len(training)))
        engine, _ = find_engine("auto", population)
        loss, prediction, _ = engine.classify(population, Snapshot(0, weights), seen, 0)
        losses.append(loss)
        accuracies.append((prediction[:, : len(evaluation)] == images.labels[evaluation]).mean(axis=1))
    difference = np.abs(np.concatenate(accuracies) - release.arrays["accuracy_losses"][rows, 0]).max()
    if difference > ACCURACY_TOLERANCE:
        raise RnnzooError(
            f"{release.folder / 'accuracy_losses.npy'}: accuracies of model {model} differ by up to {difference:.4f} "
            f"from what its weights reach on the released code's evaluation part. {_REMEDY}"
        )
    loss = np.concatenate(losses)
    return (
        loss[:, len(evaluation) :].mean(axis=1, dtype=np.float64),
        loss[:, : len(evaluation)].mean(axis=1, dtype=np.float64),
    )


def announce(release: OriginalRelease, images: DigitImages) -> Iterator[str]:
    """Lines a user should read before all losses are measured, with an estimate from the first rows on some images."""
    weights = release.arrays["parameters"][: min(ROWS_AT_ONCE, release.snapshots)]
    population = _population(release, float(release.tasks[0]), images, len(weights))
    engine, _ = find_engine("auto", population)
    if engine.name == "reference":
        yield (
            "The losses are measured by the slow reference engine, as no faster one can be used here: numba comes with "
            "pip install 'rnnzoo[build]'."
        )
    every = np.concatenate(_measured_images())
    seconds = 0.0
    # The first time may include the engine's compilation.
    for count in (TIMED_IMAGES // 10, TIMED_IMAGES):
        started = time.perf_counter()
        engine.classify(population, Snapshot(0, weights), np.broadcast_to(every[:count], (len(weights), count)), 0)
        seconds = time.perf_counter() - started
    whole = seconds * len(every) / TIMED_IMAGES * release.recipe.rows / len(weights)
    yield (
        f"Measuring losses again, {len(every):,} images for each of {release.recipe.rows:,} rows: about "
        f"{duration(whole)}; --released-losses keeps the released ones instead."
    )


def _measured_images() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The evaluation part, and images spread evenly over the training part."""
    training, evaluation = released_parts()
    return evaluation, training[np.arange(DIGIT_IMAGES_EVALUATED) * len(training) // DIGIT_IMAGES_EVALUATED]


def _population(release: OriginalRelease, angle: float, images: DigitImages, rows: int) -> Population:
    """As many models that see images turned by an angle."""
    ids = np.arange(rows, dtype=np.uint32)
    examples = TileExamples(
        seed=0,
        model_ids=ids,
        images=images.images,
        labels=images.labels,
        drawable=released_parts()[0],
        sources=np.repeat(tile_sources(angle)[None], rows, axis=0),
        values=pixel_values(),
    )
    recipe = release.recipe
    return Population(
        recipe.seed, ids, recipe.network, recipe.protocol, recipe.snapshots, np.zeros(rows, np.float32), examples
    )
