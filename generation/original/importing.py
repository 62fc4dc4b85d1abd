"""Make a zoo of the original authors' folders, without changing a bit of their weights and recordings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rnnzoo.environment import git_revision, versions
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.atomic import atomic_folder
from rnnzoo.format.manifest import Manifest
from rnnzoo.generation.building.plan import check_output, whole_manifest
from rnnzoo.generation.kinds import find_producer
from rnnzoo.generation.kinds.digit_images import DigitImages
from rnnzoo.generation.kinds.formal_languages import token_examples
from rnnzoo.generation.original.format import LANGUAGE_ROLLOUTS, pixels_of
from rnnzoo.generation.original.image_recognition import recognise_images
from rnnzoo.generation.original.losses import announce, check_images, check_parts, measure_losses
from rnnzoo.generation.original.release import OriginalRelease, open_release
from rnnzoo.generation.original.values import check_values
from rnnzoo.generation.packing import Rows, pack_zoo
from rnnzoo.generation.traces import expected_loss
from rnnzoo.kinds.languages import END, START, score_strings
from rnnzoo.zoo.cards import write_card

Advance = Callable[[int, int], None]
"""Told (models done, all models)."""


ROWS_AT_ONCE = 16
"""Rows whose training losses are computed together, which bounds memory."""


def import_release(
    folder: Path, out: Path, images: DigitImages | None = None, advance: Advance = lambda done, total: None,
    released_losses: bool = False, message: Callable[[str], None] = lambda text: None,
) -> Manifest:  # fmt: skip
    """Turn a folder of the original release into a zoo; everything is checked before anything is written.

    Args:
        folder: the authors' folder.
        out: the zoo's folder, new or empty.
        images: smnist: the training images its traces were drawn from; with them, the zoo says which image each
            trace is of and its class, which the release does not, and losses are measured again.
        advance: told of the progress.
        released_losses: keep smnist's losses as released, even with images.
        message: told what a user should read, such as how long it takes to measure losses again.

    Raises:
        UsageError: the folder is no such release, or `out` holds something else.
        RnnzooError: the release is damaged or inconsistent, its images are not among those given or split
            otherwise, or the disk is full.
    """
    again = images is not None and not released_losses
    release = open_release(folder, images.sha256 if images else "", "recomputed" if again else "released")
    if images is not None and release.recipe.zoo != "smnist":
        raise UsageError(f"{folder} is of {release.recipe.zoo}, which has no images: import it without --mnist.")
    if images is not None and again:
        check_images(images)
    if check_output(out, release.recipe) == "built":
        return whole_manifest(out)
    check_values(release)
    indices = None if images is None else _recognised(release, images)
    if indices is not None and again:
        check_parts(indices)
    if images is not None and again:
        for line in announce(release, images):
            message(line)
    done = 0

    def copy(values: Rows, models: NDArray[np.integer]) -> None:
        nonlocal done
        for position, model in enumerate(models):
            target = slice(position * release.snapshots, (position + 1) * release.snapshots)
            for name, array in _rows(release, int(model), images, indices).items():
                values[name][target] = array
            done += 1
            advance(done, release.recipe.models)

    with atomic_folder(out) as temporary:
        criterion = find_producer(release.recipe.zoo).split_criterion
        manifest = pack_zoo(temporary, release.recipe, release.tasks, criterion, copy)
        provenance = {
            "source": "imported",
            "release": folder.resolve().name,
            "updates_ahead": release.recipe.source.updates_ahead,
            "restored_starts": release.recipe.source.restored_starts,
            **({"data": images.origin} if images else {}),
            "versions": versions(),
            "git_revision": git_revision(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        manifest = dataclasses.replace(manifest, provenance=provenance)
        write_card(temporary, manifest, out.resolve().name)
        manifest.write(temporary)
    return whole_manifest(out)


def _recognised(release: OriginalRelease, images: DigitImages) -> NDArray[np.int32]:
    """Which image every trace is of, int32 [rows, recorded]."""
    sequences = release.arrays["sequences"]
    indices = np.empty((release.recipe.rows, release.recipe.rollouts.recorded), dtype=np.int32)
    for model, angle in enumerate(release.tasks):
        rows = release.rows_of(model)
        indices[rows] = recognise_images(images.images, float(angle), pixels_of(sequences[rows]))
        if (missing := int((indices[rows] < 0).sum())) > 0:
            raise RnnzooError(
                f"{release.folder / 'sequences.npy'}: {missing} traces of model {model} show no image of "
                f"{images.origin} turned by {angle:.4f} degrees. Import without --mnist to leave images unnamed."
            )
    return indices


def _rows(
    release: OriginalRelease, model: int, images: DigitImages | None, indices: NDArray[np.int32] | None
) -> dict[str, NDArray[Any]]:
    """Every column of one model's rows."""
    rows = release.rows_of(model)
    weights = release.arrays["parameters"][rows]
    numbers = release.arrays["num_step_correct" if release.recipe.zoo == "formal-languages" else "num_step"][rows]
    columns = {
        "model_id": np.full(len(weights), model, dtype=np.int32),
        "step": numbers[:, 1].astype(np.int32),
        "run": numbers[:, 0],
        "task": np.repeat(release.tasks[model][None], len(weights), axis=0),
        "weights": weights,
        "diverged": np.logical_not(np.isfinite(weights).all(axis=1)),
    }
    if release.recipe.zoo == "formal-languages":
        return columns | _language_columns(release, rows, weights, columns["task"])
    return columns | _digit_columns(release, model, images, indices)


