"""A worker process of a build: `python -m rnnzoo.generation.worker OUT` trains the units it is handed.

Units arrive as JSON lines on standard input; what happens leaves as JSON lines on standard output; everything
else, tracebacks included, goes to standard error, which the scheduler keeps as the worker's log. A worker ends with
its input, and on Linux it dies with its parent, so a killed build leaves nobody writing to its folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from rnnzoo.errors import RnnzooError

REPORT_EVERY_SECONDS = 0.2
PR_SET_PDEATHSIG = 1


def main(out: Path) -> int:
    """Train units until there are no more; the exit code is 0 unless one failed."""
    _die_with_parent()
    answers = _own_standard_output()
    from rnnzoo.generation.plan import Unit
    from rnnzoo.generation.units import open_session

    try:
        session = open_session(out)
        _tell(answers, {"ready": session.engine.describe_device()})
        for line in sys.stdin:
            unit = Unit(**json.loads(line))
            reporter = _Throttled(answers)
            session.train(unit, reporter)
            _tell(answers, {"finished": unit.start})
    except RnnzooError as error:
        _tell(answers, {"stop": str(error), "exit_code": error.exit_code})
        return error.exit_code
    return 0


class _Throttled:
    """Passes training progress on, a few times a second."""

    def __init__(self, answers: TextIO) -> None:
        self.answers = answers
        self.last = 0.0

    def __call__(self, model_steps: int, loss: float) -> None:
        now = time.monotonic()
        if now - self.last >= REPORT_EVERY_SECONDS:
            self.last = now
            _tell(self.answers, {"model_steps": model_steps, "loss": loss})


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
    sys.exit(main(Path(sys.argv[1])))
