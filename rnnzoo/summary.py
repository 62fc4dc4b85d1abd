"""What a zoo looks like in text: where it came from, how training went, what the best and worst learned."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from rnnzoo import cache
from rnnzoo.languages import describe_task, to_text
from rnnzoo.zoo import Model, Zoo

METRICS = {
    "formal-languages": ("accuracy", "accuracy_counts", "finished", "train_loss"),
    "smnist": ("eval_accuracy", "train_loss", "eval_loss", "generalization_gap"),
}
"""The columns of numbers that say how well a model does, the chief one first."""


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
    if "images" in facts:
        made += f", images from {facts['images']}"
    return (
        f"{manifest.zoo}  {manifest.recipe['models']} x {zoo.network.describe()}, {manifest.rows} rows, "
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
    metrics = METRICS[zoo.manifest.zoo]
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
    chief = METRICS[zoo.manifest.zoo][0]
    order = np.argsort(-zoo[chief], kind="stable")
    describe = {"formal-languages": _language_text, "smnist": _digit_text}[zoo.manifest.zoo]
    parts = []
    for label, at in (("best", 0), ("worst", -1)):
        model = zoo[int(order[at])]
        task, behaviour = describe(model, traces)
        parts.append(
            f"{label}: model {model.model_id} at step {model.step:,}, {task}, "
            f"{chief.replace('_', ' ')} {model[chief]:.3f} ({model.split})\n  {behaviour}"
        )
    return "\n".join(parts)


def _language_text(model: Model, traces: int) -> tuple[str, str]:
    """Its task and strings it was recorded saying."""
    return describe_task(model.task), "  ".join(to_text(tokens) for tokens in model["sequences"][:traces])


def _digit_text(model: Model, traces: int) -> tuple[str, str]:
    """Its task and the classes it gave to the first images it was recorded on."""
    task = f"images turned by {model.task:.1f} degrees, weight decay {model['weight_decay']:g}"
    said = model["log_probs"][:traces, -1].argmax(axis=-1)
    if "labels" not in (column.name for column in model.zoo.columns):
        return task, f"takes its first images for {', '.join(map(str, said))}"
    pairs = zip(model["labels"][:traces], said, strict=True)
    return task, "takes " + ", ".join(f"a {label} for a {guess}" for label, guess in pairs)
