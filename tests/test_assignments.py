"""FIELD=VALUE on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from rnnzoo.cli.assignments import assignment
from rnnzoo.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-2.5e-3", -2.5e-3),
        ("[1, 2]", [1, 2]),
        ("false", False),
        ("True", True),
        ("reverse_kl", "reverse_kl"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    name, found = assignment(f"emulation.loss={text}", "steps=3")
    assert name == "emulation.loss"
    assert found == value
    assert type(found) is type(value)


def test_a_value_must_be_given() -> None:
    with pytest.raises(UsageError, match="--set steps: write FIELD=VALUE, for example --set steps=3"):
        assignment("steps", "steps=3")
