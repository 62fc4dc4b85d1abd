"""An emulation run that can be stopped at any moment: its checkpoint, in safetensors, and its curve on disk."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from rnnzoo.benchmark.results import TrainingCurve
from rnnzoo.emulation.data import EmulationData
from rnnzoo.emulation.trainer import EmulationTraining, evaluate
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.atomic import atomic_path, write_json
from rnnzoo.files.strict_json import parse_json, read_json, reading
from rnnzoo.jobs.processes import Progress

CURVE_POINTS = 10
CHECKPOINT_EVERY_SECONDS = 30.0
CHECKPOINT_NAME, CURVE_NAME = "checkpoint.safetensors", "curve.json"


def save_checkpoint(training: EmulationTraining, path: str | Path) -> None:
    """Write what a run goes on from - weights, optimizer state and step - whole or not at all.

    Raises:
        RnnzooError: it cannot be written, or an update under way met an answer that is not finite.
    """
    from safetensors.torch import save_file

    # Updates that the device was already given change the weights: wait for them.
    training.run(until=training.step)
    tensors: dict[str, Tensor] = {}
    for name, model in training.models.items():
        tensors |= {f"{name}.{key}": value for key, value in model.state_dict().items()}
    for name, optimizer in training.optimizers.items():
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.optimizer.{number}.{key}": value for key, value in moments.items()}
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    metadata = {"run": json.dumps(training.describe()), "step": str(training.step)}
    with atomic_path(Path(path)) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def load_checkpoint(training: EmulationTraining, path: str | Path) -> None:
    """Take weights, optimizer state and step from a checkpoint of the same run, whatever device it was written on.

    Raises:
        UsageError: the checkpoint is of a run with another encoder, configuration or seed.
        RnnzooError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    remedy = "delete it to start anew"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise RnnzooError(f"The checkpoint {path} cannot be read ({error}): {remedy}.") from error
    with reading(path, remedy):
        saved = parse_json(metadata["run"].encode(), dict[str, Any], path, remedy)
        step = int(metadata["step"])
    mine = json.loads(json.dumps(training.describe()))
    for field in mine:
        if saved.get(field) != mine[field]:
            raise UsageError(
                f"The checkpoint {path} is of a run with {field}={saved.get(field)!r}, but this run has "
                f"{mine[field]!r}: use the same settings to resume, or another folder to start anew."
            )
    if training.ahead is not None:
        # Loading puts the moments into new memory, which a captured graph would not read.
        training.ahead.forget()
    with reading(path, remedy):
        for name, model in training.models.items():
            model.load_state_dict({key: tensors[f"{name}.{key}"] for key in model.state_dict()})
        for name, optimizer in training.optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key in tensors:
                if key.startswith(f"{name}.optimizer."):
                    number, moment = key.removeprefix(f"{name}.optimizer.").split(".")
                    state.setdefault(int(number), {})[moment] = tensors[key]
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    training.step = step


def train_with_checkpoints(
    training: EmulationTraining, validation: EmulationData, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Train to the end, from the last checkpoint if there is one.

    Args:
        training: a run, not yet begun.
        validation: rows on which the loss is followed, with one rollout each.
        folder: where checkpoint and curve are kept.
        progress: told the updates done and the loss.

    Returns:
        The curve: lists `step` and `loss` (mean training loss since the point before), `validation_step` and
        `validation_loss`, the `seconds` of training in all calls together, and `seconds_per_update`, the median over
        the points of the last call, without validation: the first point may include compilation.

    Raises:
        UsageError: the checkpoint is of another run.
        RnnzooError: the encoder's answer cannot be used, or the folder cannot be written.
    """
    checkpoint, curve_path = folder / CHECKPOINT_NAME, folder / CURVE_NAME
    curve: dict[str, Any] = {"step": [], "loss": [], "validation_step": [], "validation_loss": [], "seconds": 0.0}
    curve["seconds_per_update"] = 0.0
    paces: list[float] = []
    steps = training.config.steps
    if checkpoint.exists() and curve_path.exists():
        load_checkpoint(training, checkpoint)
        remedy = f"delete {folder} to start the run anew"
        curve = _curve_until(vars(read_json(curve_path, TrainingCurve, remedy, finite=False)), training.step)
    before = curve["seconds"]
    began = last_saved = time.perf_counter()
    points = sorted({max(1, steps * (i + 1) // CURVE_POINTS) for i in range(CURVE_POINTS)})
    every = max(1, steps // 100)
    while training.step < steps:
        until = min(*(p for p in points if p > training.step), (training.step // every + 1) * every, steps)
        training.losses.clear()
        at, started = training.step, time.perf_counter()
        training.run(until, progress)
        paces.append((time.perf_counter() - started) / (until - at))
        curve["step"].append(training.step)
        curve["loss"].append(float(np.mean(training.losses)))
        if training.step in points:
            losses = evaluate(training.encoder, training.emulator, validation, rollouts=1)
            curve["validation_step"].append(training.step)
            curve["validation_loss"].append(float(losses[training.config.loss].mean()))
        now = time.perf_counter()
        if now - last_saved > CHECKPOINT_EVERY_SECONDS or training.step == steps:
            curve["seconds"] = before + now - began
            curve["seconds_per_update"] = float(np.median(paces))
            write_json(curve_path, curve)
            save_checkpoint(training, checkpoint)
            last_saved = now
    return curve


def _curve_until(curve: dict[str, Any], step: int) -> dict[str, Any]:
    """A curve without what lies beyond the checkpoint that a run goes on from."""
    kept: dict[str, Any] = {name: curve[name] for name in ("seconds", "seconds_per_update")}
    for steps, values in (("step", "loss"), ("validation_step", "validation_loss")):
        count = sum(at <= step for at in curve[steps])
        kept |= {steps: list(curve[steps][:count]), values: list(curve[values][:count])}
    return kept
