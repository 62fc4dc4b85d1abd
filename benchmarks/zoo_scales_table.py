"""README's table of scales: how large each zoo is, and how long its build takes on one machine."""

from __future__ import annotations

from page_block import PageBlock, of_json

from rnnzoo.terminal.durations import duration


def render(result: dict) -> str:
    """One machine's result as Markdown."""
    zoos = result["zoos"]
    heads = ["scale", "networks", "optimizer steps", "snapshots at"]
    heads += [f"{zoo}: {what}" for zoo in zoos for what in ("time", "size")]
    lines = [_row(heads), _row(["---"] * len(heads))]
    shown: list[int] = []
    for scale, sizes in next(iter(zoos.values())).items():
        more = ", ".join(str(step) for step in sizes["snapshots"] if step not in shown)
        default = " (default)" if scale == "paper" else ""
        cells = [f"`{scale}`{default}", f"{sizes['models']:,}", f"{sizes['steps']:,}", f"and {more}" if shown else more]
        shown += sizes["snapshots"]
        for scales in zoos.values():
            cells += _time_and_size(scales[scale])
        lines.append(_row(cells))
    partly = [part["built"] for scales in zoos.values() for part in scales.values() if part["built"] < part["models"]]
    estimated = (
        f"; where it says about, they are estimated from {min(partly)} networks that were built" if partly else ""
    )
    machine = f"{result['machine']}, at a load average of {result['load_average']:.1f}"
    lines += ["", f"Times and sizes are those of the {result['engine']} engine on {machine}{estimated}."]
    return "\n".join(lines)


def _time_and_size(part: dict) -> list[str]:
    """Seconds and bytes of what was built, times as many as were not."""
    share = part["models"] / part["built"]
    about = "about " if share > 1 else ""
    return [f"{about}{duration(part['seconds'] * share)}", f"{about}{part['bytes'] * share / 1e6:,.0f} MB"]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


ZOO_SCALES = PageBlock("table of scales", "zoo_scales.py", "zoo-scales.json", of_json(render))
