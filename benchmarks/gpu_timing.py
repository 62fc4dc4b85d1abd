"""How fast is the CUDA engine? Throughput, time per kernel, the original way beside it, and whole zoos."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_checks import Makers
from torch.nn.functional import cross_entropy

from rnnzoo.generation.engines.cuda_engine import CudaEngine
from rnnzoo.generation.engines.triton_options import KernelOptions
from rnnzoo.generation.engines.triton_population import TritonPopulation
from rnnzoo.generation.population import Population
from rnnzoo.networks.lstm import LSTMNetwork

PHASES = ("draw", "forward", "read_out", "backward", "optimize")


def synchronize(device: str) -> None:
    """Wait for the GPU, if there is one."""
    if device != "cpu":
        torch.cuda.synchronize()


def seconds(action: Callable[[], Any], device: str) -> float:
    """Wall-clock seconds of an action, the GPU's work included."""
    synchronize(device)
    start = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - start


def milliseconds_per_step(population: Population, device: str, options: KernelOptions, budget: float) -> float:
    """Milliseconds of one update of the whole population, the median of three runs, after a warm-up."""
    run = TritonPopulation(population, device, device != "cpu", options)
    run.advance(2)
    once = seconds(lambda: run.advance(run.steps_done + 1), device)
    steps = max(1, min(200, int(budget / 3 / max(once, 1e-6))))
    steps = min(steps, max(1, (population.protocol.steps - run.steps_done) // 3))
    times = [seconds(lambda: run.advance(run.steps_done + steps), device) / steps for _ in range(3)]
    return 1000 * float(np.median(times))


def throughput(
    device: str, makers: Makers, sizes: list[int], precisions: list[str], budget: float
) -> list[dict[str, Any]]:
    """Milliseconds per update, and per model and update, by zoo, population size and precision."""
    rows = []
    for name, make in makers.items():
        for models in sizes:
            for precision in precisions:
                step = milliseconds_per_step(make(models), device, KernelOptions(precision=precision), budget)
                rows.append(
                    {
                        "zoo": name,
                        "models": models,
                        "precision": precision,
                        "ms per step": step,
                        "us per model and step": 1000 * step / models,
                        "seconds for 20,000 steps": 20 * step,
                    }
                )
    return rows


def phases(
    device: str, makers: Makers, models: int, options: KernelOptions, repeats: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of each phase of an update, launched one after the other: median over repeats."""
    result = {}
    for name, make in makers.items():
        run = TritonPopulation(make(models), device, False, options)
        run.update()
        (slot, *_) = run.slots()
        result[name] = {
            phase: 1000
            * float(np.median([seconds(functools.partial(getattr(run, phase), slot), device) for _ in range(repeats)]))
            for phase in PHASES
        }
    return result


def kernel_profile(device: str, makers: Makers, models: int) -> dict[str, dict[str, float]]:
    """Mean milliseconds of GPU time per update in each kernel, by torch.profiler."""
    from torch.profiler import ProfilerActivity, profile

    result = {}
    for name, make in makers.items():
        run = TritonPopulation(make(models), device, False)
        run.advance(2)
        updates = 5
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            run.advance(run.steps_done + updates)
            synchronize(device)
        events = profiler.key_averages()
        times = {event.key: event.device_time_total / 1000 / updates for event in events if event.device_time_total}
        result[name] = dict(sorted(times.items(), key=lambda item: -item[1])[:16])
    return result


def tuning(device: str, makers: Makers, models: int, left: Callable[[], float]) -> list[dict[str, Any]]:
    """Phases under other numbers of warps and pipeline stages, as long as time is left."""
    candidates = [
        KernelOptions(forward_warps=w, backward_warps=w, forward_stages=s, backward_stages=s)
        for w in (4, 2, 8)
        for s in (2, 1, 3)
    ]
    candidates += [KernelOptions(gradient_warps=w, gradient_stages=s) for w in (2, 4, 8) for s in (1, 2, 3)]
    rows = []
    for options in candidates:
        if left() < 20:
            break
        try:
            rows.append({**dataclasses.asdict(options), **phases(device, makers, models, options, 5)})
        except Exception as error:
            rows.append({**dataclasses.asdict(options), "error": str(error)[:200]})
    return rows


def original_way(device: str, makers: Makers, steps: int) -> dict[str, float]:
    """Milliseconds per step of nn.LSTM and AdamW on one model, its batch already on the device."""
    result = {}
    for name, make in makers.items():
        population = make(1)
        network = LSTMNetwork.from_weights(population.network, population.initial_weights()[0]).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=1e-4)
        inputs, targets = (torch.from_numpy(array).to(device) for array in population.examples.batch(0, 0, 32))

        def update(network=network, optimizer=optimizer, inputs=inputs, targets=targets) -> None:
            loss = cross_entropy(network.logits(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        for _ in range(3):
            update()
        times = [seconds(lambda update=update: [update() for _ in range(steps)], device) for _ in range(3)]
        result[name] = 1000 * float(np.median(times)) / steps
    return result


def whole_zoo(device: str, population: Population, rollouts: int, recorded: int, deadline: float) -> dict[str, Any]:
    """Train a language population with its snapshots, sample from each, and pack the rows; seconds of each part.

    Training stops early, and says so, where the deadline (`time.monotonic`) passes.
    """
    engine = CudaEngine(device=device)
    length = population.examples.inputs.shape[2] + 1
    spent = {"training": 0.0, "rollouts": 0.0, "packing": 0.0}
    snapshots = []
    synchronize(device)
    begun = time.perf_counter()

    def progress(step: int, loss: float) -> None:
        snapshots.append((step, loss))
        if time.monotonic() > deadline:
            raise TimeoutError

    finished: list[int] = []
    rows: list[tuple] = []
    try:
        mark = time.perf_counter()
        for snapshot in engine.train(population, progress):
            synchronize(device)
            spent["training"] += time.perf_counter() - mark
            mark = time.perf_counter()
            tokens, log_probs = engine.sample_rollouts(population, snapshot, rollouts, recorded, length, 4)
            rows.append((snapshot.weights, tokens[:, :recorded], log_probs.astype(np.float16)))
            finished.append(snapshot.step)
            spent["rollouts"] += time.perf_counter() - mark
            mark = time.perf_counter()
    except TimeoutError:
        spent["training"] += time.perf_counter() - mark
    mark = time.perf_counter()
    size = _pack(rows)
    spent["packing"] = time.perf_counter() - mark
    return {
        "models": len(population),
        "steps wanted": population.protocol.steps,
        "snapshots finished": finished,
        "steps and loss": [*snapshots[:3], *snapshots[-3:]],
        "packed bytes": size,
        "seconds": spent,
        "seconds in all": time.perf_counter() - begun,
        "complete": finished[-1:] == [population.protocol.steps],
    }


def _pack(rows: list[tuple]) -> int:
    """Write the rows to one uncompressed HDF5 file, where h5py is installed; its size, or 0."""
    try:
        import h5py
    except ImportError:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zoo.h5"
        with h5py.File(path, "w") as file:
            for index, name in enumerate(("weights", "tokens", "log_probs")):
                file[name] = np.concatenate([row[index] for row in rows])
        return path.stat().st_size


def partial_training(device: str, population: Population, deadline: float) -> dict[str, Any]:
    """Train as many updates as fit before the deadline (`time.monotonic`); what all of them would take."""
    run = TritonPopulation(population, device, device != "cpu")
    run.advance(2)
    synchronize(device)
    begun, first = time.perf_counter(), run.steps_done
    while run.steps_done < population.protocol.steps and time.monotonic() < deadline:
        run.advance(min(population.protocol.steps, run.steps_done + 50))
        synchronize(device)
    steps = max(1, run.steps_done - first)
    spent = time.perf_counter() - begun
    return {
        "models": len(population),
        "steps trained": run.steps_done,
        "seconds": spent,
        "seconds for all steps": spent / steps * population.protocol.steps,
        "measured in full": run.steps_done == population.protocol.steps,
        "mean loss": float(np.nanmean(run.losses())),
    }
