"""A population: the models an engine trains together, with everything their training depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import require
from rnnzoo.generation.randomness import Purpose, integers_below, random_words, symmetric_floats
from rnnzoo.generation.recipes import Protocol
from rnnzoo.networks.network import Network

NO_TARGET = -1
"""The target where nothing is asked for: such a position adds nothing to the loss."""


class Examples(Interface):
    """The training data of a population; engines know the two kinds below by name.

    A batch's loss is the mean cross-entropy over all its positions with a target, and 0 if there are none.
    """

    def batch(self, model: int, step: int, batch_size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Inputs [batch, positions, input_size] and targets [batch, positions] of one model's update."""
        ...


@dataclass(frozen=True)
class TokenExamples:
    """Each model draws its batches from a table of token rows of its own, all equally likely.

    Args:
        seed: zoo seed.
        model_ids: uint32 [M].
        inputs: uint8 [M, E, positions], tokens; only the first `counts[m]` rows of a model are drawn.
        targets: int16 [M, E, positions], the output wanted at each position, `NO_TARGET` where none is.
        counts: int32 [M], number of rows of each model.
        vocabulary: number of tokens.

    Raises:
        ValueError: shapes that differ, or numbers out of range, which compiled code would not notice.
    """

    seed: int
    model_ids: NDArray[np.uint32]
    inputs: NDArray[np.uint8]
    targets: NDArray[np.int16]
    counts: NDArray[np.int32]
    vocabulary: int

    def __post_init__(self) -> None:
        if self.inputs.shape != self.targets.shape or len(self.inputs) != len(self.counts):
            raise ValueError("Inputs, targets and counts of token examples are not of the same models and rows.")
        if self.inputs.max(initial=0) >= self.vocabulary or self.targets.min(initial=0) < NO_TARGET:
            raise ValueError(f"Inputs lie in 0..{self.vocabulary - 1}, and targets are at least {NO_TARGET}.")
        if self.counts.min(initial=1) < 1 or self.counts.max(initial=1) > self.inputs.shape[1]:
            raise ValueError(f"A model has from 1 to {self.inputs.shape[1]} rows; counts say otherwise.")

    @classmethod
    def of_strings(
        cls,
        seed: int,
        model_ids: NDArray[np.uint32],
        strings: NDArray[np.uint8],
        counts: NDArray[np.int32],
        vocabulary: int,
    ) -> TokenExamples:
        """Language modelling: after each token of strings uint8 [M, E, length] but the last, the next is wanted."""
        targets = strings[..., 1:].astype(np.int16)
        return cls(seed, model_ids, np.ascontiguousarray(strings[..., :-1]), targets, counts, vocabulary)

    def draw(self, step: int, batch_size: int) -> NDArray[np.int64]:
        """Which rows make up the batch of an update: int64 [M, batch] in [0, counts)."""
        words = random_words(self.seed, self.model_ids, Purpose.BATCH, step, batch_size)
        return integers_below(words, self.counts[:, None])

    def batch(self, model: int, step: int, batch_size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """One-hot inputs [batch, positions, vocabulary] and targets [batch, positions]."""
        words = random_words(self.seed, self.model_ids[model], Purpose.BATCH, step, batch_size)
        rows = integers_below(words, self.counts[model])
        one_hot = np.eye(self.vocabulary, dtype=np.float32)
        return one_hot[self.inputs[model, rows]], self.targets[model, rows].astype(np.int64)


@dataclass(frozen=True)
class TileExamples:
    """Each model draws images from one shared set and sees them through a pixel map of its own.

    An input value is `values[pixel]`, looked up; no transformed copy of the images exists anywhere.

    Args:
        seed: zoo seed.
        model_ids: uint32 [M].
        images: uint8 [N, pixels].
        labels: uint8 [N].
        drawable: int32 [T], indices of the images that batches are drawn from.
        sources: int16 [M, positions - 1, input_size]: which pixel each input reads, -1 for background 0.
        values: float32 [256], the normalised value of each pixel intensity.
    """

    seed: int
    model_ids: NDArray[np.uint32]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    drawable: NDArray[np.int32]
    sources: NDArray[np.int16]
    values: NDArray[np.float32]

    def draw(self, step: int, batch_size: int) -> NDArray[np.int32]:
        """Which images make up the batch of an update: int32 [M, batch] image indices."""
        words = random_words(self.seed, self.model_ids, Purpose.BATCH, step, batch_size)
        return self.drawable[integers_below(words, len(self.drawable))]

    def inputs(self, model: int, indices: NDArray[np.integer]) -> NDArray[np.float32]:
        """Images [n] as one model sees them: float32 [n, positions, input_size], an all-zero tile in front."""
        sources = self.sources[model]
        pixels = self.images[indices][:, np.maximum(sources, 0)]
        tiles = self.values[np.where(sources >= 0, pixels, 0)]
        return np.concatenate([np.zeros_like(tiles[:, :1]), tiles], axis=1)

    def batch(self, model: int, step: int, batch_size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Inputs [batch, positions, input_size] and the label at every position [batch, positions]."""
        words = random_words(self.seed, self.model_ids[model], Purpose.BATCH, step, batch_size)
        indices = self.drawable[integers_below(words, len(self.drawable))]
        inputs = self.inputs(model, indices)
        targets = np.repeat(self.labels[indices].astype(np.int64)[:, None], inputs.shape[1], axis=1)
        return inputs, targets


@dataclass(frozen=True)
class Population:
    """The models an engine trains together; no model's result may depend on the others.

    Args:
        seed: zoo seed.
        model_ids: uint32 [M].
        network: shape of every model.
        protocol: optimizer, schedule and batch size.
        snapshots: steps whose weights are wanted, rising, the last equal to `protocol.steps`.
        weight_decay: float32 [M], AdamW's decoupled weight decay of each model.
        examples: what batches are drawn from.

    Raises:
        UsageError: the network does not have an input for each token and an output for each target.
    """

    seed: int
    model_ids: NDArray[np.uint32]
    network: Network
    protocol: Protocol
    snapshots: tuple[int, ...]
    weight_decay: NDArray[np.float32]
    examples: TokenExamples | TileExamples

    def __post_init__(self) -> None:
        if isinstance(self.examples, TokenExamples):
            inputs, outputs = self.network.input_size, self.network.output_size
            vocabulary, highest = self.examples.vocabulary, int(self.examples.targets.max(initial=0))
            require(inputs == vocabulary, "network.input_size", inputs, f"there are {vocabulary} tokens.")
            require(outputs > highest, "network.output_size", outputs, f"targets go up to {highest}.")

    def __len__(self) -> int:
        return len(self.model_ids)

    def initial_weights(self) -> NDArray[np.float32]:
        """Weights at step 0, float32 [M, P], uniform within the bound of the networks' cell."""
        words = random_words(self.seed, self.model_ids, Purpose.INITIAL_WEIGHTS, 0, self.network.parameter_count)
        return symmetric_floats(words, self.network.initial_bound)

    def model_index(self, model_ids: Sequence[int]) -> NDArray[np.intp]:
        """Positions of the given model ids in this population."""
        order = np.argsort(self.model_ids)
        return order[np.searchsorted(self.model_ids[order], np.asarray(model_ids))]
