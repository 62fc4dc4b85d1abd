"""A worker process: `python -m rnnzoo.jobs.worker OPENER ARGUMENT` does the jobs it is handed.

Payloads arrive as JSON lines on standard input; what happens leaves as JSON lines on standard output; everything
else, tracebacks included, goes to standard error, which the scheduler keeps as the worker's log. A worker ends with
its input, and on Linux it dies with its parent, so a killed run leaves nobody writing to its folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any, TextIO

from rnnzoo.errors import RnnzooError
from rnnzoo.jobs.processes import Progress, Work
from rnnzoo.jobs.queue import stop_answer

REPORT_EVERY_SECONDS = 0.2
PR_SET_PDEATHSIG = 1


def main(work: Work) -> int:
    """Do jobs until there are no more; the exit code is 0 unless one raised an error no retry can help."""
    _die_with_parent()
    answers = _own_standard_output()

    def report(done: int, value: float) -> None:
        _tell(answers, {"done": done, "value": value})

    try:
        task = work.open()
        _tell(answers, {"ready": True})
        for line in sys.stdin:
            task(json.loads(line), throttled(report))
            _tell(answers, {"finished": True})
    except RnnzooError as error:
        _tell(answers, stop_answer(error))
        return error.exit_code
    return 0


def throttled(report: Progress) -> Progress:
    """The same report, passed on a few times a second at most."""
    last = 0.0

    def progress(done: int, value: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= REPORT_EVERY_SECONDS:
            last = now
            report(done, value)

    return progress


def _tell(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _own_standard_output() -> TextIO:
    """Keep standard output for answers; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _die_with_parent() -> None:
    if sys.platform == "linux":
        parent = int(os.environ["RNNZOO_SCHEDULER"])
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(Work(*sys.argv[1:])))
