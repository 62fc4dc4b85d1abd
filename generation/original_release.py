"""A folder of the original release: .npy arrays with one row per snapshot, checked before they are used.

Rows are ordered by training run, then step. The released code records a snapshot after the update its step counter
names, so the weights at step s have had s + 1 updates. smnist's `logits` are raw; those of formal-languages are
log-probabilities.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.digits import CLASSES, POSITIONS, TILE_PIXELS
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.original_format import (
    ARGUMENTS,
    DIGIT_IMAGES_EVALUATED,
    LANGUAGE_ROLLOUTS,
    UPDATES_AHEAD,
    StoredArray,
    array_shapes,
    blocks,
    pixels_of,
)
from rnnzoo.generation.recipes import Protocol, Recipe, RolloutPlan, SplitRule
from rnnzoo.generation.tasks import DigitTasks, LanguageTasks
from rnnzoo.languages import LETTERS, VOCABULARY
from rnnzoo.manifest import file_sha256
from rnnzoo.network import Network


@dataclass(frozen=True)
class OriginalSource:
    """Which data an imported zoo is made of.

    Attributes:
        arrays: file name and SHA-256 of every array.
        arguments: the text of the release's args.json, empty if it has none.
        updates_ahead: optimizer updates the weights have had beyond their step number.
    """

    arrays: tuple[tuple[str, str], ...]
    arguments: str
    updates_ahead: int = UPDATES_AHEAD


@dataclass(frozen=True)
class ImportedRecipe(Recipe):
    """The recipe of a zoo that was imported: the protocol its authors state, and the checksums of its data."""

    source: OriginalSource = field(kw_only=True)


@dataclass(frozen=True)
class OriginalRelease:
    """An opened folder of the original release.

    Attributes:
        folder: where it lies.
        recipe: what it holds, in our terms.
        arrays: its arrays by name; the large ones stay on disk.
    """

    folder: Path
    recipe: ImportedRecipe
    arrays: Mapping[str, Any]

    @property
    def snapshots(self) -> int:
        """Rows of each model."""
        return len(self.recipe.snapshots)

    def rows_of(self, model: int) -> slice:
        """The rows of a model, which is numbered by its position in the folder."""
        return slice(model * self.snapshots, (model + 1) * self.snapshots)

    @property
    def tasks(self) -> NDArray[Any]:
        """The task of each model: int8 [M, 3] offsets, or float64 [M] degrees."""
        first = self.arrays["tasks"][:: self.snapshots]
        return first[:, 1:].astype(np.int8) if self.recipe.zoo == "formal-languages" else first[:, 0]


def open_release(folder: Path, images_sha256: str = "") -> OriginalRelease:
    """Open a folder of the original release and check everything about it but the values of its traces.

    Args:
        folder: the authors' folder.
        images_sha256: checksum of the images in which smnist's traces will be recognised, "" for none.

    Raises:
        UsageError: the folder is no such release.
        RnnzooError: an array is missing, damaged, of another shape or type, or disagrees with the others.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name a folder of the original release (with parameters.npy).")
    zoo = _kind(folder)
    arguments = _arguments(folder)
    network = _network(zoo, arguments, folder)
    arrays = {name: _open_array(folder / f"{name}.npy") for name in array_shapes(zoo, network, 1, 2)}
    if arrays["sequences"].ndim < 3:
        raise RnnzooError(f"{folder / 'sequences.npy'} has {arrays['sequences'].ndim} axes: it is of another format.")
    recorded, positions = arrays["sequences"].shape[1:3]
    for name, (dtype, shape) in array_shapes(zoo, network, recorded, positions).items():
        _check_array(folder / f"{name}.npy", arrays[name], dtype, shape, network, zoo)
    if zoo == "smnist" and positions != POSITIONS:
        raise RnnzooError(f"{folder / 'sequences.npy'} has {positions} tiles per sequence, expected {POSITIONS}.")
    _check_row_counts(folder, arrays)
    steps = _steps(folder, arrays, "num_step_correct" if zoo == "formal-languages" else "num_step")
    recipe = ImportedRecipe(
        zoo=zoo,
        models=len(arrays["parameters"]) // len(steps),
        seed=arguments.get("seed", 0),
        network=network,
        protocol=Protocol(steps=steps[-1]),
        snapshots=steps,
        tasks=_language_tasks(arguments, positions) if zoo == "formal-languages" else _digit_tasks(images_sha256),
        rollouts=RolloutPlan(
            LANGUAGE_ROLLOUTS if zoo == "formal-languages" else DIGIT_IMAGES_EVALUATED, recorded=recorded
        ),
        split=SplitRule(),
        source=OriginalSource(
            tuple((f"{name}.npy", file_sha256(folder / f"{name}.npy")) for name in arrays),
            (folder / ARGUMENTS).read_text() if (folder / ARGUMENTS).is_file() else "",
        ),
    )
    large = ("parameters", "sequences", "logits")
    held = {name: StoredArray(folder / f"{name}.npy") if name in large else np.array(arrays[name]) for name in arrays}
    release = OriginalRelease(folder, recipe, held)
    _check_constant_tasks(release)
    return release


def check_values(release: OriginalRelease) -> None:
    """Read a release through, a block of rows at a time, and refuse values that our zoos cannot hold.

    Raises:
        RnnzooError: tokens or counts out of range, or tiles that are no normalised images.
    """
    if release.recipe.zoo == "formal-languages":
        _check_language_values(release)
        return
    path = release.folder / "sequences.npy"
    for rows in blocks(release.recipe.rows):
        try:
            pixels_of(release.arrays["sequences"][rows])
        except ValueError as error:
            raise RnnzooError(f"{path}: in rows {rows.start} to {rows.stop - 1}, {error}.") from error
    if not np.isfinite(release.arrays["tasks"]).all():
        raise RnnzooError(f"{release.folder / 'tasks.npy'} has an angle that is no finite number.")


