"""What a kind of zoo is: all that any module wants to know of it, said in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import UsageError
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.format.schema import Column

if TYPE_CHECKING:
    from rnnzoo.emulation.performance import Emulated
    from rnnzoo.kinds.properties import Property
    from rnnzoo.zoo.zoo import Model, Zoo


@dataclass(frozen=True)
class Colouring:
    """One way to colour the rows of a zoo.

    Attributes:
        name: with the unit.
        values: [R].
        kind: "classes" if `values` are numbers of `classes`, "range" or "cyclic" if they lie between `low` and `high`.
        classes: what each class is, in order.
    """

    name: str
    values: NDArray[Any]
    kind: str
    low: float = 0.0
    high: float = 1.0
    classes: tuple[str, ...] = ()


def classes_of(name: str, values: NDArray[Any]) -> Colouring:
    """A colour for each distinct value."""
    known, numbers = np.unique(values, return_inverse=True)
    return Colouring(name, numbers.reshape(-1), "classes", classes=tuple(f"{value:,}" for value in known.tolist()))


@dataclass(frozen=True)
class Curve:
    """A column of numbers that a picture of a zoo draws over training.

    Attributes:
        column: its name.
        label: of the axis, with the unit.
        scale: of the axis, "share" from 0 to 1, "linear" or "log".
    """

    column: str
    label: str
    scale: str = "linear"


class Kind:
    """A kind of zoo.

    Kinds are subclasses that say what is particular to them. The defaults ask for nothing but what a manifest says, so
    that a zoo whose kind is not installed loads, runs and shows all the same. Packages announce theirs by an entry
    point of the group "rnnzoo.kinds" whose name is the kind's and which leads to an instance.

    Attributes:
        known: whether this is a kind, and not the stand-in for one that is not installed.
        tasks: the type of the recipe's field `tasks`, frozen data that checks itself.
        producer: "module:attribute" of the `rnnzoo.generation.kinds.Producer` that builds such zoos.
        metrics: columns of numbers that say how well a model does, the headline one first.
        curves: what a picture of such a zoo draws.
        symbols: how each token of its networks' inputs prints, where they are tokens.
        published_losses: a paper's emulation losses on validation by encoder, as (mean, low, high) of 15 seeds.
    """

    known: bool = True
    tasks: Any = Mapping[str, Any]
    producer: str = ""
    metrics: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    symbols: tuple[str, ...] = ()
    published_losses: ClassVar[Mapping[str, tuple[float, float, float]]] = {}

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def columns(self, recipe: Mapping[str, Any]) -> tuple[Column, ...]:
        """What writers put into the rows of a zoo, given its recipe's JSON data."""
        raise NotImplementedError(f"{self!r} says no columns")

    def inputs(self, recipe: Mapping[str, Any]) -> RecordedInputs | None:
        """What the networks were fed when traces were recorded; None if nothing is recorded."""
        return None

    def card_template(self) -> str:
        """The dataset card's text, a Jinja template: of its name in cards/, or other.md, which it may extend."""
        folder = files("rnnzoo.card_templates")
        own = folder / f"{self.name}.md"
        return (own if self.known and own.is_file() else folder / "other.md").read_text(encoding="utf-8")

    def card_values(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """What its card's template names beyond what every card may."""
        return {}

    def metrics_of(self, columns: Sequence[Column]) -> tuple[str, ...]:
        """`metrics`, or where it is not known which they are, every column of floating-point numbers."""
        numbers = (c.name for c in columns if not c.shape and c.dtype.startswith("float") and c.name != "task")
        return self.metrics or tuple(numbers)

    def curves_of(self, columns: Sequence[Column]) -> tuple[Curve, ...]:
        """`curves`, or where it is not known what to draw, the first two metrics."""
        return self.curves or tuple(Curve(name, name) for name in self.metrics_of(columns)[:2])

    def headline(self, zoo: Zoo) -> NDArray[np.float64]:
        """How well each model does, float64 [rows]; NaN where no column says so."""
        metrics = self.metrics_of(zoo.columns)
        return zoo[metrics[0]].astype(np.float64) if metrics else np.full(len(zoo), np.nan)

    def data_text(self, recipe: Mapping[str, Any]) -> str:
        """What all models of a zoo were trained on, in words."""
        return "data"

    def task_features(self, zoo: Zoo) -> NDArray[Any]:
        """The tasks as numbers that a network can learn from, [rows, features]."""
        return zoo["task"].reshape(len(zoo), -1).astype(np.float64)

    def properties(self) -> tuple[Property, ...]:
        """What embeddings of its networks are asked for, in the order of tables."""
        from rnnzoo.kinds.properties import snapshot_property

        return (snapshot_property(),)

    def property_named(self, name: str) -> Property:
        """One of its properties.

        Raises:
            UsageError: it has none of this name.
        """
        known = {known.name: known for known in self.properties()}
        if name not in known:
            raise UsageError(f"{self.name} has no property {name!r}: choose from {', '.join(known)}.")
        return known[name]

    def probe_length(self, inputs: RecordedInputs) -> int:
        """Steps of a probing sequence."""
        return inputs.positions

    def emulated_accuracy(self, zoo: Zoo, emulated: Emulated) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How well each network does its task, and an emulator in its place, float64 [rows] each; NaN if unknown."""
        unknown = np.full(len(zoo), np.nan)
        return unknown, unknown

    def task_text(self, task: Any) -> str:
        """One task as people write it, given as an element of the column `task`."""
        return f"task {np.asarray(task).tolist()}"

    def task_colourings(self, tasks: NDArray[Any]) -> list[Colouring]:
        """How points are coloured by their tasks, [R, ...]."""
        flat = tasks.reshape(len(tasks), -1)
        names = ["task"] if flat.shape[1] == 1 else [f"task, number {index}" for index in range(flat.shape[1])]
        return [classes_of(name, values) for name, values in zip(names, flat.T, strict=True)]

    def picture(self, inputs: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Inputs that a probing encoder made, [positions, input_size], as a picture [height, width] from 0 to 1.

        None where they are distributions over tokens, which are drawn as they are.
        """
        return None

    def describe(self, model: Model, traces: int) -> tuple[str, str]:
        """A model's task, and what it did in its first traces, in words."""
        return self.task_text(model["task"]), ""

    def draw(self, zoo: Zoo, path: Path) -> None:
        """Draw a zoo as a PNG: its curves over optimizer steps, coloured by split."""
        from rnnzoo.zoo.plots import plot_curves

        plot_curves(zoo, self.curves_of(zoo.columns), path)
