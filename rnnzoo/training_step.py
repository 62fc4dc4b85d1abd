"""What a device does in one emulation update: it reads a few numbers in fixed memory and leaves the loss in others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.divergences import DIVERGENCES
from rnnzoo.emulation_config import EmulationConfig
from rnnzoo.emulation_data import EmulationData
from rnnzoo.emulator import Emulator
from rnnzoo.encoders.protocol import Encoder, Rows, encode
from rnnzoo.recurrence import plain_float32
from rnnzoo.symmetry import symmetry_of


class StepNumbers:
    """The numbers that tell one update from another, whole ones in one tensor, so that few copies move them.

    Args:
        rows: networks per update, M.
        rollouts: rollouts per update.
        groups: sizes of the groups of hidden units that are renumbered, by name.
        device: where the tensors are.
        pinned: whether they are on the host, in memory that a device can copy from without the host's help.

    Attributes:
        rows, rollouts: int64 [M] and [rollouts].
        orders: the renumbering of each group, int64 [M, size].
        learning_rate: a scalar, float64 on the CPU, float32 for an accelerator, whose fused AdamW reads no other.
    """

    def __init__(
        self, rows: int, rollouts: int, groups: Mapping[str, int], device: torch.device, pinned: bool = False
    ) -> None:
        sizes = (rows, rollouts, *(rows * size for size in groups.values()))
        self.whole = torch.zeros(sum(sizes), dtype=torch.int64, device=device, pin_memory=pinned)
        self.rows, self.rollouts, *orders = self.whole.split(sizes)
        self.orders = {group: order.view(rows, -1) for group, order in zip(groups, orders, strict=True)}
        dtype = torch.float64 if device.type == "cpu" and not pinned else torch.float32
        self.learning_rate = torch.zeros((), dtype=dtype, device=device, pin_memory=pinned)

    def fill(
        self,
        rows: NDArray[np.int64],
        rollouts: NDArray[np.int64],
        orders: Mapping[str, Tensor],
        learning_rate: float,
    ) -> None:
        """Set the numbers of an update; only where the tensors are on the host."""
        self.rows.copy_(torch.from_numpy(rows))
        self.rollouts.copy_(torch.from_numpy(rollouts))
        for group, order in orders.items():
            self.orders[group].copy_(order)
        self.learning_rate.fill_(learning_rate)

    def copy_from(self, other: StepNumbers) -> None:
        """Take over the numbers of others; the host does not wait for it if they are pinned."""
        self.whole.copy_(other.whole, non_blocking=True)
        self.learning_rate.copy_(other.learning_rate, non_blocking=True)


class TrainingStep:
    """One update of encoder and emulator, without a look at the host: every call reads and writes the same tensors.

    Args:
        encoder, emulator: what is trained, on the device of the data.
        data: the rows to learn from.
        networks: the same rows as the encoder sees them.
        config: the run's.
        checked_at_once: whether NaN and infinity in the encoder's answer are looked for before the update is done,
            which waits for the device. If not, `outcome` tells of them.

    Attributes:
        numbers: what the next call reads.
        outcome: float32 [2], the loss and the number of networks whose z was not finite.
        optimizers: of the parts that have anything to learn, by name.
    """

    def __init__(
        self,
        encoder: Encoder,
        emulator: Emulator,
        data: EmulationData,
        networks: Rows,
        config: EmulationConfig,
        checked_at_once: bool,
    ) -> None:
        self.encoder, self.emulator, self.data, self.networks, self.config = encoder, emulator, data, networks, config
        self.checked_at_once = checked_at_once
        self.device = data.weights.device
        self.symmetry = symmetry_of(data.network)
        self.numbers = self.new_numbers(self.device)
        self.outcome = torch.zeros(2, device=self.device)
        betas = (0.9, config.second_moment_decay)
        # An encoder may have nothing to learn, such as a fixed projection; then it has no optimizer.
        self.optimizers = {
            name: torch.optim.AdamW(
                part.parameters(),
                betas=betas,
                weight_decay=config.weight_decay,
                fused=True,
                capturable=self.device.type == "cuda",
            )
            for name, part in self.parts.items()
            if list(part.parameters())
        }
        self.tie_learning_rate()

    @property
    def parts(self) -> dict[str, torch.nn.Module]:
        """What is trained, by name."""
        return {"encoder": self.encoder, "emulator": self.emulator}

    def new_numbers(self, device: torch.device, pinned: bool = False) -> StepNumbers:
        """Room for the numbers of an update of this run."""
        rows = min(self.config.rows_per_step, len(self.data))
        groups = {group.name: group.size for group in self.symmetry.groups if group.interchangeable}
        permuted = groups if self.encoder.permuted_in_training else {}
        return StepNumbers(rows, rows * self.config.rollouts_per_row, permuted, device, pinned)

    def tie_learning_rate(self) -> None:
        """Let the optimizers read the learning rate of `numbers`, which loading their state unties."""
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = self.numbers.learning_rate

    def batch(self) -> tuple[Rows, Tensor, Tensor]:
        """The networks, inputs and targets that `numbers` chooses."""
        rows = self.numbers.rows
        inputs, targets = self.data.batch(_repeated(rows, self.config.rollouts_per_row), self.numbers.rollouts)
        batch = self.networks.take(rows)
        if self.numbers.orders:
            batch.weights = self.symmetry.permute(batch.weights, self.numbers.orders)
        return batch, inputs, targets

    def __call__(self) -> None:
        """Do the update.

        Raises:
            RnnzooError: the encoder's answer has the wrong shape or, if `checked_at_once`, is not finite.
        """
        with plain_float32(self.device):
            batch, inputs, targets = self.batch()
            z = encode(self.encoder, batch, self.config.z_size, self.checked_at_once)
            estimates = self.emulator(_repeated(z, self.config.rollouts_per_row), inputs)
            loss = DIVERGENCES[self.config.loss](targets, estimates).mean()
            for optimizer in self.optimizers.values():
                optimizer.zero_grad()
            loss.backward()
            for optimizer in self.optimizers.values():
                torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], self.config.clip_norm)
                optimizer.step()
            self.outcome[0].copy_(loss.detach())
            if not self.checked_at_once:
                # Scaled to unit length, an answer that was not finite is not finite either.
                self.outcome[1].copy_((~torch.isfinite(z.detach())).any(dim=1).sum())


def _repeated(values: Tensor, times: int) -> Tensor:
    """Each of the values [M, ...] so many times in a row, [M * times, ...]."""
    return values[:, None].expand(-1, times, *values.shape[1:]).flatten(0, 1)
