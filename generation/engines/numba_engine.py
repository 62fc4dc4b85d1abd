"""The CPU engine: every training step of a model is one fused pass in compiled code, models run side by side.

Kernels are single-threaded and release the GIL; a pool of plain Python threads hands them models. So a
model's arithmetic is the same whatever runs beside it, no threading layer of Numba is involved (nothing that
breaks after a fork or inside another parallel region), and Ctrl-C is answered within one kernel call.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import config
from numpy.typing import NDArray

from rnnzoo.compiled.vector_kernels.disk_cache import is_compiled
from rnnzoo.environment import processor_name
from rnnzoo.generation.engines.interface import Progress, Snapshot, check_tokens
from rnnzoo.generation.engines.numba_kernels.classification import classify_model
from rnnzoo.generation.engines.numba_kernels.examples import example_arrays
from rnnzoo.generation.engines.numba_kernels.layout import Scratch, new_scratch, pack, sizes_of, unpack
from rnnzoo.generation.engines.numba_kernels.prediction import predict_model
from rnnzoo.generation.engines.numba_kernels.rollouts import sample_model
from rnnzoo.generation.engines.numba_kernels.training import train_model
from rnnzoo.generation.engines.workers import Workers
from rnnzoo.generation.population import Population, TileExamples, TokenExamples

STEPS_PER_CALL = 25
TRAINING_ROWS = 12
INFERENCE_ROWS = 48
ROLLOUTS_PER_TASK = 240
ROWS_PER_TASK = 240
IMAGES_PER_TASK = 960
LARGEST_BYTE = 255


class NumbaEngine:
    """Fused kernels for the CPU, one model per thread.

    Args:
        threads: how many models run at once; NUMBA_NUM_THREADS, by default all cores, if None.

    """

    name = "numba"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]

    def compilation_needed(self) -> bool:
        """Whether training first compiles on this machine (tens of seconds); later uses find it on disk."""
        return not is_compiled(train_model)

    def describe_device(self) -> str:
        """The processor's name and the number of threads."""
        return f"{processor_name()}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def refusal(self, population: Population) -> str | None:
        """One sentence if the population's tokens or outputs are of a kind the kernels do not know."""
        network, examples = population.network, population.examples
        if not isinstance(examples, TokenExamples | TileExamples):
            return f"its examples are {type(examples).__name__}, and only tokens and image tiles are compiled in."
        if network.output_size > LARGEST_BYTE + 1:
            return f"{network.output_size} outputs do not fit the bytes that tokens and predictions are stored in."
        return None

    def train(self, population: Population, progress: Progress) -> Iterator[Snapshot]:
        """See `Engine.train`. `progress` gets model-steps (models x updates) and the last batches' mean loss."""
        examples = example_arrays(population)
        network, protocol = population.network, population.protocol
        sizes = sizes_of(network, _positions(population), min(TRAINING_ROWS, protocol.batch_size))
        weights = pack(network, population.initial_weights())
        first_moment, second_moment = (
            pack(network, np.zeros((len(population), network.parameter_count), dtype=np.float32)) for _ in range(2)
        )
        seed = np.uint64(population.seed)
        losses = np.zeros(len(population))

        with Workers(self.threads, lambda: new_scratch(sizes, protocol.batch_size)) as workers:
            step = 0
            for wanted in population.snapshots:
                while step < wanted:
                    steps = min(STEPS_PER_CALL, wanted - step)
                    rates = np.array([protocol.learning_rate(step + i) for i in range(steps)])

                    def update(model: int, scratch: Scratch, step: int = step, rates: NDArray = rates) -> None:
                        losses[model] = train_model(
                            sizes, examples, weights[model], first_moment[model], second_moment[model], scratch,
                            seed, np.uint64(population.model_ids[model]), model,
                            protocol.batch_size, step, rates, float(population.weight_decay[model]),
                            *protocol.betas, protocol.epsilon,
                        )  # fmt: skip

                    workers.run(update, range(len(population)))
                    step += steps
                    progress(step * len(population), float(losses.mean()))
                yield Snapshot(wanted, unpack(network, weights))

    def sample_rollouts(
        self, population: Population, snapshot: Snapshot, rollouts: int, recorded: int, length: int, start: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """See `Engine.sample_rollouts`."""
        network, models = population.network, len(population)
        check_tokens(population, max(start, network.output_size - 1))
        sizes = sizes_of(network, 1, INFERENCE_ROWS)
        weights = pack(network, snapshot.weights)
        tokens = np.empty((models, rollouts, length), dtype=np.uint8)
        log_probs = np.empty((models, recorded, length - 1, network.output_size), dtype=np.float32)
        seed, step = np.uint64(population.seed), np.uint64(snapshot.step)

        def sample(task: tuple[int, int], scratch: Scratch) -> None:
            model, first = task
            chunk = slice(first, first + ROLLOUTS_PER_TASK)
            sample_model(
                sizes, weights[model], scratch, seed, np.uint64(population.model_ids[model]), step,
                first, start, tokens[model, chunk], log_probs[model, chunk],
            )  # fmt: skip

        with Workers(self.threads, lambda: new_scratch(sizes, 1)) as workers:
            workers.run(sample, _tasks(models, rollouts, ROLLOUTS_PER_TASK))
        return tokens, log_probs

    def predict(self, population: Population, snapshot: Snapshot, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Engine.predict`."""
        network = population.network
        check_tokens(population, int(inputs.max(initial=0)))
        sizes = sizes_of(network, 1, INFERENCE_ROWS)
        weights = pack(network, snapshot.weights)
        inputs = np.require(inputs, np.uint8, ["C", "W"])
        log_probs = np.empty((*inputs.shape, network.output_size), dtype=np.float32)

        def predict(task: tuple[int, int], scratch: Scratch) -> None:
            model, first = task
            chunk = slice(first, first + ROWS_PER_TASK)
            predict_model(sizes, weights[model], scratch, inputs[model, chunk], log_probs[model, chunk])

        with Workers(self.threads, lambda: new_scratch(sizes, 1)) as workers:
            workers.run(predict, _tasks(len(inputs), inputs.shape[1], ROWS_PER_TASK))
        return log_probs

    def classify(
        self, population: Population, snapshot: Snapshot, images: NDArray[np.int32], recorded: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
        """See `Engine.classify`."""
        network, examples = population.network, example_arrays(population)
        sizes = sizes_of(network, _positions(population), INFERENCE_ROWS)
        weights = pack(network, snapshot.weights)
        images = np.require(images, np.int32, ["C", "W"])
        losses = np.empty(images.shape, dtype=np.float32)
        predictions = np.empty(images.shape, dtype=np.uint8)
        log_probs = np.empty((len(images), recorded, sizes.positions, network.output_size), dtype=np.float32)

        def classify(task: tuple[int, int], scratch: Scratch) -> None:
            model, first = task
            chunk = slice(first, first + IMAGES_PER_TASK)
            classify_model(
                sizes, examples, weights[model], scratch, model, images[model, chunk],
                losses[model, chunk], predictions[model, chunk], log_probs[model, chunk],
            )  # fmt: skip

        with Workers(self.threads, lambda: new_scratch(sizes._replace(positions=1), 1)) as workers:
            workers.run(classify, _tasks(len(images), images.shape[1], IMAGES_PER_TASK))
        return losses, predictions, log_probs


def _tasks(models: int, rows: int, together: int) -> list[tuple[int, int]]:
    """Every model's rows in chunks of equal size, so that one model alone still fills all threads."""
    return [(model, first) for model in range(models) for first in range(0, rows, together)]


def _positions(population: Population) -> int:
    """Inputs per sequence."""
    examples = population.examples
    if isinstance(examples, TileExamples):
        return examples.sources.shape[1] + 1
    return examples.inputs.shape[2]
