"""The CUDA engine's kernels in Triton's interpreter, small, against the reference.

`test_triton_kernels.py` runs this file in a process of its own with TRITON_INTERPRET=1, which Triton reads when it
is imported.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from populations import table_population, without_targets
from torch.nn.functional import cross_entropy

from rnnzoo.errors import UsageError
from rnnzoo.generation.engines.cuda_engine import CudaEngine
from rnnzoo.generation.engines.interface import Snapshot
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.engines.triton_options import padded
from rnnzoo.generation.engines.triton_plan import row_classes, select, update_schedule
from rnnzoo.generation.engines.triton_population import TritonPopulation
from rnnzoo.generation.population import NO_TARGET, Population, TileExamples, TokenExamples
from rnnzoo.generation.recipes import Protocol
from rnnzoo.networks.lstm import LSTMNetwork
from rnnzoo.networks.network import Network

SEED = 2**64 - 12345
GRADIENT_TOLERANCE = 1e-5
STEPS = 3
TRAINING_TOLERANCE = 1e-3
"""AdamW divides by the gradient's size: where a gradient is rounding noise, three updates at 0.01 differ this much."""


def token_population(models=2, hidden=16, layers=1, batch=8, strings=5, length=6, steps=STEPS):
    """Models with ids on both sides of 2**31, each with 2 to `strings` random strings over 5 tokens."""
    generator = np.random.default_rng(models + hidden + layers)
    ids = np.arange(models, dtype=np.uint32) * 7 + np.uint32(2**31 - 7)
    counts = generator.integers(2, strings + 1, models).astype(np.int32)
    counts[0] = strings
    text = generator.integers(0, 5, (models, strings, length)).astype(np.uint8)
    network = Network(5, hidden, layers, 5)
    decay = np.full(models, 0.01, dtype=np.float32)
    examples = TokenExamples.of_strings(SEED, ids, text, counts, 5)
    return Population(SEED, ids, network, Protocol(steps=steps, batch_size=batch), (0, steps), decay, examples)


def tile_population(models=2, hidden=16, layers=1, batch=7, positions=4, width=3, steps=STEPS):
    """Image models with 3 outputs, pixel maps with background, and 5 of 9 images to draw from."""
    generator = np.random.default_rng(models + hidden + layers)
    ids = np.arange(models, dtype=np.uint32) + 3
    examples = TileExamples(
        SEED,
        ids,
        images=generator.integers(0, 256, (9, 12)).astype(np.uint8),
        labels=generator.integers(0, 3, 9).astype(np.uint8),
        drawable=np.array([1, 2, 4, 5, 7], dtype=np.int32),
        sources=generator.integers(-1, 12, (models, positions - 1, width)).astype(np.int16),
        values=generator.normal(size=256).astype(np.float32),
    )
    network = Network(width, hidden, layers, 3)
    decay = np.linspace(0, 0.1, models, dtype=np.float32)
    return Population(SEED, ids, network, Protocol(steps=steps, batch_size=batch), (0, steps), decay, examples)


def interpreted(population, **arguments):
    return TritonPopulation(population, "cpu", use_graph=False, **arguments)


def after(population, steps=STEPS, **arguments):
    run = interpreted(population, **arguments)
    run.advance(steps)
    return run.weights()


def float64_gradient(population, model):
    network = LSTMNetwork.from_weights(population.network, population.initial_weights()[model]).double()
    inputs, targets = population.examples.batch(model, 0, population.protocol.batch_size)
    loss = cross_entropy(
        network.logits(torch.from_numpy(inputs).double()).flatten(0, 1),
        torch.from_numpy(targets).flatten(),
        ignore_index=NO_TARGET,
    )
    loss.backward()
    names = [
        (p.name, p.name if p.name.startswith("linear.") else f"lstm.{p.name}") for p in population.network.parameters()
    ]
    return loss.item(), {name: network.get_parameter(module).grad.numpy() for name, module in names}


