from __future__ import annotations

import numpy as np
import pytest
import torch

from rnnzoo.errors import UsageError
from rnnzoo.generation.engines import Snapshot, find_engine
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.formal_languages import language_population, language_rows
from rnnzoo.generation.recipes import Recipe
from rnnzoo.generation.traces import expected_loss
from rnnzoo.kinds.languages import START, score_strings, training_strings
from rnnzoo.networks.lstm import LSTMNetwork


def silent(steps: int, loss: float) -> None:
    pass


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return find_recipe("formal-languages", "tiny").override({"models": 20, "snapshots": (0, 3, 6)})


def test_a_model_trains_the_same_alone_and_among_others(recipe: Recipe) -> None:
    engine = ReferenceEngine()
    many, _ = language_population(recipe, [2, 17, 5])
    alone, _ = language_population(recipe, [17])
    for among, single in zip(engine.train(many, silent), engine.train(alone, silent), strict=True):
        assert among.step == single.step
        assert np.array_equal(among.weights[1], single.weights[0])


def test_the_first_snapshot_is_the_initialisation(recipe: Recipe) -> None:
    population, _ = language_population(recipe, [0, 1])
    snapshots = list(ReferenceEngine().train(population, silent))
    assert [snapshot.step for snapshot in snapshots] == [0, 3, 6]
    assert np.array_equal(snapshots[0].weights, population.initial_weights())
    assert not np.array_equal(snapshots[1].weights, snapshots[2].weights)


def test_one_update_is_adamw_written_out(recipe: Recipe) -> None:
    """The first AdamW update from float64 autograd: w (1 - rate decay) - rate g / (|g| + eps)."""
    population, _ = language_population(recipe.override({"snapshots": (0, 1)}), [3])
    start, after = (snapshot.weights[0] for snapshot in ReferenceEngine().train(population, silent))
    module = LSTMNetwork.from_weights(population.network, start).double()
    inputs, targets = population.examples.batch(0, 0, 32)
    log_probs = module(torch.from_numpy(inputs).double())
    loss = -log_probs.gather(-1, torch.from_numpy(targets)[..., None]).mean()
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in module.parameters()]).numpy()
    rate, decay = 0.01, 1e-4
    expected = start * (1 - rate * decay) - rate * gradient / (np.abs(gradient) + 1e-8)
    # Where the gradient is near eps its rounding decides the step; everywhere else it must agree.
    clear = np.abs(gradient) > 1e-6
    assert clear.mean() > 0.9
    np.testing.assert_allclose(after[clear], expected[clear], atol=2e-5)


def test_rollouts_follow_the_models_probabilities(recipe: Recipe) -> None:
    population, _ = language_population(recipe, [4])
    snapshot = Snapshot(0, population.initial_weights())
    tokens, log_probs = ReferenceEngine().sample_rollouts(population, snapshot, 4000, 20, 12, START)
    assert tokens.shape == (1, 4000, 12)
    assert (tokens[:, :, 0] == START).all()
    module = LSTMNetwork.from_weights(population.network, snapshot.weights[0])
    again = module(torch.from_numpy(tokens[0, :20, :-1])).detach().numpy()
    np.testing.assert_allclose(log_probs[0], again, atol=1e-5)
    first = np.bincount(tokens[0, :, 1], minlength=6) / 4000
    expected = np.exp(again[0, 0])
    assert np.abs(first - expected).max() < 5 * (expected.max() / 4000) ** 0.5


def test_recorded_rollouts_are_the_first_of_the_evaluated(recipe: Recipe) -> None:
    population, tasks = language_population(recipe, [0, 1])
    snapshot, engine = Snapshot(3, population.initial_weights()), ReferenceEngine()
    some = recipe.override({"rollouts.evaluated": 30, "rollouts.recorded": 5})
    rows = language_rows(some, engine, population, tasks, snapshot)
    tokens, log_probs = engine.sample_rollouts(population, snapshot, 30, 30, some.tasks.length, START)
    assert np.array_equal(rows["sequences"], tokens[:, :5])
    assert np.array_equal(rows["log_probs"], log_probs[:, :5].astype(np.float16))
    assert np.array_equal(rows["finished"], score_strings(tokens, tasks[:, None]).finished.mean(1, dtype=np.float32))
    # Fewer rollouts make other matrices, whose products may be rounded otherwise.
    few = language_rows(some.override({"rollouts.evaluated": 5}), engine, population, tasks, snapshot)
    assert np.array_equal(few["sequences"], rows["sequences"])
    assert np.allclose(few["log_probs"].astype(np.float32), log_probs[:, :5], rtol=2**-10, atol=1e-5)


def test_expected_loss_is_the_mean_over_all_training_strings(recipe: Recipe) -> None:
    population, tasks = language_population(recipe, [0, 1, 2])
    measured = (population.network, population.examples, population.initial_weights())
    losses = expected_loss(*measured)
    np.testing.assert_array_max_ulp(losses, expected_loss(*measured, models_at_once=1), maxulp=1)
    for model, task in enumerate(tasks):
        module = LSTMNetwork.from_weights(population.network, measured[2][model])
        strings = torch.from_numpy(training_strings(task, 9, 42).astype(np.int64))
        log_probs = module(strings[:, :-1])
        loss = torch.nn.functional.cross_entropy(log_probs.flatten(0, 1), strings[:, 1:].flatten())
        assert losses[model] == pytest.approx(loss.item(), rel=1e-5)


def test_a_diverged_model_is_marked_and_kept(recipe: Recipe) -> None:
    population, tasks = language_population(recipe, [0, 1])
    weights = population.initial_weights()
    weights[0, 5] = np.nan
    few = recipe.override({"rollouts.evaluated": 4, "rollouts.recorded": 2})
    rows = language_rows(few, ReferenceEngine(), population, tasks, Snapshot(0, weights))
    assert rows["diverged"].tolist() == [True, False]
    assert np.isnan(rows["train_loss"][0])
    assert np.isfinite(rows["train_loss"][1])


def test_an_unknown_engine_lists_the_known(recipe: Recipe) -> None:
    population, _ = language_population(recipe, [0])
    with pytest.raises(UsageError, match="reference"):
        find_engine("quantum", population)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="--engine cuda cannot be used here"):
            find_engine("cuda", population)