def _kind(folder: Path) -> str:
    """Which zoo a folder holds, told by the one array that only it has."""
    if (folder / "num_step_correct.npy").is_file():
        return "formal-languages"
    if (folder / "num_step.npy").is_file() or (folder / "accuracy_losses.npy").is_file():
        return "smnist"
    raise UsageError(
        f"{folder} is no folder of the original release: it has neither num_step_correct.npy (formal-languages) nor "
        "num_step.npy and accuracy_losses.npy (smnist)."
    )


def _arguments(folder: Path) -> dict[str, Any]:
    path = folder / ARGUMENTS
    try:
        arguments = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise RnnzooError(f"{path} is no JSON ({error}): restore it, or delete it to assume the paper's.") from error
    if not isinstance(arguments, dict):
        raise RnnzooError(f"{path} is no JSON object: restore it, or delete it to assume the paper's settings.")
    for name in ("seed", "rnn_hidden_size", "rnn_num_layers", "num_tokens", "max_n", "tile_size"):
        if not isinstance(arguments.get(name, 0), int):
            raise RnnzooError(f"{path}: field {name} is {arguments[name]!r}, expected a whole number.")
    return arguments


def _network(zoo: str, arguments: Mapping[str, Any], folder: Path) -> Network:
    expected = {"num_tokens": LETTERS} if zoo == "formal-languages" else {"tile_size": int(TILE_PIXELS**0.5)}
    for name, value in expected.items():
        if arguments.get(name, value) != value:
            raise UsageError(f"{folder / ARGUMENTS}: {name} is {arguments[name]}; rnnzoo knows zoos with {value}.")
    sizes = (VOCABULARY, VOCABULARY) if zoo == "formal-languages" else (TILE_PIXELS, CLASSES)
    return Network(sizes[0], arguments.get("rnn_hidden_size", 32), arguments.get("rnn_num_layers", 2), sizes[1])


def _open_array(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise RnnzooError(f"{path} is missing: copy the whole folder of the original release.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise RnnzooError(f"{path} is damaged or truncated ({error}): copy it again.") from error


def _check_array(
    path: Path, array: NDArray[Any], dtype: str, shape: tuple[int, ...], network: Network, zoo: str
) -> None:
    if path.stem == "parameters" and array.ndim == 2 and array.shape[1:] != shape:
        raise RnnzooError(
            f"{path} has {array.shape[1]} parameters per row, which fits no known network: {zoo} expects {shape[0]} "
            f"({network.describe()}). At the paper's size, formal-languages has 13766 and smnist 15178; other sizes "
            f"are read from rnn_hidden_size and rnn_num_layers in {ARGUMENTS}."
        )
    if array.dtype != np.dtype(dtype) or array.shape[1:] != shape:
        raise RnnzooError(
            f"{path} holds {array.dtype} rows of shape {array.shape[1:]}; {zoo} of {network.describe()} expects "
            f"{dtype} rows of shape {shape}."
        )


def _check_row_counts(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or not counts["parameters"]:
        listed = ", ".join(f"{name}.npy {count}" for name, count in counts.items())
        raise RnnzooError(f"The arrays in {folder} must have the same number of rows, at least one: {listed}.")


def _steps(folder: Path, arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[int, ...]:
    """The snapshot steps, the same for every run."""
    runs, steps = arrays[name][:, 0], arrays[name][:, 1]
    count = int(np.argmax(runs != runs[0])) or len(runs)
    # Two runs of one number in a row show as a step that falls.
    falls = np.flatnonzero(np.diff(steps[:count]) <= 0)
    count = int(falls[0]) + 1 if len(falls) else count
    whole = len(runs) % count == 0
    if not whole or (steps.reshape(-1, count) != steps[:count]).any() or (np.diff(runs.reshape(-1, count)) != 0).any():
        raise RnnzooError(
            f"{folder / name}.npy does not list every run with the same steps in rising order "
            f"({', '.join(map(str, steps[:count]))}, as the first has): rows are missing or mixed up."
        )
    if steps[0] < 0:
        raise RnnzooError(f"{folder / name}.npy has the step {steps[0]}; steps are at least 0.")
    return tuple(int(step) for step in steps[:count])


def _language_tasks(arguments: Mapping[str, Any], length: int) -> LanguageTasks:
    return LanguageTasks(length=length, largest_n=arguments.get("max_n", 10) - 1)


def _digit_tasks(images_sha256: str) -> DigitTasks:
    return DigitTasks(images="all" if images_sha256 else "unknown", images_sha256=images_sha256)


def _check_constant_tasks(release: OriginalRelease) -> None:
    columns = {"tasks": release.arrays["tasks"]}
    if release.recipe.zoo == "smnist":
        columns["accuracy_losses"] = release.arrays["accuracy_losses"][:, 3:]
    for name, values in columns.items():
        grid = np.asarray(values).reshape(release.recipe.models, release.snapshots, -1)
        if (grid != grid[:, :1]).any():
            what = "task" if name == "tasks" else "weight decay"
            raise RnnzooError(f"{release.folder / name}.npy gives some run more than one {what}: rows are mixed up.")


def _check_language_values(release: OriginalRelease) -> None:
    folder, arrays, tasks = release.folder, release.arrays, release.recipe.language_tasks
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
        if tokens.min() < 0 or tokens.max() >= VOCABULARY:
            raise RnnzooError(
                f"{folder / 'sequences.npy'} has tokens beyond 0..{VOCABULARY - 1} in rows {rows.start} to "
                f"{rows.stop - 1}."
            )
