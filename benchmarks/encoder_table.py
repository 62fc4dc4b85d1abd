"""Keep the results of `rnnzoo eval` with the project, and show them in docs/benchmark.md.

python benchmarks/encoder_table.py --keep results/formal-languages-quick
python benchmarks/encoder_table.py --document
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median

from page_block import PageBlock

from rnnzoo.benchmark.estimates import Estimates
from rnnzoo.benchmark.intervals import Estimate
from rnnzoo.benchmark.report.comparison import compare_encoders
from rnnzoo.benchmark.report.sentences import describe_differences, describe_runs
from rnnzoo.benchmark.report.tables import emulation_lines, interval_text, row_label, seconds_per_update
from rnnzoo.benchmark.results import Results, mean_of, published_losses, read_results

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results"
DOWNSTREAM = {
    "formal-languages": (("task", "exact", "task, all three right"), ("accuracy", "mse", "accuracy, MSE")),
    "smnist": (
        ("angle", "degrees", "angle, degrees off"),
        ("accuracy", "mse", "accuracy, MSE"),
        ("step", "correct", "step, share right"),
        ("generalization_gap", "mse", "generalization gap, MSE"),
    ),
}


def keep(folder: Path) -> Path:
    """Copy the runs of a results folder, without what belongs to the machine they lie on."""
    results = read_results(folder)
    name = f"encoders-{folder.resolve().name}"
    lines = []
    for run in results.runs:
        record = {**run.record, "zoo": {**run.record["zoo"], "folder": Path(run.record["zoo"]["folder"]).name}}
        lines.append(json.dumps(record))
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    path = KEPT / name / "runs.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def render(results: Results) -> str:
    """One results folder as Markdown: what was run, the emulation table, the downstream table."""
    shown = [f"**{describe_runs(results)}**", "", describe_differences(results), "", *_emulation(results), ""]
    return "\n".join([*shown, compare_encoders(results, Estimates(results)), "", *_downstream(results)])


def _emulation(results: Results) -> list[str]:
    lines = [
        "| encoder | total variation, validation | the paper's | total variation, ood_test | "
        "reverse KL (nats), validation | emulated accuracy gap | ms per step |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    labels = dict(
        zip(_encoders(results), map(row_label, emulation_lines(results, Estimates(results)).lines), strict=True)
    )
    for encoder in _encoders(results):
        runs = results.emulation(encoder)
        paper = published_losses(results.kind).get(encoder)
        step = 1000 * median(seconds_per_update(run) or 0 for run in runs)
        cells = [
            _cell(mean_of(runs, "validation", "total_variation"), 4),
            _cell(paper, 3),
            _cell(mean_of(runs, "ood_test", "total_variation"), 4),
            _cell(mean_of(runs, "validation", "reverse_kl"), 3),
            _cell(mean_of(runs, "validation", "emulated_accuracy_gap"), 3),
            f"{step:.0f}",
        ]
        lines.append(f"| {labels[encoder]} | {' | '.join(cells)} |")
    return lines


def _downstream(results: Results) -> list[str]:
    """The downstream table, of the modes that were run."""
    runs = {
        (name, mode): {encoder: results.downstream(encoder, name, mode) for encoder in _encoders(results)}
        for name, *_ in DOWNSTREAM[results.kind]
        for mode in ("frozen", "supervised")
    }
    columns = [
        (f"{words}, {split}, {mode}", runs[name, mode], split, metric)
        for name, metric, words in DOWNSTREAM[results.kind]
        for split in ("validation", "ood_test")
        for mode in ("frozen", "supervised")
        if any(runs[name, mode].values())
    ]
    lines = [f"| encoder | {' | '.join(head for head, *_ in columns)} |", "|---|" + "---:|" * len(columns)]
    labels = dict(
        zip(_encoders(results), map(row_label, emulation_lines(results, Estimates(results)).lines), strict=True)
    )
    for encoder in _encoders(results):
        cells = [_cell(mean_of(by[encoder], split, metric), 3, interval=False) for _, by, split, metric in columns]
        lines.append(f"| {labels[encoder]} | {' | '.join(cells)} |")
    return lines


def _labels(results: Results) -> dict[str, str]:
    lines = emulation_lines(results, Estimates(results)).lines
    return dict(zip(_encoders(results), map(row_label, lines), strict=True))


def _encoders(results: Results) -> list[str]:
    return [name for name in results.ranking() if results.emulation(name)]


def _cell(value: Estimate | None, digits: int, interval: bool = True) -> str:
    if value is None:
        return "-"
    bounds = interval_text(value, lambda number: f"{number:.{digits}f}") if interval else ""
    return f"{value.mean:.{digits}f}" + (f" ({bounds})" if bounds else "")


ENCODERS = PageBlock(
    "encoder tables", "encoder_table.py", "encoders-*/runs.jsonl", lambda path: render(read_results(path.parent))
)


def main() -> None:
    """Keep results, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="RESULTS", help="copy the runs of a results folder")
    parser.add_argument("--document", action="store_true", help="rewrite docs/benchmark.md")
    arguments = parser.parse_args()
    if arguments.keep:
        print(keep(arguments.keep))
    if arguments.document:
        ENCODERS.rewrite(ROOT / "docs" / "benchmark.md", KEPT)


if __name__ == "__main__":
    main()
