"""Kinds of zoos by name: rnnzoo's own, and those that installed packages announce."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points

from rnnzoo.errors import UsageError
from rnnzoo.kinds.kind import Kind

ENTRY_POINTS = "rnnzoo.kinds"
"""Group of package entry points whose names become kinds of zoos."""

BUILT_IN = {
    "formal-languages": "rnnzoo.kinds.formal_languages:FORMAL_LANGUAGES",
    "smnist": "rnnzoo.kinds.smnist:SMNIST",
}
"""The two zoos of the paper."""


def kind_names() -> list[str]:
    """Every kind that is installed: rnnzoo's, then announced ones."""
    return [*BUILT_IN, *sorted(_announced().keys() - BUILT_IN.keys())]


@cache
def find_kind(name: str) -> Kind:
    """The kind of a name; where it is not installed, a stand-in that knows what manifests say.

    Raises:
        UsageError: the package that announces it is broken.
    """
    target = {**_announced(), **BUILT_IN}.get(name)
    if target is None:
        stand_in = Kind(name)
        stand_in.known = False
        return stand_in
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"The kind of zoo {name!r} could not be imported from {target} ({error}).") from error
    if not isinstance(found, Kind) or found.name != name:
        raise UsageError(f"{target} is no kind of zoo named {name!r}: it must be an instance of rnnzoo.kinds.Kind.")
    return found


@cache
def _announced() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