@pytest.mark.parametrize(
    "population",
    [
        token_population(layers=2),
        token_population(hidden=20, layers=3, batch=4, strings=20),
        token_population(hidden=48, batch=40, strings=18),
        token_population(hidden=128, layers=2, models=1, length=3),
        table_population(models=2, hidden_size=20, batch_size=10, rows=50, positions=4, vocabulary=18, outputs=3),
        table_population(models=2, layers=1, batch_size=18, rows=6, positions=4, vocabulary=3, outputs=17),
        tile_population(layers=2),
        tile_population(hidden=33, batch=18, width=17),
        tile_population(hidden=64, layers=2, models=1, batch=33, positions=2),
    ],
    ids=lambda population: f"{population.network.describe()}, batch {population.protocol.batch_size}",
)
def test_loss_and_gradient_agree_with_float64_autograd(population):
    run = interpreted(population)
    run.update()
    gradients = population.network.unflatten(run.gradients())
    for model in range(len(population)):
        loss, exact = float64_gradient(population, model)
        assert run.losses()[model] == pytest.approx(loss, rel=1e-5)
        for name, want in exact.items():
            error = np.linalg.norm(gradients[name][model] - want) / np.linalg.norm(want)
            assert error < GRADIENT_TOLERANCE, name


@pytest.mark.parametrize("step", [0, 1, 19_999])
def test_batches_are_those_of_the_population_bit_for_bit(step):
    few, many = token_population(models=5, batch=30), token_population(models=5, batch=30, strings=70)
    tiled = tile_population(models=5, batch=30)
    for population in (few, many, tiled):
        run = interpreted(population)
        run.step.fill_(step)
        for slot in run.slots():
            run.draw(slot)
        source, weight = run.batch_rows()
        drawn = population.examples.draw(step, 30)
        if run.distinct:
            counts = np.stack([np.bincount(row, minlength=source.shape[1]) for row in drawn])
            np.testing.assert_array_equal(weight, counts.astype(np.float32) / np.float32(30))
        else:
            np.testing.assert_array_equal(source[:, :30], drawn)
            np.testing.assert_array_equal(weight[:, :30], np.float32(1 / 30))
            assert not weight[:, 30:].any()


def test_only_models_with_more_strings_than_draws_train_on_every_draw():
    assert interpreted(token_population(batch=32, strings=20)).distinct
    assert not interpreted(token_population(batch=16, strings=20)).distinct


def test_training_follows_the_reference_engine():
    mixed = token_population(models=3, batch=8, strings=20)
    counts = np.array([20, 3, 5], dtype=np.int32)
    mixed = dataclasses.replace(mixed, examples=dataclasses.replace(mixed.examples, counts=counts))
    assert [list(place) for place in row_classes(mixed)] == [[1, 2], [0]]
    for population in (mixed, tile_population(), table_population(models=2, layers=1, positions=4)):
        reported = []
        engine = CudaEngine(device="cpu")
        snapshots = list(engine.train(population, lambda step, loss: reported.append((step, loss))))  # noqa: B023
        reference = list(ReferenceEngine().train(population, lambda *_: None))
        assert [s.step for s in snapshots] == [0, STEPS]
        np.testing.assert_array_equal(snapshots[0].weights, reference[0].weights)
        difference = np.abs(snapshots[1].weights - reference[1].weights)
        assert difference.max() < TRAINING_TOLERANCE
        assert np.median(difference) < 1e-6
        assert reported[-1][0] == STEPS
        assert np.isfinite(reported[-1][1])


@pytest.mark.parametrize("make", [token_population, tile_population])
def test_a_model_does_not_depend_on_the_others_even_if_they_diverge(make):
    population = make(models=3)
    together = after(population)
    for model in range(3):
        np.testing.assert_array_equal(after(select(population, np.array([model])))[0], together[model])
    decay = population.weight_decay.copy()
    decay[1] = np.nan
    diverged = after(dataclasses.replace(population, weight_decay=decay))
    assert np.isnan(diverged[1]).all()
    np.testing.assert_array_equal(diverged[[0, 2]], together[[0, 2]])


def test_a_model_without_targets_stays_as_it_is_and_harms_nobody():
    population = table_population(models=2, layers=1, positions=3)
    without = after(without_targets(population, 0))
    np.testing.assert_array_equal(without[0], population.initial_weights()[0])
    np.testing.assert_array_equal(without[1], after(population)[1])


