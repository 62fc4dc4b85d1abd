from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.formal_languages import draw_tasks, language_population
from rnnzoo.kinds.languages import END, START, describe_task, score_strings, smallest_n, to_text, training_strings

TASKS = list(itertools.product(range(-3, 3), repeat=3))
LENGTH = 42


def encode(text: str) -> np.ndarray:
    """A string of letters, ^ and . as a token row, padded with end tokens unless it is full."""
    row = np.full(LENGTH, END, dtype=np.uint8)
    row[0] = START
    row[1 : 1 + len(text)] = ["abcd^.".index(symbol) for symbol in text]
    return row


def is_member(text: str, task: tuple[int, ...]) -> bool:
    """Membership decided another way: by a regular expression and its group lengths."""
    match = re.fullmatch("(a*)(b*)(c*)(d*)", text)
    if not match:
        return False
    n, *others = map(len, match.groups())
    return others == [n + m for m in task]


@pytest.mark.parametrize("task", TASKS)
def test_training_strings_of_every_task(task: tuple[int, ...]) -> None:
    rows = training_strings(task, 9, LENGTH)
    least = max(0, *(-m for m in task))
    assert smallest_n(task) == least
    assert len(rows) == 10 - least
    assert len(np.unique(rows, axis=0)) == len(rows)
    score = score_strings(rows, task)
    for n, row in zip(range(least, 10), rows, strict=True):
        string = "a" * n + "".join(letter * (n + m) for letter, m in zip("bcd", task, strict=True))
        assert is_member(string, task)
        assert row.tolist() == encode(string[: LENGTH - 1]).tolist()
        fits = len(string) < LENGTH - 1
        assert score.in_language[n - least] == score.counts_fit[n - least] == score.finished[n - least] == fits


@pytest.mark.parametrize("task", TASKS)
def test_membership_of_every_task_against_every_other_tasks_strings(task: tuple[int, ...]) -> None:
    strings = np.concatenate([training_strings(other, 9, LENGTH) for other in TASKS[::5]])
    score = score_strings(strings, task)
    for row, inside, counts in zip(strings, score.in_language, score.counts_fit, strict=True):
        text = to_text(row)
        assert inside == counts == (text.endswith(".") and is_member(text[:-1], task))


@settings(max_examples=300)
@given(st.sampled_from(TASKS), st.text("abcd^", max_size=41), st.integers(0, 9), st.randoms(use_true_random=False))
def test_scores_of_arbitrary_strings(task: tuple[int, ...], noise: str, n: int, random) -> None:
    counts = [n, *(n + m for m in task)]
    shuffled = [letter for letter, count in zip("abcd", counts, strict=True) for _ in range(max(count, 0))]
    random.shuffle(shuffled)
    for text in (noise, "".join(shuffled)[: LENGTH - 1]):
        score = score_strings(encode(text), np.array(task))
        finished = len(text) < LENGTH - 1
        letters = text.replace("^", "")
        assert score.finished == finished
        assert score.in_language == (finished and is_member(text, task))
        fits = [letters.count(x) - letters.count("a") for x in "bcd"] == list(task)
        assert score.counts_fit == (finished and fits)
        if score.counts_fit and not score.in_language:
            assert "^" in text or list(letters) != sorted(letters)


def test_only_what_precedes_the_first_end_token_counts() -> None:
    row = encode("ab")
    row[5:8] = (0, 3, 1)
    assert score_strings(row, (0, -1, -1)).in_language
    assert to_text(row) == "ab."


def test_a_full_row_without_end_is_not_finished() -> None:
    score = score_strings(encode("a" * 41), (-41, -41, -41))
    assert not score.finished
    assert not score.counts_fit
    assert not score.in_language


def test_tasks_cover_the_range_uniformly() -> None:
    recipe = find_recipe("formal-languages", "paper")
    tasks = draw_tasks(recipe, range(20_000))
    assert tasks.dtype == np.int8
    assert len(np.unique(tasks, axis=0)) == len(TASKS)
    counts = np.array([np.bincount(column + 3, minlength=6) for column in tasks.T])
    assert np.abs(counts - 20_000 / 6).max() < 5 * (20_000 / 6) ** 0.5


def test_batches_hold_only_the_tasks_strings_and_depend_on_the_model_alone() -> None:
    recipe = find_recipe("formal-languages", "tiny")
    many, tasks = language_population(recipe, range(20))
    alone, _ = language_population(recipe, [17])
    for step in (0, 7):
        inputs, targets = many.examples.batch(17, step, 32)
        again = alone.examples.batch(0, step, 32)
        assert np.array_equal(inputs, again[0])
        assert np.array_equal(targets, again[1])
        rows = np.concatenate([inputs.argmax(-1)[:, :1], targets], axis=1)
        assert (inputs.argmax(-1)[:, 1:] == targets[:, :-1]).all()
        allowed = {row.tobytes() for row in training_strings(tasks[17], 9, LENGTH)}
        assert {row.astype(np.uint8).tobytes() for row in rows} <= allowed
    assert np.array_equal(many.initial_weights()[17], alone.initial_weights()[0])
    assert np.abs(many.initial_weights()).max() <= 32**-0.5


def test_tasks_read_well() -> None:
    assert describe_task((0, -2, 1)) == "a^n b^n c^(n-2) d^(n+1)"
