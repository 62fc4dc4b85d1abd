"""Recipes: every choice that decides what is in a zoo, as frozen typed data.

A recipe and nothing else determines the numbers of a zoo. Its canonical JSON and the SHA-256 of that
JSON travel with the data.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np

from rnnzoo.errors import UsageError, require
from rnnzoo.files.strict_json import typed
from rnnzoo.format.schema import Column
from rnnzoo.kinds import find_kind
from rnnzoo.networks.network import Network

RECIPE_VERSION = 1
PAPER_SNAPSHOTS = (0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


@dataclass(frozen=True)
class Protocol:
    """How one network is trained (paper section 5.1): AdamW on fresh batches drawn from its task.

    Args:
        steps: optimizer updates; must be the last snapshot step.
        batch_size: examples per update.
        learning_rate_steps: knots of the piecewise linear schedule, counted in updates.
        learning_rates: learning rate at each knot; constant after the last.
        betas: AdamW's decay rates of the first and second moment.
        epsilon: AdamW's denominator offset.
    """

    steps: int
    batch_size: int = 32
    learning_rate_steps: tuple[int, ...] = (0, 10_000, 20_000)
    learning_rates: tuple[float, ...] = (0.01, 0.003, 0.0003)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        require(self.steps >= 0, "protocol.steps", self.steps, "give a number of optimizer steps of at least 0.")
        require(self.batch_size >= 1, "protocol.batch_size", self.batch_size, "give at least 1 example per batch.")
        knots = self.learning_rate_steps
        require(
            len(knots) == len(self.learning_rates) > 0 and list(knots) == sorted(set(knots)),
            "protocol.learning_rate_steps",
            knots,
            "give rising step numbers, one for each of protocol.learning_rates.",
        )

    def learning_rate(self, step: int) -> float:
        """Learning rate of the update that takes the network from `step` to `step + 1`."""
        return float(np.interp(step, self.learning_rate_steps, self.learning_rates))


@dataclass(frozen=True)
class RolloutPlan:
    """What is recorded at each snapshot.

    Args:
        evaluated: strings sampled from the network to estimate its accuracy; for smnist, images of each of the
            training and the evaluation part (all of a part that has fewer).
        recorded: how many strings, or training images, are kept as traces with their log-probabilities.
    """

    evaluated: int = 1000
    recorded: int = 100

    def __post_init__(self) -> None:
        require(
            1 <= self.recorded <= self.evaluated,
            "rollouts.recorded",
            self.recorded,
            f"it must lie between 1 and rollouts.evaluated={self.evaluated}.",
        )


@dataclass(frozen=True)
class SplitRule:
    """Shares of the unique tasks held out; see `rnnzoo.generation.splits`."""

    validation: float = 0.15
    ood_test: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("validation", "ood_test"):
            share = getattr(self, field)
            require(0 <= share < 0.5, f"split.{field}", share, "give a share of the tasks from 0 to below 0.5.")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is in a zoo.

    Args:
        zoo: name of the zoo, for example "formal-languages".
        models: number of networks.
        seed: zoo seed of the counter-based random numbers.
        network: shape of the networks.
        protocol: how they are trained.
        snapshots: optimizer steps at which a row is recorded; step 0 is the initialisation.
        tasks: the task distribution, of the type that the kind of zoo says.
        rollouts: what is recorded per snapshot.
        split: which tasks are held out.

    Raises:
        UsageError: an impossible size.
    """

    zoo: str
    models: int
    seed: int
    network: Network
    protocol: Protocol
    snapshots: tuple[int, ...]
    tasks: Any
    rollouts: RolloutPlan
    split: SplitRule
    version: int = RECIPE_VERSION

    def __post_init__(self) -> None:
        require(1 <= self.models < 2**31, "models", self.models, "a zoo has at least 1 model (--models).")
        require(0 <= self.seed < 2**64, "seed", self.seed, "give a whole number from 0 to 2**64 - 1 (--seed).")
        require(
            len(self.snapshots) > 0 and list(self.snapshots) == sorted(set(self.snapshots)) and self.snapshots[0] >= 0,
            "snapshots",
            self.snapshots,
            "give rising, distinct step numbers of at least 0 (--snapshots 0,100,500).",
        )
        require(
            self.snapshots[-1] == self.protocol.steps,
            "protocol.steps",
            self.protocol.steps,
            f"the last snapshot is at step {self.snapshots[-1]}, and training must end at a snapshot. Choose a "
            f"snapshot step with --steps ({', '.join(map(str, self.snapshots))}) or name the snapshots yourself "
            f"with --snapshots {_named(self.snapshots, self.protocol.steps)}.",
        )

    def as_json(self) -> dict[str, Any]:
        """The recipe as JSON data."""
        return json.loads(self.canonical_json)

    @property
    def canonical_json(self) -> str:
        """The recipe as JSON with sorted keys and no spaces: equal recipes give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its zoo."""
        return find_kind(self.zoo).columns(self.as_json())

    @property
    def rows(self) -> int:
        """Rows of the zoo: one per model and snapshot."""
        return self.models * len(self.snapshots)

    def override(self, fields: dict[str, Any]) -> Recipe:
        """A copy with dotted fields replaced, for example {"models": 4, "network.hidden_size": 16}.

        `protocol.steps` alone cuts the snapshots at that step; `snapshots` alone moves the end of
        training to the last of them.

        Raises:
            UsageError: a field that does not exist, or an impossible value.
        """
        fields = dict(fields)
        steps = fields.get("protocol.steps")
        if steps is not None and "snapshots" not in fields and steps in self.snapshots:
            fields["snapshots"] = tuple(s for s in self.snapshots if s <= steps)
        if "snapshots" in fields and steps is None and fields["snapshots"]:
            fields["protocol.steps"] = max(fields["snapshots"])
        data = dataclasses.asdict(self)
        for name, value in fields.items():
            node = data
            *parents, leaf = name.split(".")
            for parent in parents:
                child = node.get(parent)
                node = child if isinstance(child, dict) else {}
            if leaf not in node or isinstance(node[leaf], dict) or name in ("zoo", "version"):
                raise UsageError(f"{name!r} is no field of the recipe; the fields are {', '.join(field_names(self))}.")
            node[leaf] = value
        return recipe_from_dict(data)


