"""The command on a card builds the zoo it is the card of: given to the command line, it asks for the same recipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rnnzoo.cli.main import cli
from rnnzoo.format.manifest import read_manifest
from rnnzoo.generation.cli import build_commands
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.smnist import digit_images
from rnnzoo.generation.recipe_command import command_of
from rnnzoo.generation.recipes import Recipe


def recipe_of_command(line: str) -> Recipe:
    """The recipe that the command line makes of a command."""
    found: list[Recipe] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_commands, "_print_plan", lambda request, *_: found.append(request.recipe))
        program, *words = shlex.split(line)
        result = CliRunner().invoke(cli, [*words, "--dry-run"], catch_exceptions=False)
    assert program == "rnnzoo"
    assert result.exit_code == 0, result.output
    return found[0]


@pytest.mark.parametrize("zoo", ["formal-languages", "smnist"])
@pytest.mark.parametrize("scale", ["tiny", "small", "paper"])
def test_a_published_zoo_takes_no_more_than_its_scale(zoo: str, scale: str) -> None:
    assert command_of(find_recipe(zoo, scale).as_json()) == f"rnnzoo build {zoo} --scale {scale}"


CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "models": st.integers(1, 3000),
    "seed": st.integers(0, 2**64 - 1),
    "snapshots": st.lists(st.integers(0, 30_000), min_size=1, max_size=5, unique=True).map(sorted).map(tuple),
    "network.hidden_size": st.integers(1, 64),
    "network.layers": st.integers(1, 3),
    "protocol.batch_size": st.integers(1, 64),
    "protocol.epsilon": st.floats(1e-12, 1e-3),
    "protocol.betas": st.just((0.8, 0.95)),
    "split.seed": st.integers(0, 9),
    "split.validation": st.floats(0, 0.49),
}


@given(st.fixed_dictionaries({}, optional={**CHANGES, "tasks.largest_n": st.integers(3, 20)}))
def test_the_command_of_languages_gives_the_recipe(fields: dict[str, Any]) -> None:
    recipe = find_recipe("formal-languages", "small").override(fields)
    line = command_of(recipe.as_json())
    assert line is not None
    assert recipe_of_command(line).hash == recipe.hash


DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64) | st.just("1e" + "0" * 62) | st.just("7" * 64)


DIGIT_CHANGES = {
    **CHANGES,
    "tasks.images_sha256": DIGESTS,
    "tasks.images": st.just("true"),
    "tasks.weight_decays": st.lists(st.floats(0, 1), min_size=1).map(tuple),
}


@given(st.fixed_dictionaries({}, optional=DIGIT_CHANGES))
def test_the_command_of_digits_gives_the_recipe(fields: dict[str, Any]) -> None:
    """Even where text looks like a number, or like a truth value."""
    recipe = find_recipe("smnist", "tiny").override(fields)
    line = command_of(recipe.as_json())
    assert line is not None
    assert recipe_of_command(line).hash == recipe.hash


@pytest.mark.parametrize(
    ("dataset", "images", "words"),
    [("mnist", "sample", "--mnist sample"), ("fashion-mnist", "all", "--dataset fashion-mnist")],
)
def test_known_images_are_named_by_their_options(dataset: str, images: str, words: str) -> None:
    fields = {f"tasks.{name}": value for name, value in digit_images(dataset, images).items()}
    recipe = find_recipe("smnist", "tiny").override(fields)
    assert command_of(recipe.as_json()) == f"rnnzoo build smnist --scale tiny {words}"
    assert recipe_of_command(f"rnnzoo build smnist --scale tiny {words}").hash == recipe.hash


def test_what_no_command_builds_has_none(small_recipe: Recipe) -> None:
    recipe = small_recipe.as_json()
    assert command_of({**recipe, "zoo": "unknown-kind"}) is None
    assert command_of({**recipe, "version": 10**6}) is None
    assert command_of({**recipe, "source": {"arrays": [], "arguments": "", "updates_ahead": 1}}) is None


def test_the_zoos_of_tests_have_theirs(built_folder: Path, digit_folder: Path) -> None:
    for folder in (built_folder, digit_folder):
        manifest = read_manifest(folder)
        assert recipe_of_command(str(command_of(manifest.recipe))).hash == manifest.recipe_hash
