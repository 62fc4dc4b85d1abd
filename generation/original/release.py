"""A folder of the original release: .npy arrays with one row per snapshot, checked before they are used.

Rows are ordered by training run, then step. The released code records a snapshot after the update its step counter
names, so the weights at step s have had s + 1 updates. smnist's `logits` are raw; those of formal-languages are
log-probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits
from rnnzoo.files.strict_json import reading
from rnnzoo.format.manifest import file_sha256
from rnnzoo.format.recipe_data import check_recipe
from rnnzoo.generation.original.arguments import FILE, Arguments, read_arguments
from rnnzoo.generation.original.arrays import StoredArray, blocks, open_array
from rnnzoo.generation.original.format import (
    DIGIT_IMAGES_EVALUATED,
    LANGUAGE_ROLLOUTS,
    UPDATES_AHEAD,
    array_shapes,
)
from rnnzoo.generation.recipes import Protocol, Recipe, RolloutPlan, SplitRule
from rnnzoo.kinds.digits import POSITIONS
from rnnzoo.kinds.formal_languages import LanguageTasks
from rnnzoo.kinds.languages import END
from rnnzoo.kinds.smnist import DigitTasks
from rnnzoo.networks.network import Network

LARGE = ("parameters", "sequences", "logits")
"""Arrays that stay on disk."""
TRAINING_TOKENS = 2**16
"""Tokens in the training strings of a task, at most; the paper's have 420."""
ATTRIBUTE_BYTES = 60_000
"""HDF5 keeps the recipe as an attribute, which may have 64 kB."""


@dataclass(frozen=True)
class OriginalSource:
    """Which data an imported zoo is made of.

    Attributes:
        arrays: file name and SHA-256 of every array.
        arguments: the text of the release's args.json, empty if it has none.
        updates_ahead: optimizer updates the weights have had beyond their step number.
        restored_starts: recorded rollouts whose start token the release replaced by an end token.
        losses: smnist: "released" as they are, or "recomputed" on all evaluation images.
    """

    arrays: tuple[tuple[str, str], ...]
    arguments: str
    updates_ahead: int = UPDATES_AHEAD
    restored_starts: int = 0
    losses: str = "released"


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


