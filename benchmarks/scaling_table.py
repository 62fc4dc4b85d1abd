"""Tables of the scaling benchmark: one result as Markdown, and all of them inside docs/clusters.md."""

from __future__ import annotations

from page_block import PageBlock, of_json


def render(result: dict) -> str:
    """One machine's result as Markdown."""
    lines = [
        f"**{result['machine']}** ({result['models']} models, {result['steps']} steps, units of {result['unit']}; "
        f"best of {result['rounds']} turns; in the best turn of 1 worker other programs took "
        f"{result['cores_used_by_others']:.2f} cores)",
        "",
        "| way | seconds in all | of which start | seconds a unit | efficiency of units | in all |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in result["ways"].items():
        lines.append(
            f"| {name} | {row['wall']:.1f} | {row['start']:.1f} | {row['unit']:.2f} | "
            f"{row['efficiency_of_units']:.0%} | {row['efficiency']:.0%} |"
        )
    lines += [
        "",
        "The same work beside a build of the paper's length (1,000 models, 20,000 steps, 9 snapshots; "
        f"{result['training_seconds'] / 60:.0f} minutes of training by 2 workers, from the seconds a unit took per "
        "step; packing from 64 models with all their rows):",
        "",
        "| beside training | of it |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {share:.2%} |" for name, share in result["shares"].items()]
    lines += [
        "",
        f"On paper: {result['simulated_from']}; 30 s to start a worker, 1 attempt in 100 lost.",
        "",
        "| models | models a unit | 1 GPU | 8 GPUs | 64 GPUs | efficiency at 8 | at 64 |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    cases = {(case["models"], case["unit"], case["gpus"]): case for case in result["simulation"]}
    for models, unit in dict.fromkeys((case["models"], case["unit"]) for case in result["simulation"]):
        one, eight, many = (cases[models, unit, gpus] for gpus in (1, 8, 64))
        lines.append(
            f"| {models:,} | {unit} | {one['hours'] * 60:.0f} min | {eight['hours'] * 60:.0f} min | "
            f"{many['hours'] * 60:.1f} min | "
            f"{eight['efficiency']:.0%} | {many['efficiency']:.0%} |"
        )
    packing = result["overheads"]["packing_per_model"]
    lines += [
        "",
        f"Packing is not in this. One process does it, in {packing * 1000:.0f} ms a model here: 100,000 models take "
        f"{packing * 100_000 / 60:.0f} minutes after the last unit, however many GPUs there were.",
    ]
    return "\n".join([*lines, ""])


SCALING = PageBlock("scaling table", "scaling.py", "scaling-*.json", of_json(render))