def test_models_beyond_the_workspace_are_trained_in_rounds_with_the_same_result():
    population = token_population(models=18, length=3, steps=1)
    run = interpreted(population, workspace_bytes=1)
    assert [slot.models for slot in run.slots()] == [16, 2]
    np.testing.assert_array_equal(after(population, 1, workspace_bytes=1), after(population, 1))


def test_rollouts_are_the_reference_engines():
    population = token_population(layers=3)
    snapshot = Snapshot(5, population.initial_weights() * 5)
    arguments = (population, snapshot, 70, 66, 7, 1)
    tokens, log_probs = CudaEngine(device="cpu").sample_rollouts(*arguments)
    want_tokens, want_log_probs = ReferenceEngine().sample_rollouts(*arguments)
    np.testing.assert_array_equal(tokens, want_tokens)
    np.testing.assert_allclose(log_probs, want_log_probs, atol=5e-6)


def test_rollouts_may_start_with_a_token_that_is_no_output():
    population = table_population(models=2, vocabulary=18, outputs=4)
    snapshot = Snapshot(5, population.initial_weights() * 5)
    tokens, log_probs = CudaEngine(device="cpu").sample_rollouts(population, snapshot, 20, 20, 7, 17)
    want_tokens, want_log_probs = ReferenceEngine().sample_rollouts(population, snapshot, 20, 20, 7, 17)
    np.testing.assert_array_equal(tokens, want_tokens)
    np.testing.assert_allclose(log_probs, want_log_probs, atol=5e-6)
    with pytest.raises(UsageError, match="outside the vocabulary"):
        CudaEngine(device="cpu").predict(population, snapshot, np.full((2, 1, 1), 18, np.uint8))


@pytest.mark.parametrize("precision", ["tf32x3", "ieee"])
def test_predictions_are_the_reference_engines(precision):
    population = table_population(models=2, vocabulary=18)
    snapshot = Snapshot(5, population.initial_weights() * 5)
    inputs = np.random.default_rng(0).integers(0, 18, (2, 70, 5)).astype(np.uint8)
    log_probs = CudaEngine(precision, "cpu").predict(population, snapshot, inputs)
    np.testing.assert_allclose(log_probs, ReferenceEngine().predict(population, snapshot, inputs), atol=5e-6)


@pytest.mark.parametrize("precision", ["tf32x3", "ieee"])
def test_classification_is_the_reference_engines(precision):
    population = tile_population(layers=2)
    snapshot = Snapshot(5, population.initial_weights() * 5)
    chosen = np.random.default_rng(0).integers(0, 9, (2, 70)).astype(np.int32)
    loss, prediction, log_probs = CudaEngine(precision, "cpu").classify(population, snapshot, chosen, 66)
    want = ReferenceEngine().classify(population, snapshot, chosen, 66)
    np.testing.assert_allclose(loss, want[0], atol=5e-6)
    np.testing.assert_array_equal(prediction, want[1])
    np.testing.assert_allclose(log_probs, want[2], atol=5e-6)


def test_schedule_is_that_of_pytorch():
    population = token_population(steps=4)
    schedule = update_schedule(population)
    assert schedule.shape == (4, 3)
    assert schedule[3] == pytest.approx(
        [
            population.protocol.learning_rate(3),
            population.protocol.learning_rate(3) / (1 - 0.9**4),
            (1 - 0.999**4) ** 0.5,
        ]
    )


def test_networks_that_do_not_fit_are_refused():
    engine = CudaEngine(device="cpu")
    assert engine.refusal(token_population(hidden=128)) is None
    population = token_population(models=1)
    wide = dataclasses.replace(population, network=Network(5, 129, 1, 5))
    assert "hidden_size is 129" in engine.refusal(wide)


@pytest.mark.parametrize(("size", "tile"), [(1, 16), (16, 16), (17, 32), (32, 32), (100, 128)])
def test_tiles_are_powers_of_two_of_at_least_16(size, tile):
    assert padded(size) == tile
