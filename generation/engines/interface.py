"""What every engine offers, and how one is chosen."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import UsageError
from rnnzoo.generation.population import Population

Progress = Callable[[int, float], None]
"""Called now and then during training with (steps done, mean loss of the population's last batch)."""


@dataclass(frozen=True)
class Snapshot:
    """The weights of a whole population after `step` optimizer updates, float32 [M, P]."""

    step: int
    weights: NDArray[np.float32]


class Engine(Interface):
    """Trains populations, samples from language models, runs token models and evaluates classifiers.

    A model's numbers never depend on which other models are trained with it, on their number or order,
    or on the number of threads: bit for bit. Models that diverge to NaN or infinity do not disturb others.
    """

    name: str

    @property
    def threads(self) -> int | None:
        """How many models it trains at a time, each on a core; None where a GPU trains all at once."""
        ...

    def describe_device(self) -> str:
        """The hardware this engine runs on, for the manifest."""
        ...

    def compilation_needed(self) -> bool:
        """Whether the first use on this machine compiles code, which the user should be told."""
        ...

    def refusal(self, population: Population) -> str | None:
        """Why this engine cannot take a population, or None if it can."""
        ...

    def train(self, population: Population, progress: Progress) -> Iterator[Snapshot]:
        """Train from `population.initial_weights()`; yield a snapshot at every step wanted, in order."""
        ...

    def sample_rollouts(
        self, population: Population, snapshot: Snapshot, rollouts: int, recorded: int, length: int, start: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Sample token strings from every model of a snapshot: each output becomes the next position's input.

        Position t of rollout r takes word `r * stride + t - 1` of the model's ROLLOUT stream at the snapshot's
        step, with stride = length - 1 rounded up to a multiple of 4, as a uniform number u, and the first
        token whose cumulative probability exceeds u.

        Args:
            population, snapshot: which models, and their weights [M, P].
            rollouts: strings per model, R.
            recorded: how many of them come with log-probabilities, K <= R.
            length: tokens per string, L, the start token included.
            start: the first token of every string.

        Returns:
            tokens uint8 [M, R, L] and log-probabilities float32 [M, K, L - 1, outputs] of the first K.

        Raises:
            UsageError: the networks lack an input for the start token or an output.
        """
        ...

    def predict(self, population: Population, snapshot: Snapshot, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run every model of a snapshot on rows of tokens.

        Args:
            population, snapshot: which models, and their weights [M, P].
            inputs: uint8 [M, n, positions], rows of tokens, of any length, that each model reads.

        Returns:
            Log-probabilities float32 [M, n, positions, outputs].

        Raises:
            UsageError: a token for which the networks have no input.
        """
        ...

    def classify(
        self, population: Population, snapshot: Snapshot, images: NDArray[np.int32], recorded: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
        """Run every model of a snapshot on images of a `TileExamples` population.

        Args:
            population, snapshot: which models, and their weights [M, P].
            images: int32 [M, n], indices of the images each model sees.
            recorded: how many of them come with log-probabilities, K <= n.

        Returns:
            loss float32 [M, n] (mean cross-entropy over all positions), prediction uint8 [M, n] (argmax at the
            last position), and log-probabilities float32 [M, K, positions, outputs] of the first K images.
        """
        ...


_ENGINES = {
    "reference": "rnnzoo.generation.engines.reference:ReferenceEngine",
    "numba": "rnnzoo.generation.engines.numba_engine:NumbaEngine",
    "cuda": "rnnzoo.generation.engines.cuda_engine:CudaEngine",
}


def check_tokens(population: Population, highest: int) -> None:
    """Refuse tokens up to a number that the networks have no input for: compiled code would not notice.

    Raises:
        UsageError: there are such tokens.
    """
    vocabulary = population.network.input_size
    if highest >= vocabulary:
        raise UsageError(f"Some tokens are outside the vocabulary of these networks, 0..{vocabulary - 1}.")


def find_engine(name: str, population: Population) -> tuple[Engine, str | None]:
    """The engine to train a population with, and a line to show the user where a choice was made for them.

    "auto" takes the fastest that is installed, has its device and accepts the population: cuda, numba,
    reference. A named engine is taken or refused, never replaced.

    Raises:
        UsageError: an unknown engine, or a named engine that cannot be used here or for this population.
    """
    if name != "auto":
        if name not in _ENGINES:
            raise UsageError(f"There is no engine {name!r}: choose one of auto, {', '.join(_ENGINES)}.")
        engine = _create(name)
        if isinstance(engine, str):
            raise UsageError(f"--engine {name} cannot be used here: {engine}")
        if reason := engine.refusal(population):
            raise UsageError(f"--engine {name} cannot train this recipe: {reason} Use --engine auto.")
        return engine, None
    reasons = []
    for candidate in ("cuda", "numba"):
        engine = _create(candidate)
        if not isinstance(engine, str):
            reason = engine.refusal(population)
            if reason is None:
                return engine, None
            reasons.append(f"{candidate} cannot train this recipe: {reason}")
        elif candidate == "numba":
            reasons.append(engine)
    reference = _create("reference")
    assert not isinstance(reference, str)
    return reference, f"Training with the slow reference engine: {' '.join(reasons)}"


def _create(name: str) -> Engine | str:
    """The engine, or one sentence on why this machine cannot run it."""
    module, _, attribute = _ENGINES[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)()
    except ImportError as error:
        return f"{error.name or error} is not installed (pip install 'rnnzoo[build]')."
    except EngineUnavailable as error:
        return str(error)


class EngineUnavailable(Exception):
    """Raised by an engine's constructor when this machine lacks what it needs."""
