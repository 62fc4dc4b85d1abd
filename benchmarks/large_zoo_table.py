"""Table of the large-zoo benchmark: one result as Markdown, and all of them inside docs/performance.md."""

from __future__ import annotations

from page_block import PageBlock, of_json


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


LARGE_ZOO = PageBlock("large zoo table", "large_zoo.py", "large-zoo-*.json", of_json(render))
