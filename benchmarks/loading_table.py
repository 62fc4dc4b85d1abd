"""Table of the loading benchmark: one result as Markdown, and all of them inside docs/performance.md."""

from __future__ import annotations

from page_block import PageBlock, of_json


def render(result: dict) -> str:
    """One machine's result as Markdown."""
    lines = [
        f"**{result['machine']}** ({result['rows']:,} rows of {result['row_bytes'] / 1e3:.0f} kB in {result['files']} "
        f"files; medians of {result['turns']} turns; load average {result['load_average']:.1f})",
        "",
        "| what | way | rows a second | over the first |",
        "|---|---|---:|---:|",
    ]
    for task, ways in result["reading"].items():
        first = next(iter(ways.values()))
        lines += [f"| {task} | {way} | {rate:,.0f} | {rate / first:.2f} |" for way, rate in ways.items()]
    opened, flips = result["first_open"], result["flips"]
    lines += [
        "",
        f"First read of all traces: {opened['megabytes']:,.0f} MB decoded in {opened['seconds']:.2f} s, "
        f"{opened['megabytes'] / opened['seconds']:,.0f} MB a second; again from the cache, in another process: "
        f"{opened['seconds_again']:.3f} s.",
        f"Of {flips['tried']} flipped bits, {flips['refused']} were refused by `load` and {flips['silent']} gave other "
        "numbers silently.",
        "",
        *wire_lines(result["wire"]),
    ]
    return "\n".join([*lines, ""])


def wire_lines(wire: dict[str, dict]) -> list[str]:
    """What readers fetch of published zoos, in parts of their shards' bytes."""
    shapes = (
        f"{zoo['rows']} rows of {kind}, {zoo['bytes'] / 1e6:.0f} MB in {zoo['files']} shards"
        for kind, zoo in wire.items()
    )
    lines = [
        f"Bytes fetched from a Hub, over the bytes of all shards ({'; '.join(shapes)}):",
        "",
        f"| what is read with `datasets` | {' | '.join(wire)} |",
        f"|---|{'---:|' * len(wire)}",
    ]
    for what in next(iter(wire.values()))["shares"]:
        shares = " | ".join(f"{zoo['shares'][what]:.3f}" for zoo in wire.values())
        lines.append(f"| {what} | {shares} |")
    return lines


LOADING = PageBlock("loading table", "loading.py", "loading-*.json", of_json(render))
