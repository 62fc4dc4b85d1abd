"""Freed memory is kept for the next request."""

from __future__ import annotations

import ctypes
import resource
import subprocess
import sys

import pytest

from rnnzoo.jobs.memory import keep_freed_memory

PAGES_OF_64_MIB = 2**26 // resource.getpagesize()
SCRIPT = """
import resource
import numpy as np
from rnnzoo.jobs.memory import keep_freed_memory

keep_freed_memory()
first = np.ones(2**23)
del first
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
second = np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_memory_that_was_freed_is_not_fetched_again() -> None:
    answer = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < PAGES_OF_64_MIB // 10


def test_a_c_library_without_the_setting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed_memory()
