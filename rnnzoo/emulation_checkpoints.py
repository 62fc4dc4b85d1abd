"""An emulation run that can be stopped at any moment: its checkpoint and its curve on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from rnnzoo.atomic import write_json
from rnnzoo.emulation import EmulationTraining, evaluate
from rnnzoo.emulation_data import EmulationData
from rnnzoo.jobs import Progress
from rnnzoo.results import TrainingCurve
from rnnzoo.strict_json import read_json

CURVE_POINTS = 10
CHECKPOINT_EVERY_SECONDS = 30.0
CHECKPOINT_NAME, CURVE_NAME = "checkpoint.safetensors", "curve.json"


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
        `validation_loss`, and the `seconds` of training in all calls together.

    Raises:
        UsageError: the checkpoint is of another run.
        RnnzooError: the encoder's answer cannot be used, or the folder cannot be written.
    """
    checkpoint, curve_path = folder / CHECKPOINT_NAME, folder / CURVE_NAME
    curve: dict[str, Any] = {"step": [], "loss": [], "validation_step": [], "validation_loss": [], "seconds": 0.0}
    steps = training.config.steps
    if checkpoint.exists() and curve_path.exists():
        training.restore(checkpoint)
        remedy = f"delete {folder} to start the run anew"
        curve = _curve_until(vars(read_json(curve_path, TrainingCurve, remedy, finite=False)), training.step)
    began, before = time.perf_counter(), curve["seconds"]
    last_saved = began
    points = sorted({max(1, steps * (i + 1) // CURVE_POINTS) for i in range(CURVE_POINTS)})
    every = max(1, steps // 100)
    while training.step < steps:
        until = min(*(p for p in points if p > training.step), (training.step // every + 1) * every, steps)
        training.losses.clear()
        training.run(until, progress)
        curve["step"].append(training.step)
        curve["loss"].append(float(np.mean(training.losses)))
        if training.step in points:
            losses = evaluate(training.encoder, training.emulator, validation, rollouts=1)
            curve["validation_step"].append(training.step)
            curve["validation_loss"].append(float(losses[training.config.loss].mean()))
        now = time.perf_counter()
        if now - last_saved > CHECKPOINT_EVERY_SECONDS or training.step == steps:
            curve["seconds"] = before + now - began
            write_json(curve_path, curve)
            training.save(checkpoint)
            last_saved = now
    return curve


def _curve_until(curve: dict[str, Any], step: int) -> dict[str, Any]:
    """A curve without what lies beyond the checkpoint that a run goes on from."""
    kept: dict[str, Any] = {"seconds": curve["seconds"]}
    for steps, values in (("step", "loss"), ("validation_step", "validation_loss")):
        count = sum(at <= step for at in curve[steps])
        kept |= {steps: list(curve[steps][:count]), values: list(curve[values][:count])}
    return kept
