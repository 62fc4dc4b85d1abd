"""The options of every command that trains: on which processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rnnzoo.errors import UsageError
from rnnzoo.jobs.processes import check_exclusive, cpu_environments, gpu_environments
from rnnzoo.jobs.ray_cluster import check_ray

if TYPE_CHECKING:
    from rnnzoo.generation.building.crews import Crew

_OPTIONS = (
    click.option("--gpus", type=int, help="Train on so many GPUs of this machine, one process each."),
    click.option("--workers", type=int, help="Train on the CPU in so many processes that share the cores."),
    click.option(
        "--ray", metavar="auto|HOST:PORT",
        help="Train on a running Ray cluster: the one this machine belongs to, or that at an address. --gpus and "
        "--workers then count over all its nodes. See docs/clusters.md.",
    ),
    click.option(
        "--units", metavar="URL",
        help="With --ray, where nodes that do not share the --out folder leave finished units: s3://..., or any URL "
        "fsspec knows.",
    ),
)  # fmt: skip


def crew_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the parameters `gpus`, `workers`, `ray` and `units`, which `find_crew` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def find_crew(gpus: int | None, workers: int | None, ray: str | None, units: str | None) -> Crew:
    """What trains: this process unless told otherwise.

    Raises:
        UsageError: options that exclude each other, or that ask for what is not there.
    """
    check_exclusive(gpus, workers)
    # Missing GPUs or packages are reported before the crews import PyTorch, which takes seconds.
    environments = gpu_environments(gpus) if gpus is not None and ray is None else None
    if ray is not None:
        check_ray()
    from rnnzoo.generation.building.crews import RayCluster, ThisProcess, WorkerProcesses

    if ray is not None:
        return RayCluster(ray, gpus, workers, units)
    if units is not None:
        raise UsageError("--units is for --ray: elsewhere finished units lie in the --out folder.")
    if environments is not None:
        return WorkerProcesses(environments)
    return ThisProcess() if workers is None else WorkerProcesses(cpu_environments(workers))
