"""How builds scale: workers against one process, Ray, what goes on beside training, and 64 GPUs on paper.

    python benchmarks/scaling.py             write benchmarks/results/scaling-<machine>.json, and print the tables
    python benchmarks/scaling.py --document  render all results into docs/clusters.md
    python benchmarks/scaling.py --unit-seconds 41,40.2,43 --rounds 0   the simulation alone, from measured GPU units

Ways take turns. The best turn of each is compared, since other programs only ever slow one down; how many cores these
took is recorded. Efficiency at n workers is time(1) / (n time(n)): of units alone, and of the whole (process start to
last unit). The first unit of each process, which loads the compiled kernels, counts as its start.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import psutil
from scaling_table import SCALING, render
from schedule_simulation import simulate

from rnnzoo.environment import processor_name
from rnnzoo.generation.building.build import build
from rnnzoo.generation.building.crews import RayCluster, ThisProcess, train_in_processes
from rnnzoo.generation.building.plan import Plan
from rnnzoo.generation.building.reporter import SilentReporter
from rnnzoo.generation.building.units import Session, finished_unit, open_session
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.recipes import Recipe
from rnnzoo.jobs.processes import cpu_environments

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parent.parent / "docs" / "clusters.md"
UNIT, UNITS, STEPS = 16, 4, 400
PAPER_MODELS, PAPER_STEPS, PAPER_SNAPSHOTS = 1000, 20_000, 9
RAY_PORT = 46401

Train = Callable[[Session], object]


def recipe_of(models: int, steps: int) -> Recipe:
    """Networks of the paper's zoo, trained shortly."""
    return find_recipe("formal-languages", "paper").override({"models": models, "snapshots": (0, steps)})


def in_processes(environments: Sequence[dict[str, str]]) -> Train:
    """One worker process per environment."""
    return lambda session: train_in_processes(session.out, session.plan.units, environments, SilentReporter())


def on_ray(workers: int) -> Train:
    """So many actors, one CPU each."""
    crew = RayCluster(f"127.0.0.1:{RAY_PORT}", workers=workers)
    return lambda session: crew.train(session, session.plan.units, SilentReporter())


def ways() -> dict[str, Train]:
    """Every way to train the same units."""
    return {
        "1 worker": in_processes(cpu_environments(1, cores=1)),
        "2 workers": in_processes(cpu_environments(2, cores=2)),
        "1 worker with 2 threads": in_processes(cpu_environments(1, cores=2)),
        "Ray, 1 worker": on_ray(1),
        "Ray, 2 workers": on_ray(2),
    }


@contextmanager
def ray_cluster() -> Iterator[None]:
    """A cluster of this machine alone; all its processes end with it."""
    with tempfile.TemporaryDirectory(prefix="rz-", dir="/tmp") as folder:
        mark = {"RNNZOO_BENCHMARK_NODE": folder}
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--node-ip-address=127.0.0.1",
                   f"--port={RAY_PORT}", f"--temp-dir={folder}", "--num-cpus=2", "--num-gpus=0",
                   "--include-dashboard=false", "--disable-usage-stats"]  # fmt: skip
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=100, env={**os.environ, **mark})
            yield
        finally:
            for process in psutil.process_iter():
                try:
                    if process.environ().get("RNNZOO_BENCHMARK_NODE") == folder:
                        process.kill()
                except psutil.Error:
                    continue


def turn(train: Train, models: int, steps: int) -> dict:
    """Seconds of a training from start to end, and those of each unit."""
    with tempfile.TemporaryDirectory(prefix="rnnzoo-scaling-") as folder:
        out = Path(folder)
        plan = Plan(recipe_of(models, steps), "numba", "hub", UNIT)
        plan.write(out)
        session = open_session(out, plan)
        wait_for_quiet()
        before, started = busy_seconds(), time.perf_counter()
        train(session)
        wall = time.perf_counter() - started
        units = [sum(finished_unit(out, unit).seconds.values()) for unit in plan.units]
        return {"wall": wall, "units": units, "busy": busy_seconds() - before}


def wait_for_quiet() -> None:
    """Until other programs leave the cores alone, half a minute at most."""
    for _ in range(30):
        if psutil.cpu_percent(1) < 10:
            return


