"""What a zoo looks like in text: where it came from, how training went, what the best and worst learned."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from rnnzoo.format import cache
from rnnzoo.hub.store import version_at
from rnnzoo.zoo.zoo import Zoo


def provenance_text(zoo: Zoo) -> str:
    """A few lines on the zoo's contents and origin."""
    manifest = zoo.manifest
    facts = manifest.provenance
    splits = ", ".join(f"{name} {c['models']} models / {c['tasks']} tasks" for name, c in manifest.splits.items())
    made = f"{facts['source']} {facts.get('created', '')}"
    if "engine" in facts:
        made += f" by the {facts['engine']} engine on {facts['device']}"
    if "release" in facts:
        made += f" from the original release {facts['release']}"
    if "data" in facts:
        made += f", {zoo.kind.data_text(manifest.recipe)} from {facts['data']}"
    if origin := facts.get("extended_from"):
        made += f", extended from {origin['folder']} at revision {origin['revision']}"
    version = version_at(zoo.folder)
    published = f"{version.name} at revision {version.commit}\n" if version else ""
    return (
        f"{published}{manifest.zoo}  {manifest.recipe['models']} x {zoo.network.describe()}, {manifest.rows} rows, "
        f"{manifest.size / 1e6:.1f} MB\n{splits}\nrecipe {manifest.recipe_hash[:16]}, {made}"
    )


def cache_text(zoo: Zoo) -> str:
    """How much of a zoo is kept decoded, and where."""
    folder = cache.cache_folder()
    if folder is None:
        return f"Traces are decoded each time they are read: {cache.VARIABLE} is {cache.OFF}."
    size = cache.size_of_columns([file.sha256 for file in zoo.manifest.files])
    return f"{size / 1e6:.1f} MB of its traces are kept decoded in {folder} (`rnnzoo cache --clear` deletes them)."


def snapshot_table(zoo: Zoo) -> Table:
    """Mean and range of every metric at every snapshot."""
    metrics = zoo.kind.metrics_of(zoo.columns)
    table = Table(
        "step",
        "models",
        *(metric.replace("_", " ") for metric in metrics),
        "diverged",
        title="mean and, below it, lowest-highest over models",
        leading=1,
    )
    for step in zoo.snapshots:
        rows = zoo.at_step(step)
        cells = []
        for metric in metrics:
            values = rows[metric]
            values = values[np.isfinite(values)]
            spread = f"{values.mean():.3f}\n{values.min():.2f}-{values.max():.2f}" if len(values) else "none finite"
            cells.append(spread)
        table.add_row(f"{step:,}", str(len(rows)), *cells, str(int(rows["diverged"].sum())))
    return table


def extremes_text(zoo: Zoo, traces: int = 6) -> str:
    """The best and the worst model of some rows, with the first of their recorded traces."""
    chief = next(iter(zoo.kind.metrics_of(zoo.columns)), None)
    scores = zoo.kind.headline(zoo)
    order = np.argsort(-scores, kind="stable")
    parts = []
    for label, at in (("best", 0), ("worst", -1)):
        model = zoo[int(order[at])]
        task, behaviour = zoo.kind.describe(model, traces)
        score = f", {chief.replace('_', ' ')} {scores[order[at]]:.3f}" if chief else ""
        said = f"\n  {behaviour}" if behaviour else ""
        parts.append(f"{label}: model {model.model_id} at step {model.step:,}, {task}{score} ({model.split}){said}")
    return "\n".join(parts)
