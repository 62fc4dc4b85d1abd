"""The training step that CUDA devices replay: what it is made of, and that replaying it changes nothing."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorded_operations import OperationRecorder, nothing_of_the_host
from torch import Tensor, nn

from rnnzoo.emulation import device_graph
from rnnzoo.emulation.checkpoints import load_checkpoint, save_checkpoint
from rnnzoo.emulation.config import PROFILES, EmulationConfig
from rnnzoo.emulation.data import EmulationData
from rnnzoo.emulation.device_graph import WARM_UP_STEPS, RunAhead
from rnnzoo.emulation.trainer import EmulationTraining
from rnnzoo.encoders import Context, Encoder, Rows, prepare
from rnnzoo.encoders.registry import BUILT_IN
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.kinds.digits import INPUTS
from rnnzoo.networks.network import Network
from rnnzoo.networks.recurrence import plain_float32

CONFIG = replace(PROFILES["quick"], steps=12, rows_per_step=3, rollouts_per_row=2, hidden_size=8)
SETTINGS = {
    "transformer": {"width": 8, "layers": 2, "heads": 2, "feed_forward": 8},
    "dwsnet": {"channels": 4},
    "graph": {"channels": 4},
    "non-interactive": {"core_size": 8, "probes": 2},
    "interactive": {"core_size": 8, "probes": 2},
    "probe-generator": {"probes": 2},
    "rollout-probing": {"probes": 2},
}
STEPS = 9


def some_data(rows: int = 8, kind: str = "formal-languages") -> EmulationData:
    """Random numbers in the shapes of a small zoo."""
    generator = torch.Generator().manual_seed(0)
    network = Network(6, 8, 2, 6) if kind == "formal-languages" else Network(16, 8, 2, 10)
    shape = (5,) if kind == "formal-languages" else (4, 16)
    top = 6 if kind == "formal-languages" else 256
    inputs = RecordedInputs("sequences", "tokens", 5) if kind == "formal-languages" else INPUTS
    return EmulationData(
        inputs,
        5,
        network,
        np.arange(rows),
        torch.zeros(rows, dtype=torch.int64),
        torch.randn(rows, network.parameter_count, generator=generator) * 0.4,
        torch.randint(top, (rows, 4, *shape), dtype=torch.uint8, generator=generator),
        torch.randn(rows, 4, 5, network.output_size, generator=generator).log_softmax(-1).half(),
        torch.rand(rows, 7, generator=generator),
    )


@pytest.fixture
def _without_compiled_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is on every device but the CPU."""
    for module in ("fused_networks", "fused_layers", "fused_interrogation"):
        monkeypatch.setattr(f"rnnzoo.compiled.{module}.can_compile", lambda *_: False)


def training_of(name: str, data: EmulationData | None = None, config: EmulationConfig = CONFIG) -> EmulationTraining:
    return EmulationTraining(data or some_data(), name, config, seed=3, encoder_settings=SETTINGS.get(name))


class Flag:
    """An event that has always happened."""

    def __init__(self, blocking: bool = False) -> None:
        """Nothing to remember."""

    def record(self, stream: object) -> None:
        """Nothing to do."""

    def synchronize(self) -> None:
        """Nothing to wait for."""


@pytest.fixture
def _events_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Flag)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: None)


def run_ahead(training: EmulationTraining, recorder: Any = None) -> RunAhead:
    """Let a training start updates before it looks at the first, as on an accelerator; needs `_events_of_the_host`."""
    own = training.encoder, training.draw, training.update
    training.ahead = RunAhead(*own, training.device, recorder)
    return training.ahead


def replayed(training: EmulationTraining) -> OperationRecorder:
    """Let a training replay its recorded operations; the recorder tells how often it did."""
    recorder = OperationRecorder(training)
    run_ahead(training, recorder)
    return recorder


def assert_same(one: EmulationTraining, two: EmulationTraining) -> None:
    for name, model in one.models.items():
        other = two.models[name].state_dict()
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, other[key]), key


@pytest.mark.usefixtures("_without_compiled_passes", "_events_of_the_host")
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_step_holds_nothing_that_a_graph_cannot(name: str) -> None:
    for kind in ("formal-languages", "smnist"):
        training = training_of(name, some_data(kind=kind))
        ahead = run_ahead(training)
        training.run(until=2)
        with nothing_of_the_host() as watch:
            ahead.step()
        assert watch.impossible == []


