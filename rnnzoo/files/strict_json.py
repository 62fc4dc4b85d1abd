"""JSON that anyone may have written: read within bounds, without a second meaning, as data of a stated type.

To read a file, describe it as a frozen dataclass (bounds of a field as `Annotated[int, msgspec.Meta(ge=0, le=9)]`) and
call `read_json(path, ThatClass, "what the user can do")`. For a file whose fields are not all known, give a
`dict[str, T]` or `dict[str, Any]`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits

T = TypeVar("T")

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = b"[]{}"
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_DIGITS_AS_ZEROS = bytes(ord("0") if ord("0") <= byte <= ord("9") else ord(" ") for byte in range(256))

_WHAT_READING_RAISES = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError, UsageError,
)  # fmt: skip
"""By data nobody foresaw. A UsageError is among them: its value came from a file and not from the user."""


@contextmanager
def reading(where: object, remedy: str) -> Iterator[None]:
    """Turns whatever strange data makes reading code raise into one error.

    Args:
        where: the file.
        remedy: what the user can do, without a full stop.

    Raises:
        RnnzooError: names file, reason and remedy.
    """
    try:
        yield
    except _WHAT_READING_RAISES as error:
        reason = str(error).rstrip(".") if isinstance(error, ValueError | UsageError) else _named(error)
        raise RnnzooError(f"{where} is damaged ({reason}): {remedy}.") from error


def read_json(path: Path, kind: type[T], remedy: str, finite: bool = True) -> T:
    """A file of JSON as data of a type; see `parse_json`.

    Raises:
        FileNotFoundError: there is no such file.
        RnnzooError: it cannot be read, is larger than a file of JSON may be, or `parse_json` refuses it.
    """
    return parse_json(read_bounded(path, remedy), kind, path, remedy, finite)


def read_bounded(path: Path, remedy: str) -> bytes:
    """The bytes of a regular file that is not larger than a file of JSON may be.

    Raises:
        FileNotFoundError: there is no such file.
        RnnzooError: it cannot be read, or is larger.
    """
    try:
        if path.exists() and not path.is_file():
            raise RnnzooError(f"{path} is no regular file: {remedy}.")
        with open(path, "rb") as file:
            text = file.read(limits.JSON_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RnnzooError(f"{path} cannot be read ({error.strerror}): {remedy}.") from error
    if len(text) > limits.JSON_BYTES:
        raise RnnzooError(f"{path} is larger than {limits.JSON_BYTES:,} bytes: {remedy}.")
    return text


def parse_json(text: bytes, kind: type[T], where: object, remedy: str, finite: bool = True) -> T:
    """JSON as data of a type.

    Args:
        text: UTF-8.
        kind: a dataclass, or any other type that msgspec converts to; fields it does not have are refused.
        where: the file, for the error.
        remedy: what the user can do, without a full stop, for the error.
        finite: refuse NaN and Infinity, which Python writes and JSON does not have.

    Raises:
        RnnzooError: it is larger, deeper or longer than files may be, no JSON, names a field twice, or is not of the
            type; names file, field and remedy.
    """
    with reading(where, remedy):
        _check_bounds(text)
        data = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_float,
            parse_constant=_refuse_constant if finite else None,
        )
        return typed(data, kind)


def typed(data: Any, kind: type[T], exactly: bool = True) -> T:
    """JSON data as data of a type.

    Args:
        data: as JSON is parsed.
        kind: a dataclass, or any other type that msgspec converts to.
        exactly: refuse fields that the type does not have; otherwise they are left out.

    Raises:
        ValueError: it is of another type, or has a field that the type does not have.
        RnnzooError: a value that the type's own checks refuse.
    """
    try:
        found = msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at ")
        raise ValueError(f"field {field.strip('`').removeprefix('$.')}: {what}" if field else what) from error
    if exactly and (unknown := _unknown_field(data, found)):
        raise ValueError(f"field {unknown!r} is unknown")
    return found


def _check_bounds(text: bytes) -> None:
    """Refuse what would take Python's parser much memory, much time or its stack, by counting characters."""
    if len(text) > limits.JSON_BYTES:
        raise ValueError(f"it is larger than {limits.JSON_BYTES:,} bytes")
    bare = _STRING.sub(b" ", text)
    if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > limits.JSON_VALUES:
        raise ValueError(f"it has more than {limits.JSON_VALUES:,} values")
    steps = (1 if bracket in b"[{" else -1 for bracket in bare.translate(None, _ALL_BUT_BRACKETS))
    if max(accumulate(steps), default=0) > limits.JSON_DEPTH:
        raise ValueError(f"it is nested deeper than {limits.JSON_DEPTH} levels")
    if b"0" * (limits.DIGITS + 1) in bare.translate(_DIGITS_AS_ZEROS):
        raise ValueError(f"it has a number of more than {limits.DIGITS} digits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"field {twice!r} is there twice")
    return data


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text} is too large")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _unknown_field(data: Any, found: Any, prefix: str = "") -> str | None:
    """The first field of JSON data that its typed form has no place for."""
    if dataclasses.is_dataclass(found):
        found = vars(found)
    if isinstance(data, Mapping):
        for name in data:
            if name not in found:
                return f"{prefix}{name}"
        parts = [(name, value, found[name]) for name, value in data.items()]
    elif isinstance(data, list | tuple):
        parts = [(str(index), *pair) for index, pair in enumerate(zip(data, found, strict=True))]
    else:
        return None
    nested = (_unknown_field(value, kept, f"{prefix}{name}.") for name, value, kept in parts if value is not kept)
    return next((field for field in nested if field), None)


def _named(error: BaseException) -> str:
    return f"field {error} is missing" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
