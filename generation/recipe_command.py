"""The command that builds a zoo, from its recipe."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from rnnzoo.cli.assignments import assignment
from rnnzoo.errors import RnnzooError
from rnnzoo.generation.kinds import find_producer
from rnnzoo.generation.recipes import Recipe, recipe_from_dict

OPTIONS = {
    "models": "--models",
    "seed": "--seed",
    "network.hidden_size": "--hidden-size",
    "network.layers": "--layers",
    "protocol.batch_size": "--batch-size",
}
"""Options of `rnnzoo build` that take one number."""


def command_of(recipe: Mapping[str, Any]) -> str | None:
    """The line that builds a zoo of a recipe, given as JSON data, from the published scale that differs least.

    None where no command does: the recipe of an import, of a kind that cannot be built here, of another version.
    """
    with suppress(RnnzooError):
        wanted = recipe_from_dict(recipe)
        producer = find_producer(wanted.zoo)
        own = producer.options_of(wanted)
        known = [*producer.recipe_options, *([producer.source_option] if producer.source_option else [])]
        decided = producer.recipe_fields({str(option.name): own.get(str(option.name)) for option in known})
        lines: list[list[str]] = []
        for scale, published in producer.recipes.items():
            fields = dict(_differences(wanted, published.override(decided)))
            if published.override(decided | fields).hash == wanted.hash:
                lines.append(_words(wanted.zoo, scale, own, fields))
        shortest = min(lines, key=len, default=None)
        return shlex.join(shortest) if shortest else None
    return None


def _differences(wanted: Recipe, base: Recipe) -> Iterator[tuple[str, Any]]:
    """Dotted names and values of the fields that differ from a published recipe's."""
    there = dict(_leaves(dataclasses.asdict(base)))
    for name, value in _leaves(dataclasses.asdict(wanted)):
        if name not in there or there[name] != value:
            yield name, value


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _words(zoo: str, scale: str, own: Mapping[str, str], fields: Mapping[str, Any]) -> list[str]:
    words = ["rnnzoo", "build", zoo, "--scale", scale]
    for name, text in own.items():
        words += [f"--{name}", text]
    for name, value in fields.items():
        if name in OPTIONS:
            words += [OPTIONS[name], str(value)]
        elif name == "snapshots":
            words += ["--snapshots", ",".join(map(str, value))]
        elif name != "protocol.steps":  # follows from the snapshots
            words += ["--set", f"{name}={_value(value)}"]
    return words


def _value(value: Any) -> str:
    """A value as `--set` takes it."""
    text = repr(value).replace(" ", "") if not isinstance(value, str) else value
    return text if assignment(f"field={text}", "")[1] == value else repr(value)
