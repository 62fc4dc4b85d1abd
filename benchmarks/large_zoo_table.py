"""Table of the large-zoo benchmark: one result as Markdown, and all of them inside docs/performance.md."""

from __future__ import annotations

import json
from pathlib import Path

BEGIN = "<!-- large zoo table: begin, written by benchmarks/large_zoo.py --document -->"
END = "<!-- large zoo table: end -->"


def render(result: dict) -> str:
    """One machine's result as Markdown."""
    lines = [
        f"**{result['machine']}** ({result['rows']:,} rows of {result['models']:,} models, "
        f"{result['gigabytes']:.1f} GB in {result['files']} files; load average {result['load_average']:.1f})",
        "",
        "| what | seconds | peak memory, MiB |",
        "|---|---:|---:|",
    ]
    rows = [
        *result["planning"].items(),
        *(
            (f"pack {pack['models']:,} models of {pack['units']:,} units (small networks)", pack)
            for pack in result["packing"]
        ),
        ("write the zoo", result["writing"]),
        *result["reading"].items(),
    ]  # fmt: skip
    lines += [f"| {name} | {row['seconds']:.3g} | {row['peak_mebibytes']:.0f} |" for name, row in rows]
    return "\n".join([*lines, ""])


def render_all(folder: Path) -> str:
    """Every result in a folder, by file name."""
    return "\n".join(render(json.loads(path.read_text())) for path in sorted(folder.glob("large-zoo-*.json")))


def rewrite(document: Path, folder: Path) -> None:
    """Replace the text between the markers by the tables of all results."""
    before, _, rest = document.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    document.write_text(f"{before}{BEGIN}\n\n{render_all(folder).strip()}\n\n{END}{after}")
