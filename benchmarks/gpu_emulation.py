"""How fast is an emulation training step on a GPU, captured as a graph and not, and is it the same?"""

from __future__ import annotations

import dataclasses
import time
import warnings
from typing import Any

import numpy as np
import torch
from emulation import synthetic_data
from gpu_timing import seconds

from rnnzoo.emulation.config import PROFILES
from rnnzoo.emulation.trainer import EmulationTraining
from rnnzoo.encoders.registry import BUILT_IN

COMPARED_STEPS = 20
SEEDS = 4
TOGETHER = ("constant", "non-interactive")
"""Encoders of which several seeds are trained at once."""


def steps_of_encoders(device: str, toy: bool, budget: float, deadline: float) -> list[dict[str, Any]]:
    """Milliseconds per step of every encoder, and the largest difference of losses between captured and eager.

    Args:
        device: "cuda", or "cpu" for toy sizes, where nothing is captured.
        toy: few steps at small sizes instead of the paper's.
        budget: seconds of each timing.
        deadline: of `time.monotonic`, after which no other encoder is begun.
    """
    rows = []
    for name in BUILT_IN:
        if time.monotonic() > deadline:
            rows.append({"encoder": name, "skipped": "no time left"})
            continue
        row: dict[str, Any] = {"encoder": name}
        losses = {}
        for kind, capture in (("captured", None), ("eager", False)):
            with warnings.catch_warnings(record=True) as noticed:
                warnings.simplefilter("always")
                training = training_of(name, device, toy, capture=capture)
                training.run(until=2 if toy else COMPARED_STEPS)
            losses[kind] = np.array(training.losses)
            if kind == "captured":
                row["is captured"] = is_captured(training)
                row["warnings"] = [str(warning.message)[:200] for warning in noticed]
            row[f"{kind}, ms per step"] = milliseconds_per_step(training, device, budget)
        row["largest difference of losses"] = float(np.abs(losses["captured"] - losses["eager"]).max())
        rows.append(row)
    return rows


def seeds_at_once(device: str, budget: float) -> dict[str, Any]:
    """Several seeds replayed on streams of their own against one after the other: milliseconds per step of all.

    What the host does for each step is left out: the graphs are replayed with the numbers of their last step.
    """
    result = {}
    for name in TOGETHER:
        trainings = [training_of(name, device, False, seed) for seed in range(SEEDS)]
        streams = [torch.cuda.Stream() for _ in trainings]
        replays = []
        for training in trainings:
            training.run(until=COMPARED_STEPS)
            assert is_captured(training), "without a graph, the times would be those of ordinary steps"
            replays.append(training.ahead.captured)
        once = seconds(replays[0], device)
        steps = max(1, int(budget / SEEDS / once))

        def in_turns(steps: int = steps, replays: list = replays) -> None:
            for _ in range(steps):
                for replay in replays:
                    replay()

        def at_once(steps: int = steps, replays: list = replays, streams: list = streams) -> None:
            for _ in range(steps):
                for replay, stream in zip(replays, streams, strict=True):
                    with torch.cuda.stream(stream):
                        replay()

        times = {
            kind: 1000 * min(seconds(action, device) for _ in range(3)) / steps
            for kind, action in (("one after the other", in_turns), ("at once", at_once))
        }
        result[name] = {**times, "ratio": times["one after the other"] / times["at once"]}
    return result


def is_captured(training: EmulationTraining) -> bool:
    """Whether updates are replays of a graph by now."""
    captured = training.ahead.captured if training.ahead else None
    return captured is not None and captured.replay is not None


def training_of(name: str, device: str, toy: bool, seed: int = 0, capture: bool | None = None) -> EmulationTraining:
    """A run at paper sizes, or at toy sizes, on random numbers."""
    config = PROFILES["paper"]
    if toy:
        config = dataclasses.replace(PROFILES["quick"], rows_per_step=2, hidden_size=8)
    data = synthetic_data(rows=4, positions=3) if toy else synthetic_data(rows=256, positions=41)
    return EmulationTraining(data, name, config, seed, device, capture=capture)


def milliseconds_per_step(training: EmulationTraining, device: str, budget: float) -> float:
    """Milliseconds of one step, the host's part included, the median of three runs."""

    def advance(steps: int) -> float:
        until = training.step + steps
        return seconds(lambda: training.run(until), device) / steps

    steps = max(1, min(2000, int(budget / 3 / advance(1))))
    return 1000 * float(np.median([advance(steps) for _ in range(3)]))
