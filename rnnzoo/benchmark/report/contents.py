"""What the pictures of a report show, read from the runs' folders and made small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnzoo.benchmark.report.tables import Table
from rnnzoo.benchmark.results import Results, Run
from rnnzoo.benchmark.run_files import damaged, path_of, read_arrays, read_curve
from rnnzoo.kinds import Kind, find_kind

MOST_POINTS = 2000
"""Networks' snapshots drawn per encoder and seed."""
MOST_POINTS_IN_ALL = 30_000
"""Of all encoders and seeds; beyond it fewer seeds are drawn. About 50 bytes of HTML each."""
MOST_PROBES, MOST_PROBED_NETWORKS = 8, 3


@dataclass(frozen=True)
class Curve:
    """Training curve of an encoder, the mean over its seeds.

    Attributes:
        steps, losses: training loss since the step before.
        validation_steps, validation_losses: at some of the steps.
    """

    encoder: str
    seeds: int
    steps: NDArray[np.int64]
    losses: NDArray[np.float64]
    validation_steps: NDArray[np.int64]
    validation_losses: NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Snapshots of networks as an encoder of one seed sees them.

    Attributes:
        rows: what the zoo knows of them: split, model_id, step, task, accuracy, real_accuracy.
        total_variation, emulated_accuracy: [R].
        gaps: mean |real - emulated accuracy| by split, of all rows, drawn or not.
        projected: first two principal components of z, [R, 2].
        variance: shares of z's variance that they hold.
        rows_in_all: rows before the number was limited.
    """

    encoder: str
    seed: int
    rows: Mapping[str, NDArray[Any]]
    total_variation: NDArray[np.float64]
    emulated_accuracy: NDArray[np.float64]
    gaps: Mapping[str, float]
    projected: NDArray[np.float64]
    variance: tuple[float, float]
    rows_in_all: int


@dataclass(frozen=True)
class Probes:
    """What an encoder sends to networks.

    Attributes:
        pictures: uint8 [networks or 1, probes, height, width]: shares of tokens, [positions, tokens], from 0 to 255;
            or what the kind of zoo draws, from black to white.
        symbols: how tokens print; empty if `pictures` are not of tokens.
        networks: identity of the networks of the first axis.
        probes_in_all: probes before the number was limited.
    """

    encoder: str
    seed: int
    pictures: NDArray[np.uint8]
    symbols: tuple[str, ...]
    networks: tuple[str, ...]
    probes_in_all: int


@dataclass(frozen=True)
class Report:
    """Everything a report shows, before it becomes a page.

    Attributes:
        title: names zoo and profile.
        introduction: paragraphs on what was run.
        missing: what is not there, one item each.
        emulation: the emulation table.
        comparison: a sentence on interactive probing.
        downstream, further: tables of properties, of their most telling metrics and of all others.
        loss: what the curves show, with the unit.
        settings: encoders' settings.
        software: versions.
    """

    title: str
    kind: str
    introduction: tuple[str, ...]
    missing: tuple[str, ...]
    emulation: Table
    comparison: str
    downstream: tuple[Table, ...]
    further: tuple[Table, ...]
    loss: str
    curves: tuple[Curve, ...]
    points: tuple[Points, ...]
    probes: tuple[Probes, ...]
    settings: Mapping[str, str]
    software: str

    @property
    def encoders(self) -> list[str]:
        """All encoders that something is shown of, in the order of the tables."""
        tables = (self.emulation, *self.downstream)
        return list(dict.fromkeys(line.encoder for table in tables for line in table.lines))


def read_curves(results: Results) -> list[Curve]:
    """Curves of all encoders that left some, in the order of the tables."""
    curves = []
    for encoder in results.ranking():
        found = [curve for run in results.emulation(encoder) if (curve := read_curve(results, run))]
        if found:
            parts = [_mean_curve(found, *names) for names in (("step", "loss"), ("validation_step", "validation_loss"))]
            curves.append(Curve(encoder, len(found), *parts[0], *parts[1]))
    return curves


def read_points(results: Results) -> list[Points]:
    """Points of all encoders, seed by seed as far as `MOST_POINTS_IN_ALL` reaches, at least of each first seed."""
    encoders = [name for name in results.ranking() if results.emulation(name)]
    by_seed: dict[int, list[Points]] = {}
    drawn = 0
    for index in range(max((len(results.emulation(name)) for name in encoders), default=0)):
        runs = [results.emulation(name)[index] for name in encoders if len(results.emulation(name)) > index]
        if index and drawn * (index + 1) / index > MOST_POINTS_IN_ALL:
            break
        by_seed[index] = [_points(run, arrays) for run in runs if (arrays := read_arrays(results, run, "rows.npz"))]
        drawn += sum(len(points.total_variation) for points in by_seed[index])
    return [points for found in by_seed.values() for points in found]


def read_probes(results: Results) -> list[Probes]:
    """What the first seed of each probing encoder sends, the first probes of it."""
    found = []
    for encoder in results.ranking():
        for run in results.emulation(encoder):
            arrays = read_arrays(results, run, "probes.npz")
            if arrays:
                inputs = arrays["inputs"]
                rows = read_arrays(results, run, "rows.npz")
                names = _probed_networks(arrays["rows"], rows) if len(inputs) > 1 else ("every network",)
                kept = inputs[:MOST_PROBED_NETWORKS, :MOST_PROBES]
                try:
                    pictures, symbols = _pictures(find_kind(results.kind), kept)
                except (ValueError, IndexError) as error:
                    raise damaged(path_of(results, run, "probes.npz"), error) from error
                found.append(Probes(encoder, run.seed, pictures, symbols, names[: len(kept)], inputs.shape[1]))
                break
    return found


def _pictures(kind: Kind, inputs: NDArray[np.float32]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Inputs [networks, probes, positions, input_size] as a kind draws them, and how its tokens print."""
    if kind.picture(inputs[0, 0]) is None:
        numbered = tuple(map(str, range(inputs.shape[-1])))
        shares, symbols = inputs, kind.symbols if len(kind.symbols) == inputs.shape[-1] else numbered
    else:
        shares, symbols = np.array([[kind.picture(probe) for probe in probes] for probes in inputs]), ()
    return np.round(np.clip(shares, 0, 1) * 255).astype(np.uint8), symbols


