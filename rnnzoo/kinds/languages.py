"""The formal languages { a^n b^(n+m_b) c^(n+m_c) d^(n+m_d) }: tokens, strings, membership (paper section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LETTERS = 4
START = 4
END = 5
VOCABULARY = 6
SYMBOLS = "abcd^."
"""How each token prints: the letters, the start token and the end token."""
OUTSIDE = "?"
"""How a byte prints that is no token; a damaged or foreign file may hold some."""


@dataclass(frozen=True)
class Score:
    """How sampled strings fare against a task; bool arrays of the strings' leading shape.

    Attributes:
        in_language: the string before its first end token is in the language: order and counts.
        counts_fit: its letter counts fit the task, in whatever order (what the original code counts as correct).
        finished: it contains an end token.
    """

    in_language: NDArray[np.bool_]
    counts_fit: NDArray[np.bool_]
    finished: NDArray[np.bool_]


def smallest_n(task: ArrayLike) -> int:
    """The smallest n that leaves no letter with a negative count, for offsets (m_b, m_c, m_d)."""
    return max(0, -int(np.min(task)))


def training_strings(task: ArrayLike, largest_n: int, length: int) -> NDArray[np.uint8]:
    """Every distinct training row of a task: uint8 [largest_n - smallest_n + 1, length].

    A row is the start token, the string, and end tokens as padding, cut at `length`.
    """
    offsets = (0, *np.asarray(task, dtype=np.int64))
    rows = []
    for n in range(smallest_n(task), largest_n + 1):
        string = np.repeat(np.arange(LETTERS), [n + m for m in offsets])
        row = np.full(length, END, dtype=np.uint8)
        row[0] = START
        row[1 : 1 + len(string)] = string[: length - 1]
        rows.append(row)
    return np.stack(rows)


def score_strings(tokens: NDArray[np.uint8], task: ArrayLike) -> Score:
    """Decide membership of sampled strings exactly.

    n is not bounded: a longer string of the right form is in the language. A string without an end token
    is neither in the language nor of fitting counts; a start token inside a string is no letter, so it
    does not count, but it does break the order.

    Args:
        tokens: uint8 [..., length], a start token in front.
        task: offsets [..., 3] (m_b, m_c, m_d), broadcast against the leading shape of `tokens`.
    """
    string = tokens[..., 1:]
    is_end = string == END
    finished = is_end.any(axis=-1)
    before_end = ~np.logical_or.accumulate(is_end, axis=-1)
    counts = np.stack([((string == letter) & before_end).sum(axis=-1) for letter in range(LETTERS)], axis=-1)
    counts_fit = finished & (counts[..., 1:] - counts[..., :1] == np.asarray(task)).all(axis=-1)
    falls = (string[..., 1:] < string[..., :-1]) & before_end[..., 1:]
    ordered = ~falls.any(axis=-1) & ~((string == START) & before_end).any(axis=-1)
    return Score(in_language=counts_fit & ordered, counts_fit=counts_fit, finished=finished)


def to_text(tokens: NDArray[np.uint8]) -> str:
    """One string [length] as text without its start token, up to the first end token, which is kept as a dot."""
    text = "".join(SYMBOLS[token] if token < VOCABULARY else OUTSIDE for token in tokens[1:])
    return text.partition(SYMBOLS[END])[0] + (SYMBOLS[END] if SYMBOLS[END] in text else "")


def describe_task(task: ArrayLike) -> str:
    """A task as its language, for example `a^n b^(n-2) c^(n+2) d^n`."""
    parts = ["a^n"]
    for letter, offset in zip("bcd", np.asarray(task).tolist(), strict=True):
        parts.append(f"{letter}^n" if offset == 0 else f"{letter}^(n{offset:+d})")
    return " ".join(parts)
