"""What a card says beyond what the zoo itself does: how to build it, and how encoders do on it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TypedDict

from rnnzoo.format.manifest import Manifest


class Additions(TypedDict):
    """Arguments of `rnnzoo.zoo.cards.repository_texts` that it cannot find itself."""

    command: str | None
    baselines: str


def additions(manifest: Manifest, results: Path | None) -> Additions:
    """The command that builds a zoo, and the tables of a results folder, if one is given.

    Raises:
        UsageError: the results are of another zoo.
        RnnzooError: there are no results, or they are damaged.
    """
    baselines = ""
    if results is not None:
        from rnnzoo.benchmark.report import baseline_tables

        baselines = baseline_tables(results, manifest.recipe_hash)
    # By name: consumers import no producers.
    producers = importlib.import_module("rnnzoo.generation.recipe_command")
    return {"command": producers.command_of(manifest.recipe), "baselines": baselines}
