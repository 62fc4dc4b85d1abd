"""What a build will take, said before it begins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from rnnzoo.environment import usable_cores
from rnnzoo.generation.building.crews import Crew
from rnnzoo.generation.building.plan import Plan, models_per_unit
from rnnzoo.generation.building.training_speed import Speed, measure_speed
from rnnzoo.generation.building.units import Session
from rnnzoo.generation.engines import find_engine
from rnnzoo.generation.kinds import find_producer
from rnnzoo.generation.recipes import Recipe
from rnnzoo.terminal.durations import duration

LONG_BUILD = 3600
"""Seconds beyond which a terminal is asked."""

WORTHWHILE = 0.8
"""A faster way is named if it takes at most this share of the time."""


@dataclass(frozen=True)
class Estimate:
    """What a build will take.

    Attributes:
        session: the build.
        crew: what trains it.
        models: how many networks are still to be trained.
        smaller: recipes of the same zoo at smaller scales, by scale.
        speed: of this machine; None where others train.
    """

    session: Session
    crew: Crew
    models: int
    smaller: Mapping[str, Recipe]
    speed: Speed | None

    @property
    def seconds(self) -> float | None:
        """Until all networks are trained and evaluated; None where that is not known."""
        return self._seconds(self.session.plan.recipe, self.models, self.crew.processes)

    @property
    def lines(self) -> list[str]:
        """What a user should read before the build begins."""
        recipe, name = self.session.plan.recipe, self.session.plan.engine
        rows, size = f"{recipe.rows:,} rows", f"at most {largest_size(recipe) / 1e6:,.1f} MB"
        lines = [f"{recipe.zoo}: {recipe.models:,} networks of {recipe.protocol.steps:,} steps, {rows}, {size}."]
        if self.seconds is None:
            return [*lines, "How long it takes depends on the cluster's nodes: no estimate."]
        missing = "" if self.models == recipe.models else f" for the {self.models:,} networks that are missing"
        device = self.session.engine.describe_device()
        lines.append(f"About {duration(self.seconds)}{missing}, by what the {name} engine just took on {device}.")
        if ways := [f"{way}: about {duration(seconds)}" for way, seconds in self._faster_ways()]:
            lines.append(f"Faster: {'; '.join(ways)}.")
        return lines

    def _seconds(self, recipe: Recipe, models: int, processes: int | None) -> float | None:
        if self.speed is None or processes is None:
            return None
        examples = self.session.producer.evaluated(recipe, self.session.data)
        return self.speed.seconds(recipe, examples, models, self.session.plan.models_per_unit, processes)

    def _faster_ways(self) -> Iterator[tuple[str, float]]:
        """What else could be asked for, and how many seconds it would take."""
        plan = self.session.plan
        ways = [(f"--scale {scale}", self._seconds(recipe, recipe.models, self.crew.processes))
                for scale, recipe in self.smaller.items()]  # fmt: skip
        if self.speed and self.speed.threads:
            workers = max(1, usable_cores() // min(self.speed.threads, plan.models_per_unit))
            ways.insert(0, (f"--workers {workers}", self._seconds(plan.recipe, self.models, workers)))
        one_process = self._seconds(plan.recipe, self.models, 1)
        # Numba is proposed for a whole build only: a build keeps the engine it was begun with.
        speedup = self.session.producer.numba_speedup
        if one_process and speedup and self.models == plan.recipe.models and (numba := _way_to_numba(self.session)):
            cores = min(usable_cores(), plan.models_per_unit)
            ways.insert(0, (numba, one_process / (speedup * cores)))
        return ((way, seconds) for way, seconds in ways if seconds and seconds < WORTHWHILE * (self.seconds or 0))


def _way_to_numba(session: Session) -> str | None:
    """How to train with numba what would be trained by the reference engine; None if that cannot be."""
    if session.plan.engine != "reference":
        return None
    if find_spec("numba") is None:
        return "with numba (pip install 'rnnzoo[build]')"
    engine, _ = find_engine("auto", session.producer.population(session.plan.recipe, [0], session.data)[0])
    return "--engine numba" if engine.name == "numba" else None


def estimate_build(session: Session, crew: Crew, models: int, smaller: Mapping[str, Recipe]) -> Estimate:
    """Measure this machine for about a second and say what a build will take; see `Estimate` for the arguments."""
    return Estimate(session, crew, models, smaller, measure_speed(session) if crew.processes else None)


def session_on_made_up_data(recipe: Recipe, out: Path, engine_name: str) -> Session:
    """A build that can be measured without its data.

    Raises:
        UsageError: the engine cannot be used.
    """
    producer = find_producer(recipe.zoo)
    data = producer.made_up_data(recipe)
    name = find_engine(engine_name, producer.population(recipe, [0], data)[0])[0].name
    return Session(out, Plan(recipe, name, "made up", models_per_unit(name)), producer, data)


def largest_size(recipe: Recipe) -> int:
    """Bytes of a zoo of which nothing can be compressed."""
    return recipe.rows * sum(column.row_bytes for column in recipe.columns)


def ask_about(estimate: Estimate, say: Callable[[str], None], agreed: bool) -> None:
    """Say what a build will take, and where it is long, ask on a terminal whether to begin.

    Raises:
        click.Abort: no.
    """
    for line in estimate.lines:
        say(line)
    if agreed or (estimate.seconds or 0) <= LONG_BUILD or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not click.confirm("Begin? (--yes does not ask)", err=True):
        say("Not begun.")
        raise click.Abort
