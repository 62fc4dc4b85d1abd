"""The fused CPU engine against slow references: draws, gradients, training, sampling, classification."""

from __future__ import annotations

import dataclasses
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from populations import some_models, table_population, tile_population, token_population, without_targets
from torch.nn.functional import cross_entropy

from rnnzoo.compiled.vector_kernels.disk_cache import is_compiled
from rnnzoo.errors import UsageError
from rnnzoo.generation.engines.interface import Engine, Snapshot, find_engine
from rnnzoo.generation.engines.numba_engine import NumbaEngine
from rnnzoo.generation.engines.numba_kernels.classification import classify_model
from rnnzoo.generation.engines.numba_kernels.examples import example_arrays
from rnnzoo.generation.engines.numba_kernels.layout import new_scratch, pack, packed_indices, sizes_of, unpack
from rnnzoo.generation.engines.numba_kernels.prediction import predict_model
from rnnzoo.generation.engines.numba_kernels.rollouts import sample_model
from rnnzoo.generation.engines.numba_kernels.training import train_model
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.population import NO_TARGET, Population
from rnnzoo.networks.lstm import LSTMNetwork

GRADIENT_TOLERANCE = 1e-5
TWO_HUNDRED_STEPS_TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _one_torch_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


EVERY_KIND = pytest.mark.parametrize(
    "make", [token_population, table_population, tile_population], ids=["strings", "tables", "tiles"]
)


def train(population: Population, threads: int = 2) -> list[Snapshot]:
    return list(NumbaEngine(threads).train(population, lambda steps, loss: None))


def positions_of(population: Population) -> int:
    return population.examples.batch(0, 0, 1)[0].shape[1]


def one_update(population: Population, model: int, weights: np.ndarray, rows: int) -> tuple[float, np.ndarray]:
    """Loss and flat gradient of one model's first batch at the given flat weights, from the training kernel."""
    network, batch_size = population.network, population.protocol.batch_size
    sizes = sizes_of(network, positions_of(population), rows)
    scratch = new_scratch(sizes, batch_size)
    packed, first, second = (pack(network, w[None])[0] for w in (weights, 0 * weights, 0 * weights))
    loss = train_model(
        sizes, example_arrays(population), packed, first, second, scratch, np.uint64(population.seed),
        np.uint64(population.model_ids[model]), model, batch_size, 0, np.array([0.01]), 0.0, 0.9, 0.999, 1e-8,
    )  # fmt: skip
    return loss, unpack(network, scratch.gradient[None])[0]


def exact_update(population: Population, model: int, weights: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """The same loss and gradients by PyTorch's autograd in float64."""
    network = LSTMNetwork(population.network).double()
    with torch.no_grad():
        for name, tensor in population.network.unflatten(weights).items():
            parameter = name if name.startswith("linear.") else f"lstm.{name}"
            network.get_parameter(parameter).copy_(torch.tensor(tensor, dtype=torch.float64))
    inputs, targets = population.examples.batch(model, 0, population.protocol.batch_size)
    logits = network.logits(torch.from_numpy(inputs).double())
    loss = cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten(), ignore_index=NO_TARGET)
    loss.backward()
    gradients = {name.removeprefix("lstm."): p.grad.numpy() for name, p in network.named_parameters()}
    return loss.item(), gradients


@pytest.mark.parametrize("hidden_size", [16, 20, 32, 128])
@pytest.mark.parametrize(("layers", "batch_size", "rows"), [(1, 5, 16), (2, 32, 16), (3, 19, 7)])
@EVERY_KIND
def test_gradient_matches_float64_autograd(make, hidden_size, layers, batch_size, rows):
    population = make(hidden_size=hidden_size, layers=layers, batch_size=batch_size, seed=hidden_size + layers)
    random = np.random.default_rng(hidden_size)
    for scale in (0.6, 3):
        weights = (scale * hidden_size**-0.5 * random.standard_normal(population.network.parameter_count)).astype(
            np.float32
        )
        for model in range(2):
            loss, gradient = one_update(population, model, weights, rows)
            exact_loss, exact = exact_update(population, model, weights)
            assert loss == pytest.approx(exact_loss, rel=1e-5)
            for name, tensor in population.network.unflatten(gradient).items():
                error = np.linalg.norm(tensor - exact[name]) / np.linalg.norm(exact[name])
                assert error < GRADIENT_TOLERANCE, f"{name} is off by {error:.1e}"


