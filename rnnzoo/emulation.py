"""Emulation pre-training: encoder and emulator learn together to imitate the zoo's networks (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.captured_step import CapturedStep, CudaRecorder
from rnnzoo.divergences import DIVERGENCES
from rnnzoo.emulation_config import EmulationConfig
from rnnzoo.emulation_data import EmulationData
from rnnzoo.emulator import Emulator
from rnnzoo.encoders import Context, Encoder, Rows, build_encoder, encode, prepare
from rnnzoo.encoders.protocol import not_finite
from rnnzoo.errors import UsageError
from rnnzoo.step_queue import StepQueue
from rnnzoo.training_file import read_training, write_training
from rnnzoo.training_step import StepNumbers, TrainingStep


class EmulationTraining:
    """One run: an encoder, an emulator, their optimizers, and how many updates they have had.

    Which rows, rollouts and renumberings an update uses is a pure function of seed and step, so a resumed run goes on
    exactly as one that was never stopped. On a CUDA device the host runs ahead of the device by some updates, and what
    the device does in an update is captured as a graph.

    Args:
        data: rows to learn from.
        encoder_name: a name or "module:Class".
        config: every other choice.
        seed: of the weights and of all batches.
        device: where to train.
        encoder_settings: keyword arguments of the encoder.
        capture: whether to capture the update; None captures on a CUDA device, unless the encoder's class says no.

    Attributes:
        step: updates started so far; outside of `run` all of them are done.
        losses: training loss of every update since the run was started or resumed.

    Raises:
        UsageError: `capture` where the device is not CUDA.
    """

    def __init__(
        self,
        data: EmulationData,
        encoder_name: str,
        config: EmulationConfig,
        seed: int = 0,
        device: str = "cpu",
        encoder_settings: dict[str, Any] | None = None,
        capture: bool | None = None,
    ) -> None:
        self.config, self.seed, self.device = config, seed, torch.device(device)
        self.encoder_name, self.encoder_settings = encoder_name, dict(encoder_settings or {})
        self.data = data.to(device)
        self.step = 0
        self.losses: list[float] = []
        self.encoder, self.emulator = build_models(
            data.context(config.z_size, seed), encoder_name, config, seed, self.encoder_settings
        )
        self.encoder.to(device)
        self.emulator.to(device)
        networks = prepare(self.encoder, self.data.networks)
        on_cuda = self.device.type == "cuda"
        self.device_part = TrainingStep(
            self.encoder, self.emulator, self.data, networks, config, checked_at_once=self.device.type == "cpu"
        )
        if capture and not on_cuda:
            raise UsageError(f"A training step on the device {device!r} cannot be captured: leave capture out.")
        self.captured: CapturedStep | None = None
        if on_cuda and (self.encoder.captured_in_training if capture is None else capture):
            self.captured = CapturedStep(self.device_part, CudaRecorder(self.device), type(self.encoder).__name__)
        self._queue = StepQueue(self.device_part)

    @property
    def optimizers(self) -> dict[str, torch.optim.AdamW]:
        """Those of encoder and emulator, by name, of the parts that have anything to learn."""
        return self.device_part.optimizers

    def run(self, until: int | None = None, on_step: Callable[[int, float], None] | None = None) -> None:
        """Train up to a number of updates.

        Args:
            until: total updates, by default all of the configuration.
            on_step: called after each update with the number of updates done and the loss.

        Raises:
            RnnzooError: the encoder's answer has the wrong shape or is not finite. An accelerator may have begun up to
            `rnnzoo.step_queue.STEPS_AHEAD` updates more by then.
        """
        self.encoder.train()
        while self.step < (self.config.steps if until is None else until):
            if self._queue.full:
                self._finish_oldest(on_step)
            self._start()
        self._finish_all(on_step)

    def update(self) -> float:
        """One optimizer update of encoder and emulator; the training loss before it.

        Raises:
            RnnzooError: as `run`.
        """
        self._finish_all()
        self._start()
        self._finish_all()
        return self.losses[-1]

    def draw(self, step: int) -> tuple[Rows, Tensor, Tensor]:
        """The networks, inputs and targets of an update: a pure function of seed and step."""
        numbers = self.device_part.new_numbers(torch.device("cpu"))
        self._fill(numbers, step)
        self.device_part.numbers.copy_from(numbers)
        return self.device_part.batch()

    def _start(self) -> None:
        """Give the device the next update."""
        work = self.captured or self.device_part
        self._queue.start(partial(self._fill, step=self.step), work)
        self.step += 1

    def _finish_oldest(self, on_step: Callable[[int, float], None] | None = None) -> None:
        """Wait for the oldest update under way and tell its loss."""
        outcome = self._queue.wait()
        if outcome.unsound:
            # It stays in the queue, so that what it made of the weights is not saved either.
            raise not_finite(self.encoder, outcome.unsound, len(self.device_part.numbers.rows))
        done = self.step - len(self._queue) + 1
        self._queue.drop()
        self.losses.append(outcome.loss)
        if on_step:
            on_step(done, outcome.loss)

    def _finish_all(self, on_step: Callable[[int, float], None] | None = None) -> None:
        while len(self._queue):
            self._finish_oldest(on_step)

    def _fill(self, numbers: StepNumbers, step: int) -> None:
        """Set the numbers of an update: a pure function of seed and step."""
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step + 1]))
        rows = generator.permutation(len(self.data))[: len(numbers.rows)]
        rollouts = generator.integers(self.data.rollouts, size=len(numbers.rollouts))
        permuted = self.encoder.permuted_in_training
        symmetry = self.device_part.symmetry
        orders = symmetry.random_permutations(len(numbers.rows), generator) if permuted else {}
        numbers.fill(rows, rollouts, orders, self.config.learning_rate_at(step))

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, one safetensors file, whole or not at all.

        Raises:
            RnnzooError: it cannot be written, or an update under way met an answer that is not finite.
        """
        self._finish_all()
        write_training(Path(path), self.device_part, self.step, self.describe())

    def restore(self, path: str | Path) -> None:
        """Take weights, optimizer state and step from a checkpoint of the same run.

        Raises:
            UsageError: the checkpoint is of a run with another encoder, configuration or seed.
            RnnzooError: it is damaged.
        """
        self._queue.clear()
        self.step = read_training(path, self.device_part, self.describe())
        # The optimizers have their moments in new memory, which a record does not know.
        if self.captured is not None:
            self.captured.forget()

    def describe(self) -> dict[str, Any]:
        """What identifies the run: two runs of equal description and data give equal results on one machine."""
        own = {"encoder": self.encoder_name, "encoder_settings": self.encoder_settings, "seed": self.seed}
        return {**own, **asdict(self.config), "rows": len(self.data)}


