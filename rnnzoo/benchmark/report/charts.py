"""The pictures of a report, each described once in Vega-Lite: the page draws them itself, Markdown shows PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair
import numpy as np
from altair import Chart, NamedData

from rnnzoo.benchmark.report.chart_data import colourings, datasets
from rnnzoo.benchmark.report.contents import Probes, Report
from rnnzoo.benchmark.report.style import label, styles
from rnnzoo.files.atomic import atomic_path
from rnnzoo.kinds import Colouring

# No two look alike to any colour vision, and none vanishes on a dark or light background; 359 degrees is next to 0.
CYCLIC = ("#4e3b5c", "#d98a1f", "#9fcbab", "#3f7fd6", "#4e3b5c")
PANEL = 150
"""Width and height of one of several panels, in pixels."""
SHOWN_COLOURINGS = 2
"""Embeddings are shown by accuracy and by the task; by all else when asked."""


@dataclass(frozen=True)
class Picture:
    """One picture of a report.

    Attributes:
        name: of its file, without suffix, and of its place on the page.
        section: where it belongs: "curves", "accuracy", "embedding", "further" (on the page alone) or "probes".
        caption: what it shows.
        specification: Vega-Lite, but for data and colours, which all pictures share.
    """

    name: str
    section: str
    caption: str
    specification: Mapping[str, Any]


def pictures(report: Report) -> list[Picture]:
    """Everything there is to draw."""
    drawn = []
    if report.curves:
        caption = "Training curves, mean over seeds: thin lines training loss, markers validation loss"
        drawn.append(_picture("curves", "curves", caption, _curves(report)))
    if any(np.isfinite(points.emulated_accuracy).any() for points in report.points):
        caption = "Accuracy of the emulator against that of the network; gap is their mean absolute difference"
        drawn.append(_picture("accuracy", "accuracy", caption, _accuracies(report)))
    for number, colouring in enumerate(colourings(report, report.points[0]) if report.points else ()):
        caption = f"First two principal components of z by {colouring.name}"
        section = "embedding" if number < SHOWN_COLOURINGS else "further"
        drawn.append(_picture(f"embedding-{number}", section, caption, _embeddings(report, number, colouring)))
    for number, probes in enumerate(report.probes):
        caption = (
            f"What {label(probes.encoder)} sends, probes 1 to {probes.pictures.shape[1]} of {probes.probes_in_all}"
        )
        drawn.append(_picture(f"probes-{number}", "probes", caption, _probes(number, probes)))
    return drawn


def themes(report: Report) -> dict[str, dict[str, Any]]:
    """How pictures look on a light and on a dark background: Vega's settings by the name of the colour scheme."""
    chosen = styles(report.encoders).values()

    def theme(background: str, ink: str, quiet: str, rule: str, colours: list[str]) -> dict[str, Any]:
        text = {"labelColor": quiet, "titleColor": ink}
        return {
            "background": background,
            "font": "system-ui, sans-serif",
            "range": {"category": colours},
            "axis": {**text, "gridColor": rule, "domainColor": quiet, "tickColor": quiet, "titleFontWeight": "normal"},
            "legend": {**text, "symbolFillColor": quiet, "labelLimit": 260, "titleFontWeight": "normal"},
            "header": {**text, "labelLimit": PANEL + 40, "labelFontWeight": "bold"},
            "view": {"stroke": rule},
            "text": {"color": ink},
        }

    return {
        "light": theme("#ffffff", "#1b1f27", "#596170", "#d5d9e0", [style.light for style in chosen]),
        "dark": theme("#14171c", "#e6e9ee", "#a0a8b6", "#3a414d", [style.dark for style in chosen]),
    }


def write_pictures(report: Report, folder: Path) -> list[tuple[str, str]]:
    """Write the pictures of Markdown as PNG files; captions and file names."""
    import vl_convert

    theme = themes(report)["light"]
    shared = {
        name: [dict(zip(table["names"], row, strict=True)) for row in table["rows"]]
        for name, table in datasets(report).items()
    }
    written = []
    for picture in (picture for picture in pictures(report) if picture.section != "further"):
        name = f"{picture.name}.png"
        whole = {**picture.specification, "datasets": shared}
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(vl_convert.vegalite_to_png(whole, scale=1.5, config=theme))
        written.append((picture.caption, name))
    return written