@pytest.mark.parametrize(("length", "batch_size"), [(42, 32), (2, 1)])
def test_gradient_at_the_length_of_a_language_row_and_at_the_smallest(length, batch_size):
    population = token_population(hidden_size=32, batch_size=batch_size, length=length, strings=10)
    weights = population.initial_weights()[0]
    loss, gradient = one_update(population, 0, weights, 16)
    exact_loss, exact = exact_update(population, 0, weights)
    assert loss == pytest.approx(exact_loss, rel=1e-5)
    for name, tensor in population.network.unflatten(gradient).items():
        norm = np.linalg.norm(exact[name])
        assert np.linalg.norm(tensor - exact[name]) <= GRADIENT_TOLERANCE * norm, name


@pytest.mark.parametrize(("rows", "batch_size"), [(3, 20), (200, 20)])
def test_gradient_where_rows_are_drawn_often_or_seldom(rows, batch_size):
    population = table_population(rows=rows, batch_size=batch_size, positions=11)
    weights = population.initial_weights()[1]
    loss, gradient = one_update(population, 1, weights, 8)
    exact_loss, exact = exact_update(population, 1, weights)
    assert loss == pytest.approx(exact_loss, rel=1e-5)
    for name, tensor in population.network.unflatten(gradient).items():
        assert np.linalg.norm(tensor - exact[name]) <= GRADIENT_TOLERANCE * np.linalg.norm(exact[name]), name


def test_what_comes_after_the_last_target_has_no_gradient():
    population = table_population(positions=6)
    examples = population.examples
    inputs, targets = examples.inputs % 4, examples.targets.copy()
    inputs[:, :, 3:] = 4
    targets[:, :, 3:] = NO_TARGET
    examples = dataclasses.replace(examples, inputs=inputs, targets=targets)
    population = dataclasses.replace(population, examples=examples)
    _, gradient = one_update(population, 0, population.initial_weights()[0], 8)
    columns = np.abs(population.network.unflatten(gradient)["weight_ih_l0"]).max(axis=0)
    assert columns[4] == 0
    assert (columns[:4] > 0).all()


@pytest.mark.parametrize("engine", [NumbaEngine(2), ReferenceEngine()], ids=lambda engine: engine.name)
def test_a_model_without_targets_stays_as_it_is_and_harms_nobody(engine):
    population = table_population(snapshots=(0, 5))
    without = list(engine.train(without_targets(population, 0), lambda steps, loss: None))[-1].weights
    with_targets = list(engine.train(population, lambda steps, loss: None))[-1].weights
    assert population.weight_decay[0] == 0
    np.testing.assert_array_equal(without[0], population.initial_weights()[0])
    np.testing.assert_array_equal(without[1:], with_targets[1:])


@EVERY_KIND
def test_two_hundred_steps_follow_the_reference_engine(make):
    population = make(models=2, hidden_size=24, batch_size=12, snapshots=(0, 1, 60, 200))
    calm = dataclasses.replace(population.protocol, learning_rate_steps=(0, 100), learning_rates=(0.003, 0.001))
    population = dataclasses.replace(population, protocol=calm)
    fast = train(population)
    slow = list(ReferenceEngine().train(population, lambda steps, loss: None))
    assert [s.step for s in fast] == [s.step for s in slow] == [0, 1, 60, 200]
    np.testing.assert_array_equal(fast[0].weights, population.initial_weights())
    for ours, theirs in zip(fast, slow, strict=True):
        error = np.linalg.norm(ours.weights - theirs.weights, axis=1) / np.linalg.norm(theirs.weights, axis=1)
        assert error.max() < TWO_HUNDRED_STEPS_TOLERANCE


