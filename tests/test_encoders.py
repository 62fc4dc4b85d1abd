"""Every encoder: what it sends, what it returns, where it comes from, how it is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnnzoo
from rnnzoo.benchmark.downstream import DOWNSTREAM_PROFILES, train_end_to_end
from rnnzoo.emulation.config import PROFILES
from rnnzoo.emulation.data import load_data
from rnnzoo.emulation.trainer import EmulationTraining
from rnnzoo.encoders import (
    Context,
    Encoder,
    InputSpace,
    Rows,
    build_encoder,
    encode,
    encoder_names,
    permute,
    prepare,
    save_encoder,
)
from rnnzoo.encoders.registry import CONTROLS
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.kinds import find_kind
from rnnzoo.networks.network import Network
from rnnzoo.networks.symmetry import symmetry_of
from rnnzoo.zoo.zoo import Zoo

NETWORK = Network(6, 8, 2, 6)
CONTEXT = Context(NETWORK, InputSpace("tokens", 6), probe_length=7, labels_size=20)


class AverageEncoder(Encoder):
    """The smallest useful encoder: the mean answer to one learned sequence."""

    def __init__(self, context: Context, steps: int = 5) -> None:
        super().__init__(context)
        self.free_inputs = nn.Parameter(torch.randn(1, 1, steps, context.network.input_size))
        self.head = nn.Linear(context.network.output_size, context.z_size)

    def forward(self, rows: Rows) -> Tensor:
        answers = rows.prober.run(self.context.input_space.squash(self.free_inputs))
        return self.head(answers.mean((1, 2)))


class WrongShapeEncoder(AverageEncoder):
    def forward(self, rows: Rows) -> Tensor:
        return super().forward(rows)[:, :3]


class NotANumberEncoder(AverageEncoder):
    def forward(self, rows: Rows) -> Tensor:
        return super().forward(rows) / 0 * 0


class Careless(AverageEncoder):
    def __init__(self, context: Context) -> None:
        nn.Module.__init__(self)


class PreparedAndPermutedEncoder(AverageEncoder):
    """Reads the weights and what it prepared of them, and is trained on permuted units."""

    permuted_in_training = True

    def prepare(self, weights: Tensor) -> Tensor:
        return weights.cumsum(1)

    def forward(self, rows: Rows) -> Tensor:
        assert rows.prepared is not None
        assert torch.equal(rows.prepared, self.prepare(rows.weights))
        return super().forward(rows)


COMPILED = {"dwsnet": pytest.mark.slow}
"""Encoders whose pass takes long to compile, the first time."""


def some_rows(models: int = 4, network: Network = NETWORK) -> Rows:
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(models, network.parameter_count, generator=generator) * 0.4
    return Rows(network, weights, labels=torch.rand(models, 20, generator=generator))


@pytest.mark.parametrize("name", [pytest.param(name, marks=COMPILED.get(name, ())) for name in encoder_names()])
@pytest.mark.parametrize("layers", [1, 3])
def test_every_encoder_takes_any_shape_and_trains(name: str, layers: int) -> None:
    network = Network(5, 7, layers, 3)
    context = Context(network, InputSpace("dense", 5, -0.4, 2.8), probe_length=6, z_size=9, labels_size=20)
    encoder = build_encoder(name, context, "quick")
    z = encode(encoder, some_rows(network=network), 9)
    assert torch.allclose(z.norm(dim=1), torch.ones(4), atol=1e-5)
    (z * torch.randn_like(z)).sum().backward()
    for parameter_name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all()


def test_emulation_prepares_permuted_units_anew(zoo: Zoo) -> None:
    EmulationTraining(load_data(zoo), f"{__name__}:PreparedAndPermutedEncoder", PROFILES["quick"]).run(until=2)


def test_training_end_to_end_prepares_permuted_units_anew(zoo: Zoo) -> None:
    data = load_data(zoo)
    asked = find_kind("formal-languages").property_named("accuracy")
    config = replace(DOWNSTREAM_PROFILES["quick"], supervised_steps=2)
    encoder = build_encoder(f"{__name__}:PreparedAndPermutedEncoder", data.context(16, 0))
    train_end_to_end(asked, 1, encoder, data.networks, torch.zeros(len(zoo), 1), config, seed=0)


def test_permuted_rows_keep_function_and_labels_and_are_prepared_anew() -> None:
    encoder = build_encoder(f"{__name__}:PreparedAndPermutedEncoder", CONTEXT)
    encoder.needs_labels = True  # type: ignore[misc]
    rows = prepare(encoder, some_rows())
    asked = torch.eye(6)[None, None, :, :]
    before = rows.prober.run(asked)
    permutations = symmetry_of(NETWORK).random_permutations(len(rows), np.random.default_rng(0))
    permuted = permute(encoder, rows, permutations)
    assert not torch.equal(permuted.weights, rows.weights)
    assert permuted.prepared is not None
    assert torch.equal(permuted.prepared, encoder.prepare(permuted.weights))
    assert permuted.labels is rows.labels
    assert torch.allclose(permuted.prober.run(asked), before, atol=1e-5)


@pytest.mark.parametrize("name", ["non-interactive", "probe-generator", "rollout-probing"])
def test_non_interactive_probing_sends_the_same_inputs_to_all_networks(name: str) -> None:
    rows = some_rows()
    encoder = build_encoder(name, CONTEXT)
    sent: list[Tensor] = []
    answer = rows.prober.run
    rows.prober.run = lambda inputs: sent.append(inputs) or answer(inputs)  # type: ignore[method-assign]
    encoder(rows)
    assert len(sent) == 1
    assert len(sent[0]) == 1


def test_interactive_probing_sends_each_network_inputs_of_its_own() -> None:
    rows = some_rows()
    sent: list[Tensor] = []
    answer = rows.prober.step
    rows.prober.step = lambda inputs: sent.append(inputs) or answer(inputs)  # type: ignore[method-assign]
    build_encoder("interactive", CONTEXT)(rows)
    assert len(sent) == 7
    inputs = torch.stack(sent)
    assert torch.equal(inputs[0, 0], inputs[0, 1])
    assert (inputs[1:, 0] != inputs[1:, 1]).any(dim=-1).all()
    assert torch.allclose(inputs.sum(-1), torch.ones(()))


def test_probes_can_start_from_recorded_rollouts() -> None:
    examples = nn.functional.one_hot(torch.randint(6, (3, 9)), 6).float()
    context = Context(NETWORK, InputSpace("tokens", 6), probe_length=7, example_inputs=examples)
    for name in ("non-interactive", "interactive"):
        encoder = build_encoder(name, context, probes=3, start="rollouts", sharpness=8.0)
        sent = encoder.probing_inputs(some_rows())
        assert torch.equal(sent[0, :, 0].argmax(-1), examples[:, 0].argmax(-1))
    with pytest.raises(UsageError, match="nowhere"):
        build_encoder("interactive", context, start="nowhere")


def test_the_transformers_last_block_may_make_the_read_out_token_alone() -> None:
    encoder = build_encoder("transformer", CONTEXT, width=24, layers=2, feed_forward=40).double()
    block, hidden = encoder.blocks[-1], torch.randn(3, 9, 24, dtype=torch.float64)
    assert torch.allclose(block(hidden, queries=1), block(hidden)[:, :1])


def test_dense_inputs_stay_in_the_range_of_pixels() -> None:
    space = InputSpace("dense", 16, -0.42, 2.82)
    inputs = space.squash(torch.randn(100, 16) * 30)
    assert inputs.min() >= -0.42
    assert inputs.max() <= 2.82
    middle = torch.rand(5, 16) * 2 - 0.2
    assert torch.allclose(space.squash(space.unsquash(middle, 10.0)), middle, atol=1e-4)


def test_an_encoder_of_ones_own_by_module_and_class() -> None:
    encoder = build_encoder("tests.test_encoders:AverageEncoder", CONTEXT, steps=3)
    assert encode(encoder, some_rows(), 16).shape == (4, 16)
    with pytest.raises(UsageError, match="settings"):
        build_encoder("tests.test_encoders:AverageEncoder", CONTEXT, depth=3)
    with pytest.raises(UsageError, match="super"):
        build_encoder("tests.test_encoders:Careless", CONTEXT)


def test_encoders_announced_by_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("average", "tests.test_encoders:AverageEncoder", "rnnzoo.encoders")
    monkeypatch.setattr("rnnzoo.encoders.registry.entry_points", lambda group: [point])
    assert "average" in encoder_names()
    assert type(build_encoder("average", CONTEXT)).__name__ == "AverageEncoder"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("statistic", "choose one of .*statistics"),
        ("no.such.package:Encoder", "could not be imported"),
        ("tests.test_encoders:Missing", "could not be imported"),
        ("torch.nn:Linear", "no encoder"),
    ],
)
def test_unknown_encoders_are_named(name: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        build_encoder(name, CONTEXT)


def test_wrong_answers_of_an_encoder_are_named() -> None:
    with pytest.raises(RnnzooError, match=r"WrongShapeEncoder returned shape \(4, 3\)"):
        encode(build_encoder("tests.test_encoders:WrongShapeEncoder", CONTEXT), some_rows(), 16)
    with pytest.raises(RnnzooError, match="NotANumberEncoder returned NaN"):
        encode(build_encoder("tests.test_encoders:NotANumberEncoder", CONTEXT), some_rows(), 16)


@pytest.mark.parametrize("name", ["statistics", "interactive", "labels"])
def test_a_saved_encoder_embeds_as_before(name: str, zoo: Zoo, tmp_path: Path) -> None:
    encoder = build_encoder(name, load_data(zoo).context(16, 0), "quick")
    before = encoder.embed(zoo)
    assert before.shape == (len(zoo), 16)
    assert np.allclose(np.linalg.norm(before, axis=1), 1, atol=1e-5)
    save_encoder(encoder, tmp_path / "kept")
    loaded = rnnzoo.load_encoder(tmp_path / "kept")
    kept, own = loaded.state_dict(), encoder.state_dict()
    assert kept.keys() == own.keys()
    assert all(torch.equal(kept[name], own[name]) for name in own)
    assert np.allclose(loaded.embed(zoo), before, atol=1e-5)
    assert np.allclose(loaded.embed(zoo, models_at_once=5), before, atol=1e-5)


def test_damaged_or_missing_encoders_are_named(tmp_path: Path, zoo: Zoo) -> None:
    with pytest.raises(RnnzooError, match="no saved encoder"):
        rnnzoo.load_encoder(tmp_path)
    save_encoder(build_encoder("constant", CONTEXT), tmp_path)
    with pytest.raises(UsageError, match="LSTM 2 x 32"):
        rnnzoo.load_encoder(tmp_path).embed(zoo)
    (tmp_path / "encoder.safetensors").write_bytes(b"nothing")
    with pytest.raises(RnnzooError, match="is not what was saved"):
        rnnzoo.load_encoder(tmp_path)


def context_with_examples(networks: int = 40) -> Context:
    inputs = nn.functional.one_hot(torch.arange(12 * 7).view(12, 7) * 7 % 11 % 6, 6).float()
    return replace(CONTEXT, example_inputs=inputs, example_weights=some_rows(networks).weights)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_is_kept_and_has_no_company_and_learns_nothing_of_networks(name: str, tmp_path: Path) -> None:
    encoder = (
        build_encoder(name, context_with_examples(), probes=3) if name != "random" else build_encoder(name, CONTEXT)
    )
    rows = some_rows(10)
    z = encode(encoder, rows, 16)
    assert torch.allclose(encode(encoder, rows.take(torch.tensor([7, 2])), 16), z[[7, 2]], atol=1e-5)
    assert {name for name, value in encoder.named_parameters() if value.requires_grad} <= {"table"}
    save_encoder(encoder, tmp_path / "kept")
    assert torch.equal(encode(rnnzoo.load_encoder(tmp_path / "kept"), rows, 16), z)


def test_components_of_answers_are_uncorrelated_and_of_unit_variance() -> None:
    context = context_with_examples()
    encoder = build_encoder("answers", context, probes=3)
    assert context.example_weights is not None
    found = encoder(Rows(NETWORK, context.example_weights))
    assert torch.allclose(found.T @ found / len(found), torch.eye(16), atol=1e-3)


def test_a_training_network_is_nearest_to_itself_and_a_shuffled_one_is_another() -> None:
    context = context_with_examples()
    assert context.example_weights is not None
    rows = Rows(NETWORK, context.example_weights)
    nearest = build_encoder("nearest", context, probes=3)
    assert len(nearest(rows).unique(dim=0)) == len(rows)
    torch.manual_seed(0)
    plain = build_encoder("answers", context, probes=3)
    torch.manual_seed(0)
    shuffled = build_encoder("shuffled", context, probes=3)
    same = (torch.cdist(plain(rows), shuffled(rows)).diagonal() < 1e-2).float().mean()
    assert same < 0.2
    assert (torch.cdist(shuffled(rows), plain(rows)).amin(1) < 1e-2).all()


def test_destroyed_networks_keep_the_statistics_of_every_tensor() -> None:
    encoder = build_encoder("permuted", context_with_examples(), probes=3)
    weights = some_rows(2).weights
    for parameter in NETWORK.parameters():
        before, after = (w[:, parameter.offset : parameter.stop] for w in (weights, weights[:, encoder.order]))
        assert torch.equal(before.sort(1).values, after.sort(1).values)
        assert parameter.size < 9 or not torch.equal(before, after)
