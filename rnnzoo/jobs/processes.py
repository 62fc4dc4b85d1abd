"""Run independent jobs on worker processes of this machine: retry what dies, report what keeps dying."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rnnzoo.environment import usable_cores
from rnnzoo.errors import UsageError
from rnnzoo.gpus import gpus_of_driver
from rnnzoo.jobs.queue import FailedJob, Job, JobQueue, Listener, raise_stop

Progress = Callable[[int, float], None]
"""Called within a job with how much of it is done and a value worth showing, such as a loss."""

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Python does not look for modules in the current folder, which may be a downloaded zoo; what a worker starts inherits
it."""

Task = Callable[[dict[str, Any], Progress], None]
"""Does one job, given its payload."""


@dataclass(frozen=True)
class Work:
    """What turns a payload into a finished job, named so that any process can find it.

    Attributes:
        opener: "package.module:function"; called with the argument once per process, it returns a `Task`.
        argument: what all jobs share, a folder for example.
    """

    opener: str
    argument: str

    def open(self) -> Task:
        """Prepare this process to do jobs."""
        module, _, function = self.opener.partition(":")
        task: Task = getattr(importlib.import_module(module), function)(self.argument)
        return task


def gpu_environments(count: int) -> list[dict[str, str]]:
    """The environment of one worker per GPU.

    Raises:
        UsageError: fewer than 1 are asked for, or fewer are visible.
    """
    if count < 1:
        raise UsageError(f"--gpus {count} is impossible: give at least 1, or leave it out.")
    visible = gpus_of_driver()
    if count <= visible:
        import torch

        visible = min(visible, torch.cuda.device_count())
    if count > visible:
        raise UsageError(
            f"--gpus {count} was asked for, but {visible or 'no'} GPU{'' if visible == 1 else 's'} can be seen here: "
            "give a smaller number, or leave --gpus out to train on the CPU."
        )
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = listed.split(",") if listed else [str(index) for index in range(visible)]
    return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:count]]


def cpu_environments(workers: int, cores: int | None = None) -> list[dict[str, str]]:
    """The environment of each of some CPU workers: they share cores, by default all usable ones, and see no GPU.

    Raises:
        UsageError: fewer than 1.
    """
    if workers < 1:
        raise UsageError(f"--workers {workers} is impossible: give at least 1.")
    threads = str(max(1, (cores or usable_cores()) // workers))
    return [{"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}] * workers


def check_exclusive(gpus: int | None, workers: int | None) -> None:
    """Refuse GPUs and CPU workers at once.

    Raises:
        UsageError: both are asked for.
    """
    if gpus is not None and workers is not None:
        raise UsageError("--gpus and --workers exclude each other: GPUs have one process each.")


def run_in_processes(
    work: Work,
    jobs: Sequence[Job],
    environments: Sequence[Mapping[str, str]],
    log_folder: Path,
    listener: Listener,
) -> list[FailedJob]:
    """Do jobs on one worker process per environment.

    Args:
        work: what the jobs are done by.
        jobs: what to do; started in this order, finished in any.
        environments: variables each worker has beside those of this process.
        log_folder: where each worker's standard error is kept, `worker-0.log` and so on; made if missing.
        listener: told of the progress.

    Returns:
        The jobs that failed `ATTEMPTS` times.

    Raises:
        RnnzooError: a job raised one, which no retry can help (a full disk), or no worker stays alive.
    """
    scheduler = _Scheduler(work, jobs, environments, log_folder, listener)
    try:
        return scheduler.run()
    finally:
        scheduler.close()


@dataclass
class _Worker:
    """One slot: its process and the job it is at."""

    slot: int
    process: subprocess.Popen[bytes]
    log: Path
    job: Job | None = None
    buffer: bytes = b""


class _Scheduler:
    def __init__(
        self,
        work: Work,
        jobs: Sequence[Job],
        environments: Sequence[Mapping[str, str]],
        log_folder: Path,
        listener: Listener,
    ) -> None:
        self.work = work
        self.environments = environments
        self.log_folder = log_folder
        self.queue = JobQueue(jobs, listener)
        self.workers: list[_Worker] = []
        self.selector = selectors.DefaultSelector()

    def run(self) -> list[FailedJob]:
        """Until every job is finished or given up."""
        for slot in range(min(len(self.environments), len(self.queue))):
            self._start(slot)
        while self.workers:
            for key, _ in self.selector.select():
                worker = key.data
                data = os.read(key.fd, 65536)
                if data:
                    self._hear(worker, data)
                else:
                    self._bury(worker)
        return self.queue.failed

    def close(self) -> None:
        """End all workers at once; what they left half-written is nobody's."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.wait()
            _close_pipes(worker)
        self.selector.close()

    def _start(self, slot: int) -> None:
        log = self.log_folder / f"worker-{slot}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            **SAFE_PATH,
            **self.environments[slot],
            "PYTHONPATH": _named_folders(os.environ.get("PYTHONPATH", "")),
            "RNNZOO_SCHEDULER": str(os.getpid()),
        }
        with open(log, "ab") as stderr:
            # In a session of its own, Ctrl-C does not reach it: the scheduler ends its workers itself.
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rnnzoo.jobs.worker", self.work.opener, self.work.argument],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        worker = _Worker(slot, process, log)
        self.workers.append(worker)
        self.selector.register(_pipe(process.stdout), selectors.EVENT_READ, worker)

    def _hear(self, worker: _Worker, data: bytes) -> None:
        *lines, worker.buffer = (worker.buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            raise_stop(message)
            if "done" in message:
                assert worker.job is not None
                self.queue.listener.progress(worker.job, message["done"], message["value"])
            elif "finished" in message:
                assert worker.job is not None
                finished, worker.job = worker.job, None
                self.queue.finished(finished)
                self._hand_out(worker)
            else:
                self._hand_out(worker)

    def _hand_out(self, worker: _Worker) -> None:
        stdin = _pipe(worker.process.stdin)
        worker.job = self.queue.take()
        if worker.job is None:
            stdin.close()
            return
        # If it has died, the end of its output is read next, and the job goes to another worker.
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(worker.job.payload).encode() + b"\n")
            stdin.flush()

    def _bury(self, worker: _Worker) -> None:
        """A worker's output ended: it is done, or it died with a job in its hands."""
        self.selector.unregister(_pipe(worker.process.stdout))
        code = worker.process.wait()
        _close_pipes(worker)
        self.workers.remove(worker)
        if worker.job is not None:
            ended = f"signal {-code}" if code < 0 else f"exit code {code}"
            what = f"Worker {worker.slot} died ({ended}) at work on {worker.job.name}"
            self.queue.lost(worker.job, what, str(worker.log))
        elif code:
            self.queue.died_idle(f"(exit code {code}); see {worker.log}.\n{_tail(worker.log)}")
        if len(self.workers) < len(self.queue):
            self._start(worker.slot)


def _named_folders(path: str) -> str:
    """PYTHONPATH without its empty entries: for Python they name the current folder, and nobody means them to."""
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if folder)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _close_pipes(worker: _Worker) -> None:
    _pipe(worker.process.stdout).close()
    with contextlib.suppress(BrokenPipeError):
        _pipe(worker.process.stdin).close()


def _tail(log: Path, lines: int = 5) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
