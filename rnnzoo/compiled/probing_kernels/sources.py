"""The digest of every source file that ends up in a kernel of this package."""

from __future__ import annotations

from pathlib import Path

from rnnzoo.compiled.vector_kernels.disk_cache import digest_of_sources

SOURCES = digest_of_sources(*sorted(Path(__file__).parent.glob("*.py")))
