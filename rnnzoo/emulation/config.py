"""The choices of an emulation run, and the profiles: named sets of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnzoo.emulation.divergences import DIVERGENCES
from rnnzoo.errors import UsageError

SCHEDULES = ("constant", "one-cycle")


@dataclass(frozen=True)
class EmulationConfig:
    """Every choice of an emulation run but encoder and seed. The defaults are the paper's.

    Args:
        profile: name of the profile; it also chooses the encoders' settings.
        steps: optimizer updates.
        learning_rate: AdamW's, the highest for a one-cycle schedule.
        schedule: "constant", or "one-cycle": linear warm-up over a tenth of the steps, then a cosine to zero.
        weight_decay: AdamW's.
        second_moment_decay: AdamW's second beta.
        clip_norm: largest gradient norm of encoder and of emulator, each.
        rows_per_step: networks per update.
        rollouts_per_row: rollouts of each.
        loss: divergence that is minimised, a name in `rnnzoo.emulation.divergences`.
        hidden_size, layers: of the emulator.
        z_size: numbers in z.
        z_enters: where z enters the emulator, "first" or "every" input.
        z_gain: factor on z before the emulator projects it.
        evaluated_rollouts: rollouts per row in evaluation, always the same.
        emulated_strings: strings sampled from the emulator per row for its accuracy (formal-languages).

    Raises:
        UsageError: an unknown loss or schedule, or a size below 1.
    """

    profile: str = "paper"
    steps: int = 100_000
    learning_rate: float = 1e-4
    schedule: str = "constant"
    weight_decay: float = 0.01
    second_moment_decay: float = 0.999
    clip_norm: float = 0.1
    rows_per_step: int = 64
    rollouts_per_row: int = 1
    loss: str = "total_variation"
    hidden_size: int = 256
    layers: int = 2
    z_size: int = 16
    z_enters: str = "first"
    z_gain: float = 1.0
    evaluated_rollouts: int = 10
    emulated_strings: int = 100

    def __post_init__(self) -> None:
        for field, known in (("loss", tuple(DIVERGENCES)), ("schedule", SCHEDULES)):
            if getattr(self, field) not in known:
                raise UsageError(f"{field}={getattr(self, field)!r} is impossible: choose one of {', '.join(known)}.")
        for field in (
            "steps",
            "rows_per_step",
            "rollouts_per_row",
            "hidden_size",
            "layers",
            "z_size",
            "emulated_strings",
        ):
            if getattr(self, field) < 1:
                raise UsageError(f"{field}={getattr(self, field)} is impossible: give at least 1.")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of the update that follows `step` updates."""
        if self.schedule == "constant":
            return self.learning_rate
        warm_up = max(1, self.steps // 10)
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        done = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * (1 + float(np.cos(np.pi * done))) / 2


PROFILES = {
    "paper": EmulationConfig(),
    "standard": EmulationConfig(
        profile="standard", steps=20_000, learning_rate=1e-3, schedule="one-cycle", clip_norm=1.0
    ),
    "quick": EmulationConfig(
        profile="quick",
        steps=800,
        learning_rate=2e-3,
        schedule="one-cycle",
        second_moment_decay=0.95,
        clip_norm=1.0,
        rows_per_step=32,
        hidden_size=64,
        z_enters="every",
        z_gain=4.0,
        evaluated_rollouts=4,
        emulated_strings=20,
    ),
}
"""Named configurations: the paper's, one that fits a day, and one that fits minutes."""