def open_release(folder: Path, images_sha256: str = "", losses: str = "released") -> OriginalRelease:
    """Open a folder of the original release and check everything about it but the values of its arrays.

    Args:
        folder: the authors' folder.
        images_sha256: checksum of the images in which smnist's traces will be recognised, "" for none.
        losses: smnist: whether losses will be "recomputed" or stay as "released".

    Raises:
        UsageError: the folder is no such release.
        RnnzooError: an array is missing, damaged, of another shape or type, too large, or disagrees with the others.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name a folder of the original release (with parameters.npy).")
    zoo = _kind(folder)
    arguments = read_arguments(folder)
    network = arguments.network(zoo)
    arrays = {name: open_array(folder, f"{name}.npy") for name in array_shapes(zoo, network, 1, 2)}
    if len(arrays["sequences"].shape) < 3:
        raise RnnzooError(
            f"{folder / 'sequences.npy'} has {len(arrays['sequences'].shape)} axes: it is of another format."
        )
    recorded, positions = arrays["sequences"].shape[1:3]
    for name, (dtype, shape) in array_shapes(zoo, network, recorded, positions).items():
        _check_array(arrays[name], dtype, shape, network, zoo)
    if zoo == "smnist" and positions != POSITIONS:
        raise RnnzooError(f"{folder / 'sequences.npy'} has {positions} tiles per sequence, expected {POSITIONS}.")
    _check_row_counts(folder, arrays)
    held: dict[str, Any] = {name: array if name in LARGE else array[:] for name, array in arrays.items()}
    steps = _steps(folder, held, "num_step_correct" if zoo == "formal-languages" else "num_step")
    with reading(folder, "copy the whole folder of the original release again"):
        recipe = ImportedRecipe(
            zoo=zoo,
            models=len(arrays["parameters"]) // len(steps),
            seed=max(arguments.seed, 0),
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
                arguments.text,
                restored_starts=_overwritten_starts(arrays["sequences"]) if zoo == "formal-languages" else 0,
                losses=losses,
            ),
        )
        _check_sizes(recipe)
    return OriginalRelease(folder, recipe, held)


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


def _check_array(array: StoredArray, dtype: str, shape: tuple[int, ...], network: Network, zoo: str) -> None:
    path = array.path
    if path.stem == "parameters" and len(array.shape) == 2 and array.shape[1:] != shape:
        raise RnnzooError(
            f"{path} has {array.shape[1]} parameters per row, which fits no known network: {zoo} expects {shape[0]} "
            f"({network.describe()}). At the paper's size, formal-languages has 13766 and smnist 15178; other sizes "
            f"are read from rnn_hidden_size and rnn_num_layers in {FILE}."
        )
    if array.dtype != np.dtype(dtype) or array.shape[1:] != shape:
        raise RnnzooError(
            f"{path} holds {array.dtype} rows of shape {array.shape[1:]}; {zoo} of {network.describe()} expects "
            f"{dtype} rows of shape {shape}."
        )


def _check_row_counts(folder: Path, arrays: Mapping[str, StoredArray]) -> None:
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}.npy {count}" for name, count in counts.items())
        raise RnnzooError(f"The arrays in {folder} must have the same number of rows: {listed}.")
    if counts["parameters"] > limits.ROWS:
        raise RnnzooError(f"{folder} has {counts['parameters']:,} rows, more than {limits.ROWS:,}.")


def _steps(folder: Path, arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[int, ...]:
    """The snapshot steps, the same for every run."""
    runs, steps = arrays[name][:, 0], arrays[name][:, 1]
    if steps.min() < 0 or steps.max() > limits.STEPS:
        raise RnnzooError(f"{folder / name}.npy has steps beyond 0..{limits.STEPS}: it is no list of snapshots.")
    count = int(np.argmax(runs != runs[0])) or len(runs)
    # Two runs of one number in a row show as a step that falls.
    falls = np.flatnonzero(np.diff(steps[:count]) <= 0)
    count = int(falls[0]) + 1 if len(falls) else count
    whole = len(runs) % count == 0
    if (
        not whole
        or (steps.reshape(-1, count) != steps[:count]).any()
        or (runs[::count] != runs.reshape(-1, count).T).any()
    ):
        raise RnnzooError(
            f"{folder / name}.npy does not list every run with the same steps in rising order "
            f"({_listed(steps[:count])}, as the first has): rows are missing or mixed up."
        )
    return tuple(int(step) for step in steps[:count])


def _listed(steps: NDArray[np.integer]) -> str:
    return ", ".join(map(str, steps[:12])) + (f", and {len(steps) - 12} more" if len(steps) > 12 else "")


def _overwritten_starts(sequences: StoredArray) -> int:
    """Recorded rollouts that begin with an end token."""
    return sum(int((sequences[rows][:, :, 0] == END).sum()) for rows in blocks(len(sequences)))


def _language_tasks(arguments: Arguments, length: int) -> LanguageTasks:
    if arguments.max_n * length > TRAINING_TOKENS:
        raise ValueError(
            f"{FILE}: max_n {arguments.max_n} gives training strings of {arguments.max_n * length:,} tokens, more than "
            f"{TRAINING_TOKENS:,}"
        )
    return LanguageTasks(length=length, largest_n=arguments.max_n - 1)


def _digit_tasks(images_sha256: str) -> DigitTasks:
    return DigitTasks(images="all" if images_sha256 else "unknown", images_sha256=images_sha256)


def _check_sizes(recipe: ImportedRecipe) -> None:
    """Refuse what no zoo could hold, as readers of the zoo would."""
    data = recipe.as_json()
    check_recipe(data)
    row_bytes = sum(column.row_bytes for column in recipe.columns)
    if row_bytes > limits.ROW_BYTES:
        raise ValueError(f"a row takes {row_bytes:,} bytes, more than {limits.ROW_BYTES:,}")
    if len(recipe.canonical_json) > ATTRIBUTE_BYTES:
        raise ValueError(f"steps and settings take {len(recipe.canonical_json):,} bytes, more than {ATTRIBUTE_BYTES:,}")
