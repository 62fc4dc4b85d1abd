"""FIELD=VALUE on the command line."""

from __future__ import annotations

import ast
from typing import Any

from rnnzoo.errors import UsageError


def assignment(text: str, example: str) -> tuple[str, Any]:
    """Name and value of a `--set` option: a number, a list of numbers, true or false, or the text itself.

    Args:
        text: as given.
        example: of what could be given, for the error.

    Raises:
        UsageError: there is no "=".
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write FIELD=VALUE, for example --set {example}.")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
