"""Training speed of the engines and their rivals, side by side on the same tasks.

    python benchmarks/engines.py            measure and write benchmarks/results/engines-<machine>.json
    python benchmarks/engines.py --document render all results into docs/performance.md

Rivals take turns, so that a busy machine slows all of them; medians over the turns are reported. Ratios
within one run mean something, times across runs or machines do not. Ways with several threads suffer most when other
programs compute; how many cores these took on average is recorded.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import click
import engine_rivals as rivals
import numpy as np
import psutil
import torch
from engine_table import ENGINES, render

from rnnzoo.generation.engines import Snapshot, find_engine
from rnnzoo.generation.engines.numba_engine import NumbaEngine
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.formal_languages import language_population
from rnnzoo.generation.kinds.smnist import tile_sources
from rnnzoo.generation.population import Population, TileExamples, TokenExamples
from rnnzoo.generation.recipes import Protocol
from rnnzoo.networks.network import Network

FOLDER = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
PAPER_STEPS, PAPER_SNAPSHOTS, PAPER_IMAGES = 20_000, 9, 26_000
DISC_RADIUS = 10.2


def languages(models: int) -> Population:
    """Models of the formal-languages zoo at paper scale."""
    recipe = find_recipe("formal-languages", "paper")
    return language_population(recipe, range(models))[0]


def tiles(models: int) -> Population:
    """Models on dense tiles: 16 inputs, 50 positions, 10 classes, batch 32, hidden 32 x 2 layers, rotated images.

    The images are noise in a disc. What comes before the first visible tile is background, which the numba engine's
    evaluation makes use of: 6.5 positions here on average, 8.9 for MNIST's digits.
    """
    random = np.random.default_rng(0)
    ids = np.arange(models, dtype=np.uint32)
    sources = np.stack([tile_sources(angle) for angle in random.uniform(0, 360, models)])
    rows, columns = np.mgrid[-13.5:14, -13.5:14]
    disc = (rows**2 + columns**2 < DISC_RADIUS**2).ravel()
    examples = TileExamples(
        seed=0,
        model_ids=ids,
        images=(random.integers(0, 256, (5000, 784)) * disc).astype(np.uint8),
        labels=random.integers(0, 10, 5000).astype(np.uint8),
        drawable=np.arange(5000, dtype=np.int32),
        sources=sources,
        values=((np.arange(256) / 255 - 0.1307) / 0.3081).astype(np.float32),
    )
    decay = np.full(models, 0.01, dtype=np.float32)
    return Population(0, ids, Network(16, 32, 2, 10), Protocol(PAPER_STEPS), (PAPER_STEPS,), decay, examples)


@dataclasses.dataclass
class Entry:
    """A rival in the race: its name, what makes it, how many models and steps a turn trains."""

    name: str
    make: Callable[[Population], rivals.Train]
    models: int
    steps: int
    weighted: bool = False


def entries(threads: int, quick: bool) -> list[Entry]:
    """Everybody who can run on this machine."""
    scale = 1 if quick else 4
    field = [
        Entry("original: nn.LSTM + AdamW, one at a time", rivals.original, 1, 20 * scale),
        Entry("reference engine", rivals.engine("reference"), 1, 20 * scale),
        Entry("torch population, baddbmm", rivals.torch_population, 8, 2 * scale),
        Entry("numba engine", rivals.engine("numba"), 2 * threads, 50 * scale, weighted=True),
    ]
    if importlib.util.find_spec("jax"):
        field += [
            Entry(f"JAX jit(vmap(scan)), {models} models", rivals.jax_population, models, 2 * scale)
            for models in (2, 8, 32)
        ]
    if torch.cuda.is_available():
        field.append(Entry("cuda engine", rivals.engine("cuda"), 1024, 25 * scale, weighted=True))
        field.append(Entry("torch population, baddbmm, GPU", lambda p: rivals.torch_population(p, "cuda"), 1024, scale))
        if importlib.util.find_spec("flashrnn"):
            field.append(Entry("FlashRNN, recurrence alone, bfloat16", rivals.flash_population, 64, 4 * scale))
    return field


def operations(population: Population, weighted: bool) -> float:
    """Floating-point operations of one model-step's matrix products: forward, and twice that backward.

    With `weighted`, of the distinct rows that the fused engines run for token models, whose first layer they look up.
    """
    network, examples = population.network, population.examples
    batch, gates = population.protocol.batch_size, 4 * network.hidden_size
    is_tokens = isinstance(examples, TokenExamples)
    rows: float = batch
    if weighted and is_tokens:
        rows = float(np.mean([len(np.unique(d)) for s in range(50) for d in examples.draw(s, batch)]))
    positions = examples.inputs.shape[2] if is_tokens else examples.sources.shape[1] + 1
    recurrent = network.layers * gates * network.hidden_size
    between = (network.layers - 1) * gates * network.hidden_size + network.output_size * network.hidden_size
    first = 0 if weighted and is_tokens else gates * network.input_size
    return rows * positions * (6.0 * (recurrent + between) + 4.0 * first)


def peak_of_products(threads: int) -> float:
    """GFLOP/s of a large float32 matrix product with all threads."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, 1024, 1024)
    start = time.perf_counter()
    for _ in range(8):
        a @ b
    return 8 * 2 * 1024**3 / (time.perf_counter() - start) / 1e9


