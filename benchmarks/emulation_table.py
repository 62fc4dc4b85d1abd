"""Table of the emulation benchmark: one result as Markdown, and all of them inside docs/encoders.md."""

from __future__ import annotations

from page_block import PageBlock, of_json


def render(result: dict) -> str:
    """One profile on one machine as Markdown."""
    first = next(iter(result["encoders"].values()))
    lines = [
        f"**Profile `{result['profile']}`**, {result['machine']}, {result['threads']} "
        f"thread{'s' if result['threads'] > 1 else ''}, median of {result['rounds']} steps, load average "
        f"{result['load_average']:.1f}. Large matrix products reach {result['gigaflops']:.0f} GFLOP/s; at that speed "
        f"the emulator's products alone would take {result['emulator_products_milliseconds']:.0f} ms.",
        "",
        f"| encoder | ms per step | over the emulator alone | {' | '.join(first['phases'])} |",
        f"|---|---:|---:|{'---:|' * len(first['phases'])}",
    ]
    for name, row in result["encoders"].items():
        phases = " | ".join(f"{value:.1f}" for value in row["phases"].values())
        lines.append(f"| `{name}` | {row['milliseconds']:.1f} | {row['ratio']:.2f} | {phases} |")
    if "transformer_over_products" in result:
        lines += [
            "",
            f"The transformer's products would take {result['transformer_products_milliseconds']:.0f} ms; it takes "
            f"{result['transformer_over_products']:.2f} times that beside the emulator.",
        ]
    return "\n".join([*lines, ""])


TIMES = PageBlock("emulation times", "emulation.py", "emulation-*.json", of_json(render))
