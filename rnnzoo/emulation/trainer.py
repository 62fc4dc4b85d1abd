"""Emulation pre-training: encoder and emulator learn together to imitate the zoo's networks (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnnzoo.emulation.config import EmulationConfig
from rnnzoo.emulation.data import EmulationData
from rnnzoo.emulation.device_graph import CudaRecorder, RunAhead
from rnnzoo.emulation.divergences import DIVERGENCES
from rnnzoo.emulation.emulator import Emulator
from rnnzoo.encoders import Encoder, Rows, build_encoder, encode, permute, prepare
from rnnzoo.errors import UsageError
from rnnzoo.networks.recurrence import plain_float32
from rnnzoo.networks.symmetry import symmetry_of


class Draw(NamedTuple):
    """What tells one update from another.

    Args:
        rows: the networks, int64 [M].
        rollouts: which rollouts of each, int64 [M * rollouts_per_row].
        permutations: of the hidden units of each network, layer beside layer, int64 [M, units]; [M, 0] for encoders
            that are not trained on permuted units.
        learning_rate: a scalar, float64 on the CPU, float32 for an accelerator, whose fused AdamW reads no other.
    """

    rows: Tensor
    rollouts: Tensor
    permutations: Tensor
    learning_rate: Tensor


class EmulationTraining:
    """One run: an encoder, an emulator, their optimizers, and how many updates they have had.

    What an update draws is a pure function of seed and step, so a resumed run goes on exactly as one that was never
    stopped. On a CUDA device `rnnzoo.emulation.device_graph` runs ahead of the device and captures the update as a
    graph.

    Args:
        data: rows to learn from.
        encoder_name: a name or "module:Class".
        config: every other choice.
        seed: of the weights and of all batches.
        device: where to train.
        encoder_settings: keyword arguments of the encoder.
        capture: whether to capture the update; None captures on a CUDA device, unless the encoder's class says no.

    Attributes:
        step: updates whose loss is known; when `run` has returned, all that were begun.
        losses: training loss of every update since the run was started or resumed.
        models: encoder and emulator, by name.
        optimizers: of the models that have anything to learn, by the models' names.
        ahead: what gives a CUDA device its updates; None elsewhere.

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
        context = data.context(config.z_size, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # The emulator first, so that all encoders of a seed start with the same one.
            self.emulator = Emulator(
                data.network, config.z_size, config.hidden_size, config.layers, config.z_enters, config.z_gain
            )
            self.encoder = build_encoder(encoder_name, context, config.profile, **self.encoder_settings)
        self.models: dict[str, nn.Module] = {"encoder": self.encoder.to(device), "emulator": self.emulator.to(device)}
        self.networks = prepare(self.encoder, self.data.networks)
        self.symmetry = symmetry_of(data.network)
        on_cuda = self.device.type == "cuda"
        if capture and not on_cuda:
            raise UsageError(f"A training step on the device {device!r} cannot be captured: leave capture out.")
        # An encoder may have nothing to learn, such as a fixed projection; then it has no optimizer.
        betas, decay = (0.9, config.second_moment_decay), config.weight_decay
        self.optimizers = {
            name: torch.optim.AdamW(model.parameters(), betas=betas, weight_decay=decay, fused=True, capturable=on_cuda)
            for name, model in self.models.items()
            if list(model.parameters())
        }
        self.ahead: RunAhead | None = None
        if on_cuda:
            captured = self.encoder.captured_in_training if capture is None else capture
            recorder = CudaRecorder(self.device) if captured else None
            self.ahead = RunAhead(self.encoder, self.draw, self.update, self.device, recorder)

    def run(self, until: int | None = None, on_step: Callable[[int, float], None] | None = None) -> None:
        """Train up to a number of updates.

        Args:
            until: total updates, by default all of the configuration.
            on_step: called after each update with the number of updates done and the loss.

        Raises:
            RnnzooError: the encoder's answer has the wrong shape or is not finite. A CUDA device may have begun up to
            `rnnzoo.emulation.device_graph.STEPS_AHEAD` updates more by then.
        """
        self.encoder.train()
        until = self.config.steps if until is None else until
        losses: Iterator[float] = (self.update(self.draw(step))[0].item() for step in range(self.step, until))
        if self.ahead is not None:
            losses = self.ahead.losses(self.step, until)
        for loss in losses:
            self.step += 1
            self.losses.append(loss)
            if on_step:
                on_step(self.step, loss)

    def draw(self, step: int) -> Draw:
        """What an update is given, on the host: a pure function of seed and step."""
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step + 1]))
        rows = generator.permutation(len(self.data))[: self.config.rows_per_step]
        rollouts = generator.integers(self.data.rollouts, size=len(rows) * self.config.rollouts_per_row)
        permutations = torch.empty(len(rows), 0, dtype=torch.int64)
        if self.encoder.permuted_in_training:
            permutations = torch.cat(list(self.symmetry.random_permutations(len(rows), generator).values()), dim=1)
        dtype = torch.float64 if self.device.type == "cpu" else torch.float32
        learning_rate = torch.tensor(self.config.learning_rate_at(step), dtype=dtype)
        return Draw(torch.from_numpy(rows), torch.from_numpy(rollouts), permutations, learning_rate)

    def batch(self, draw: Draw) -> tuple[Rows, Tensor, Tensor]:
        """The networks, and the inputs and targets of all their rollouts, that a draw chooses."""
        networks = self.networks.take(draw.rows)
        if self.encoder.permuted_in_training:
            sizes = {group.name: group.size for group in self.symmetry.groups if group.interchangeable}
            permutations = draw.permutations.split(list(sizes.values()), dim=1)
            networks = permute(self.encoder, networks, dict(zip(sizes, permutations, strict=True)))
        inputs, targets = self.data.batch(self._per_rollout(draw.rows), draw.rollouts)
        return networks, inputs, targets

    def update(self, drawn: tuple[Tensor, ...], check_values: bool = True) -> tuple[Tensor, Tensor]:
        """One optimizer update of encoder and emulator.

        Args:
            drawn: the tensors of a `Draw`, on any device.
            check_values: look for NaN and infinity in the encoder's answer before anything is changed, for which the
                host waits for the device.

        Returns:
            The training loss before the update, a scalar, and z, [M, z_size].

        Raises:
            RnnzooError: the encoder's answer has the wrong shape or, if `check_values`, is not finite.
        """
        draw = Draw(*(tensor.to(self.device) for tensor in drawn))
        with plain_float32(self.device):
            networks, inputs, targets = self.batch(draw)
            z = encode(self.encoder, networks, self.config.z_size, check_values)
            estimates = self.emulator(self._per_rollout(z), inputs)
            loss = DIVERGENCES[self.config.loss](targets, estimates).mean()
            for optimizer in self.optimizers.values():
                optimizer.zero_grad()
            loss.backward()
            for optimizer in self.optimizers.values():
                (group,) = optimizer.param_groups
                nn.utils.clip_grad_norm_(group["params"], self.config.clip_norm)
                group["lr"] = draw.learning_rate
                optimizer.step()
        return loss.detach(), z.detach()

    def _per_rollout(self, values: Tensor) -> Tensor:
        """The value of each network [M, ...] once for each of its rollouts, [M * rollouts_per_row, ...]."""
        return values[:, None].expand(-1, self.config.rollouts_per_row, *values.shape[1:]).flatten(0, 1)

    def describe(self) -> dict[str, Any]:
        """What identifies the run: two runs of equal description and data give equal results on one machine."""
        own = {"encoder": self.encoder_name, "encoder_settings": self.encoder_settings, "seed": self.seed}
        return {**own, **asdict(self.config), "rows": len(self.data)}


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
