"""Time per emulation training step of each encoder at a profile's sizes (the paper's by default), and where it goes.

Every encoder is timed in the same run, in turns, against the emulator alone (a constant z) and against the time its
matrix products would take at the speed of large products measured here. Run it on a machine that does nothing else:

    python benchmarks/emulation.py
    python benchmarks/emulation.py --profile quick --threads 1 --rounds 40
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from emulation_table import TIMES, render

from rnnzoo.emulation.config import PROFILES
from rnnzoo.emulation.data import EmulationData
from rnnzoo.emulation.divergences import DIVERGENCES
from rnnzoo.emulation.trainer import EmulationTraining
from rnnzoo.encoders import encode
from rnnzoo.encoders.registry import BUILT_IN
from rnnzoo.encoders.transformer import TransformerEncoder
from rnnzoo.environment import processor_name
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.jobs.memory import keep_freed_memory
from rnnzoo.networks.network import Network

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCUMENT = ROOT / "benchmarks" / "results", ROOT / "docs" / "encoders.md"
PHASES = ("draw", "encoder forward", "emulator forward", "backward", "clip and optimizer")


def synthetic_data(rows: int, positions: int) -> EmulationData:
    """Rows of random numbers in the shapes of formal-languages: the time of a step does not depend on the values."""
    network = Network(input_size=6, hidden_size=32, layers=2, output_size=6)
    generator = torch.Generator().manual_seed(0)
    return EmulationData(
        RecordedInputs("sequences", "tokens", positions),
        min(22, positions),
        network,
        np.arange(rows),
        torch.zeros(rows, dtype=torch.int64),
        torch.randn(rows, network.parameter_count, generator=generator) * 0.2,
        torch.randint(6, (rows, 4, positions), dtype=torch.uint8, generator=generator),
        torch.randn(rows, 4, positions, 6, generator=generator).log_softmax(-1).half(),
        torch.rand(rows, 20, generator=generator),
    )


def product_speed() -> float:
    """Multiply-adds times two per second of a large float32 matrix product, best of several."""
    size = 1536
    a, b = torch.randn(size, size), torch.randn(size, size)
    return max(2 * size**3 / timed(lambda: torch.mm(a, b)) for _ in range(8))


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def phases(training: EmulationTraining) -> list[float]:
    """Seconds of each part of one training step: the same calls as `EmulationTraining.update` makes, timed apart."""
    marks = [time.perf_counter()]
    draw = training.draw(training.step)
    networks, inputs, targets = training.batch(draw)
    marks.append(time.perf_counter())
    z = encode(training.encoder, networks, training.config.z_size)
    marks.append(time.perf_counter())
    loss = DIVERGENCES[training.config.loss](targets, training.emulator(z, inputs)).mean()
    marks.append(time.perf_counter())
    for optimizer in training.optimizers.values():
        optimizer.zero_grad()
    loss.backward()
    marks.append(time.perf_counter())
    for optimizer in training.optimizers.values():
        (group,) = optimizer.param_groups
        torch.nn.utils.clip_grad_norm_(group["params"], training.config.clip_norm)
        group["lr"] = draw.learning_rate
        optimizer.step()
    marks.append(time.perf_counter())
    return [after - before for before, after in pairwise(marks)]


def products_of_emulator(models: int, positions: int, hidden: int) -> float:
    """Arithmetic of the emulator's matrix products in one training step, input products of layer 0 joined."""
    recurrent_and_between = 3 * hidden * 4 * hidden
    return 3 * 2.0 * models * positions * recurrent_and_between


def products_of_transformer(models: int, encoder: TransformerEncoder) -> float:
    """Arithmetic of the parameter transformer's matrix products in one training step.

    Its last block makes one token and needs keys and values alone of the others.
    """
    _, tokens, width = encoder.positions.shape
    feed = encoder.blocks[0].feed_in.out_features
    per_token = 4 * width * width + 2 * width * feed + 2 * tokens * width
    return 3 * 2.0 * models * tokens * ((len(encoder.blocks) - 1) * per_token + 2 * width * width)


def main() -> None:
    """Measure, print the table and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", default=",".join(BUILT_IN), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each encoder")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--profile", choices=PROFILES, default="paper", help="sizes of encoders and emulator")
    parser.add_argument("--document", action="store_true", help="rewrite the tables of docs/encoders.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # As the worker processes of `rnnzoo eval` do.
    keep_freed_memory()
    config, data = PROFILES[options.profile], synthetic_data(rows=256, positions=41)
    names = ["constant", *(name for name in options.encoders.split(",") if name != "constant")]
    trainings = {name: EmulationTraining(data, name, config) for name in names}
    times: dict[str, list[list[float]]] = {name: [] for name in names}
    speeds = []
    for turn in range(options.rounds + 1):
        speeds.append(product_speed())
        # Nobody always goes first, or always after the same other.
        for name in random.Random(turn).sample(names, len(names)):
            training = trainings[name]
            # The transformer takes seconds a step: seven timings tell enough.
            if name == "transformer" and options.profile != "quick" and turn > 7:
                continue
            measured = phases(training)
            if turn:
                times[name].append(measured)
    result = summary(options, trainings, times, statistics.median(speeds))
    print(render(result))
    path = RESULTS / f"emulation-{options.profile}-{options.threads}-threads.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    if options.document:
        TIMES.rewrite(DOCUMENT, RESULTS)


def summary(
    options: argparse.Namespace,
    trainings: dict[str, EmulationTraining],
    times: dict[str, list[list[float]]],
    speed: float,
) -> dict:
    """What was measured, as JSON data."""
    config = PROFILES[options.profile]
    seconds = {name: statistics.median(map(sum, rows)) for name, rows in times.items()}
    products = products_of_emulator(config.rows_per_step, 41, config.hidden_size)
    encoders = {}
    for name, rows in times.items():
        medians = [statistics.median(column) * 1e3 for column in zip(*rows, strict=True)]
        encoders[name] = {
            "milliseconds": seconds[name] * 1e3,
            "ratio": seconds[name] / seconds["constant"],
            "phases": dict(zip(PHASES, medians, strict=True)),
        }
    result = {
        "machine": processor_name(),
        "threads": options.threads,
        "profile": options.profile,
        "rounds": options.rounds,
        "load_average": os.getloadavg()[0],
        "gigaflops": speed / 1e9,
        "emulator_products_milliseconds": 1e3 * products / speed,
        "encoders": encoders,
    }
    if "transformer" in trainings:
        bound = products_of_transformer(config.rows_per_step, trainings["transformer"].encoder) / speed
        result["transformer_products_milliseconds"] = bound * 1e3
        result["transformer_over_products"] = (seconds["transformer"] - seconds["constant"]) / bound
    return result


if __name__ == "__main__":
    main()