@pytest.mark.usefixtures("_without_compiled_passes", "_events_of_the_host")
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_step_stays_on_its_device(name: str) -> None:
    """Meta tensors have no values, so a look at one is an error, and so is a tensor of another device beside them."""
    training = training_of(name)
    training.data = training.data.to("meta")
    training.device = torch.device("meta")
    for model in training.models.values():
        model.to(training.device)
    training.networks = prepare(training.encoder, training.data.networks)
    # PyTorch has no fused optimizer for tensors without values.
    training.optimizers = {}
    run_ahead(training).step()
    assert all(parameter.grad is not None for parameter in training.emulator.parameters())


@pytest.mark.usefixtures("_without_compiled_passes", "_events_of_the_host")
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_replayed_run_is_the_eager_one_even_across_a_checkpoint(name: str, tmp_path: Path) -> None:
    eager = training_of(name)
    eager.run(until=STEPS)
    first = training_of(name)
    recorder = replayed(first)
    first.run(until=5)
    assert recorder.replays == 5 - WARM_UP_STEPS
    save_checkpoint(first, tmp_path / "run.safetensors")
    second = training_of(name)
    again = replayed(second)
    # A record of what is then restored must not be replayed.
    second.run(until=WARM_UP_STEPS + 1)
    load_checkpoint(second, tmp_path / "run.safetensors")
    second.losses.clear()
    second.run(until=STEPS)
    assert again.replays == 1 + STEPS - 5 - WARM_UP_STEPS
    assert first.losses + second.losses == eager.losses
    assert_same(second, eager)
    save_checkpoint(second, tmp_path / "replayed.safetensors")
    plain = training_of(name)
    load_checkpoint(plain, tmp_path / "replayed.safetensors")
    plain.run(until=STEPS + 2)
    eager.run(until=STEPS + 2)
    assert plain.losses == eager.losses[STEPS:]


class LookingEncoder(Encoder):
    """Reads a number on the host, which a CUDA device must wait for."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.map = nn.Linear(context.network.parameter_count, context.z_size)

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation."""
        return self.map(rows.weights) * float(rows.weights.abs().max())


@pytest.mark.usefixtures("_events_of_the_host")
def test_the_watch_sees_what_a_graph_cannot_hold() -> None:
    ahead = run_ahead(training_of(f"{__name__}:LookingEncoder"))
    with nothing_of_the_host() as watch:
        ahead.step()
    assert watch.impossible == ["aten._local_scalar_dense.default"]


class Refusing:
    """Fails as a capture does, or sees beforehand that it would."""

    def __init__(self, seen: bool) -> None:
        self.seen = seen

    def warm_up(self, work: Callable[[], None], watched: bool) -> str | None:
        """Do the work."""
        work()
        return "it makes the host wait" if self.seen and watched else None

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Never succeeds."""
        try:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        except RuntimeError:
            raise RuntimeError("the capture was invalidated")  # noqa: B904 (as PyTorch does)


@pytest.mark.usefixtures("_events_of_the_host")
@pytest.mark.parametrize("seen", [True, False])
def test_a_step_that_cannot_be_captured_goes_on_as_it_is(seen: bool) -> None:
    training, plain = training_of("statistics"), training_of("statistics")
    plain.run(until=STEPS)
    run_ahead(training, Refusing(seen))
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        training.run(until=STEPS)
    (warning,) = noticed
    reason = "it makes the host wait" if seen else "operation not permitted when stream is capturing"
    assert str(warning.message) == (
        "The training step of the encoder StatisticsEncoder cannot be captured as a CUDA graph and goes on more slowly "
        f"without: {reason}"
    )
    assert training.losses == plain.losses


@pytest.fixture
def _few_steps_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than the updates of a run."""
    monkeypatch.setattr(device_graph, "STEPS_AHEAD", 4)


@pytest.mark.usefixtures("_few_steps_ahead", "_events_of_the_host")
def test_losses_of_updates_under_way_are_told_in_order() -> None:
    plain = training_of("flat")
    plain.run()
    ahead = training_of("flat")
    run_ahead(ahead)
    told: list[tuple[int, float]] = []
    ahead.run(until=6, on_step=lambda step, loss: told.append((step, loss)))
    ahead.run(on_step=lambda step, loss: told.append((step, loss)))
    assert told == list(enumerate(plain.losses, start=1))
    assert ahead.losses == plain.losses
    assert_same(ahead, plain)


