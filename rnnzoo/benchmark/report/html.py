"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from rnnzoo.benchmark.report.colours import colourings, palette
from rnnzoo.benchmark.report.contents import Curve, Points, Probes
from rnnzoo.benchmark.report.style import Style, label, styles
from rnnzoo.benchmark.report.tables import Table, row_label
from rnnzoo.kinds import Kind, find_kind

SCRIPTS = ("draw.js", "curves.js", "accuracy.js", "embedding.js", "probes.js")


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


def render_page(report: Report) -> str:
    """The page's HTML. Everything that comes from results is escaped, and the page forbids itself any request."""
    environment = Environment(
        loader=PackageLoader("rnnzoo.benchmark.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    folder = files("rnnzoo.benchmark.report") / "page"
    chosen = styles(report.encoders)
    return environment.get_template("report.html").render(
        report=report,
        styles=list(chosen.values()),
        data=json_for_script(page_data(report, chosen)),
        script="\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS),
        label=label,
        row_label=row_label,
    )


def json_for_script(data: Any) -> str:
    """Compact JSON that cannot end the script element it is written into."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def page_data(report: Report, chosen: Mapping[str, Style]) -> dict[str, Any]:
    """What the page's scripts draw, numbers rounded to what a screen can show."""
    number = {encoder: index for index, encoder in enumerate(chosen)}
    tables: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    points = []
    for found in report.points:
        # Encoders see the same rows, so these are written once.
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in found.rows.values()))
        if digest.hexdigest() not in tables:
            tables[digest.hexdigest()] = len(rows)
            rows.append(_row_table(find_kind(report.kind), found.rows))
        points.append({"encoder": number[found.encoder], **_point_data(found), "rows": tables[digest.hexdigest()]})
    return {
        "kind": report.kind,
        "loss": report.loss,
        "encoders": [
            {"label": label(encoder), "dash": " ".join(map(str, style.dash)), "marker": style.marker}
            for encoder, style in chosen.items()
        ],
        "curves": [{"encoder": number[curve.encoder], **_curve_data(curve)} for curve in report.curves],
        "rows": rows,
        "points": points,
        "probes": [{"encoder": number[probes.encoder], **_probe_data(probes)} for probes in report.probes],
    }


def _curve_data(curve: Curve) -> dict[str, Any]:
    return {
        "seeds": curve.seeds,
        "step": curve.steps.tolist(),
        "loss": _rounded(curve.losses, 5),
        "validation_step": curve.validation_steps.tolist(),
        "validation_loss": _rounded(curve.validation_losses, 5),
    }


def _row_table(kind: Kind, rows: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    tasks, numbers = np.unique(rows["task"], axis=0, return_inverse=True)
    splits = list(dict.fromkeys(rows["split"].tolist()))
    return {
        "model": rows["model_id"].tolist(),
        "step": rows["step"].tolist(),
        "splits": splits,
        "split": [splits.index(split) for split in rows["split"].tolist()],
        "tasks": [kind.task_text(task) for task in tasks],
        "task": numbers.reshape(-1).tolist(),
        "accuracy": _rounded(rows["accuracy"], 3),
        "real": _rounded(rows["real_accuracy"], 3),
        "colourings": [
            {
                "name": colouring.name,
                "kind": colouring.kind,
                "values": _rounded(colouring.values, 3),
                "low": colouring.low,
                "high": colouring.high,
                "classes": colouring.classes,
                "palette": palette(colouring),
            }
            for colouring in colourings(kind, rows)
        ],
    }


def _point_data(points: Points) -> dict[str, Any]:
    return {
        "seed": points.seed,
        "x": _rounded(points.projected[:, 0], 3),
        "y": _rounded(points.projected[:, 1], 3),
        "variance": _rounded(np.array(points.variance), 3),
        "variation": _rounded(points.total_variation, 4),
        "emulated": _rounded(points.emulated_accuracy, 3),
        "gaps": {split: _rounded(np.array([gap]), 3)[0] for split, gap in points.gaps.items()},
        "all": points.rows_in_all,
    }


def _probe_data(probes: Probes) -> dict[str, Any]:
    """Pictures as hexadecimal bytes."""
    return {
        "seed": probes.seed,
        "networks": probes.networks,
        "all": probes.probes_in_all,
        "symbols": probes.symbols,
        "shape": probes.pictures.shape[1:],
        "bytes": [pictures.tobytes().hex() for pictures in probes.pictures],
    }


def _rounded(values: NDArray[Any], digits: int) -> list[float | int | None]:
    """Numbers for JSON: rounded, whole ones as integers, and None for what is not finite."""
    rounded = np.round(np.asarray(values, dtype=np.float64), digits).tolist()
    return [(int(value) if value == int(value) else value) if math.isfinite(value) else None for value in rounded]
