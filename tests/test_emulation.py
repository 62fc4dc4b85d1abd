"""Emulation: the losses, the emulator, and runs that can be stopped and resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rnnzoo.emulation import checkpoints
from rnnzoo.emulation.checkpoints import load_checkpoint, save_checkpoint, train_with_checkpoints
from rnnzoo.emulation.config import PROFILES, EmulationConfig
from rnnzoo.emulation.data import EmulationData, load_data
from rnnzoo.emulation.divergences import DIVERGENCES
from rnnzoo.emulation.emulator import Emulator
from rnnzoo.emulation.trainer import EmulationTraining, evaluate
from rnnzoo.encoders.parts.label_features import label_features
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.kinds.digits import network_inputs
from rnnzoo.networks.network import Network
from rnnzoo.zoo.zoo import Zoo

CONFIG = EmulationConfig(
    profile="quick", steps=12, learning_rate=3e-3, schedule="one-cycle", clip_norm=1.0, rows_per_step=4, hidden_size=12
)


@pytest.fixture(scope="module")
def data(zoo: Zoo) -> EmulationData:
    return load_data(zoo)


def test_divergences_of_known_distributions() -> None:
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    middle = [(0.5 + 0.9) / 2, (0.5 + 0.1) / 2]
    expected = {
        "total_variation": 0.4,
        "kl": 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1),
        "reverse_kl": 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5),
        "jensen_shannon": 0.5
        * sum(p * math.log(p / m) for row in ([0.5, 0.5], [0.9, 0.1]) for p, m in zip(row, middle, strict=True)),
    }
    assert {name: float(f(p, q)) for name, f in DIVERGENCES.items()} == pytest.approx(expected, rel=1e-5)
    assert all(float(f(p, p)) == pytest.approx(0, abs=1e-7) for f in DIVERGENCES.values())


def test_batches_are_the_recorded_rollouts(zoo: Zoo, data: EmulationData) -> None:
    inputs, targets = data.batch(torch.tensor([2, 5]), torch.tensor([1, 0]))
    assert inputs.shape == (41, 2, 6)
    assert np.array_equal(inputs[:, 1].argmax(-1).numpy(), zoo[5]["sequences"][0, :-1])
    assert np.array_equal(targets[:, 0].half().numpy(), zoo[2]["log_probs"][1])


def test_batches_of_images_are_what_the_networks_saw(digit_zoo: Zoo) -> None:
    digits = load_data(digit_zoo)
    inputs, targets = digits.batch(torch.tensor([1]), torch.tensor([2]))
    assert np.array_equal(inputs[:, 0].numpy(), network_inputs(digit_zoo[1]["tiles"][2]))
    assert np.array_equal(targets[:, 0].half().numpy(), digit_zoo[1]["log_probs"][2])
    assert np.allclose(digits.labels[:, :2].norm(dim=1), 1)
    training = EmulationTraining(digits, "flat", replace(CONFIG, rows_per_step=2))
    training.run(until=2)
    assert np.isfinite(training.losses).all()


def test_fewer_rollouts_bound_memory(zoo: Zoo) -> None:
    few = load_data(zoo, rollouts=3)
    assert few.rollouts == 3
    assert few.recorded.untyped_storage().nbytes() == len(few) * 3 * 42


def test_labels_tell_task_step_and_accuracy(zoo: Zoo) -> None:
    labels = label_features(zoo).numpy()
    assert labels.shape == (len(zoo), 20)
    assert np.array_equal(labels[:, :18].reshape(-1, 3, 6).argmax(-1) - 3, zoo["task"])
    assert np.array_equal(labels[:, 19], zoo["accuracy"])


@pytest.mark.parametrize("z_enters", ["first", "every"])
def test_the_emulator_gives_the_same_stepped_and_whole(z_enters: str) -> None:
    emulator = Emulator(Network(5, 8, 2, 3), z_size=4, hidden_size=6, z_enters=z_enters).double()
    z, inputs = torch.randn(2, 4, dtype=torch.float64), torch.randn(7, 2, 5, dtype=torch.float64)
    state = emulator.begin(z)
    for position, expected in enumerate(emulator(z, inputs)):
        answer, state = emulator.advance(inputs[position], state)
        assert torch.allclose(answer, expected)


def test_every_position_depends_on_z() -> None:
    emulator = Emulator(Network(5, 8, 2, 3), z_size=4, hidden_size=6)
    z = torch.randn(1, 4, requires_grad=True)
    answers = emulator(z, torch.randn(7, 1, 5))
    for answer in answers:
        assert torch.autograd.grad(answer[0, 0], z, retain_graph=True)[0].abs().sum() > 0


@pytest.mark.parametrize("encoder", ["interactive", "flat", "statistics"])
def test_a_resumed_run_goes_on_as_if_never_stopped(encoder: str, data: EmulationData, tmp_path: Path) -> None:
    whole = EmulationTraining(data, encoder, CONFIG, seed=5)
    whole.run()
    first = EmulationTraining(data, encoder, CONFIG, seed=5)
    first.run(until=7)
    save_checkpoint(first, tmp_path / "run.safetensors")
    torch.manual_seed(99)
    second = EmulationTraining(data, encoder, CONFIG, seed=5)
    load_checkpoint(second, tmp_path / "run.safetensors")
    second.run()
    assert first.losses + second.losses == whole.losses
    for part in ("encoder", "emulator"):
        expected = getattr(whole, part).state_dict()
        for name, tensor in getattr(second, part).state_dict().items():
            assert torch.equal(tensor, expected[name]), name


def test_the_time_of_an_update_leaves_out_compilation_and_validation(
    data: EmulationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    training = EmulationTraining(data, "constant", CONFIG, seed=5)
    run = training.run

    def slow_at_first(until: int, progress: Callable[[int, float], None] | None = None) -> None:
        nonlocal clock
        clock += 0.25 * (until - training.step) + (0 if training.step else 60)
        run(until, progress)

    def slow_validation(*arguments: object, **options: object) -> dict[str, np.ndarray]:
        nonlocal clock
        clock += 10
        return evaluate(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "run", slow_at_first)
    monkeypatch.setattr(checkpoints, "evaluate", slow_validation)
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(perf_counter=lambda: clock))
    curve = train_with_checkpoints(training, data, tmp_path, lambda step, loss: None)
    assert curve["seconds_per_update"] == 0.25
    assert curve["seconds"] > 60


def test_seeds_differ_and_leave_the_global_generator_alone(data: EmulationData) -> None:
    before = torch.random.get_rng_state()
    runs = [EmulationTraining(data, "rollout-probing", CONFIG, seed) for seed in (0, 0, 1)]
    for run in runs:
        run.run(until=2)
    assert runs[0].losses == runs[1].losses != runs[2].losses
    assert torch.equal(torch.random.get_rng_state(), before)


def test_all_encoders_of_a_seed_see_the_same_batches_and_emulator(data: EmulationData) -> None:
    one, two = (EmulationTraining(data, name, CONFIG, 3) for name in ("constant", "statistics"))
    assert torch.equal(one.batch(one.draw(4))[1], two.batch(two.draw(4))[1])
    assert torch.equal(one.emulator.leave.weight, two.emulator.leave.weight)


def test_a_checkpoint_of_another_run_is_refused(data: EmulationData, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    save_checkpoint(EmulationTraining(data, "constant", CONFIG, seed=5), path)
    with pytest.raises(UsageError, match="learning_rate"):
        load_checkpoint(EmulationTraining(data, "constant", replace(CONFIG, learning_rate=1.0), seed=5), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RnnzooError, match="cannot be read"):
        load_checkpoint(EmulationTraining(data, "constant", CONFIG, seed=5), path)


@pytest.mark.slow
def test_emulation_learns_to_tell_networks_apart(data: EmulationData) -> None:
    sizes = {"steps": 300, "hidden_size": 24, "rows_per_step": 18, "learning_rate": 5e-3}
    config = replace(CONFIG, **sizes, z_enters="every")
    losses = {}
    for name in ("constant", "rollout-probing"):
        training = EmulationTraining(data, name, config, seed=0)
        training.run()
        losses[name] = evaluate(training.encoder, training.emulator, data, rollouts=4)["total_variation"]
        assert losses[name].shape == (len(data),)
    assert losses["rollout-probing"].mean() < 0.8 * losses["constant"].mean()


def test_evaluation_does_not_depend_on_how_rows_are_cut(data: EmulationData) -> None:
    training = EmulationTraining(data, "statistics", CONFIG)
    one = evaluate(training.encoder, training.emulator, data, 3)
    two = evaluate(training.encoder, training.emulator, data, 3, rows_at_once=5)
    for name in DIVERGENCES:
        assert np.allclose(one[name], two[name], atol=1e-6)


def test_the_paper_profile_is_the_papers() -> None:
    paper = PROFILES["paper"]
    assert (paper.steps, paper.learning_rate, paper.weight_decay, paper.clip_norm) == (100_000, 1e-4, 0.01, 0.1)
    assert (paper.rows_per_step, paper.rollouts_per_row, paper.hidden_size, paper.layers) == (64, 1, 256, 2)
    assert (paper.z_enters, paper.loss, paper.schedule) == ("first", "total_variation", "constant")


@pytest.mark.parametrize("field", [{"loss": "mse"}, {"schedule": "cosine"}, {"steps": 0}])
def test_impossible_configurations_are_named(field: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(field))):
        replace(CONFIG, **field)
