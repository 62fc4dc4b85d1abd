"""Which rows are asked for: by a key, or by a condition on a column, a value, a list, a range or a function."""

from __future__ import annotations

from collections.abc import Callable
from reprlib import repr as shortened
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import UsageError
from rnnzoo.format.schema import Column


def row_index(key: Any, rows: int) -> NDArray[Any]:
    """A mask or a list of row numbers, as NumPy takes it along one axis.

    Raises:
        IndexError: a key that selects no rows: a mask of another length, a table of numbers.
    """
    index = np.asarray(key)
    if not index.size and isinstance(key, list):
        index = index.astype(np.int64)
    if index.ndim != 1 or isinstance(key, tuple) or index.dtype.kind not in "biu":
        raise IndexError(f"rows are selected by a number, a slice, a mask or a flat list of numbers, not by {key!r}")
    if index.dtype.kind == "b" and len(index) != rows:
        raise IndexError(f"a mask of {len(index)} values does not fit the {rows} rows of this zoo")
    return index


def meets(values: NDArray[Any], column: Column, condition: Any) -> NDArray[np.bool_]:
    """Which values meet a condition; `Zoo.filter` says what conditions there are.

    Args:
        values: [n, *column.shape].
        column: what they are.
        condition: a value, a list of values, a pair (lowest, highest) for columns of one number, or a function.

    Returns:
        bool [n].

    Raises:
        UsageError: the condition cannot be compared with such values.
    """
    if callable(condition):
        return _answers(values, column, condition)
    if isinstance(condition, tuple) and not column.shape:
        return _in_range(values, column, condition)
    depth = len(column.shape)
    listed = isinstance(condition, list | set | frozenset | range)
    if listed or (isinstance(condition, np.ndarray) and condition.ndim == depth + 1):
        return _is_among(values, column, condition)
    return _is_among(values, column, [condition])


def _answers(values: NDArray[Any], column: Column, condition: Callable[[NDArray[Any]], Any]) -> NDArray[np.bool_]:
    mask = np.asarray(condition(values))
    if mask.dtype != bool or mask.shape != (len(values),):
        raise UsageError(
            f"filter({column.name}=...): the function must answer with one bool per row, [{len(values)}], not with "
            f"{mask.dtype} {list(mask.shape)}."
        )
    return mask


def _in_range(values: NDArray[Any], column: Column, condition: tuple[Any, ...]) -> NDArray[np.bool_]:
    if len(condition) != 2 or column.dtype == "bool":
        raise UsageError(f"{_asked(column, condition)}: {_kinds(column)}")
    low, high = (_number(column, bound) for bound in condition)
    if low > high:
        raise UsageError(f"{_asked(column, condition)}: the lowest comes first, the highest second.")
    return (values >= low) & (values <= high)


def _is_among(values: NDArray[Any], column: Column, wanted: Any) -> NDArray[np.bool_]:
    kept = [stored for value in wanted if (stored := _as_stored(column, value)) is not None]
    if not column.shape:
        return np.isin(values, np.array(kept, dtype=column.dtype))
    among = np.zeros(len(values), dtype=bool)
    for stored in kept:
        among |= (values == stored).reshape(len(values), -1).all(axis=1)
    return among


def _number(column: Column, bound: Any) -> Any:
    """A bound as a column compares with it: of the column's precision, so that 0.9 is in a range from 0.9."""
    given = _comparable(column, bound)
    if given.dtype.kind != "f" or np.dtype(column.dtype).kind != "f":
        return given.item()
    with np.errstate(over="ignore"):
        stored = given.astype(column.dtype)
    return (stored if np.isfinite(stored) else given).astype(np.float64)


def _as_stored(column: Column, value: Any) -> NDArray[Any] | None:
    """A value in the column's dtype; None for a number beyond what that dtype holds, which equals nothing stored."""
    given, dtype = _comparable(column, value), np.dtype(column.dtype)
    if dtype.kind in "iu":
        if ((given != np.trunc(given)) | np.isinf(given)).any():
            raise UsageError(f"{_asked(column, value)}: the column holds whole numbers, which never equal that.")
        info = np.iinfo(dtype)
        return given.astype(dtype) if ((given >= info.min) & (given <= info.max)).all() else None
    with np.errstate(over="ignore"):
        stored = given.astype(dtype)
    return None if (np.isinf(stored) & ~np.isinf(given)).any() else stored


def _comparable(column: Column, value: Any) -> NDArray[Any]:
    """A value of the column's shape and kind."""
    try:
        given = np.asarray(value)
    except (ValueError, TypeError):
        given = np.asarray(None)
    kinds = "b" if column.dtype == "bool" else "iuf"
    if given.dtype.kind not in kinds or given.shape != column.shape or np.isnan(given).any():
        raise UsageError(f"{_asked(column, value)} cannot be compared with the column: {_kinds(column)}")
    return given


def _asked(column: Column, condition: Any) -> str:
    return f"filter({column.name}={shortened(condition)})"


def _kinds(column: Column) -> str:
    """What conditions a column takes, in words."""
    if column.dtype == "bool":
        return "give True or False."
    if column.shape:
        return f"give a value of shape {column.shape} as a tuple or an array, a list of such values, or a function."
    return "give a number, a list of numbers, a pair (lowest, highest), or a function."
