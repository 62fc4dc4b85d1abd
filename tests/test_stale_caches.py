"""Rows that `datasets` keeps of a folder do not outlive the zoo that was in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from rnnzoo.generation.building.build import build
from rnnzoo.generation.building.extend import extend
from rnnzoo.generation.recipes import Recipe
from rnnzoo.zoo.zoo import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def few_models(small_recipe: Recipe) -> Recipe:
    return small_recipe.override({"models": 4, "snapshots": (0, 5), "rollouts.evaluated": 5, "rollouts.recorded": 2})


@pytest.fixture(scope="module")
def first(few_models: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo that is loaded first; no test changes it."""
    folder = tmp_path_factory.mktemp("first") / "zoo"
    build(few_models, folder, "reference")
    return folder


def another_seed(folder: Path, recipe: Recipe) -> None:
    shutil.rmtree(folder)
    build(recipe.override({"seed": 1}), folder, "reference")


def extended(folder: Path, recipe: Recipe) -> None:
    extend(folder, 6)


def other_steps(folder: Path, recipe: Recipe) -> None:
    shutil.rmtree(folder)
    build(recipe.override({"snapshots": (0, 7), "protocol.steps": 7}), folder, "reference")


def as_before(folder: Path, recipe: Recipe) -> None:
    pass


@pytest.mark.parametrize("config", ["default", "weights", "labels"])
@pytest.mark.parametrize("replace", [another_seed, extended, other_steps, as_before])
def test_a_replaced_zoo_is_loaded_anew(
    first: Path, few_models: Recipe, config: str, replace: Callable[[Path, Recipe], None], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(first, tmp_path / "zoo"))
    column = "train_loss" if config == "labels" else "weights"
    for change in (as_before, replace):
        change(folder, few_models)
        rows = load_dataset(str(folder), config, split="train", cache_dir=str(tmp_path / "cache"))
        assert np.array_equal(rows.with_format("numpy")[:][column], load(folder, "train")[column])
    kept = {path.parent for path in (tmp_path / "cache").rglob("dataset_info.json")}
    assert len(kept) == (1 if replace is as_before else 2)
