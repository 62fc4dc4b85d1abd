from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnzoo.errors import UsageError
from rnnzoo.generation.kinds import find_recipe, published_recipes
from rnnzoo.generation.recipes import Protocol, field_names, recipe_from_dict

PAPER = find_recipe("formal-languages", "paper")


def test_paper_scale_is_the_papers() -> None:
    assert (PAPER.models, PAPER.protocol.steps, PAPER.rows) == (1000, 20_000, 9000)
    assert PAPER.snapshots == (0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
    assert PAPER.network.parameter_count == 13_766


def test_the_hash_is_stable() -> None:
    """Published zoos are found again by this hash; a change here orphans them."""
    assert PAPER.hash == "4c4fdb01811eeb6c5f932fd1cf9a7dcc213def56d8abe71f7042acaf97dda192"


@pytest.mark.parametrize("recipe", [r for scales in published_recipes().values() for r in scales.values()])
def test_json_round_trip(recipe) -> None:
    again = recipe_from_dict(json.loads(recipe.canonical_json))
    assert again == recipe
    assert again.hash == recipe.hash


@given(st.integers(0, 30_000))
def test_learning_rate_is_piecewise_linear(step: int) -> None:
    rate = Protocol(steps=20_000).learning_rate(step)
    if step <= 10_000:
        assert rate == pytest.approx(0.01 + (0.003 - 0.01) * step / 10_000)
    else:
        assert rate == pytest.approx(max(0.003 + (0.0003 - 0.003) * (step - 10_000) / 10_000, 0.0003))


def test_steps_cut_the_snapshots() -> None:
    recipe = PAPER.override({"protocol.steps": 500})
    assert recipe.snapshots == (0, 100, 200, 500)
    assert recipe.protocol.steps == 500


def test_snapshots_end_the_training() -> None:
    recipe = PAPER.override({"snapshots": (0, 3, 7)})
    assert recipe.protocol.steps == 7


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"models": 0}, "models=0"),
        ({"models": 1.5}, "models=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"protocol.steps": 300}, "--snapshots 0,100,200,300"),
        ({"snapshots": ()}, "snapshots"),
        ({"snapshots": (0, 5, 5)}, "snapshots"),
        ({"snapshots": (-1, 5)}, "snapshots"),
        ({"network.hidden_size": 0}, "hidden_size"),
        ({"protocol.batch_size": 0}, "batch_size"),
        ({"protocol.betas": 0.9}, "betas"),
        ({"protocol.learning_rates": (0.1,)}, "learning_rate"),
        ({"rollouts.recorded": 2000}, "recorded"),
        ({"tasks.largest_n": 1}, "largest_n"),
        ({"tasks.length": 2}, "length"),
        ({"tasks.smallest_offset": 5}, "smallest_offset"),
        ({"split.validation": 0.9}, "validation"),
        ({"hidden_size": 4}, "network.hidden_size"),
        ({"network": 4}, "no field"),
        ({"zoo": "smnist"}, "no field"),
    ],
)
def test_impossible_values_name_the_field(fields: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named.replace("(", r"\(")):
        PAPER.override(fields)


def test_every_field_can_be_overridden() -> None:
    data = json.loads(PAPER.canonical_json)
    for name in field_names(PAPER):
        value = data
        for part in name.split("."):
            value = value[part]
        assert PAPER.override({name: value}) == PAPER


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UsageError, match="formal-languages"):
        find_recipe("informal-languages", "tiny")
    with pytest.raises(UsageError, match="tiny, small, paper"):
        find_recipe("formal-languages", "huge")


def test_a_newer_recipe_asks_for_a_newer_package() -> None:
    with pytest.raises(UsageError, match="update rnnzoo"):
        recipe_from_dict(json.loads(PAPER.canonical_json) | {"version": 99})
    with pytest.raises(UsageError, match="moon"):
        recipe_from_dict(json.loads(PAPER.canonical_json) | {"moon": 1})
