"""The one error users are meant to read: what is wrong, where, and what to do about it."""

from __future__ import annotations

from typing import Any


class RnnzooError(Exception):
    """A problem the user can act on; the command line prints it without a traceback.

    `exit_code` is 2 for a request that makes no sense (usage) and 1 for a request that could
    not be carried out (a damaged file, a full disk).
    """

    exit_code = 1


class UsageError(RnnzooError):
    """The request itself is wrong: an unknown name, an impossible size, a conflicting option."""

    exit_code = 2


def require(condition: bool, field: str, value: Any, remedy: str) -> None:
    """Refuse an impossible value of a recipe's field.

    Raises:
        UsageError: the condition does not hold; names field, value and remedy.
    """
    if not condition:
        raise UsageError(f"{field}={value!r} is impossible: {remedy}")
