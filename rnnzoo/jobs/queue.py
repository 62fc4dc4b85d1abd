"""Which jobs wait, which are tried again and which are given up: the same on one machine and on a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

from rnnzoo.errors import RnnzooError, UsageError

ATTEMPTS = 3
"""How often a job is tried before the others go on without it."""


@dataclass(frozen=True)
class Job:
    """One thing to do, the same whoever does it and however often.

    Attributes:
        name: what messages call it, "models 0 to 15"; no two jobs of one run share it.
        payload: all that tells it from the others, as JSON.
    """

    name: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class FailedJob:
    """A job that was given up, and where the last attempt at it is logged."""

    job: Job
    log: str


class Listener(Interface):
    """What a run tells as it goes."""

    def progress(self, job: Job, done: int, value: float) -> None:
        """So much of a job is done; 0 when an attempt at it was lost."""
        ...

    def finished(self, job: Job) -> None:
        """A job is done."""
        ...

    def message(self, text: str) -> None:
        """A line the user should read."""
        ...


class JobQueue:
    """The jobs of one run and what became of them.

    Attributes:
        failed: jobs that were given up.
    """

    def __init__(self, jobs: Sequence[Job], listener: Listener) -> None:
        self.listener = listener
        self.failed: list[FailedJob] = []
        self._waiting = deque(jobs)
        self._attempts = {job.name: 0 for job in jobs}
        self._idle_deaths = 0

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def take(self) -> Job | None:
        """The next job, or None if none waits."""
        return self._waiting.popleft() if self._waiting else None

    def finished(self, job: Job) -> None:
        """A job is done."""
        self._idle_deaths = 0
        self.listener.finished(job)

    def lost(self, job: Job, what: str, log: str) -> None:
        """An attempt was lost: the job waits again, or is given up.

        Args:
            job: the job.
            what: what happened, as the beginning of a sentence.
            log: where more of it is written.
        """
        self._attempts[job.name] += 1
        self.listener.progress(job, 0, float("nan"))
        if self._attempts[job.name] < ATTEMPTS:
            self.listener.message(f"{what}; trying again.")
            self._waiting.append(job)
        else:
            self.listener.message(f"{what} for the last of {ATTEMPTS} times; going on without. Log: {log}")
            self.failed.append(FailedJob(job, log))

    def died_idle(self, why: str) -> None:
        """A worker died before it had a job; without end it would be replaced for ever.

        Raises:
            RnnzooError: too many did in a row.
        """
        self._idle_deaths += 1
        if self._idle_deaths > ATTEMPTS:
            raise RnnzooError(f"Workers die as they start {why}")


def stop_answer(error: RnnzooError) -> dict[str, Any]:
    """What a worker answers when no retry can help."""
    return {"stop": str(error), "exit_code": error.exit_code}


def raise_stop(answer: Mapping[str, Any]) -> None:
    """Raise the error of a worker's answer, if it is one.

    Raises:
        RnnzooError: as the worker raised it, a UsageError where it was one.
    """
    if "stop" in answer:
        raise (UsageError if answer["exit_code"] == UsageError.exit_code else RnnzooError)(answer["stop"])