def _language_columns(
    release: OriginalRelease, rows: slice, weights: NDArray[np.float32], task: NDArray[np.int8]
) -> dict[str, NDArray[Any]]:
    """Only counts are released; strict accuracy and endings are those of the recorded strings, the loss is exact."""
    tokens = release.arrays["sequences"][rows].astype(np.uint8)
    overwritten = tokens[:, :, 0] == END
    tokens[:, :, 0] = START
    score = score_strings(tokens, task[:, None])
    examples = token_examples(release.recipe.seed, release.recipe.tasks, range(len(task)), task)
    return {
        "accuracy": score.in_language.mean(axis=1, dtype=np.float32),
        "accuracy_counts": (release.arrays["num_step_correct"][rows, 2] / LANGUAGE_ROLLOUTS).astype(np.float32),
        "finished": score.finished.mean(axis=1, dtype=np.float32),
        "train_loss": expected_loss(release.recipe.network, examples, weights, ROWS_AT_ONCE),
        "sequences": tokens,
        "log_probs": release.arrays["logits"][rows],
        **({"start_overwritten": overwritten} if release.recipe.source.restored_starts else {}),
    }


def _digit_columns(
    release: OriginalRelease, model: int, images: DigitImages | None, indices: NDArray[np.int32] | None
) -> dict[str, NDArray[Any]]:
    rows = release.rows_of(model)
    accuracy, train_loss, eval_loss, weight_decay = release.arrays["accuracy_losses"][rows].T
    logits = release.arrays["logits"][rows]
    log_probs = torch.log_softmax(torch.from_numpy(logits.astype(np.float32)), dim=-1).numpy()
    released: dict[str, NDArray[Any]] = {}
    if images is not None and release.recipe.source.losses == "recomputed":
        released = {"released_train_loss": train_loss, "released_eval_loss": eval_loss}
        train_loss, eval_loss = measure_losses(release, model, images)
    # Losses and logits of diverged models may be infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        columns = {
            **released,
            "weight_decay": weight_decay,
            "eval_accuracy": accuracy,
            "train_loss": train_loss,
            "eval_loss": eval_loss,
            "generalization_gap": eval_loss - train_loss,
            "tiles": pixels_of(release.arrays["sequences"][rows]),
            "log_probs": log_probs.astype(np.float16),
            "logits": logits,
        }
    if images is not None and indices is not None:
        columns |= {"image_indices": indices[rows], "labels": images.labels[indices[rows]]}
    return columns
