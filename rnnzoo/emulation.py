"""Emulation pre-training: encoder and emulator learn together to imitate the zoo's networks (paper section 3.3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.atomic import atomic_path
from rnnzoo.divergences import DIVERGENCES
from rnnzoo.emulation_config import EmulationConfig
from rnnzoo.emulation_data import EmulationData
from rnnzoo.emulator import Emulator
from rnnzoo.encoders import Context, Encoder, Rows, build_encoder, encode, prepare
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.symmetry import symmetry_of


class EmulationTraining:
    """One run: an encoder, an emulator, their optimizers, and how many updates they have had.

    Which rows, rollouts and renumberings an update uses is a pure function of seed and step, so a resumed run goes on
    exactly as one that was never stopped.

    Attributes:
        step: updates done so far.
        losses: training loss of every update since the run was started or resumed.
    """

    def __init__(
        self,
        data: EmulationData,
        encoder_name: str,
        config: EmulationConfig,
        seed: int = 0,
        device: str = "cpu",
        encoder_settings: dict[str, Any] | None = None,
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
        self.rows = prepare(self.encoder, self.data.networks)
        self.symmetry = symmetry_of(data.network)
        # An encoder may have nothing to learn, such as a fixed projection; then it has no optimizer.
        betas = (0.9, config.second_moment_decay)
        self.optimizers = {
            name: torch.optim.AdamW(part.parameters(), betas=betas, weight_decay=config.weight_decay, fused=True)
            for name, part in self._parts.items()
            if list(part.parameters())
        }

    @property
    def _parts(self) -> dict[str, torch.nn.Module]:
        return {"encoder": self.encoder, "emulator": self.emulator}

    def run(self, until: int | None = None, on_step: Callable[[int, float], None] | None = None) -> None:
        """Train up to a number of updates.

        Args:
            until: total updates, by default all of the configuration.
            on_step: called after each update with the number of updates done and the loss.

        Raises:
            RnnzooError: the encoder's answer has the wrong shape or is not finite.
        """
        self.encoder.train()
        while self.step < (self.config.steps if until is None else until):
            loss = self.update()
            self.losses.append(loss)
            if on_step:
                on_step(self.step, loss)

    def update(self) -> float:
        """One optimizer update of encoder and emulator; the training loss before it."""
        batch, inputs, targets = self.draw(self.step)
        z = encode(self.encoder, batch, self.config.z_size)
        estimates = self.emulator(z.repeat_interleave(self.config.rollouts_per_row, dim=0), inputs)
        loss = DIVERGENCES[self.config.loss](targets, estimates).mean()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers.values():
            group = optimizer.param_groups[0]
            group["lr"] = self.config.learning_rate_at(self.step)
            torch.nn.utils.clip_grad_norm_(group["params"], self.config.clip_norm)
            optimizer.step()
        self.step += 1
        return float(loss.detach())

    def draw(self, step: int) -> tuple[Rows, Tensor, Tensor]:
        """The networks, inputs and targets of an update: a pure function of seed and step."""
        config = self.config
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step + 1]))
        count = min(config.rows_per_step, len(self.data))
        rows = torch.from_numpy(generator.permutation(len(self.data))[:count]).to(self.device)
        rollouts = torch.from_numpy(generator.integers(self.data.rollouts, size=count * config.rollouts_per_row))
        inputs, targets = self.data.batch(rows.repeat_interleave(config.rollouts_per_row), rollouts.to(self.device))
        batch = self.rows.take(rows)
        if self.encoder.permuted_in_training:
            batch.weights = self.symmetry.permute(batch.weights, self.symmetry.random_permutations(count, generator))
        return batch, inputs, targets

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, one safetensors file, whole or not at all.

        Raises:
            RnnzooError: it cannot be written.
        """
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {}
        for name, part in self._parts.items():
            tensors |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for number, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}.optimizer.{number}.{key}": value for key, value in moments.items()}
        tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        with atomic_path(Path(path)) as temporary:
            save_file(tensors, temporary, metadata={"run": json.dumps(self.describe()), "step": str(self.step)})

    def restore(self, path: str | Path) -> None:
        """Take weights, optimizer state and step from a checkpoint of the same run.

        Raises:
            UsageError: the checkpoint is of a run with another encoder, configuration or seed.
            RnnzooError: it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        except (SafetensorError, OSError) as error:
            raise RnnzooError(f"The checkpoint {path} cannot be read ({error}): delete it to start anew.") from error
        saved, mine = json.loads(metadata["run"]), json.loads(json.dumps(self.describe()))
        for field in mine:
            if saved.get(field) != mine[field]:
                raise UsageError(
                    f"The checkpoint {path} is of a run with {field}={saved.get(field)!r}, but this run has "
                    f"{mine[field]!r}: use the same settings to resume, or another folder to start anew."
                )
        for name, part in self._parts.items():
            part.load_state_dict({key: tensors[f"{name}.{key}"] for key in part.state_dict()})
        for name, optimizer in self.optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            prefix = f"{name}.optimizer."
            for key, value in tensors.items():
                if key.startswith(prefix):
                    number, _, moment = key.removeprefix(prefix).partition(".")
                    state.setdefault(int(number), {})[moment] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.step = int(metadata["step"])

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
