"""Run a build's units on worker processes of this machine: retry what dies, report what keeps dying."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.plan import BUILD_FOLDER, Unit
from rnnzoo.generation.progress import Reporter

ATTEMPTS = 3
"""How often a unit is tried before the build goes on without it."""


@dataclass(frozen=True)
class FailedUnit:
    """A unit that was given up, and the log of the worker that tried it last."""

    unit: Unit
    log: Path


@dataclass
class _Worker:
    """One slot: its process, the unit it works on, and what it last said."""

    slot: int
    process: subprocess.Popen[bytes]
    log: Path
    unit: Unit | None = None
    model_steps: int = 0
    loss: float = float("nan")
    buffer: bytes = b""


def gpu_environments(count: int) -> list[dict[str, str]]:
    """The environment of one worker per GPU.

    Raises:
        UsageError: fewer GPUs are visible.
    """
    import torch

    visible = torch.cuda.device_count()
    if count > visible:
        raise UsageError(
            f"--gpus {count} was asked for, but {visible or 'no'} GPU{'' if visible == 1 else 's'} can be seen here: "
            "give a smaller number, or leave --gpus out to train on the CPU."
        )
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = listed.split(",") if listed else [str(index) for index in range(visible)]
    return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:count]]


def cpu_environments(workers: int, cores: int) -> list[dict[str, str]]:
    """The environment of each of some CPU workers: they share the cores evenly."""
    threads = str(max(1, cores // workers))
    return [{"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads} for _ in range(workers)]


def run_units(
    out: Path, units: Sequence[Unit], environments: Sequence[Mapping[str, str]], reporter: Reporter
) -> list[FailedUnit]:
    """Train units on one worker process per environment; returns those that failed `ATTEMPTS` times.

    Raises:
        RnnzooError: a worker found something no retry can help (a full disk), or no worker stays alive.
    """
    scheduler = _Scheduler(out, units, environments, reporter)
    try:
        return scheduler.run()
    finally:
        scheduler.close()


class _Scheduler:
    def __init__(
        self, out: Path, units: Sequence[Unit], environments: Sequence[Mapping[str, str]], reporter: Reporter
    ) -> None:
        self.out = out
        self.environments = environments
        self.reporter = reporter
        self.waiting = deque(units)
        self.attempts = dict.fromkeys(units, 0)
        self.failed: list[FailedUnit] = []
        self.workers: list[_Worker] = []
        self.idle_deaths = 0
        self.selector = selectors.DefaultSelector()

    def run(self) -> list[FailedUnit]:
        """Until every unit is finished or given up."""
        for slot in range(min(len(self.environments), len(self.waiting))):
            self._start(slot)
        while self.workers:
            for key, _ in self.selector.select():
                worker = key.data
                data = os.read(key.fd, 65536)
                if data:
                    self._hear(worker, data)
                else:
                    self._bury(worker)
        return self.failed

    def close(self) -> None:
        """End all workers at once; their half-written files are removed by the next build."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.wait()
            _close_pipes(worker)
        self.selector.close()

    def _start(self, slot: int) -> None:
        log = self.out / BUILD_FOLDER / "logs" / f"worker-{slot}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **self.environments[slot], "RNNZOO_SCHEDULER": str(os.getpid())}
        with open(log, "ab") as stderr:
            # Its own session: Ctrl-C reaches the scheduler alone, which then ends the workers.
            process = subprocess.Popen(
                [sys.executable, "-m", "rnnzoo.generation.worker", str(self.out)],
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
            if "stop" in message:
                error = UsageError if message["exit_code"] == UsageError.exit_code else RnnzooError
                raise error(message["stop"])
            if "model_steps" in message:
                worker.model_steps, worker.loss = message["model_steps"], message["loss"]
            elif "finished" in message:
                assert worker.unit is not None
                self.idle_deaths = 0
                finished, worker.unit, worker.model_steps = worker.unit, None, 0
                self.reporter.unit_finished(finished.stop - finished.start)
                self._hand_out(worker)
            else:
                self._hand_out(worker)
        busy = [w for w in self.workers if w.unit is not None and w.model_steps]
        if busy:
            self.reporter.training(sum(w.model_steps for w in busy), sum(w.loss for w in busy) / len(busy))

    def _hand_out(self, worker: _Worker) -> None:
        stdin = _pipe(worker.process.stdin)
        if not self.waiting:
            stdin.close()
            return
        worker.unit = self.waiting.popleft()
        # If it died meanwhile, its closed output says so next, and the unit is handed to another.
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(vars(worker.unit)).encode() + b"\n")
            stdin.flush()

    def _bury(self, worker: _Worker) -> None:
        """A worker's output ended: it is done, or it died with a unit in its hands."""
        self.selector.unregister(_pipe(worker.process.stdout))
        code = worker.process.wait()
        _close_pipes(worker)
        self.workers.remove(worker)
        unit = worker.unit
        if unit is None:
            # A worker that dies before it is ready would be replaced for ever.
            self.idle_deaths += code != 0
            if code != 0 and self.idle_deaths > ATTEMPTS:
                raise RnnzooError(
                    f"Workers die as they start (exit code {code}); see {worker.log}.\n{_tail(worker.log)}"
                )
        else:
            self._retry(worker, unit, code)
        if self.waiting and len(self.workers) < len(self.waiting):
            self._start(worker.slot)

    def _retry(self, worker: _Worker, unit: Unit, code: int) -> None:
        self.attempts[unit] += 1
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        what = f"Worker {worker.slot} died ({ended}) while training models {unit.start} to {unit.stop - 1}"
        if self.attempts[unit] < ATTEMPTS:
            self.reporter.message(f"{what}; they are tried again.")
            self.waiting.append(unit)
        else:
            self.reporter.message(f"{what} for the last of {ATTEMPTS} times; going on without them. Log: {worker.log}")
            self.failed.append(FailedUnit(unit, worker.log))


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _close_pipes(worker: _Worker) -> None:
    _pipe(worker.process.stdout).close()
    with contextlib.suppress(BrokenPipeError):
        _pipe(worker.process.stdin).close()


def _tail(log: Path, lines: int = 5) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
