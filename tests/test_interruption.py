"""A Ctrl-C that Python drops still ends the work at its next report."""

from __future__ import annotations

import signal
import subprocess
import sys

DROPPED = """
import signal, sys
from rnnzoo.jobs.interruption import raise_if_interrupted, watch_for_interrupts

class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

watch_for_interrupts()
raise_if_interrupted()
thing = Dying()
del thing
print("still there")
try:
    raise_if_interrupted()
except KeyboardInterrupt:
    print("interrupted")
raise_if_interrupted()
signal.raise_signal(signal.SIGINT)
"""


def test_a_dropped_interrupt_is_raised_at_the_next_report() -> None:
    done = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["still there", "interrupted"]
    assert done.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in done.stderr
