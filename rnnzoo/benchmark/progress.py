"""Show a benchmark's progress: a bar over the whole matrix, and one line per job at work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import TaskID

from rnnzoo.jobs.interruption import raise_if_interrupted
from rnnzoo.jobs.queue import Job
from rnnzoo.terminal.progress_display import ProgressDisplay


class EvaluationProgress(ProgressDisplay):
    """Tells standard error and a log file."""

    def __init__(self, log: Path | None = None) -> None:
        super().__init__("preparing", log=log)
        self._steps: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._shown: dict[str, TaskID] = {}
        self._jobs_done = 0

    def begin(self, jobs: Sequence[Job], steps: Sequence[int], finished_runs: int) -> None:
        """See `BenchmarkListener`."""
        self._steps = {job.name: count for job, count in zip(jobs, steps, strict=True)}
        if finished_runs:
            self.message(f"Going on: {finished_runs} runs are recorded already.")
        self.start()
        self.bars.update(self.chief, total=sum(steps), unit="updates", completed=0)
        self._show_total()

    def progress(self, job: Job, done: int, value: float) -> None:
        """See `Listener`."""
        raise_if_interrupted()
        self._done[job.name] = done
        if job.name not in self._shown:
            self._shown[job.name] = self.add_task(job.name, self._steps[job.name])
        self.bars.update(self._shown[job.name], completed=done, details=f"loss {value:.4f}")
        self._show_total()

    def finished(self, job: Job) -> None:
        """See `Listener`."""
        self._jobs_done += 1
        self._done[job.name] = self._steps[job.name]
        if job.name in self._shown:
            self.bars.remove_task(self._shown.pop(job.name))
        self._show_total()

    def _show_total(self) -> None:
        description = f"{self._jobs_done}/{len(self._steps)} jobs"
        self.bars.update(self.chief, completed=sum(self._done.values()), description=description)
