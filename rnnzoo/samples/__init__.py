"""Zoos that come with the package, a small one of each kind; `make samples` builds them."""

from __future__ import annotations

from pathlib import Path

from rnnzoo.errors import UsageError
from rnnzoo.format.manifest import MANIFEST

PREFIX = "sample/"
FOLDER = Path(__file__).parent


def sample_names() -> list[str]:
    """Names of the samples, as `rnnzoo.load` takes them: "sample/smnist" and others."""
    return sorted(f"{PREFIX}{path.parent.name}" for path in FOLDER.glob(f"*/{MANIFEST}"))


def sample_folder(name: str) -> Path | None:
    """The folder of a sample, to be read and not written to; None if the name does not begin as theirs do.

    Raises:
        UsageError: there is no such sample.
    """
    if not name.startswith(PREFIX):
        return None
    if name not in (names := sample_names()):
        raise UsageError(f"There is no sample {name!r}: the package comes with {', '.join(names)}.")
    return FOLDER / name.removeprefix(PREFIX)
