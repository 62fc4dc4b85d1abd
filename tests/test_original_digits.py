"""Our smnist models against those trained by the original authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rnnzoo.generation.engines import find_engine
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.smnist import digit_population, digit_rows, load_digits

ACCURACY_RANGE = {0: (0.09, 0.11), 100: (0.27, 0.38), 1000: (0.85, 0.90)}
"""Evaluation accuracy by step, lowest and highest of the models trained by the original code."""


def test_accuracy_over_steps_is_the_originals(mnist_folder: Path) -> None:
    """The median of six models lies in the original's range; single models scatter beyond so small a range."""
    fields = {"protocol.steps": 1000, "rollouts.evaluated": 2000}
    recipe = find_recipe("smnist", "paper").override(fields)
    data = load_digits(recipe, str(mnist_folder))
    population, angles = digit_population(recipe, range(6), data)
    engine, notice = find_engine("auto", population)
    if notice:
        pytest.skip("the reference engine would take minutes; install rnnzoo[build]")
    for snapshot in engine.train(population, lambda steps, loss: None):
        if snapshot.step in ACCURACY_RANGE:
            rows = digit_rows(recipe, engine, population, angles, snapshot, data)
            low, high = ACCURACY_RANGE[snapshot.step]
            assert low <= np.median(rows["eval_accuracy"]) <= high, snapshot.step
