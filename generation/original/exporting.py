"""Write a zoo in the original authors' format, so that code written against their release runs on it.

An imported zoo comes out bit for bit as it came in. In a zoo built here, steps count updates from the initialisation,
and smnist's `logits` are log-probabilities: their softmax is the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import UsageError
from rnnzoo.files.atomic import atomic_folder, write_text
from rnnzoo.format.schema import is_imported
from rnnzoo.generation.original.arguments import FILE
from rnnzoo.generation.original.arrays import blocks
from rnnzoo.generation.original.format import array_shapes, released_pixel_values
from rnnzoo.kinds.digits import POSITIONS, TILE_SIDE
from rnnzoo.kinds.languages import END, LETTERS
from rnnzoo.zoo.zoo import Zoo


def export_zoo(zoo: Zoo, out: Path, advance: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Write a whole zoo as a folder of the original release, models in order of their ids.

    Args:
        zoo: all rows of a zoo.
        out: the folder to write, new or empty.
        advance: told (rows done, all rows).

    Raises:
        UsageError: the folder holds something.
        RnnzooError: the zoo is damaged or the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is left untouched: choose a new or empty folder with --original.")
    recipe = zoo.manifest.recipe
    ordered = zoo[np.lexsort((zoo["step"], zoo["model_id"]))]
    positions = recipe["tasks"]["length"] if zoo.manifest.zoo == "formal-languages" else POSITIONS
    shapes = array_shapes(zoo.manifest.zoo, zoo.network, recipe["rollouts"]["recorded"], positions)
    rows_of = _language_rows if zoo.manifest.zoo == "formal-languages" else _digit_rows
    with atomic_folder(out) as temporary, ExitStack() as stack:
        files = {}
        for name, (dtype, shape) in shapes.items():
            files[name] = stack.enter_context(open(temporary / f"{name}.npy", "wb"))
            np.lib.format.write_array_header_1_0(
                files[name],
                {
                    "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                    "fortran_order": False,
                    "shape": (len(zoo), *shape),
                },
            )
        for rows in blocks(len(ordered)):
            for name, values in rows_of(ordered[rows]).items():
                dtype, shape = shapes[name]
                files[name].write(np.ascontiguousarray(values.reshape(-1, *shape), dtype=dtype).tobytes())
            advance(rows.stop, len(ordered))
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
        if text := _arguments_text(zoo):
            write_text(temporary / FILE, text)


def _arguments_text(zoo: Zoo) -> str:
    """The text of args.json: the release's own, or the settings of our recipe by the authors' names."""
    recipe = zoo.manifest.recipe
    if is_imported(recipe):
        return recipe["source"]["arguments"]
    arguments = {"seed": recipe["seed"], "num_training_runs": recipe["models"]}
    if zoo.manifest.zoo == "formal-languages":
        tasks = recipe["tasks"]
        arguments |= {
            "num_tokens": LETTERS,
            "sequence_length": tasks["length"],
            "max_n": tasks["largest_n"] + 1,
            "one_hot_input": 1,
        }
    else:
        arguments["tile_size"] = TILE_SIDE
    return json.dumps(arguments | {"rnn_hidden_size": zoo.network.hidden_size, "rnn_num_layers": zoo.network.layers})


def _runs(zoo: Zoo) -> NDArray[np.integer]:
    return zoo["run"] if is_imported(zoo.manifest.recipe) else zoo["model_id"]


def _language_rows(zoo: Zoo) -> dict[str, NDArray[Any]]:
    correct = np.round(zoo["accuracy_counts"].astype(np.float64) * zoo.manifest.recipe["rollouts"]["evaluated"])
    sequences = zoo["sequences"].copy()
    if "start_overwritten" in (column.name for column in zoo.columns):
        sequences[:, :, 0] = np.where(zoo["start_overwritten"], END, sequences[:, :, 0])
    return {
        "parameters": zoo["weights"],
        "sequences": sequences,
        "logits": zoo["log_probs"],
        "tasks": np.pad(zoo["task"], ((0, 0), (1, 0))),
        "num_step_correct": np.stack([_runs(zoo), zoo["step"], correct], axis=1),
    }


def _digit_rows(zoo: Zoo) -> dict[str, NDArray[Any]]:
    tiles = released_pixel_values()[zoo["tiles"]]
    released = "released_" if "released_eval_loss" in (column.name for column in zoo.columns) else ""
    metrics = ("eval_accuracy", f"{released}train_loss", f"{released}eval_loss", "weight_decay")
    return {
        "parameters": zoo["weights"],
        "sequences": np.concatenate([np.zeros_like(tiles[:, :, :1]), tiles], axis=2),
        "logits": zoo["logits" if is_imported(zoo.manifest.recipe) else "log_probs"],
        "tasks": zoo["task"],
        "num_step": np.stack([_runs(zoo), zoo["step"]], axis=1),
        "accuracy_losses": np.stack([zoo[name] for name in metrics], axis=1),
    }
