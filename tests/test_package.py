"""The package as a whole: what it offers, what it ships, what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest

import rnnzoo


def test_the_package_offers_exactly_its_public_names() -> None:
    assert sorted(rnnzoo.__all__) == dir(rnnzoo)
    assert all(getattr(rnnzoo, name) is not None for name in rnnzoo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Zoos'"):
        rnnzoo.Zoos  # noqa: B018


def test_its_types_are_shipped() -> None:
    assert (files("rnnzoo") / "py.typed").is_file()


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import rnnzoo", ["torch", "numpy", "huggingface_hub"]),
        ("import rnnzoo; rnnzoo.load", ["torch", "huggingface_hub", "matplotlib"]),
    ],
)
def test_importing_it_is_light(statement: str, heavy: list[str]) -> None:
    program = f"{statement}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