def _picture(name: str, section: str, caption: str, chart: Any) -> Picture:
    return Picture(name, section, caption, chart.to_dict(validate=True))


def _encoder_scales(report: Report) -> dict[str, Any]:
    """Colour, dash and shape of encoders, the same in every picture."""
    chosen = styles(report.encoders)
    names = [label(name) for name in chosen]
    return {
        "color": altair.Color("encoder:N", scale=altair.Scale(domain=names), title=None),
        "strokeDash": altair.StrokeDash(
            "encoder:N", scale=altair.Scale(domain=names, range=[list(s.dash) or [1, 0] for s in chosen.values()])
        ),
        "shape": altair.Shape(
            "encoder:N", scale=altair.Scale(domain=names, range=[style.shape for style in chosen.values()])
        ),
    }


def _curves(report: Report) -> Any:
    scales = _encoder_scales(report)
    chosen = altair.selection_point(name="encoders", fields=["encoder"], bind="legend")
    base = Chart(NamedData("curves")).encode(
        altair.X("step:Q", title="optimizer steps"),
        altair.Y(
            "loss:Q",
            title=report.loss,
            scale=altair.Scale(type="log", nice=False, padding=8),
            axis=altair.Axis(titlePadding=12),
        ),
        scales["color"],
        opacity=altair.when(chosen).then(altair.value(1)).otherwise(altair.value(0.08)),
        tooltip=["encoder:N", "kind:N", "step:Q", "loss:Q", "seeds:Q"],
    )
    validation = base.transform_filter("datum.kind == 'validation'")
    training = base.transform_filter("datum.kind == 'training'")
    lines = validation.mark_line(strokeWidth=2.2).encode(scales["strokeDash"])
    markers = validation.mark_point(filled=True, size=60).encode(scales["shape"])
    return (training.mark_line(strokeWidth=0.8) + lines + markers).add_params(chosen).properties(width=760, height=400)


def _menus(report: Report, split: bool) -> list[Any]:
    """Which seed, and of which split, is shown."""
    seeds = sorted({points.seed for points in report.points})
    splits = sorted({name for points in report.points for name in points.gaps}, reverse=True)
    menus = [altair.param(name="shown_seed", value=seeds[0], bind=altair.binding_select(options=seeds, name="seed "))]
    if split:
        menus.append(
            altair.param(name="shown_split", value=splits[0], bind=altair.binding_select(options=splits, name="split "))
        )
    return menus


_TOOLTIP = [
    altair.Tooltip("encoder:N"), altair.Tooltip("model:Q"), altair.Tooltip("step:Q"), altair.Tooltip("split:N"),
    altair.Tooltip("task:N"), altair.Tooltip("accuracy:Q"), altair.Tooltip("emulated:Q", title="emulator's accuracy"),
    altair.Tooltip("variation:Q", title="total variation"),
]  # fmt: skip


def _panels(chart: Any, report: Report, menus: Sequence[Any], fields: Sequence[str]) -> Any:
    """One panel per encoder, in the order of the tables, of points with these fields of their rows."""
    order = [label(name) for name in report.encoders]
    rows = altair.LookupData(data=NamedData("rows"), key="row", fields=list(fields))
    panels = chart.properties(width=PANEL, height=PANEL).facet(
        altair.Facet("encoder:N", sort=order, title=None), columns=5, data=NamedData("points")
    )
    return panels.transform_filter("datum.seed == shown_seed").transform_lookup("row", rows).add_params(*menus)


