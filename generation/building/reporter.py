"""Report a build's progress: to the terminal, or to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol as Interface

from rnnzoo.jobs.interruption import raise_if_interrupted
from rnnzoo.terminal.progress_display import ProgressDisplay


class Reporter(Interface):
    """What a build tells as it goes."""

    def begin(self, models: int, finished_models: int, steps: int) -> None:
        """Training starts: total models, how many are already whole, optimizer steps per model."""
        ...

    def training(self, model_steps: int, loss: float) -> None:
        """`model_steps` of the current unit are done; `loss` is the mean of its last batches."""
        ...

    def unit_finished(self, models: int) -> None:
        """A unit of so many models is whole."""
        ...

    def phase(self, text: str) -> None:
        """What happens now, in a few words."""
        ...

    def message(self, text: str) -> None:
        """A line the user should read."""
        ...


class SilentReporter:
    """Tells nobody."""

    def begin(self, models: int, finished_models: int, steps: int) -> None:
        """See `Reporter`."""

    def training(self, model_steps: int, loss: float) -> None:
        """See `Reporter`."""

    def unit_finished(self, models: int) -> None:
        """See `Reporter`."""

    def phase(self, text: str) -> None:
        """See `Reporter`."""

    def message(self, text: str) -> None:
        """See `Reporter`."""


class TerminalReporter(ProgressDisplay):
    """Models, steps, loss and time left, on standard error and in a log file."""

    def __init__(self, log: Path | None = None) -> None:
        super().__init__("preparing", log=log)
        self._models = self._steps = self._finished = 0
        self._loss = ""

    def begin(self, models: int, finished_models: int, steps: int) -> None:
        """See `Reporter`."""
        self.start()
        self._models, self._finished, self._steps = models, finished_models, max(steps, 1)
        # Time left is estimated from what this run trains, not from what an earlier one left behind.
        self.bars.reset(self.chief, total=models * self._steps, completed=finished_models * self._steps)
        self._show("training", 0)

    def training(self, model_steps: int, loss: float) -> None:
        """See `Reporter`."""
        raise_if_interrupted()
        self._loss = f", loss {loss:.3f}"
        self._show("training", model_steps)

    def unit_finished(self, models: int) -> None:
        """See `Reporter`."""
        raise_if_interrupted()
        self._finished += models
        self._show("training", 0)

    def phase(self, text: str) -> None:
        """See `Reporter`."""
        self._show(text, 0)

    def _show(self, description: str, model_steps: int) -> None:
        self.bars.update(
            self.chief,
            description=description,
            completed=self._finished * self._steps + model_steps,
            unit="model-steps",
            details=f"{self._finished}/{self._models} models{self._loss}",
        )
