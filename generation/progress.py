"""Report a build's progress: to the terminal, or to nobody."""

from __future__ import annotations

from typing import Protocol as Interface

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rnnzoo.display import TerminalDisplay
from rnnzoo.interruption import raise_if_interrupted


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


class TerminalReporter(TerminalDisplay):
    """A progress bar with models, steps, loss and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[models]} models"),
            MofNCompleteColumn(),
            TextColumn("model-steps"),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._task = self.bars.add_task("preparing", total=None, models="", loss="", visible=False)
        self._models = self._steps = self._finished = 0

    def begin(self, models: int, finished_models: int, steps: int) -> None:
        """See `Reporter`."""
        self.start()
        self._models, self._finished, self._steps = models, finished_models, steps
        # Time left is estimated from what this run trains, not from what an earlier one left behind.
        self.bars.reset(self._task, total=models * max(steps, 1), completed=finished_models * max(steps, 1))
        self.bars.update(self._task, visible=True)
        self._show("training", "")

    def training(self, model_steps: int, loss: float) -> None:
        """See `Reporter`."""
        raise_if_interrupted()
        self.bars.update(self._task, completed=self._finished * max(self._steps, 1) + model_steps)
        self._show("training", f"loss {loss:.3f}")

    def unit_finished(self, models: int) -> None:
        """See `Reporter`."""
        raise_if_interrupted()
        self._finished += models
        self.bars.update(self._task, completed=self._finished * max(self._steps, 1))
        self._show("training", None)

    def phase(self, text: str) -> None:
        """See `Reporter`."""
        self._show(text, None)

    def _show(self, description: str, loss: str | None) -> None:
        models = f"{self._finished}/{self._models}"
        if loss is None:
            self.bars.update(self._task, description=description, models=models)
        else:
            self.bars.update(self._task, description=description, models=models, loss=loss)
