"""What `make test-lowest` installs is what pyproject.toml allows at the least."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("build", "eval", "cluster", "sample")
NEEDED = [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra])]


@pytest.mark.parametrize("line", sorted(set(NEEDED)))
def test_the_lowest_version_is_the_one_that_is_tested(line: str) -> None:
    needed = Requirement(line)
    (floor,) = (Version(part.version) for part in needed.specifier if part.operator == ">=")
    pins = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pinned = dict(pin.split("==") for pin in pins if pin and not pin.startswith("#"))
    versions = {canonicalize_name(name): Version(version) for name, version in pinned.items()}
    assert versions[canonicalize_name(needed.name)] == floor
