"""Share of a paper-scale build that evaluating the snapshots takes with the numba engine, for both zoos.

    python benchmarks/evaluation_share.py

Training and evaluation take turns, so that a busy machine slows both; medians over the turns are reported. Times are
the process's processor time, which other programs lengthen least: they take whole cores away, not parts of a share.
"""

from __future__ import annotations

import argparse
import statistics
import time

import engine_rivals as rivals
from engines import evaluation_seconds, evaluation_share, languages, tiles

from rnnzoo.generation.engines.numba_engine import NumbaEngine

STEPS_PER_TURN = 100


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="turns of training and evaluation")
    options = parser.parse_args()
    print(f"{'zoo':<18}{'ms per step':>12}{'ms per snapshot':>17}{'share of a build':>18}")
    for zoo, task in (("formal-languages", languages), ("smnist", tiles)):
        population = task(2 * NumbaEngine().threads)
        train = rivals.engine("numba")(population)
        steps, evaluations = [], []
        for _ in range(options.rounds + 1):
            start = time.process_time()
            train(STEPS_PER_TURN)
            steps.append((time.process_time() - start) * 1000 / STEPS_PER_TURN / len(population))
            start = time.process_time()
            evaluation_seconds(population)
            evaluations.append((time.process_time() - start) / len(population))
        # The first turn compiles.
        step, seconds = statistics.median(steps[1:]), statistics.median(evaluations[1:])
        print(f"{zoo:<18}{step:>12.3f}{seconds * 1e3:>17.1f}{evaluation_share(seconds, step):>18.1%}")


if __name__ == "__main__":
    main()