@pytest.mark.usefixtures("_few_steps_ahead", "_events_of_the_host")
def test_what_is_under_way_when_a_run_is_interrupted_is_in_its_checkpoint(tmp_path: Path) -> None:
    plain = training_of("flat")
    plain.run()

    def stop(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    ahead = training_of("flat")
    run_ahead(ahead)
    with pytest.raises(KeyboardInterrupt):
        ahead.run(on_step=stop)
    assert ahead.losses == plain.losses[:3]
    save_checkpoint(ahead, tmp_path / "run.safetensors")
    assert 3 < ahead.step == len(ahead.losses) < CONFIG.steps
    resumed = training_of("flat")
    load_checkpoint(resumed, tmp_path / "run.safetensors")
    for training in (ahead, resumed):
        training.run()
        assert_same(training, plain)
    assert ahead.losses == plain.losses


@pytest.mark.usefixtures("_few_steps_ahead", "_events_of_the_host")
def test_an_answer_that_is_not_finite_is_told_late_but_never_saved(tmp_path: Path) -> None:
    training = training_of("flat")
    run_ahead(training)
    training.run(until=3)
    with torch.no_grad():
        next(training.encoder.parameters()).fill_(torch.nan)
    message = "FlatEncoder returned NaN or infinity for 3 of 3 networks"
    with pytest.raises(RnnzooError, match=message):
        training.run()
    assert training.step == len(training.losses) == 3
    with pytest.raises(RnnzooError, match=message):
        save_checkpoint(training, tmp_path / "run.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_training_needs_no_more_than_torch_and_numpy() -> None:
    """So that a GPU can be measured on a machine that has little else."""
    others = "h5py", "click", "safetensors", "numba", "triton", "rich", "yaml"
    blocked = f"import sys; sys.modules.update(dict.fromkeys({others}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{blocked}; import rnnzoo.emulation.trainer"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_cudnn_multiplies_in_float32_unless_newer_settings_chose_otherwise() -> None:
    cudnn, cuda = torch.backends.cudnn, torch.device("cuda")
    before = cudnn.allow_tf32
    with plain_float32(cuda), plain_float32(cuda):
        assert not cudnn.allow_tf32
    assert cudnn.allow_tf32 == before
    if not hasattr(cudnn, "conv"):
        pytest.skip("this PyTorch has no newer settings")
    chosen = cudnn.conv.fp32_precision
    cudnn.conv.fp32_precision = "ieee"
    try:
        with plain_float32(cuda):
            assert cudnn.conv.fp32_precision == "ieee"
    finally:
        cudnn.conv.fp32_precision = chosen
    assert cudnn.allow_tf32 == before


def test_only_cuda_devices_capture() -> None:
    with pytest.raises(UsageError, match="cannot be captured"):
        EmulationTraining(some_data(), "constant", CONFIG, capture=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_captured_run_is_the_eager_one(name: str, tmp_path: Path) -> None:
    runs = [
        EmulationTraining(some_data(), name, CONFIG, 3, "cuda", SETTINGS.get(name), capture=capture)
        for capture in (True, False)
    ]
    for run in runs:
        run.run()
    assert runs[0].ahead is not None
    assert runs[0].ahead.captured is not None
    assert runs[0].ahead.captured.replay is not None
    assert np.allclose(runs[0].losses, runs[1].losses, atol=1e-5)
    plain = training_of(name)
    plain.run(until=3)
    # Later steps would tell more of rounding than of gates in a wrong order or of a wrong gradient.
    assert np.allclose(runs[1].losses[:3], plain.losses, atol=1e-4)
    save_checkpoint(runs[0], tmp_path / "run.safetensors")
    on_cpu = training_of(name)
    load_checkpoint(on_cpu, tmp_path / "run.safetensors")


class SynchronizingEncoder(Encoder):
    """Draws random numbers, and waits for the device in a way of which PyTorch does not warn."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.map = nn.Linear(context.network.parameter_count, context.z_size)

    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation."""
        some = nn.functional.dropout(rows.weights)
        torch.cuda.synchronize()
        return self.map(some)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_random_numbers_are_drawn_after_a_capture_has_failed() -> None:
    training = EmulationTraining(some_data(), f"{__name__}:SynchronizingEncoder", CONFIG, 3, "cuda")
    with pytest.warns(RuntimeWarning, match="SynchronizingEncoder cannot be captured"):
        training.run()
    assert np.isfinite(training.losses).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_an_encoder_that_waits_for_the_gpu_is_not_captured() -> None:
    training = EmulationTraining(some_data(), f"{__name__}:LookingEncoder", CONFIG, 3, "cuda")
    with pytest.warns(RuntimeWarning, match="LookingEncoder cannot be captured"):
        training.run()
    assert np.isfinite(training.losses).all()
