"""Training data of token models: what a batch is, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from populations import table_population, token_population

from rnnzoo.errors import UsageError
from rnnzoo.generation.population import NO_TARGET, TokenExamples
from rnnzoo.generation.randomness import Purpose, random_words
from rnnzoo.networks.network import Network


def test_a_batch_is_the_rows_drawn_with_their_targets() -> None:
    population = table_population(batch_size=30)
    examples = population.examples
    assert isinstance(examples, TokenExamples)
    for model in range(len(population)):
        words = random_words(population.seed, population.model_ids[model], Purpose.BATCH, 7, 30).astype(np.int64)
        drawn = words * int(examples.counts[model]) >> 32
        np.testing.assert_array_equal(examples.draw(7, 30)[model], drawn)
        inputs, targets = examples.batch(model, 7, 30)
        assert inputs.dtype == np.float32
        assert (inputs.sum(axis=-1) == 1).all()
        np.testing.assert_array_equal(inputs.argmax(axis=-1), examples.inputs[model, drawn])
        np.testing.assert_array_equal(targets, examples.targets[model, drawn])
        assert (targets == NO_TARGET).any()


def test_strings_are_to_be_foretold_token_by_token() -> None:
    strings = np.array([[[4, 0, 1, 5], [4, 2, 3, 200]]], dtype=np.uint8)
    examples = TokenExamples.of_strings(0, np.zeros(1, np.uint32), strings, np.array([2], np.int32), 201)
    np.testing.assert_array_equal(examples.inputs, strings[:, :, :3])
    np.testing.assert_array_equal(examples.targets, strings[:, :, 1:])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": np.zeros((3, 40, 6), np.uint8)}, "not of the same models and rows"),
        ({"counts": np.ones(2, np.int32)}, "not of the same models and rows"),
        ({"inputs": np.full((3, 40, 7), 5, np.uint8)}, "Inputs lie in 0..4"),
        ({"targets": np.full((3, 40, 7), -2, np.int16)}, "targets are at least -1"),
        ({"counts": np.array([1, 0, 1], np.int32)}, "from 1 to 40 rows"),
        ({"counts": np.array([1, 41, 1], np.int32)}, "from 1 to 40 rows"),
    ],
)
def test_tables_that_kernels_would_read_beyond_are_refused(fields: dict, message: str) -> None:
    examples = table_population().examples
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(examples, **fields)


def test_networks_that_do_not_fit_their_tokens_are_refused() -> None:
    with pytest.raises(UsageError, match=r"network.input_size=7 is impossible: there are 6 tokens."):
        dataclasses.replace(token_population(), network=Network(7, 16, 2, 6))
    with pytest.raises(UsageError, match=r"network.output_size=2 is impossible: targets go up to 2."):
        dataclasses.replace(table_population(), network=Network(5, 16, 2, 2))