@pytest.mark.slow
def test_long_training_reaches_the_same_losses_as_the_reference_engine():
    """Rounding errors grow into different weights after many steps; what was learned must be as good."""
    population = token_population(models=6, hidden_size=16, batch_size=8, length=14, snapshots=(0, 700))
    losses: dict[str, list[float]] = {}
    for engine in (NumbaEngine(), ReferenceEngine()):
        weights = list(engine.train(population, lambda steps, loss: None))[-1].weights
        losses[engine.name] = [
            exact_update(dataclasses.replace(population, seed=99), model, weights[model])[0] for model in range(6)
        ]
    assert np.mean(losses["numba"]) == pytest.approx(np.mean(losses["reference"]), rel=0.02)


@EVERY_KIND
def test_a_model_is_the_same_bit_for_bit_whatever_is_trained_beside_it(make):
    population = make(models=5, hidden_size=20, snapshots=(0, 2, 30))
    together = train(population, threads=2)[-1].weights
    order = [3, 0, 4, 1, 2]
    np.testing.assert_array_equal(train(some_models(population, order), threads=3)[-1].weights, together[order])
    for model in (0, 4):
        alone = train(some_models(population, [model]), threads=1)[-1].weights
        np.testing.assert_array_equal(alone[0], together[model])


def last_weights(population: Population) -> np.ndarray:
    return train(population)[-1].weights


def test_engine_works_in_forked_processes_after_use_in_their_parent():
    population = token_population()
    here = last_weights(population)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for there in pool.map(last_weights, [population] * 2, timeout=120):
            np.testing.assert_array_equal(there, here)


def test_number_of_threads_comes_from_the_environment(monkeypatch):
    monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", 3)
    assert NumbaEngine().describe_device().endswith("3 threads")


@EVERY_KIND
def test_snapshots_do_not_change_training(make):
    population = make(snapshots=(0, 1, 2, 17, 40))
    sparse = dataclasses.replace(population, snapshots=(40,))
    np.testing.assert_array_equal(train(population)[-1].weights, train(sparse)[-1].weights)


class Diverging(Population):
    """A population whose second model starts from infinities."""

    def initial_weights(self):
        weights = super().initial_weights()
        weights[1, ::7] = np.inf
        return weights


@EVERY_KIND
def test_a_diverging_model_disturbs_nobody(make):
    healthy = make(models=3)
    fields = {f.name: getattr(healthy, f.name) for f in dataclasses.fields(healthy)}
    population = Diverging(**fields)
    weights = train(population)[-1].weights
    assert not np.isfinite(weights[1]).all()
    np.testing.assert_array_equal(weights[[0, 2]], train(healthy)[-1].weights[[0, 2]])


@pytest.mark.slow
def test_a_diverged_model_can_still_be_sampled_and_classified():
    tokens, tiles = token_population(models=1), tile_population(models=1)
    broken = Snapshot(0, np.full((1, tokens.network.parameter_count), np.nan, dtype=np.float32))
    strings, log_probs = NumbaEngine().sample_rollouts(tokens, broken, 3, 1, 5, 4)
    np.testing.assert_array_equal(strings, [[[4, 0, 0, 0, 0]] * 3])
    assert np.isnan(log_probs).all()
    broken = Snapshot(0, np.full((1, tiles.network.parameter_count), np.nan, dtype=np.float32))
    losses, predictions, _ = NumbaEngine().classify(tiles, broken, np.arange(4, dtype=np.int32)[None], 1)
    assert np.isnan(losses).all()
    assert (predictions == 0).all()


