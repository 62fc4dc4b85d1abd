"""How a report names, colours and marks encoders, the same in every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LABELS = {
    "constant": "constant z",
    "labels": "labels as z",
    "statistics": "layer-wise statistics",
    "flat": "flattened weights",
    "transformer": "parameter transformer",
    "dwsnet": "DWSNet",
    "graph": "neural graph",
    "non-interactive": "non-interactive probing",
    "interactive": "interactive probing",
    "probe-generator": "probe generator",
    "rollout-probing": "rollout probing",
    "answers": "components of answers",
    "nearest": "nearest by answers",
    "random": "random function of weights",
    "permuted": "destroyed networks",
    "shuffled": "other networks",
}
"""What tables and pictures call rnnzoo's own encoders; the first six after the rails are named as in the paper."""


@dataclass(frozen=True)
class Style:
    """How an encoder is drawn. No two of rnnzoo's own share colour and shape, so no picture rests on colour alone.

    Attributes:
        light, dark: one hue as hexadecimal RGB, for a light and for a dark background.
        dash: lengths of strokes and gaps in pixels; empty for a solid line.
        shape: as Vega names it, or its outline as an SVG path within -1..1.
    """

    light: str
    dark: str
    dash: tuple[int, ...]
    shape: str


_STAR = "M0.00,-1.00L0.26,-0.36L0.95,-0.31L0.43,0.14L0.59,0.81L0.00,0.45L-0.59,0.81L-0.43,0.14L-0.95,-0.31L-0.26,-0.36Z"
_HEXAGON = "M0.00,-1.00L0.87,-0.50L0.87,0.50L0.00,1.00L-0.87,0.50L-0.87,-0.50Z"
_SALTIRE = "M-1,-.7L-.7,-1L0,-.3L.7,-1L1,-.7L.3,0L1,.7L.7,1L0,.3L-.7,1L-1,.7L-.3,0Z"

# Mechanistic encoders have dashed lines, functionalist ones solid lines, rails dotted ones. The colours were searched
# for the largest smallest distance between any two, with normal vision and with each of its three deficiencies.
STYLES = {
    "constant": Style("#474e5c", "#7c8492", (1, 3), "square"),
    "labels": Style("#10141c", "#e8eaee", (1, 3), "diamond"),
    "statistics": Style("#f2440c", "#c07408", (7, 3), "triangle-up"),
    "flat": Style("#b8003a", "#d9484e", (2, 2), "triangle-down"),
    "transformer": Style("#790085", "#fa61b5", (9, 3, 2, 3), _SALTIRE),
    "dwsnet": Style("#983205", "#d99a88", (5, 2), "square"),
    "graph": Style("#6ea22e", "#f8dc4f", (9, 2, 2, 2, 2, 2), "cross"),
    "non-interactive": Style("#2a98b2", "#00ccff", (), "diamond"),
    "interactive": Style("#5b55c3", "#547cf4", (), "circle"),
    "probe-generator": Style("#147049", "#b5ffa0", (), "triangle-up"),
    "rollout-probing": Style("#3b0999", "#b04fc0", (), _STAR),
}
_OTHERS = (
    Style("#00695c", "#58d6c2", (3, 1), _HEXAGON),
    Style("#9c4d10", "#ffb26b", (3, 1), _STAR),
    Style("#5a5f9e", "#a9b0f5", (3, 1), "triangle-down"),
    Style("#7a3350", "#f19bb9", (3, 1), "circle"),
    Style("#5d6b2f", "#c3d27a", (3, 1), "square"),
)


def styles(encoders: Sequence[str]) -> dict[str, Style]:
    """A style for every encoder: rnnzoo's own have fixed ones, others take turns, in alphabetical order."""
    others = sorted(set(encoders) - set(STYLES))
    chosen = {name: _OTHERS[index % len(_OTHERS)] for index, name in enumerate(others)}
    return {name: STYLES.get(name) or chosen[name] for name in encoders}


def label(encoder: str) -> str:
    """What tables and pictures call an encoder."""
    return LABELS.get(encoder, encoder)