def missing_files(results: Results) -> list[str]:
    """Sentences on the files that emulation runs should have left and that are not there, at most one for each name."""
    if not (results.folder / "runs").exists():
        return ["Only the runs' numbers are here: what curves, embeddings and probes are drawn from lies in runs/."]
    sentences = []
    emulation = [run for run in results.runs if run.kind == "emulation"]
    for name in ("curve.json", "rows.npz"):
        missing = [f"runs/{run.name}/{name}" for run in emulation if not path_of(results, run, name).exists()]
        if len(missing) == 1:
            sentences.append(f"File missing: {missing[0]}.")
        elif missing:
            sentences.append(f"Files missing: {name} of {len(missing)} emulation runs, {missing[0]} for one.")
    return sentences


def principal_components(z: NDArray[np.floating]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Coordinates [R, 2] of vectors [R, Z] along their first two principal components, and the variance's share each.

    The sign of a component is free; here its largest weight is positive, so that pictures stay the same.
    """
    at_least_two = np.pad(np.asarray(z, dtype=np.float64), ((0, 0), (0, max(0, 2 - z.shape[1]))))
    centred = at_least_two - at_least_two.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:2] * np.sign(directions[:2][np.arange(2), np.abs(directions[:2]).argmax(axis=1)])[:, None]
    energy = singular**2
    total = energy.sum() or 1.0
    return centred @ directions.T, (float(energy[0] / total), float(energy[1] / total))


def _points(run: Run, arrays: Mapping[str, NDArray[Any]]) -> Points:
    projected, variance = principal_components(arrays["z"])
    real = arrays.get("real_accuracy", arrays["accuracy"])
    split = arrays["split"]
    difference = np.abs(real - arrays["emulated_accuracy"])
    gaps = {str(name): float(difference[split == name].mean()) for name in dict.fromkeys(split.tolist())}
    kept = _some_models(arrays["model_id"])
    rows = {name: arrays[name][kept] for name in ("split", "model_id", "step", "task", "accuracy")}
    rows["real_accuracy"] = real[kept]
    variation, emulated = (arrays[name][kept] for name in ("total_variation", "emulated_accuracy"))
    return Points(run.encoder, run.seed, rows, variation, emulated, gaps, projected[kept], variance, len(split))


def _some_models(model_ids: NDArray[np.integer]) -> NDArray[np.intp]:
    """Rows of as many models as `MOST_POINTS` allows, spread evenly over those there are; whole models."""
    models = list(dict.fromkeys(model_ids.tolist()))
    most = max(1, MOST_POINTS * len(models) // len(model_ids))
    chosen = {models[i] for i in np.linspace(0, len(models) - 1, min(most, len(models))).astype(int)}
    return np.array([index for index, model in enumerate(model_ids.tolist()) if model in chosen], dtype=np.intp)


def _probed_networks(numbers: NDArray[np.integer], rows: Mapping[str, NDArray[Any]] | None) -> tuple[str, ...]:
    if rows is None:
        return tuple(f"validation row {number}" for number in numbers.tolist())
    validation = np.flatnonzero(rows["split"] == "validation")[numbers]
    return tuple(f"model {rows['model_id'][row]} at step {rows['step'][row]:,}" for row in validation)


def _mean_curve(curves: Sequence[Mapping[str, Any]], steps: str, values: str) -> tuple[NDArray[np.int64], NDArray]:
    """The mean over seeds at the steps of the first; seeds that were stopped and resumed may have points elsewhere."""
    at = np.asarray(curves[0][steps], dtype=np.int64)
    lines = [np.interp(at, curve[steps], curve[values]) for curve in curves if curve[steps]]
    return at, np.mean(lines, axis=0) if lines else np.zeros(0)
