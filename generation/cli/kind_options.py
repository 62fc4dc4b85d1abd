"""Options on the command line that kinds of zoos bring along, such as smnist's --mnist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from rnnzoo.errors import UsageError
from rnnzoo.kinds import kind_names


class KindCommand(click.Command):
    """A command that also takes the options of every kind of zoo: where data comes from.

    The callback gets them as keyword arguments of their own, all together.
    """

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        """The command's own parameters, then the kinds'."""
        own = super().get_params(context)
        *others, help_option = own
        return [*others, *_options(self.recipes), help_option]

    recipes = False


class RecipeCommand(KindCommand):
    """A `KindCommand` that begins a zoo, so that it takes the options that decide fields of a recipe, too."""

    recipes = True


def source_and_fields(kind: str, options: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Where a zoo's data comes from, None unless told, and the fields of the recipe that options of its kind decide.

    Raises:
        UsageError: an option of another kind or of none, or an impossible value.
    """
    from rnnzoo.generation.kinds import find_producer

    producer = find_producer(kind)
    source = producer.source_option
    own = [*producer.recipe_options, *([source] if source else [])]
    if unknown := sorted(options.keys() - {str(option.name) for option in _options(True)}):
        known = ", ".join(str(option.name) for option in own) or "none of its own"
        raise UsageError(f"There is no option {unknown[0]!r}; the kind {kind} has {known}.")
    for option in _options(True):
        if options.get(str(option.name)) is not None and option not in own:
            raise UsageError(f"{kind} has no option {option.opts[0]}: it is for {_owner(option)}.")
    mine = {str(option.name): options.get(str(option.name)) for option in own}
    return (mine[str(source.name)] if source else None), producer.recipe_fields(mine)


def _options(recipes: bool) -> list[click.Option]:
    return [option for options in _options_by_kind(recipes).values() for option in options]


def _owner(option: click.Option) -> str:
    return next(kind for kind, options in _options_by_kind(True).items() if option in options)


def _options_by_kind(recipes: bool) -> dict[str, list[click.Option]]:
    from rnnzoo.generation.kinds import find_producer
    from rnnzoo.kinds import find_kind

    found = {}
    for name in kind_names():
        if find_kind(name).producer:
            producer = find_producer(name)
            source = [producer.source_option] if producer.source_option else []
            found[name] = [*(producer.recipe_options if recipes else ()), *source]
    return found
