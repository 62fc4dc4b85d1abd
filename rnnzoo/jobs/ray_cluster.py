"""Run independent jobs on a Ray cluster: the same jobs, retries and reports as `rnnzoo.jobs.processes` on one machine.

One actor per slot does one job at a time. Ray carries payloads and progress, a few bytes each; what jobs make goes to
files. Every node needs the same rnnzoo installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.jobs.processes import SAFE_PATH, Task, Work
from rnnzoo.jobs.queue import FailedJob, Job, JobQueue, Listener, raise_stop, stop_answer
from rnnzoo.jobs.worker import throttled

POLL_SECONDS = 0.3
CONNECT_SECONDS = 10


def run_on_ray(
    work: Work,
    jobs: Sequence[Job],
    address: str,
    log_folder: Path,
    listener: Listener,
    gpus: int | None = None,
    workers: int | None = None,
) -> list[FailedJob]:
    """Do jobs on a running Ray cluster.

    Args:
        work: what the jobs are done by; each node must be able to import it.
        jobs: what to do; started in this order, finished in any.
        address: "auto" for the cluster this machine belongs to, else HOST:PORT or ray://HOST:PORT.
        log_folder: where `ray.log` tells of every lost attempt; made if missing.
        listener: told of the progress.
        gpus: do so many jobs at a time, each with one GPU and one CPU of a node.
        workers: without GPUs, do so many jobs at a time, each with one CPU; by default one for each CPU.

    Returns:
        The jobs whose attempts were lost `ATTEMPTS` times, to errors, dead workers or lost nodes.

    Raises:
        UsageError: Ray is not installed, no cluster answers, or it lacks the GPUs or CPUs.
        RnnzooError: a job raised one, which no retry can help, or no worker starts.
    """
    ray = _import_ray()
    connected = ray.is_initialized()
    if not connected:
        _connect(ray, address)
    try:
        slots = _slots(ray.cluster_resources(), address, gpus, workers)
        scheduler = _RayScheduler(ray, work, jobs, gpus is not None, log_folder, listener)
        try:
            return scheduler.run(min(slots, len(jobs)))
        finally:
            scheduler.close()
    finally:
        if not connected:
            ray.shutdown()


class RayWorker:
    """An actor that does jobs on one node; its errors a retry cannot help are answers, all others are raised."""

    def __init__(self, work: Work, board: Any, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        self.work = work
        self.board = board
        self.task: Task | None = None

    def open(self) -> dict[str, Any]:
        """Prepare this process."""
        try:
            self.task = self.work.open()
            return {"ready": True}
        except RnnzooError as error:
            return stop_answer(error)

    def do(self, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Do one job."""
        assert self.task is not None

        def report(done: int, value: float) -> None:
            self.board.post.remote(name, done, value)

        try:
            self.task(payload, throttled(report))
            return {"finished": True}
        except RnnzooError as error:
            return stop_answer(error)


class Board:
    """An actor on the scheduler's node where workers leave their latest progress."""

    def __init__(self) -> None:
        self.latest: dict[str, tuple[int, float]] = {}

    def post(self, name: str, done: int, value: float) -> None:
        """Leave the progress of a job."""
        self.latest[name] = done, value

    def collect(self) -> dict[str, tuple[int, float]]:
        """What was left since the last time."""
        collected, self.latest = self.latest, {}
        return collected


class _RayScheduler:
    def __init__(
        self, ray: Any, work: Work, jobs: Sequence[Job], on_gpus: bool, log_folder: Path, listener: Listener
    ) -> None:
        self.ray = ray
        self.work = work
        self.log = log_folder / "ray.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.queue = JobQueue(jobs, listener)
        self.calls: dict[Any, tuple[Any, Job | None]] = {}
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self.board = ray.remote(num_cpus=0)(Board).options(scheduling_strategy=here).remote()
        self.worker_class = ray.remote(num_cpus=1, num_gpus=int(on_gpus), max_restarts=0)(RayWorker)

    def run(self, slots: int) -> list[FailedJob]:
        """Until every job is finished or given up."""
        for _ in range(slots):
            self._start()
        while self.queue or any(job is not None for _, job in self.calls.values()):
            answered, _ = self.ray.wait(list(self.calls), num_returns=1, timeout=POLL_SECONDS)
            for call in answered:
                self._hear(call)
            self._show_progress()
        return self.queue.failed

    def close(self) -> None:
        """End all workers at once."""
        for worker, _ in self.calls.values():
            self.ray.kill(worker)
        self.ray.kill(self.board)

    def _start(self) -> None:
        """A worker takes a slot as soon as a node has room for it, now or when nodes join."""
        environment = SAFE_PATH | {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        worker = self.worker_class.remote(self.work, self.board, environment)
        self.calls[worker.open.remote()] = worker, None

    def _hear(self, call: Any) -> None:
        worker, job = self.calls.pop(call)
        try:
            answer = self.ray.get(call)
        except self.ray.exceptions.RayError as error:
            self._replace(worker, job, error)
            return
        if "stop" in answer:
            # Keep the worker among those that are ended when the error is raised.
            self.calls[call] = worker, None
        raise_stop(answer)
        if job is not None:
            self.queue.finished(job)
        if following := self.queue.take():
            self.calls[worker.do.remote(following.name, following.payload)] = worker, following
        else:
            self.ray.kill(worker)

    def _replace(self, worker: Any, job: Job | None, error: Exception) -> None:
        """A worker raised an error, died, or its node was lost."""
        self.ray.kill(worker)
        with open(self.log, "a") as log:
            log.write(f"{job.name if job else 'starting'}: {error}\n\n")
        if job is None:
            self.queue.died_idle(f"({_last_line(error)}); see {self.log}.")
        else:
            self.queue.lost(job, f"A Ray worker was lost at work on {job.name} ({_last_line(error)})", str(self.log))
        if self.queue:
            self._start()

    def _show_progress(self) -> None:
        in_work = {job.name: job for _, job in self.calls.values() if job is not None}
        for name, (done, value) in self.ray.get(self.board.collect.remote()).items():
            if name in in_work:
                self.queue.listener.progress(in_work[name], done, value)


def check_ray() -> None:
    """Refuse to begin without Ray; does not load it.

    Raises:
        UsageError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--ray needs Ray, which is not installed: pip install 'rnnzoo[cluster]'.")


def _import_ray() -> Any:
    check_ray()
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    import ray.util.scheduling_strategies

    return ray


def _connect(ray: Any, address: str) -> None:
    hint = "Start one with `ray start --head` and name its HOST:PORT, or say --ray auto on one of its machines."
    try:
        if address != "auto":
            # Ray itself would try for minutes before it gives up.
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        # Ray's workers look for modules in the folder that is current now, which may be a downloaded zoo.
        with contextlib.chdir(os.sep):
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"No Ray cluster answers at {address} ({_last_line(error)}). {hint}") from error


def _slots(resources: dict[str, float], address: str, gpus: int | None, workers: int | None) -> int:
    """Jobs at a time."""
    kind, option, asked = ("CPU", "--workers", workers) if gpus is None else ("GPU", "--gpus", gpus)
    there = int(resources.get(kind, 0))
    if asked is None:
        asked = there
    if not 1 <= asked <= there:
        raise UsageError(
            f"{option} {asked} was asked for, but the Ray cluster at {address} has {there or 'no'} "
            f"{kind}{'' if there == 1 else 's'}: give a number from 1 to that."
        )
    return asked


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
