"""The sentences of a report that claim something: no more than a paired interval supports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from rnnzoo.benchmark.estimates import Estimates
from rnnzoo.benchmark.intervals import Difference, Estimate, holm
from rnnzoo.benchmark.report.style import label
from rnnzoo.benchmark.report.tables import interval_text
from rnnzoo.benchmark.results import RAILS, Results

SPLIT, METRIC = "validation", "total_variation"
FEWEST_NETWORKS = 100
"""Of training. With fewer, encoders tell little of what they would with more."""


def compare_encoders(results: Results, estimates: Estimates) -> str:
    """How the best probing encoder, and interactive probing, compare with the best encoder that reads weights.

    Where so few networks were trained on that it would mean little, a warning stands in its place.
    """
    trained = results.zoo.get("models", {}).get("train", FEWEST_NETWORKS)
    if trained < FEWEST_NETWORKS:
        return (
            f"These encoders learned from {trained} networks. That is too few to compare them by, whatever the tables "
            f"say: take a zoo with {FEWEST_NETWORKS} or more in its train split."
        )
    found = {
        name: value
        for name in results.ranking()
        if name not in RAILS and (value := estimates.emulation(name, SPLIT, METRIC)) and not math.isnan(value.mean)
    }
    reads = {name: any(run.mechanistic for run in results.emulation(name)) for name in found}
    mechanistic, probing = ([name for name in found if reads[name] is kind] for kind in (True, False))
    if not mechanistic or not probing:
        absent = "one that probes networks" if mechanistic else "one that reads weights"
        return f"Probing and reading weights cannot be compared: there is no emulation run of {absent}."
    best = min(mechanistic, key=lambda name: found[name].mean)
    others = [name for name in found if name != best]
    differences = {name: estimates.difference(name, best, SPLIT, METRIC) for name in others}
    named = dict.fromkeys((min(probing, key=lambda name: found[name].mean), *({"interactive"} & found.keys())))
    told = [_compared(name, found, best, difference) for name, difference in _corrected(differences, list(named))]
    return f"On validation total variation, {'; '.join(told)}."


def _corrected(differences: Mapping[str, Difference | None], named: list[str]) -> Iterator[tuple[str, str]]:
    """What is said of the differences of some encoders, corrected for all that could have been named."""
    known = {name: found for name, found in differences.items() if found and found.low is not None}
    corrected = dict(zip(known, holm([found.probability for found in known.values()]), strict=True))
    for name in named:
        difference = differences[name]
        if difference is None:
            yield name, "without the losses of single networks nobody can tell whether that is chance"
        elif name not in known:
            yield name, "with a single seed there is no interval that could tell whether that is chance"
        else:
            probability = corrected[name]
            told = "p < 0.001" if probability < 0.001 else f"p = {probability:.3f}"
            among = f" after Holm's correction for {len(known)} comparisons" if len(known) > 1 else ""
            told = (
                f"the difference is {difference.mean:.4f} ({_interval(difference)}), over {difference.networks} "
                f"networks and {difference.seeds} seeds, {told}{among}"
            )
            yield name, told if probability < 0.05 else f"{told}: they cannot be told apart"


def _compared(name: str, found: Mapping[str, Estimate], best: str, told: str) -> str:
    ours, theirs = found[name], found[best]
    order = "below" if ours.mean < theirs.mean else "above" if ours.mean > theirs.mean else "equal to"
    return (
        f"{label(name)} ({_shown(ours)}) is {order} the best encoder that reads weights, {label(best)} "
        f"({_shown(theirs)}); {told}"
    )


def _shown(value: Estimate) -> str:
    interval = _interval(value)
    return f"{value.mean:.4f}" + (f", {interval}" if interval else "")


def _interval(value: Estimate) -> str:
    return interval_text(value, lambda number: f"{number:.4f}")
