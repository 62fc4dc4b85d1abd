"""Finished runs of a benchmark: read them, and aggregate them over seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from msgspec import Meta

from rnnzoo.benchmark.intervals import Estimate, over_seeds
from rnnzoo.errors import RnnzooError
from rnnzoo.files import limits
from rnnzoo.files.strict_json import parse_json, read_bounded, read_json, reading, typed
from rnnzoo.kinds import find_kind

RUNS_NAME = "runs.jsonl"
RECORD_NAME = "record.json"
RAILS = ("constant", "labels", "answers", "nearest", "random", "permuted", "shuffled")
"""The rails and the controls, which compete with nobody; they tell what a loss is worth."""


def published_losses(kind: str) -> dict[str, Estimate]:
    """Validation emulation loss by encoder as a paper has it, 15 seeds each (paper section 5.2); empty if none does."""
    return {encoder: Estimate(*numbers, 15) for encoder, numbers in find_kind(kind).published_losses.items()}


@dataclass(frozen=True)
class Run:
    """One finished run, as recorded.

    Attributes:
        name: of the run, and of its folder under `runs`.
        kind: "emulation" or "downstream".
        encoder: name or "module:Class".
        mechanistic: whether the encoder reads weights; None where it does not say, and for the rails.
        seed: of initial weights and batches.
        metrics: numbers by split and name.
        record: everything that was recorded, these fields included.
    """

    name: str
    kind: str
    encoder: str
    mechanistic: bool | None
    seed: int
    metrics: Mapping[str, Mapping[str, float]]
    record: Mapping[str, Any]


@dataclass(frozen=True)
class TrainingCurve:
    """curve.json of an emulation run.

    Attributes:
        step, loss: mean training loss since the step before.
        validation_step, validation_loss: at some of the steps.
        seconds: of training.
        seconds_per_update: median of training alone; 0 where it was not recorded.
    """

    step: tuple[int, ...]
    loss: tuple[float, ...]
    validation_step: tuple[int, ...]
    validation_loss: tuple[float, ...]
    seconds: float
    seconds_per_update: float = 0.0

    def __post_init__(self) -> None:
        for steps, values in ((self.step, self.loss), (self.validation_step, self.validation_loss)):
            if len(steps) != len(values):
                raise ValueError("steps and losses differ in number")


@dataclass(frozen=True)
class Results:
    """The finished runs of one results folder; never empty."""

    folder: Path
    runs: tuple[Run, ...]

    @property
    def zoo(self) -> Mapping[str, Any]:
        """What was recorded of the zoo: kind, folder or name on the Hub, revision, recipe_hash and models by split."""
        return self.runs[0].record["zoo"]

    @property
    def kind(self) -> str:
        """Kind of the zoo."""
        return str(self.zoo["kind"])

    @property
    def seeds(self) -> list[int]:
        """Every seed that some run has."""
        return sorted({run.seed for run in self.runs})

    def emulation(self, encoder: str) -> list[Run]:
        """The pre-training runs of an encoder, by seed."""
        return self._sorted(run for run in self.runs if run.kind == "emulation" and run.encoder == encoder)

    def downstream(self, encoder: str, asked: str, mode: str) -> list[Run]:
        """The runs of an encoder on a property, "frozen" or "supervised", by seed."""
        return self._sorted(
            run
            for run in self.runs
            if run.kind == "downstream"
            and (run.encoder, run.record["property"], run.record["mode"]) == (encoder, asked, mode)
        )

    def ranking(self) -> list[str]:
        """Encoders from the best to the worst validation total variation, those without one behind; of the rails the
        constant comes first and the labels last.
        """

        def place(encoder: str) -> tuple[int, float, str]:
            found = mean_of(self.emulation(encoder), "validation", "total_variation")
            rank = {"constant": 0, "labels": 2}.get(encoder, 1)
            return rank, found.mean if found and not math.isnan(found.mean) else math.inf, encoder

        return sorted({run.encoder for run in self.runs}, key=place)

    @staticmethod
    def _sorted(runs: Iterable[Run]) -> list[Run]:
        return sorted(runs, key=lambda run: run.seed)


def mean_of(runs: Sequence[Run], split: str, metric: str) -> Estimate | None:
    """A metric's estimate over the seeds of the runs that have it; None if none has."""
    values = [run.metrics[split][metric] for run in runs if metric in run.metrics.get(split, {})]
    return over_seeds(values) if values else None


def recorded_lines(folder: Path) -> dict[str, bytes]:
    """The records below `runs` of a results folder as lines of JSON, by the path of the record.

    Raises:
        RnnzooError: a record is damaged.
    """
    paths = sorted((folder / "runs").rglob(RECORD_NAME))
    remedy = "delete it, and the run is done again"
    return {str(path): json.dumps(read_json(path, dict[str, Any], remedy, finite=False)).encode() for path in paths}


def read_results(folder: Path) -> Results:
    """Read the records below `runs` of a results folder, or runs.jsonl where there are none; writes nothing.

    Of two lines for one run the later counts.

    Raises:
        RnnzooError: there are no runs, or a record or line is damaged.
    """
    lines = recorded_lines(folder) or _lines(folder / RUNS_NAME)
    runs: dict[str, Run] = {}
    for where, line in lines.items():
        run = _parse(line, where)
        runs[run.name] = run
    if not runs:
        raise RnnzooError(f"{folder / RUNS_NAME} holds no finished runs: `rnnzoo eval` makes them.")
    return Results(folder, tuple(runs.values()))


def _lines(path: Path) -> dict[str, bytes]:
    """The lines of runs.jsonl that are not empty, by where they are."""
    try:
        text = read_bounded(path, "give the `rnnzoo eval` command again, which writes it from the runs beside it")
    except FileNotFoundError as error:
        raise RnnzooError(f"There are no results ({path} is missing): `rnnzoo eval` makes them.") from error
    return {f"{path}, line {number}": line for number, line in enumerate(text.split(b"\n"), start=1) if line.strip()}


@dataclass(frozen=True)
class _Zoo:
    kind: str
    folder: str = ""
    revision: str | None = None
    recipe_hash: str = ""
    steps: int = 0
    models: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Record:
    run: Annotated[str, Meta(min_length=1, max_length=4 * limits.NAME_LENGTH)]
    kind: Literal["emulation", "downstream"]
    encoder: Annotated[str, Meta(max_length=limits.NAME_LENGTH)]
    mechanistic: bool | None
    seed: int
    profile: str
    config: dict[str, Any]
    zoo: _Zoo
    parameters: int
    seconds: dict[str, float]
    metrics: dict[str, dict[str, float]]
    seconds_per_update: float = 0.0
    property: str | None = None
    mode: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    threads: int = 0
    created: str = ""

    def __post_init__(self) -> None:
        name = PurePosixPath(self.run)
        if name.is_absolute() or ".." in name.parts:
            raise ValueError("field run leaves the results folder")
        if self.kind == "downstream" and (self.property is None or self.mode is None):
            raise ValueError("a downstream run needs a property and a mode")


def _parse(line: bytes, where: str) -> Run:
    remedy = "delete the line and give the `rnnzoo eval` command again; it does only what is missing"
    # Losses of a run that diverged are recorded as they are.
    record = parse_json(line, dict[str, Any], where, remedy, finite=False)
    with reading(where, remedy):
        found = typed(record, _Record)
    return Run(found.run, found.kind, found.encoder, found.mechanistic, found.seed, found.metrics, record)