@pytest.mark.parametrize("outputs", [6, 4], ids=["same vocabulary", "start token is no output"])
@pytest.mark.slow
def test_rollouts_equal_the_reference_engine(outputs):
    population = table_population(models=2, hidden_size=24, vocabulary=6, outputs=outputs)
    snapshot = Snapshot(7, 4 * population.initial_weights())
    arguments = (population, snapshot, 300, 20, 12, 4)
    tokens, log_probs = NumbaEngine().sample_rollouts(*arguments)
    expected, expected_log_probs = ReferenceEngine().sample_rollouts(*arguments)
    assert tokens.dtype == np.uint8
    assert log_probs.shape == expected_log_probs.shape
    same = (tokens == expected).all(axis=2)
    assert same.mean() > 0.99, "only a rounding difference right at a uniform number may change a string"
    recorded = same[:, :20]
    np.testing.assert_allclose(log_probs[recorded], expected_log_probs[recorded], atol=2e-5)


@pytest.mark.slow
def test_predictions_equal_the_reference_engine():
    population = table_population(models=3, hidden_size=24)
    snapshot = Snapshot(0, 4 * population.initial_weights())
    inputs = np.random.default_rng(0).integers(0, 5, (3, 301, 13)).astype(np.uint8)
    log_probs = NumbaEngine().predict(population, snapshot, inputs)
    assert log_probs.shape == (3, 301, 13, 3)
    np.testing.assert_allclose(log_probs, ReferenceEngine().predict(population, snapshot, inputs), atol=2e-5)


@pytest.mark.slow
def test_rollouts_come_with_what_is_predicted_for_them():
    population = token_population(models=2)
    snapshot = Snapshot(0, 4 * population.initial_weights())
    for engine in (NumbaEngine(), ReferenceEngine()):
        tokens, log_probs = engine.sample_rollouts(population, snapshot, 30, 30, 9, 4)
        predicted = engine.predict(population, snapshot, tokens[:, :, :-1])
        np.testing.assert_allclose(predicted, log_probs, atol=2e-5)


@pytest.mark.parametrize("engine", [NumbaEngine(), ReferenceEngine()], ids=lambda engine: engine.name)
def test_tokens_without_an_input_are_refused(engine):
    population = table_population(vocabulary=3, outputs=5, models=1)
    snapshot = Snapshot(0, population.initial_weights())
    with pytest.raises(UsageError, match=r"outside the vocabulary of these networks, 0..2\."):
        engine.predict(population, snapshot, np.full((1, 2, 2), 3, np.uint8))
    with pytest.raises(UsageError, match=r"outside the vocabulary of these networks, 0..2\."):
        engine.sample_rollouts(population, snapshot, 500, 1, 6, 0)


