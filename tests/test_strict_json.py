from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from rnnzoo.errors import RnnzooError
from rnnzoo.files import limits
from rnnzoo.files.strict_json import parse_json, read_json

Bounded = Annotated[int, Meta(ge=0, le=9)]


@dataclass(frozen=True)
class Part:
    size: Bounded
    name: str = ""


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    share: float = 0.0
    free: dict[str, Any] = field(default_factory=dict)


def parsed(text: bytes | str, kind: Any = Any, **options: bool) -> Any:
    return parse_json(
        text.encode() if isinstance(text, str) else text, kind, "some/file.json", "write it again", **options
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "Expecting value"),
        ("[1,", "Expecting value"),
        (b'"\xff"', "utf-8"),
        ("[" * 100_000 + "]" * 100_000, "nested deeper"),
        ('{"a":' * 100_000, "nested deeper"),
        ("[" + "[]," * 3_000_000 + "[]]", "more than 2,000,000 values"),
        ("9" * 10_000, "more than 64 digits"),
        ("-0." + "9" * 10_000, "more than 64 digits"),
        ("1e999", "too large"),
        ("NaN", "NaN"),
        ("[-Infinity]", "Infinity"),
        ('{"a": 1, "b": 2, "a": 1}', "field 'a' is there twice"),
        ('[{"x": {"a": 1, "a": 1}}]', "field 'a' is there twice"),
        ('"' + '\\"' * 1_000_000, "Unterminated string"),
    ],
)  # fmt: skip
def test_what_has_no_bounds_or_no_one_meaning_is_refused(text: str | bytes, named: str) -> None:
    with pytest.raises(RnnzooError, match=r"some/file\.json is damaged.*" + named + r".*: write it again\."):
        parsed(text)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"parts": [{"size": 3}, {"size": "3"}]}, r"field parts\[1\]\.size: Expected `int`, got `str`"),
        ({"parts": [{"size": True}]}, "parts.*size.*bool"),
        ({"parts": [{"size": 10}]}, "parts.*size.*<= 9"),
        ({"parts": [{"size": 10**50}]}, "parts.*size.*<= 9"),
        ({"parts": [{"size": 1.0}]}, "parts.*size.*float"),
        ({"parts": [{}]}, "parts.*size"),
        ({"parts": [{"size": 1, "colour": 2}]}, "field 'parts.0.colour' is unknown"),
        ({"parts": [], "moon": 1}, "field 'moon' is unknown"),
        ({"share": 0.5}, "parts"),
        ({"parts": {}}, "field parts"),
        ([], "array"),
        (None, "null"),
    ],
)
def test_what_is_of_another_type_names_the_field(data: Any, named: str) -> None:
    with pytest.raises(RnnzooError, match=named):
        parsed(json.dumps(data), Whole)


def test_typed_data_is_what_was_written() -> None:
    data = {"parts": [{"size": 3}, {"size": 4, "name": "x"}], "share": 1, "free": {"any": [1, {"y": None}]}}
    assert parsed(json.dumps(data), Whole) == Whole((Part(3), Part(4, "x")), 1.0, {"any": [1, {"y": None}]})


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(nested)
def test_bounded_json_is_read_as_python_reads_it(data: Any) -> None:
    """Brackets, digits and commas within strings are text, whatever stands around them."""
    text = json.dumps(data)
    assert parsed(text) == json.loads(text)


@given(st.text(alphabet='"\\[]{},:0123456789eE.-na \n', max_size=60))
def test_any_text_is_data_or_one_error(text: str) -> None:
    try:
        found = parsed(text)
    except RnnzooError:
        return
    assert found == json.loads(text)


def test_results_may_hold_what_is_not_finite() -> None:
    assert parsed("[Infinity]", finite=False) == [float("inf")]
    with pytest.raises(RnnzooError, match="too large"):
        parsed("[1e999]", finite=False)


def test_files_are_regular_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", Any, "write it")
    with pytest.raises(RnnzooError, match="no regular file: write it"):
        read_json(tmp_path, Any, "write it")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(RnnzooError, match="no regular file"):
        read_json(tmp_path / "pipe.json", Any, "write it")
    monkeypatch.setattr(limits, "JSON_BYTES", 10)
    (tmp_path / "large.json").write_text("[1,2,3,4,5]")
    with pytest.raises(RnnzooError, match=r"large\.json.*larger than 10 bytes"):
        read_json(tmp_path / "large.json", Any, "write it")