def _accuracies(report: Report) -> Any:
    axis: dict[str, Any] = {"scale": altair.Scale(domain=[0, 1]), "axis": altair.Axis(tickCount=2)}
    dots = Chart().mark_circle(size=12, opacity=0.6, clip=True).encode(
        altair.X("real:Q", title="network (share)", **axis),
        altair.Y("emulated:Q", title="emulator (share)", **axis),
        _encoder_scales(report)["color"].legend(None),
        tooltip=_TOOLTIP,
    )  # fmt: skip
    told = Chart().transform_aggregate(groupby=["encoder", "gap"]).mark_text(align="left", baseline="top").encode(
        x=altair.value(5), y=altair.value(5), text="gap:N"
    )  # fmt: skip
    diagonal = Chart().transform_aggregate(groupby=["encoder"]).mark_rule(strokeDash=[3, 3], color="#888888").encode(
        x=altair.datum(0), y=altair.datum(0), x2=altair.datum(1), y2=altair.datum(1)
    )  # fmt: skip
    menus = _menus(report, split=True)
    panels = _panels(diagonal + dots + told, report, menus, ("model", "step", "split", "task", "accuracy", "real"))
    panels = panels.transform_filter("datum.split == shown_split")
    panels = panels.transform_calculate(key="datum.encoder + '|' + datum.seed + '|' + datum.split")
    return panels.transform_lookup("key", altair.LookupData(data=NamedData("gaps"), key="key", fields=["gap"]))


def _embeddings(report: Report, number: int, colouring: Colouring) -> Any:
    field = f"colour{number}"
    scheme = altair.SchemeParams("viridis", extent=[0.08, 0.97])
    if colouring.kind == "classes":
        classes = list(colouring.classes)
        scale = altair.Scale(domain=classes, scheme=scheme)
        colour = altair.Color(f"{field}:O", title=colouring.name, scale=scale, sort=classes)
    else:
        colours = {"range": list(CYCLIC)} if colouring.kind == "cyclic" else {"scheme": scheme}
        scale = altair.Scale(domain=[colouring.low, colouring.high], clamp=True, **colours)
        ticks = altair.Legend(values=np.linspace(colouring.low, colouring.high, 5).tolist())
        colour = altair.Color(f"{field}:Q", title=colouring.name, scale=scale, legend=ticks)
    network = altair.selection_point(name="network", on="pointerover", fields=["model", "split"], empty=False)
    base = Chart().encode(altair.X("x:Q", title=None), altair.Y("y:Q", title=None))
    shape = altair.Shape("split:N", scale=altair.Scale(range=["circle", "triangle-up"]))
    dots = base.mark_point(filled=True, size=14, opacity=0.9).encode(colour, shape, tooltip=_TOOLTIP)
    track = base.transform_filter(network).mark_line(strokeWidth=1, color="#888888").encode(order="step:Q")
    fields = ("model", "step", "split", "task", "accuracy", field)
    panels = _panels(dots.add_params(network) + track, report, _menus(report, split=False), fields)
    return panels.resolve_scale(x="independent", y="independent")


def _probes(number: int, probes: Probes) -> Any:
    network = altair.param(
        name="network",
        value=probes.networks[0],
        bind=altair.binding_select(options=list(probes.networks), name="sent to "),
    )
    base = Chart().transform_filter("datum.network == network")
    if probes.symbols:
        base = base.encode(
            altair.X("position:O", axis=altair.Axis(values=list(range(1, 200, 5)), labelAngle=0)),
            altair.Y("token:N", title=None, sort=list(probes.symbols), scale=altair.Scale(domain=list(probes.symbols))),
            tooltip=["position:Q", "token:N", "share:Q"],
        )
        shares = altair.Opacity("share:Q", scale=altair.Scale(domain=[0, 1], range=[0, 1]))
        letters = base.transform_filter("datum.share >= 0.5").mark_text(fontSize=9, fontWeight="bold", color="white")
        drawn = base.mark_rect(color="#3273dc").encode(shares) + letters.encode(text="token:N")
        columns, width, height = 3, 9 * probes.pictures.shape[2], 14 * len(probes.symbols)
    else:
        height, width = (4 * length for length in probes.pictures.shape[2:])
        drawn = base.mark_image(width=width, height=height, smooth=False).encode(url="picture:N")
        drawn, columns = drawn.encode(x=altair.value(width / 2), y=altair.value(height / 2)), 8
    facet = altair.Facet("probe:O", title=None, header=altair.Header(labelExpr="'probe ' + datum.value"))
    drawn = drawn.properties(width=width, height=height).facet(
        facet, columns=columns, data=NamedData(f"probes{number}")
    )
    return drawn.add_params(network)