def with_background(population: Population) -> Population:
    """Tiles in an order of their own, the first two mostly and some images wholly background."""
    examples = population.examples
    sources, images = examples.sources.copy(), examples.images.copy()
    sources[0, :2] = -1
    sources[1:, 1] = -1
    sources[2:] = np.arange(sources[0].size).reshape(sources[0].shape)
    images[::3, : images.shape[1] // 2] = 0
    images[::7] = 0
    return dataclasses.replace(population, examples=dataclasses.replace(examples, sources=sources, images=images))


@pytest.mark.parametrize("change", [lambda p: p, with_background], ids=["no background", "background"])
@pytest.mark.slow
def test_classification_equals_the_reference_engine(change):
    population = change(tile_population(models=3, hidden_size=24))
    snapshot = Snapshot(0, 4 * population.initial_weights())
    images = np.random.default_rng(0).integers(0, 50, (3, 301)).astype(np.int32)
    losses, predictions, log_probs = NumbaEngine().classify(population, snapshot, images, 20)
    expected = ReferenceEngine().classify(population, snapshot, images, 20)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(predictions, expected[1])
    np.testing.assert_allclose(log_probs, expected[2], atol=2e-5)


@pytest.mark.slow
def test_inference_does_not_depend_on_company_or_threads():
    population = token_population(models=3)
    snapshot = train(population)[-1]
    tokens, log_probs = NumbaEngine(3).sample_rollouts(population, snapshot, 500, 260, 9, 4)
    alone = Snapshot(snapshot.step, snapshot.weights[[2]])
    again = NumbaEngine(1).sample_rollouts(some_models(population, [2]), alone, 251, 251, 9, 4)
    np.testing.assert_array_equal(again[0][0], tokens[2, :251])
    np.testing.assert_array_equal(again[1][0], log_probs[2, :251])

    population = table_population(models=3)
    snapshot = train(population)[-1]
    inputs = np.random.default_rng(0).integers(0, 5, (3, 500, 9)).astype(np.uint8)
    together = NumbaEngine(3).predict(population, snapshot, inputs)
    alone = Snapshot(snapshot.step, snapshot.weights[[2]])
    again = NumbaEngine(1).predict(some_models(population, [2]), alone, inputs[[2], 7:258])
    np.testing.assert_array_equal(again[0], together[2, 7:258])

    population = with_background(tile_population(models=3))
    snapshot = train(population)[-1]
    images = np.random.default_rng(0).integers(0, 50, (3, 500)).astype(np.int32)
    together = NumbaEngine(3).classify(population, snapshot, images, 260)
    alone = Snapshot(snapshot.step, snapshot.weights[[2]])
    again = NumbaEngine(1).classify(some_models(population, [2]), alone, images[[2], 7:258], 251)
    for ours, theirs in zip(again, together, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[2, 7:258])


def test_padding_stays_zero_through_training():
    population = token_population(hidden_size=20, layers=2)
    network = population.network
    sizes = sizes_of(network, positions_of(population), 16)
    state = [pack(network, w) for w in (population.initial_weights(), *np.zeros((2, 3, network.parameter_count)))]
    scratch = new_scratch(sizes, 8)
    for step in range(20):
        train_model(
            sizes, example_arrays(population), *(s[0] for s in state), scratch, np.uint64(1), np.uint64(0), 0,
            8, step, np.array([0.01]), 0.1, 0.9, 0.999, 1e-8,
        )  # fmt: skip
    padding = np.ones(state[0].shape[1], dtype=bool)
    padding[packed_indices(network)] = False
    for array in (*state, scratch.gradient[None]):
        assert not array[:, padding].any()


def test_progress_counts_model_steps_and_an_interrupt_ends_training():
    population = token_population(models=3, snapshots=(0, 10, 60))
    calls: list[tuple[int, float]] = []
    list(NumbaEngine().train(population, lambda steps, loss: calls.append((steps, loss))))
    assert [steps for steps, _ in calls] == sorted({steps for steps, _ in calls})
    assert calls[-1][0] == 3 * 60
    assert all(0 < loss < 5 for _, loss in calls)

    def interrupt(steps: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(NumbaEngine().train(population, interrupt))


def test_mean_loss_reported_is_that_of_the_last_batches():
    population = tile_population(models=2, snapshots=(0, 1))
    losses = [exact_update(population, model, population.initial_weights()[model])[0] for model in range(2)]
    list(NumbaEngine().train(population, lambda steps, loss: losses.append(loss)))
    assert losses[2] == pytest.approx(np.mean(losses[:2]), rel=1e-5)


def test_engine_is_found_describes_itself_and_refuses_what_it_cannot_take():
    population = token_population()
    engine, _ = find_engine("numba", population)
    checked: Engine = engine
    assert checked.name == "numba"
    assert "thread" in engine.describe_device()
    assert engine.refusal(tile_population()) is None
    assert "outputs" in engine.refusal(tile_population(outputs=300))


@pytest.mark.slow
def test_compiled_kernels_are_kept_on_disk():
    train(token_population())
    test_rollouts_equal_the_reference_engine(6)
    test_predictions_equal_the_reference_engine()
    test_classification_equals_the_reference_engine(with_background)
    assert not NumbaEngine().compilation_needed()
    assert all(map(is_compiled, (sample_model, predict_model, classify_model)))
