"""The values of the original release's arrays, read through before anything is made of them."""

from __future__ import annotations

import numpy as np

from rnnzoo.errors import RnnzooError
from rnnzoo.generation.original.arrays import blocks
from rnnzoo.generation.original.format import LANGUAGE_ROLLOUTS, pixels_of
from rnnzoo.generation.original.release import OriginalRelease
from rnnzoo.kinds.languages import END, START, VOCABULARY
from rnnzoo.kinds.smnist import LARGEST_WEIGHT_DECAY


def check_values(release: OriginalRelease) -> None:
    """Read a release through, a block of rows at a time, and refuse values that our zoos cannot hold.

    Raises:
        RnnzooError: tokens, counts, angles or shares out of range, tiles that are no normalised images, or a run of
            more than one task.
    """
    if release.recipe.zoo == "formal-languages":
        _check_language_values(release)
    else:
        _check_digit_values(release)
    _check_constant_tasks(release)


def _check_constant_tasks(release: OriginalRelease) -> None:
    columns = {"tasks": release.arrays["tasks"]}
    if release.recipe.zoo == "smnist":
        columns["accuracy_losses"] = release.arrays["accuracy_losses"][:, 3:]
    for name, values in columns.items():
        grid = values.reshape(release.recipe.models, release.snapshots, -1)
        if (grid != grid[:, :1]).any():
            what = "task" if name == "tasks" else "weight decay"
            raise RnnzooError(f"{release.folder / name}.npy gives some run more than one {what}: rows are mixed up.")


def _check_digit_values(release: OriginalRelease) -> None:
    folder, arrays = release.folder, release.arrays
    if not ((arrays["tasks"] >= 0) & (arrays["tasks"] <= 360)).all():
        raise RnnzooError(f"{folder / 'tasks.npy'} has an angle beyond 0..360 degrees.")
    accuracy, _, _, weight_decay = arrays["accuracy_losses"].T
    if not ((accuracy >= 0) & (accuracy <= 1)).all():
        raise RnnzooError(f"{folder / 'accuracy_losses.npy'} has an accuracy beyond 0..1.")
    if not ((weight_decay >= 0) & (weight_decay <= LARGEST_WEIGHT_DECAY)).all():
        raise RnnzooError(
            f"{folder / 'accuracy_losses.npy'} has a weight decay that is no number from 0 to {LARGEST_WEIGHT_DECAY:g}."
        )
    for rows in blocks(release.recipe.rows):
        try:
            pixels_of(arrays["sequences"][rows])
        except ValueError as error:
            raise RnnzooError(
                f"{folder / 'sequences.npy'}: in rows {rows.start} to {rows.stop - 1}, {error}."
            ) from error


def _check_language_values(release: OriginalRelease) -> None:
    folder, arrays, tasks = release.folder, release.arrays, release.recipe.tasks
    offsets = arrays["tasks"]
    allowed = (offsets >= tasks.smallest_offset) & (offsets <= tasks.largest_offset)
    if offsets[:, 0].any() or not allowed.all():
        raise RnnzooError(
            f"{folder / 'tasks.npy'} must hold rows (0, m_b, m_c, m_d) with offsets {tasks.smallest_offset} to "
            f"{tasks.largest_offset}."
        )
    correct = arrays["num_step_correct"][:, 2]
    if correct.min() < 0 or correct.max() > LANGUAGE_ROLLOUTS:
        raise RnnzooError(f"{folder / 'num_step_correct.npy'} counts correct strings beyond 0..{LANGUAGE_ROLLOUTS}.")
    for rows in blocks(len(offsets)):
        tokens = arrays["sequences"][rows]
        where = f"{folder / 'sequences.npy'} has, in rows {rows.start} to {rows.stop - 1},"
        if tokens.min() < 0 or tokens.max() >= VOCABULARY:
            raise RnnzooError(f"{where} tokens beyond 0..{VOCABULARY - 1}.")
        # The released code writes an end token over the start token of a rollout that has none.
        if not np.isin(tokens[:, :, 0], (START, END)).all():
            raise RnnzooError(f"{where} a rollout that begins with neither the start token {START} nor with {END}.")
