"""Tables of the engine benchmark: one result as Markdown, and all of them inside docs/performance.md."""

from __future__ import annotations

from page_block import PageBlock, of_json


def render(result: dict) -> str:
    """One machine's result as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    lines = [
        f"**{result['machine']}** ({versions}; median of {result['rounds']} turns; "
        f"other programs took {result['cores_used_by_others']:.2f} of {result['cores']} cores)",
        "",
    ]
    for title, task in result["tasks"].items():
        lines += [
            f"{title}; a large matrix product reaches {task['peak_gflops']:.0f} GFLOP/s here",
            "",
            "| way | models at once | ms per model and step | model-steps per second | over the original | "
            "GFLOP/s | of peak | peak memory |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for row in task["rivals"]:
            memory = row["peak_memory_mib"]
            lines.append(
                f"| {row['rival']} | {row['models']} | {row['ms_per_model_step']:.2f} | "
                f"{row['model_steps_per_second']:.0f} | {row['ratio_to_original']:.1f} x | {row['gflops']:.0f} | "
                f"{row['share_of_peak']:.0%} | {'' if memory is None else f'{memory:.0f} MiB'} |"
            )
        share = task["evaluation"]
        lines += [
            "",
            f"Evaluating a snapshot takes the numba engine {share['ms_per_model_and_snapshot']:.0f} ms per model, "
            f"{share['share']:.1%} of a build at paper scale.",
            "",
        ]
    return "\n".join(lines)


ENGINES = PageBlock("engines table", "engines.py", "engines-*.json", of_json(render))
