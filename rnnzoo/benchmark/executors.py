"""What does the jobs of a benchmark: processes of this machine, on its GPUs or its cores, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rnnzoo.environment import usable_cores
from rnnzoo.gpus import gpus_of_driver
from rnnzoo.jobs.processes import Work, check_exclusive, cpu_environments, gpu_environments, run_in_processes
from rnnzoo.jobs.queue import FailedJob, Job, Listener
from rnnzoo.jobs.ray_cluster import check_ray

if TYPE_CHECKING:
    from rnnzoo.benchmark.run import Execute

MOST_DEFAULT_WORKERS = 8


def find_executor(workers: int | None, gpus: int | None, ray: str | None) -> Execute:
    """What does the jobs: a Ray cluster if one is named, else GPUs if there are any, else processes on the CPU.

    Raises:
        UsageError: options that exclude each other, or that ask for what is not there.
    """
    check_exclusive(gpus, workers)
    if ray is not None:
        check_ray()
        return partial(_on_ray, address=ray, gpus=gpus, workers=workers)
    if gpus is None and workers is None and gpus_of_driver():
        import torch

        gpus = torch.cuda.device_count() or None
    if gpus is not None:
        return partial(_in_processes, environments=gpu_environments(gpus))
    count = min(usable_cores(), MOST_DEFAULT_WORKERS) if workers is None else workers
    return partial(_in_processes, environments=cpu_environments(count))


def _in_processes(
    work: Work, jobs: Sequence[Job], log_folder: Path, listener: Listener, environments: Sequence[Mapping[str, str]]
) -> list[FailedJob]:
    return run_in_processes(work, jobs, environments, log_folder, listener)


def _on_ray(
    work: Work,
    jobs: Sequence[Job],
    log_folder: Path,
    listener: Listener,
    address: str,
    gpus: int | None,
    workers: int | None,
) -> list[FailedJob]:
    from rnnzoo.jobs.ray_cluster import run_on_ray

    return run_on_ray(work, jobs, address, log_folder, listener, gpus, workers)
