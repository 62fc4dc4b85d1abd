"""Hand updates to a device one after the other, and hear of each loss when it is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rnnzoo.training_step import StepNumbers, TrainingStep

STEPS_AHEAD = 16
"""Updates that an accelerator may have been given and not yet done."""


class Outcome(NamedTuple):
    """What came of an update.

    Args:
        loss: training loss before the update.
        unsound: networks whose z was not finite.
    """

    loss: float
    unsound: int


class _Place(NamedTuple):
    """Memory of the host for an update under way; `done` is None where the device is the host."""

    numbers: StepNumbers
    outcome: Tensor
    done: torch.cuda.Event | None


class StepQueue:
    """The updates under way, oldest first.

    Args:
        step: whose numbers are set before each update and whose outcome is read after it.
    """

    def __init__(self, step: TrainingStep) -> None:
        self._step = step
        if step.device.type == "cpu":
            self._places = [_Place(step.numbers, step.outcome, None)]
        else:
            host = torch.device("cpu")
            self._places = [
                _Place(
                    step.new_numbers(host, pinned=True),
                    torch.zeros(2, pin_memory=True),
                    torch.cuda.Event(blocking=True),
                )
                for _ in range(STEPS_AHEAD)
            ]
        self._under_way: deque[_Place] = deque()
        self._started = 0

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def full(self) -> bool:
        """Whether the oldest update must be finished before another can start."""
        return len(self._under_way) == len(self._places)

    def start(self, fill: Callable[[StepNumbers], None], work: Callable[[], None]) -> None:
        """Begin an update.

        Args:
            fill: sets the update's numbers.
            work: what does `step`, or replays it.
        """
        place = self._places[self._started % len(self._places)]
        fill(place.numbers)
        if place.done is None:
            work()
        else:
            self._step.numbers.copy_from(place.numbers)
            work()
            place.outcome.copy_(self._step.outcome, non_blocking=True)
            place.done.record(torch.cuda.current_stream(self._step.device))
        self._started += 1
        self._under_way.append(place)

    def wait(self) -> Outcome:
        """What came of the oldest update, which stays in the queue."""
        place = self._under_way[0]
        if place.done is not None:
            place.done.synchronize()
        loss, unsound = place.outcome.tolist()
        return Outcome(loss, int(unsound))

    def drop(self) -> None:
        """Take the oldest update off the queue."""
        self._under_way.popleft()

    def clear(self) -> None:
        """Wait for all updates and forget them."""
        while self._under_way:
            self.wait()
            self.drop()
