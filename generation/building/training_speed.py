"""How fast this machine trains a recipe's networks, measured on a few that are thrown away."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from rnnzoo.environment import usable_cores
from rnnzoo.generation.building.units import Session
from rnnzoo.generation.recipes import Recipe
from rnnzoo.jobs.interruption import raise_if_interrupted

MEASURED_SECONDS = 0.15
MEASURED_EXAMPLES = 1000


@dataclass(frozen=True)
class Speed:
    """Seconds that a network takes where as many are trained at a time as the engine takes.

    Attributes:
        threads: of the engine; see `Engine.threads`.
        setup: until the first step.
        step: of each optimizer step.
        example: of each string or image on which a snapshot is evaluated.
    """

    threads: int | None
    setup: float
    step: float
    example: float

    def seconds(self, recipe: Recipe, examples: int, models: int, models_per_unit: int, processes: int) -> float:
        """Seconds that training and evaluating take.

        Args:
            recipe: how long each network is trained, and how many snapshots it has.
            examples: on which each snapshot is evaluated.
            models: how many networks.
            models_per_unit: how many a process trains before it takes the next.
            processes: that share this machine's cores, or have a GPU each.
        """
        evaluations = len(recipe.snapshots) * examples
        network = self.setup + self.step * recipe.protocol.steps + self.example * evaluations
        at_a_time = models_per_unit
        if self.threads is not None:
            # More processes than cores are no faster than as many as there are cores.
            processes = min(processes, usable_cores())
            at_a_time = min(self.threads, usable_cores() // processes)
        units, rest = divmod(models, models_per_unit)
        rounds, more = divmod(units, processes)
        last = models_per_unit if more else rest
        return network * (rounds * math.ceil(models_per_unit / at_a_time) + math.ceil(last / at_a_time))


def measure_speed(session: Session) -> Speed:
    """Train the first networks of a build for a moment, about a second once the engine is compiled; write nothing."""
    threads, models = session.engine.threads, session.plan.models_per_unit
    models = min(session.plan.recipe.models, models, threads or models)
    _seconds(session, models, steps=1, evaluated=1)
    setup, _ = _seconds(session, models, steps=0, evaluated=1)
    steps, training = 2, 0.0
    while training < MEASURED_SECONDS:
        steps *= 4
        training = _seconds(session, models, steps, evaluated=1)[0] - setup
    recipe = session.plan.recipe.override(_fewer(session.plan.recipe, MEASURED_EXAMPLES))
    _, evaluation = _seconds(session, models, steps=0, evaluated=recipe.rollouts.evaluated)
    return Speed(threads, setup, training / steps, evaluation / session.producer.evaluated(recipe, session.data))


def _seconds(session: Session, models: int, steps: int, evaluated: int) -> tuple[float, float]:
    """Seconds of training, and of evaluating the last snapshot."""
    recipe, producer = session.plan.recipe, session.producer
    recipe = recipe.override({"models": models, "snapshots": (steps,), **_fewer(recipe, evaluated)})
    started = time.perf_counter()
    population, tasks = producer.population(recipe, range(models), session.data)
    (snapshot,) = session.engine.train(population, lambda done, loss: raise_if_interrupted())
    trained = time.perf_counter()
    producer.rows(recipe, session.engine, population, tasks, snapshot, session.data)
    return trained - started, time.perf_counter() - trained


def _fewer(recipe: Recipe, evaluated: int) -> dict[str, int]:
    """The fields of a recipe by which at most so many examples are evaluated."""
    evaluated = min(evaluated, recipe.rollouts.evaluated)
    return {"rollouts.evaluated": evaluated, "rollouts.recorded": min(evaluated, recipe.rollouts.recorded)}
