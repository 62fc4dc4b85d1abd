"""Linear maps of many rows by oneDNN against PyTorch's BLAS, in turns, at the sizes of the encoders that have them.

    python benchmarks/products.py

prints, for the map and for the gradient of its inputs, the speed of both and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from rnnzoo.environment import processor_name
from rnnzoo.memory import keep_freed_memory
from rnnzoo.products import has_onednn, map_rows

SIZES = {
    "transformer, keys and values": (64 * 519, 128, 256),
    "transformer, feed-forward in": (64 * 519, 128, 512),
    "transformer, feed-forward out": (64 * 519, 512, 128),
    "DWSNet, neurons of a hidden layer": (64 * 32, 288, 240),
}


def seconds(work: Callable[[], Tensor]) -> float:
    """Of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    print(f"{processor_name()}, {options.threads} threads, median of {options.rounds} turns\n")
    print("| map | oneDNN, GFLOP/s | BLAS, GFLOP/s | ratio |\n|---|---:|---:|---:|")
    for name, (rows, width, outputs) in SIZES.items():
        inputs, d_outputs, weight = torch.randn(rows, width), torch.randn(rows, outputs), torch.randn(outputs, width)
        assert has_onednn(inputs)
        for kind, given, factor in (("", inputs, weight), (", gradient", d_outputs, weight.t())):
            ways: tuple[Callable[[], Tensor], ...] = (
                lambda given=given, factor=factor: map_rows(given, factor),
                lambda given=given, factor=factor: given @ factor.t(),
            )
            times = [[seconds(way) for way in ways] for _ in range(options.rounds + 1)][1:]
            speeds = [2e-9 * rows * width * outputs / statistics.median(of_one) for of_one in zip(*times, strict=True)]
            print(f"| {name}{kind} | {speeds[0]:.0f} | {speeds[1]:.0f} | {speeds[0] / speeds[1]:.2f} |")


if __name__ == "__main__":
    main()
