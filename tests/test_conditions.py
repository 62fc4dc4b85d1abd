from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnzoo.errors import UsageError
from rnnzoo.format.schema import Column
from rnnzoo.rows.conditions import meets
from rnnzoo.zoo.zoo import Zoo

STEP = Column("step", "int32", (), "", "")
SHARE = Column("share", "float32", (), "", "")
FLAG = Column("flag", "bool", (), "", "")
TASK = Column("task", "int8", (3,), "", "")

numbers = st.integers(-5, 5)


@given(st.lists(numbers, max_size=8), st.lists(numbers, max_size=4), st.tuples(numbers, numbers).map(sorted))
def test_numbers_meet_values_lists_ranges_and_functions(values: list, wanted: list, bounds: list) -> None:
    low, high = bounds
    for column in (STEP, SHARE):
        array = np.array(values, dtype=column.dtype)
        assert meets(array, column, low).tolist() == [value == low for value in values]
        assert meets(array, column, wanted).tolist() == [value in wanted for value in values]
        assert meets(array, column, np.array(wanted, int)).tolist() == [value in wanted for value in values]
        assert meets(array, column, (low, high)).tolist() == [low <= value <= high for value in values]
        assert meets(array, column, lambda it: it > 1).tolist() == [value > 1 for value in values]


def test_columns_of_several_numbers_take_whole_values() -> None:
    tasks = np.array([(0, 1, 2), (0, 0, 0), (2, 1, 0)], dtype=np.int8)
    assert meets(tasks, TASK, (0, 1, 2)).tolist() == [True, False, False]
    assert meets(tasks, TASK, np.array((0, 1, 2))).tolist() == [True, False, False]
    assert meets(tasks, TASK, [(0, 1, 2), (2, 1, 0)]).tolist() == [True, False, True]
    assert meets(tasks, TASK, lambda them: them.sum(axis=1) == 0).tolist() == [False, True, False]
    assert not meets(tasks, TASK, (256, 1, 2)).any()


def test_decimals_are_compared_in_the_columns_precision() -> None:
    shares = np.array([0.9, 0.1, np.inf], dtype=np.float32)
    assert meets(shares, SHARE, 0.9).tolist() == [True, False, False]
    assert meets(shares, SHARE, (0.9, 1.0)).tolist() == [True, False, False]
    assert meets(shares, SHARE, (0.0, 1e300)).tolist() == [True, True, False]
    assert meets(shares, SHARE, (0.5, math.inf)).tolist() == [True, False, True]
    assert not meets(shares, SHARE, 1e300).any()


def test_numbers_beyond_the_column_equal_nothing() -> None:
    steps = np.array([0, 100], dtype=np.int32)
    assert not meets(steps, STEP, [2**32, 2**32 + 100]).any()
    assert meets(steps, STEP, (1, 2**40)).tolist() == [False, True]
    assert meets(steps, STEP, (0.5, math.inf)).tolist() == [False, True]
    assert meets(np.array([True, False]), FLAG, True).tolist() == [True, False]


@pytest.mark.parametrize(
    ("column", "condition"),
    [
        (STEP, "100"), (STEP, None), (STEP, 1.5), (STEP, [100, 1.5]), (STEP, math.inf), (STEP, True), (STEP, b"1"),
        (STEP, (1, 2, 3)), (STEP, ()), (STEP, (None, 5)), (STEP, (500, 100)), (STEP, {"low": 1}), (STEP, [[100]]),
        (SHARE, "high"), (SHARE, math.nan), (SHARE, (0.5, math.nan)), (SHARE, [0.5, "high"]), (SHARE, 1j),
        (SHARE, False), (SHARE, np.array("2020", "datetime64[Y]")),
        (FLAG, 1), (FLAG, "yes"), (FLAG, (False, True)), (FLAG, [0, 1]),
        (TASK, [0, 1, 2]), (TASK, (0, 1)), (TASK, 0), (TASK, ((0, 1), 2)), (TASK, "abc"), (TASK, (0, 1, None)),
        (SHARE, lambda shares: shares), (SHARE, lambda shares: [True]), (SHARE, lambda shares: "high"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(column: Column, condition: object) -> None:
    values = np.zeros((2, *column.shape), dtype=column.dtype)
    with pytest.raises(UsageError, match=rf"^filter\({column.name}="):
        meets(values, column, condition)


def test_a_zoo_keeps_what_its_conditions_say(zoo: Zoo) -> None:
    assert set(zoo.filter(step=[0, 50])["step"].tolist()) == {0, 50}
    assert set(zoo.filter(step=(0, 50))["step"].tolist()) == {0, 20, 50}
    assert len(zoo.filter(step=[])) == 0
    assert len(zoo.filter(step=0, model_id=lambda ids: ids % 2 == 0)) == 3
    with pytest.raises(UsageError, match="accuracy"):
        zoo.filter(accuracy="high")