def build_models(
    context: Context, encoder_name: str, config: EmulationConfig, seed: int, encoder_settings: dict[str, Any]
) -> tuple[Encoder, Emulator]:
    """Encoder and emulator with random weights that depend on the seed alone; torch's own generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # The emulator first, so that all encoders of a seed start with the same one.
        emulator = Emulator(
            context.network, config.z_size, config.hidden_size, config.layers, config.z_enters, config.z_gain
        )
        encoder = build_encoder(encoder_name, context, config.profile, **encoder_settings)
    return encoder, emulator


@torch.no_grad()
def evaluate(
    encoder: Encoder, emulator: Emulator, data: EmulationData, rollouts: int = 10, rows_at_once: int = 128
) -> dict[str, NDArray[np.float64]]:
    """Every divergence between each network and its emulation, float64 [R] by name; their means are the losses.

    Args:
        encoder, emulator: trained together.
        data: rows of any split, on the same device.
        rollouts: how many of each row's rollouts to use, always the first ones.
        rows_at_once: rows computed together, which bounds memory.
    """
    encoder.eval()
    rollouts = min(rollouts, data.rollouts)
    results: dict[str, list[Tensor]] = {name: [] for name in DIVERGENCES}
    for rows in torch.arange(len(data), device=data.weights.device).split(rows_at_once):
        z = encode(encoder, prepare(encoder, data.networks.take(rows)), encoder.context.z_size)
        which = torch.arange(rollouts, device=rows.device).repeat(len(rows))
        inputs, targets = data.batch(rows.repeat_interleave(rollouts), which)
        estimates = emulator(z.repeat_interleave(rollouts, dim=0), inputs)
        for name, divergence in DIVERGENCES.items():
            per_rollout = divergence(targets, estimates).mean(0)
            results[name].append(per_rollout.unflatten(0, (len(rows), rollouts)).mean(1))
    encoder.train()
    return {name: torch.cat(parts).double().cpu().numpy() for name, parts in results.items()}
