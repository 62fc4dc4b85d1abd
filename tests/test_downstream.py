"""Downstream properties and emulated accuracy: labels, scores, halves and what predictors can learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnzoo.benchmark.downstream import DOWNSTREAM_PROFILES, is_seen_half, train_end_to_end, train_on_embeddings
from rnnzoo.emulation.data import load_data
from rnnzoo.emulation.emulator import Emulator
from rnnzoo.emulation.performance import Emulated, emulated_accuracy, sample_strings
from rnnzoo.encoders import build_encoder
from rnnzoo.kinds import find_kind
from rnnzoo.kinds.languages import START, VOCABULARY
from rnnzoo.zoo.zoo import Zoo

CONFIG = replace(DOWNSTREAM_PROFILES["quick"], frozen_steps=300, supervised_steps=40, supervised_rows=8)


@given(st.lists(st.tuples(*[st.integers(-3, 2)] * 3), min_size=1, max_size=30))
def test_a_task_is_in_one_half_and_the_halves_are_equal(tasks: list[tuple[int, int, int]]) -> None:
    array = np.array(tasks, dtype=np.int8)
    seen = is_seen_half(array)
    halves = [{tuple(task) for task in array[mask].tolist()} for mask in (seen, ~seen)]
    assert not halves[0] & halves[1]
    assert 0 <= len(halves[1]) - len(halves[0]) <= 1
    shuffled = np.random.default_rng(0).permutation(len(array))
    assert np.array_equal(is_seen_half(array[shuffled]), seen[shuffled])


def test_a_perfect_prediction_of_a_language(zoo: Zoo) -> None:
    task, accuracy = find_kind("formal-languages").properties()
    labels = task.labels(zoo)
    assert task.outputs(zoo) == 18
    sure = 50 * torch.nn.functional.one_hot(labels, 6).float().flatten(1)
    assert task.score(sure, labels) == pytest.approx({"exact": 1, "offsets": 1, "cross_entropy": 0}, abs=1e-6)
    one_wrong = sure.clone()
    one_wrong[0, :6] = sure[0, :6].roll(1)
    scores = task.score(one_wrong, labels)
    assert scores["exact"] == pytest.approx(1 - 1 / len(zoo))
    assert scores["offsets"] == pytest.approx(1 - 1 / (3 * len(zoo)))
    numbers = accuracy.labels(zoo)
    assert numbers[:, 0].tolist() == zoo["accuracy"].tolist()
    assert accuracy.score(numbers + 0.5, numbers)["mse"] == pytest.approx(0.25)


def test_angles_wrap_around(digit_zoo: Zoo) -> None:
    angle, _, step, _ = find_kind("smnist").properties()
    degrees = torch.tensor([359.0, 1.0, 90.0])
    vectors = torch.stack([degrees.deg2rad().sin(), degrees.deg2rad().cos()], dim=1)
    assert angle.score(vectors[[1, 0, 2]], vectors)["degrees"] == pytest.approx(4 / 3, rel=1e-4)
    radians = torch.atan2(*angle.labels(digit_zoo).unbind(1)).rad2deg() % 360
    assert torch.allclose(radians, torch.from_numpy(digit_zoo["task"] % 360).float(), atol=1e-3)
    labels = step.labels(digit_zoo)
    assert [digit_zoo.snapshots[i] for i in labels] == digit_zoo["step"].tolist()
    assert step.outputs(digit_zoo) == len(digit_zoo.snapshots)


def test_a_predictor_finds_what_is_in_the_embedding() -> None:
    _, accuracy = find_kind("formal-languages").properties()
    generator = torch.Generator().manual_seed(1)
    z = torch.nn.functional.normalize(torch.randn(600, 16, generator=generator), dim=1)
    labels = z[:, :1] * z[:, 1:2] + z[:, 2:3]
    predict = train_on_embeddings(accuracy, 1, z[:500], labels[:500], CONFIG, seed=0)
    assert accuracy.score(predict(z[500:]), labels[500:])["r2"] > 0.8
    again = train_on_embeddings(accuracy, 1, z[:500], labels[:500], CONFIG, seed=0)
    assert torch.equal(predict(z[500:]), again(z[500:]))
    nothing = train_on_embeddings(accuracy, 1, torch.ones(500, 16), labels[:500], CONFIG, seed=0)
    assert accuracy.score(nothing(torch.ones(100, 16)), labels[500:])["r2"] < 0.1


@pytest.mark.parametrize("name", ["statistics", "flat"])
def test_an_encoder_learns_end_to_end(zoo: Zoo, name: str) -> None:
    data = load_data(zoo)
    asked = find_kind("formal-languages").property_named("accuracy")
    labels = torch.from_numpy(np.log1p(zoo["step"].astype(np.float32)))[:, None]
    losses: list[float] = []
    encoder = build_encoder(name, data.context(16, 0))
    predict = train_end_to_end(
        asked, 1, encoder, data.networks, labels, CONFIG, 0, lambda step, loss: losses.append(loss)
    )
    assert len(losses) == CONFIG.supervised_steps
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert predict(data.networks).shape == (len(zoo), 1)


def test_strings_are_drawn_from_what_the_emulator_says(zoo: Zoo) -> None:
    torch.manual_seed(0)
    emulator = Emulator(zoo.network, hidden_size=8, z_enters="every", z_gain=4.0)
    with torch.no_grad():
        emulator.leave.weight.mul_(8)
    z = torch.nn.functional.normalize(torch.randn(1, 16), dim=1).expand(20_000, -1)
    strings = sample_strings(emulator, z, START, 4, torch.Generator().manual_seed(3))
    assert strings[:, 0].eq(START).all()
    inputs = torch.nn.functional.one_hot(strings[:, :-1], VOCABULARY).float().transpose(0, 1)
    with torch.no_grad():
        expected = emulator(z, inputs).exp()
    for position in range(3):
        found = torch.nn.functional.one_hot(strings[:, position + 1], VOCABULARY).double().mean(0)
        assert torch.allclose(found, expected[position].double().mean(0), atol=0.02)


def test_real_accuracy_is_the_recorded_one_and_that_on_recorded_images(zoo: Zoo, digit_zoo: Zoo) -> None:
    for rows in (zoo, digit_zoo):
        data = load_data(rows)
        emulator = Emulator(rows.network, hidden_size=8)
        z = torch.nn.functional.normalize(torch.randn(len(rows), 16), dim=1)
        real, emulated = emulated_accuracy(Emulated(emulator, z, data, samples=5, seed=0), rows)
        if rows is zoo:
            assert np.allclose(real, rows["accuracy"])
        else:
            right = rows["log_probs"][:, :, -1].argmax(-1) == rows["labels"]
            assert np.allclose(real, right.mean(1), atol=0.1)
        assert emulated.shape == real.shape
        assert ((emulated >= 0) & (emulated <= 1)).all()
