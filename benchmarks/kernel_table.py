"""Table of the compiled kernels: one compiler's result as Markdown, and all of them inside docs/gpu_engine.md."""

from __future__ import annotations

from page_block import PageBlock, of_json


def render(result: dict) -> str:
    """What one compiler needs, as Markdown; launches that need the same share a row."""
    lines = [
        f"**Triton {result['triton']}, {result['target']}** ({' / '.join(result['precisions'])})",
        "",
        "| zoo | kernel | warps | registers | spilled | shared |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for launches in zip(*result["precisions"].values(), strict=True):
        columns = (
            " / ".join(str(launch[name]) for launch in launches) for name in ("warps", "registers", "spilled", "shared")
        )
        lines.append(f"| {launches[0]['zoo']} | {launches[0]['kernel']} | {' | '.join(columns)} |")
    return "\n".join([*dict.fromkeys(lines), ""])


KERNELS = PageBlock("kernel resources", "kernel_resources.py", "kernels-*.json", of_json(render))
