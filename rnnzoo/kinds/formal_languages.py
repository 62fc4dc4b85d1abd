"""formal-languages: networks that each learned to say the strings of one language (paper section 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from rnnzoo.errors import require
from rnnzoo.files import limits
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.format.schema import (
    Column,
    identity_columns,
    is_imported,
    loss_column,
    network_of,
    share_column,
    trace_column,
    weight_columns,
)
from rnnzoo.kinds.kind import Colouring, Curve, Kind, classes_of
from rnnzoo.kinds.languages import LETTERS, START, SYMBOLS, VOCABULARY, describe_task, score_strings, to_text

if TYPE_CHECKING:
    from rnnzoo.emulation.performance import Emulated
    from rnnzoo.kinds.properties import Property
    from rnnzoo.zoo.zoo import Model, Zoo

Offset = Annotated[int, Meta(ge=-100, le=100)]


@dataclass(frozen=True)
class LanguageTasks:
    """The task distribution of formal-languages: { a^n b^(n+m_b) c^(n+m_c) d^(n+m_d) } (paper section 5.1).

    Args:
        smallest_offset, largest_offset: range of each of m_b, m_c, m_d, drawn uniformly.
        largest_n: n is uniform from the smallest value that leaves no negative count up to this.
        length: tokens per row: start token, string, end-token padding.
        weight_decay: AdamW weight decay of every model.
    """

    smallest_offset: Offset = -3
    largest_offset: Offset = 2
    largest_n: Annotated[int, Meta(ge=0, le=limits.SEQUENCE_LENGTH)] = 9
    length: Annotated[int, Meta(le=limits.SEQUENCE_LENGTH)] = 42
    weight_decay: Annotated[float, Meta(ge=0)] = 1e-4

    def __post_init__(self) -> None:
        require(
            self.smallest_offset <= self.largest_offset,
            "tasks.smallest_offset",
            self.smallest_offset,
            f"offsets must not fall, and largest_offset is {self.largest_offset}.",
        )
        require(
            self.largest_n >= max(0, -self.smallest_offset),
            "tasks.largest_n",
            self.largest_n,
            f"it must be at least {max(0, -self.smallest_offset)} so that every task has a string.",
        )
        require(self.length >= 3, "tasks.length", self.length, "give at least 3 tokens per row.")


class FormalLanguages(Kind):
    """See the module; a task is the offsets int8 [3] of the language."""

    tasks = LanguageTasks
    producer = "rnnzoo.generation.kinds.formal_languages:PRODUCER"
    metrics = ("accuracy", "accuracy_counts", "finished", "train_loss")
    curves = (
        Curve("accuracy", "accuracy (share of sampled strings)", "share"),
        Curve("train_loss", "training loss (nats per position)", "log"),
    )
    symbols = tuple(SYMBOLS)
    published_losses: ClassVar = {
        "statistics": (0.051, 0.050, 0.053),
        "flat": (0.045, 0.045, 0.046),
        "transformer": (0.043, 0.042, 0.044),
        "dwsnet": (0.046, 0.046, 0.046),
        "non-interactive": (0.023, 0.019, 0.029),
        "interactive": (0.015, 0.008, 0.022),
    }

    def columns(self, recipe: Mapping[str, Any]) -> tuple[Column, ...]:
        """Shares of sampled strings, the exact training loss, and recorded strings with their log-probabilities."""
        network = network_of(recipe)
        recorded, length = recipe["rollouts"]["recorded"], recipe["tasks"]["length"]
        # The original release counts only fitting letters over all its rollouts; the rest comes from those it recorded.
        rollouts = "recorded rollouts" if is_imported(recipe) else "rollouts"
        overwritten = (
            "the release has an end token in place of the start token, which it writes over unfinished strings"
        )
        restored = is_imported(recipe) and recipe["source"].get("restored_starts", 0) > 0
        expected = "expected training loss: mean cross-entropy over the task's training strings, padding included"
        sampled = f"strings sampled from the model: {' '.join(SYMBOLS[:LETTERS])} = 0..3, start = 4, end = 5"
        answers = "log-probability of every next token after each position of `sequences`"
        return (
            *identity_columns(recipe),
            Column(
                "task",
                "int8",
                (LETTERS - 1,),
                "",
                "offsets (m_b, m_c, m_d) of the language a^n b^(n+m_b) c^(n+m_c) d^(n+m_d)",
                low=recipe["tasks"]["smallest_offset"],
                high=recipe["tasks"]["largest_offset"],
            ),
            *weight_columns(network),
            share_column("accuracy", rollouts, "exactly in the language: order and counts", "float32"),
            share_column("accuracy_counts", "rollouts", "letter counts fit the task, in any order", "float32"),
            share_column("finished", rollouts, "contain an end token", "float32"),
            loss_column("train_loss", expected, dtype="float32"),
            trace_column("sequences", "uint8", (recorded, length), "tokens", sampled, 0, VOCABULARY - 1),
            trace_column("log_probs", "float16", (recorded, length - 1, network.output_size), "nats", answers),
            *((trace_column("start_overwritten", "bool", (recorded,), "", overwritten),) if restored else ()),
        )

    def inputs(self, recipe: Mapping[str, Any]) -> RecordedInputs:
        """The strings without their last token, after which nothing is asked."""
        return RecordedInputs("sequences", "tokens", recipe["tasks"]["length"] - 1)

    def task_features(self, zoo: Zoo) -> NDArray[np.bool_]:
        """Three one-hot choices of an offset."""
        choices = np.arange(_smallest_offset(zoo), zoo.manifest.recipe["tasks"]["largest_offset"] + 1)
        return (zoo["task"][:, :, None] == choices).reshape(len(zoo), -1)

    def properties(self) -> tuple[Property, ...]:
        """The offsets, and the accuracy."""
        from rnnzoo.kinds.properties import choices_property, number_property

        def choices(zoo: Zoo) -> int:
            return zoo.manifest.recipe["tasks"]["largest_offset"] - _smallest_offset(zoo) + 1

        return (
            choices_property(
                "task",
                "the three offsets of the language, each one of six",
                lambda zoo: zoo["task"].astype(np.int64) - _smallest_offset(zoo),
                choices,
                "offsets",
            ),
            number_property("accuracy", "accuracy", "share of sampled strings in the language", "of the share"),
        )

    def probe_length(self, inputs: RecordedInputs) -> int:
        """The paper's 22."""
        return min(22, inputs.positions)

    def emulated_accuracy(self, zoo: Zoo, emulated: Emulated) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The share of strings in the language, the network's as recorded, the emulator's among strings it says."""
        length, tasks = zoo.manifest.recipe["tasks"]["length"], zoo["task"]
        shares = [
            score_strings(strings, tasks[rows, None]).in_language.mean(axis=1)
            for rows, strings in emulated.strings(START, length)
        ]
        return zoo["accuracy"].astype(np.float64), np.concatenate(shares)

    def task_text(self, task: Any) -> str:
        """For example `a^n b^(n-2) c^(n+2) d^n`."""
        return describe_task(task)

    def task_colourings(self, tasks: NDArray[Any]) -> list[Colouring]:
        """By each offset, and by their sum."""
        names = [f"m_{letter}" for letter in SYMBOLS[1:LETTERS]]
        each = [classes_of(f"task: {name}", tasks[:, index]) for index, name in enumerate(names)]
        return [*each, classes_of(f"task: {' + '.join(names)}", tasks.sum(axis=1))]

    def describe(self, model: Model, traces: int) -> tuple[str, str]:
        """Its language and strings it was recorded saying."""
        return self.task_text(model.task), "  ".join(to_text(tokens) for tokens in model["sequences"][:traces])


def _smallest_offset(zoo: Zoo) -> int:
    return zoo.manifest.recipe["tasks"]["smallest_offset"]


FORMAL_LANGUAGES = FormalLanguages("formal-languages")
