"""The digest of every source file that ends up in one of the engine's kernels."""

from __future__ import annotations

from pathlib import Path

from rnnzoo.compiled.vector_kernels.disk_cache import digest_of_sources
from rnnzoo.generation import randomness

SOURCES = digest_of_sources(*sorted(Path(__file__).parent.glob("*.py")), randomness.__file__)