def busy_seconds() -> float:
    """Seconds of work that all cores have done."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def measure_ways(rounds: int) -> dict[str, list[dict]]:
    """Turns of every way, and of its start alone: one model, one step."""
    found: dict[str, list[dict]] = {}
    with ray_cluster():
        for index in range(rounds):
            for name, train in ways().items():
                found.setdefault(name, []).append(turn(train, UNIT * UNITS, STEPS))
                if index < 2:
                    found.setdefault(f"{name}, start", []).append(turn(train, 1, 1))
    return found


def measure_overheads() -> dict[str, float]:
    """Seconds per model, at paper scale, of recording and packing; and of planning a paper zoo."""
    snapshots = tuple(range(PAPER_SNAPSHOTS))
    recipe = find_recipe("formal-languages", "paper").override({"models": 64, "snapshots": snapshots})
    with tempfile.TemporaryDirectory(prefix="rnnzoo-scaling-") as folder:
        seconds = build(recipe, Path(folder) / "zoo", "numba", crew=ThisProcess()).provenance["seconds"]
        started = time.perf_counter()
        plan = Plan(find_recipe("formal-languages", "paper"), "numba", "hub", UNIT)
        plan.write(Path(folder) / "plan")
        assert not [unit for unit in plan.units if finished_unit(Path(folder) / "plan", unit)]
        planning = time.perf_counter() - started
    return {"planning": planning, "packing_per_model": seconds["packing"] / 64}


def summary(turns: dict[str, list[dict]], overheads: dict[str, float]) -> dict:
    """Efficiencies, and shares of a build of the paper's size by 2 workers."""
    best = {name: min(turn["wall"] for turn in found) for name, found in turns.items()}
    # The same units in every way, and none that is the first of its process.
    unit = {name: min(statistics.mean(turn["units"][2:]) for turn in turns[name]) for name in ways()}
    start = {kind: min(best[f"{name}, start"] for name in ways() if ("Ray" in name) == kind) for kind in (True, False)}
    rows = {}
    for name in ways():
        against, count = ("Ray, 1 worker" if "Ray" in name else "1 worker"), (1 if name.endswith("1 worker") else 2)
        side_by_side = 1 if "threads" in name else count
        rows[name] = {
            "wall": best[name],
            "start": start["Ray" in name],
            "unit": unit[name],
            "efficiency_of_units": unit[against] * side_by_side / (count * unit[name]),
            "efficiency": best[against] / (count * best[name]),
        }
    training = unit["2 workers"] / UNIT / STEPS * PAPER_STEPS * PAPER_MODELS / 2
    in_all = overheads["packing_per_model"] * PAPER_MODELS
    shares = {
        "planning": overheads["planning"] / training,
        "packing": in_all / training,
        "start of the workers": start[False] / training,
        "start of the workers on Ray": start[True] / training,
    }
    quietest = min(turns["1 worker"], key=lambda turn: turn["wall"])
    return {
        "ways": rows,
        "training_seconds": training,
        "shares": shares,
        "cores_used_by_others": max(0.0, quietest["busy"] / quietest["wall"] - 1),
        "overheads": overheads,
    }


def simulations(unit_seconds: Sequence[float], start_seconds: float) -> list[dict]:
    """Zoos of two sizes on up to 64 GPUs; units are drawn from those measured, 1 in 100 is lost and tried again."""
    found = []
    for models in (10_000, 100_000):
        for size in (256, 64):
            count = -(-models // size)
            seconds = [unit_seconds[index % len(unit_seconds)] * size / 256 for index in range(count)]
            for gpus in (1, 8, 64):
                hours = simulate(seconds, gpus, start_seconds, lost=0.01) / 3600
                found.append({"models": models, "unit": size, "gpus": gpus, "hours": hours,
                              "efficiency": sum(seconds) / 3600 / hours / gpus})  # fmt: skip
    return found


@click.command()
@click.option("--rounds", default=6, show_default=True)
@click.option("--unit-seconds", help="Seconds of measured units of 256 models on one GPU, with commas between them.")
@click.option("--times-a-core", default=100.0, show_default=True,
              help="Without --unit-seconds: a GPU is taken to train so many times as fast as a core here.")  # fmt: skip
@click.option("--document", is_flag=True, help="Render the results into docs/clusters.md and stop.")
def main(rounds: int, unit_seconds: str | None, times_a_core: float, document: bool) -> None:
    """Measure, write benchmarks/results/scaling-<machine>.json, print the tables."""
    if document:
        SCALING.rewrite(DOCUMENT, RESULTS)
        return
    if rounds == 0:
        print(json.dumps(simulations([float(s) for s in (unit_seconds or "").split(",")], 30.0), indent=1))
        return
    turns = measure_ways(rounds)
    result = {"machine": processor_name(), "rounds": rounds, "models": UNIT * UNITS, "steps": STEPS, "unit": UNIT}
    result |= summary(turns, measure_overheads())
    if unit_seconds:
        units = [float(seconds) for seconds in unit_seconds.split(",")]
        result["simulated_from"] = "measured GPU units"
    else:
        scale = PAPER_STEPS / STEPS * 256 / UNIT / times_a_core
        quietest = min(turns["1 worker"], key=lambda turn: turn["wall"])
        units = [seconds * scale for seconds in quietest["units"][2:]]
        result["simulated_from"] = (
            f"units measured on one core here, scaled to 256 models and {PAPER_STEPS:,} steps on a GPU taken to be "
            f"{times_a_core:.0f} times as fast"
        )
    result["simulation"] = simulations(units, 30.0)
    result["turns"] = turns
    name = "".join(c if c.isalnum() else "-" for c in result["machine"].lower())
    (RESULTS / f"scaling-{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(render(result))


if __name__ == "__main__":
    main()