def _named(snapshots: tuple[int, ...], steps: int) -> str:
    kept = [s for s in snapshots if s < steps] + [max(steps, 0)]
    return ",".join(map(str, kept))


def field_names(recipe: Recipe) -> list[str]:
    """Dotted names of every field that `Recipe.override` can replace."""
    names = []
    for name, value in dataclasses.asdict(recipe).items():
        if isinstance(value, dict):
            names += [f"{name}.{leaf}" for leaf in value]
        elif name not in ("zoo", "version"):
            names.append(name)
    return names


def recipe_from_dict(data: Mapping[str, Any]) -> Recipe:
    """A recipe from its JSON data.

    Raises:
        UsageError: a newer recipe version, or a field that is missing, unknown, of another type or impossible.
    """
    version, zoo = data.get("version", RECIPE_VERSION), data.get("zoo")
    if not isinstance(version, int) or version > RECIPE_VERSION:
        raise UsageError(f"The recipe has version {version!r}; this rnnzoo knows {RECIPE_VERSION}: update rnnzoo.")
    if not isinstance(zoo, str) or not find_kind(zoo).known:
        raise UsageError(f"Recipe field zoo={zoo!r} is no kind of zoo that this rnnzoo knows: update rnnzoo.")
    kinds = {**get_type_hints(Recipe), "tasks": find_kind(zoo).tasks}
    if unknown := sorted(data.keys() - kinds.keys()):
        raise UsageError(f"Recipe field {unknown[0]!r} is unknown to this version of rnnzoo: update rnnzoo.")
    if missing := sorted(kinds.keys() - data.keys() - {"version"}):
        raise UsageError(f"Recipe field {missing[0]!r} is missing: take the recipe from the zoo's manifest.json again.")
    return Recipe(**{name: _typed(name, value, kinds[name]) for name, value in data.items()})


def _typed(name: str, value: Any, kind: Any) -> Any:
    try:
        return typed(value, kind)
    except ValueError as error:
        nested = str(error).startswith("field ")
        reason = f".{str(error).removeprefix('field ')}" if nested else f"={value!r} is impossible ({error})"
        raise UsageError(f"Recipe field {name}{reason}.") from error