def peak_memory(call: Callable[[], None]) -> float | None:
    """MiB by which a call raises the process's resident memory at most; None where the system does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = psutil.Process().memory_info().rss / 2**20
        call()
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) / 2**10 - before if match else None


def busy_seconds() -> tuple[float, float]:
    """Core-seconds that the whole machine and this process alone have computed so far."""
    whole, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return sum(whole[:3]), own.user + own.system


def evaluation_seconds(population: Population) -> float:
    """Seconds per model of evaluating one snapshot at paper scale with the numba engine."""
    engine, snapshot = NumbaEngine(), Snapshot(0, population.initial_weights())
    images = np.random.default_rng(0).integers(0, 5000, (len(population), PAPER_IMAGES)).astype(np.int32)
    start = time.perf_counter()
    if isinstance(population.examples, TokenExamples):
        engine.sample_rollouts(population, snapshot, 1000, 100, 42, 4)
        return (time.perf_counter() - start) / len(population)
    engine.classify(population, snapshot, images, 100)
    return (time.perf_counter() - start) / len(population)


def evaluation_share(seconds: float, step_ms: float) -> float:
    """Share of a paper-scale build that evaluating the snapshots takes."""
    return seconds * PAPER_SNAPSHOTS / (seconds * PAPER_SNAPSHOTS + PAPER_STEPS * step_ms / 1000)


def race(task: Callable[[int], Population], rounds: int, quick: bool, threads: int) -> dict:
    """Measure everybody on one task."""
    runners = []
    for entry in entries(threads, quick):
        population = task(entry.models)
        made: list[rivals.Train] = []

        def start(entry: Entry = entry, population: Population = population, made: list = made) -> None:
            made.append(entry.make(population))
            made[0](2)

        memory = peak_memory(start)
        runners.append((entry, population, made[0], memory, []))
    peaks = []
    for turn in range(rounds):
        peaks.append(peak_of_products(threads))
        for entry, _, train, _, times in runners:
            began = time.perf_counter()
            train(entry.steps)
            times.append(1000 * (time.perf_counter() - began) / entry.steps / entry.models)
        click.echo(f"  round {turn + 1} of {rounds}", err=True)
    peak = statistics.median(peaks)
    results = []
    original = statistics.median(runners[0][4])
    for entry, population, _, memory, times in runners:
        median = statistics.median(times)
        rate = operations(population, entry.weighted) / median / 1e6
        results.append(
            {
                "rival": entry.name,
                "models": entry.models,
                "ms_per_model_step": median,
                "model_steps_per_second": 1000 / median,
                "ratio_to_original": original / median,
                "gflops": rate,
                "share_of_peak": rate / peak,
                "peak_memory_mib": memory,
                "ms_of_each_round": times,
            }
        )
    step_ms = next(r["ms_per_model_step"] for r in results if r["rival"] == "numba engine")
    population = task(2 * threads)
    seconds = statistics.median(evaluation_seconds(population) for _ in range(7))
    evaluation = {"ms_per_model_and_snapshot": 1000 * seconds, "share": evaluation_share(seconds, step_ms)}
    return {"peak_gflops": peak, "rivals": results, "evaluation": evaluation}


@click.command(help=__doc__)
@click.option("--rounds", default=9, show_default=True, help="Turns of every rival.")
@click.option("--quick", is_flag=True, help="A quarter of the steps per turn.")
@click.option("--machine", default=None, help="Name in the result's file name; the processor's by default.")
@click.option("--document", is_flag=True, help="Only render the results into docs/performance.md.")
def main(rounds: int, quick: bool, machine: str | None, document: bool) -> None:
    """Entry point."""
    if document:
        ENGINES.rewrite(DOCUMENT, FOLDER)
        return
    engine, _ = find_engine("numba", languages(1))
    device = engine.describe_device()
    threads = NumbaEngine().threads
    name = machine or re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    if torch.cuda.is_available():
        device += f"; {torch.cuda.get_device_name()}"
    result = {
        "machine": device,
        "threads": threads,
        "cores": os.cpu_count(),
        "versions": {package: _version(package) for package in ("numba", "torch", "jax", "numpy")},
        "rounds": rounds,
        "tasks": {},
    }
    began, busy = time.perf_counter(), busy_seconds()
    for title, task in (("formal-languages", languages), ("dense tiles", tiles)):
        click.echo(title, err=True)
        result["tasks"][title] = race(task, rounds, quick, threads)
    whole, own = (after - before for after, before in zip(busy_seconds(), busy, strict=True))
    result["cores_used_by_others"] = (whole - own) / (time.perf_counter() - began)
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"engines-{name}.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    click.echo(render(result))
    click.echo(f"Written to {target}", err=True)


def _version(package: str) -> str | None:
    """Installed version of a package, None if it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
