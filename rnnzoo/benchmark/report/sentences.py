"""What a report says in sentences: what was run, how it differs from the paper, what it shows and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rnnzoo.benchmark.report.style import label
from rnnzoo.benchmark.report.tables import MODES
from rnnzoo.benchmark.results import RAILS, Results
from rnnzoo.terminal.durations import duration

PAPER_MODELS, PAPER_SEEDS, PAPER_NETWORK_STEPS = 1000, 15, 20_000
_FIELDS = {
    "steps": "optimizer steps",
    "learning_rate": "highest learning rate",
    "schedule": "learning-rate schedule",
    "weight_decay": "weight decay",
    "clip_norm": "largest gradient norm",
    "rows_per_step": "networks per step",
    "rollouts_per_row": "rollouts of each network",
    "loss": "loss",
    "hidden_size": "hidden size of the emulator",
    "layers": "layers of the emulator",
    "z_size": "numbers in z",
    "z_enters": "inputs of the emulator that z enters",
    "z_gain": "factor on z",
    "second_moment_decay": "AdamW's second beta",
}
"""Choices of emulation that the paper fixes, in words."""


def describe_runs(results: Results) -> str:
    """What was run: encoders, seeds, zoo, profile, machine and time."""
    encoders = results.ranking()
    rails = sum(name in RAILS for name in encoders)
    counted = _count(len(encoders) - rails, "weight encoder") + (f" and {_count(rails, 'rail')}" if rails else "")
    models = [f"{count} {split}" for split, count in results.zoo.get("models", {}).items()]
    folder, revision = str(results.zoo.get("folder", "")), results.zoo.get("revision")
    named = folder if revision else folder.replace("\\", "/").rstrip("/").rpartition("/")[2]
    named += f" at revision {revision}" if revision else ""
    recipe = str(results.zoo.get("recipe_hash", ""))[:16]
    about_zoo = ", ".join(
        part for part in (f"{' + '.join(models)} networks" if models else "", f"recipe {recipe}") if part
    )
    profiles = ", ".join(_distinct(results, "profile"))
    devices = "; ".join(_distinct(results, "device")) or "an unnamed machine"
    seconds = sum(sum(run.record["seconds"].values()) for run in results.runs)
    seeds = ", ".join(map(str, results.seeds))
    return (
        f"{counted}, {'seeds' if len(results.seeds) > 1 else 'seed'} {seeds}, on the {results.kind} zoo {named} "
        f"({about_zoo}), profile {profiles}. {_count(len(results.runs), 'run')} on {devices}; "
        f"{duration(seconds)} of computing in all, counted run by run."
    )


def describe_differences(results: Results) -> str:
    """How emulation differs from the paper's."""
    differences = []
    total = sum(results.zoo.get("models", {}).values())
    if total and total != PAPER_MODELS:
        differences.append(f"{total:,} networks (paper: {PAPER_MODELS:,})")
    if len(results.seeds) != PAPER_SEEDS:
        differences.append(f"{_count(len(results.seeds), 'seed')} (paper: {PAPER_SEEDS})")
    trained = results.zoo.get("steps")
    if trained and trained != PAPER_NETWORK_STEPS:
        differences.append(f"networks trained for up to {trained:,} steps (paper: {PAPER_NETWORK_STEPS:,})")
    configs = [run.record["config"] for run in results.runs if run.kind == "emulation"]
    paper = _paper_config()
    for field, words in _FIELDS.items():
        values = list(dict.fromkeys(_shown(config[field]) for config in configs if field in config))
        if values and values != [_shown(paper[field])]:
            differences.append(f"{words}: {' or '.join(values)} (paper: {_shown(paper[field])})")
    settings = encoder_settings(results)
    if settings:
        differences.append("settings of the encoders, listed at the end")
    return f"What differs from the paper: {'; '.join(differences)}." if differences else "Emulation is as in the paper."


def describe_loss(results: Results) -> str:
    """What training curves show, with its unit."""
    losses = list(dict.fromkeys(run.record["config"].get("loss") for run in results.runs if run.kind == "emulation"))
    name = str(losses[0]) if len(losses) == 1 else "loss"
    words = {
        "total_variation": "total variation (0 to 1)",
        "kl": "KL divergence (nats)",
        "reverse_kl": "reverse KL divergence (nats)",
        "jensen_shannon": "Jensen-Shannon divergence (nats)",
    }
    return words.get(name, name.replace("_", " "))


def encoder_settings(results: Results) -> dict[str, str]:
    """The settings in which encoders differ from their defaults, which are the paper's, by encoder."""
    found: dict[str, str] = {}
    for encoder in results.ranking():
        runs = [run for run in results.runs if run.encoder == encoder]
        settings = next((run.record["config"].get("encoder_settings") for run in runs), None)
        if isinstance(settings, Mapping) and settings:
            found[encoder] = ", ".join(f"{name} {_shown(value)}" for name, value in settings.items())
    return found


def missing_runs(results: Results) -> list[str]:
    """Runs that the matrix of all encoders, seeds and properties that appear lacks, one line per row of the matrix."""
    there = {
        (run.kind, run.encoder, run.record.get("property"), run.record.get("mode"), run.seed) for run in results.runs
    }
    properties = _distinct(results, "property")
    modes = [mode for mode in MODES if mode in _distinct(results, "mode")]
    missing = []
    for encoder in results.ranking():
        rows: list[tuple[str, str | None, str | None]] = [("emulation", None, None)]
        rows += [
            ("downstream", asked, mode)
            for asked in properties
            for mode in modes
            if not (encoder in RAILS and mode == "supervised")
        ]
        for kind, asked, mode in rows:
            seeds = [seed for seed in results.seeds if (kind, encoder, asked, mode, seed) not in there]
            if seeds:
                what = "emulation" if asked is None else f"{asked}, {mode}"
                missing.append(f"{label(encoder)}, {what}: seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}")
    return missing


def failures(results: Results) -> list[str]:
    """Runs that left an error behind, with the last line of it."""
    found = []
    folder = results.folder / "runs"
    for path in sorted(folder.rglob("error.txt")):
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        found.append(f"{path.parent.relative_to(folder).as_posix()}: {lines[-1] if lines else 'no reason recorded'}")
    return found


def software(results: Results) -> str:
    """Versions of what made the runs."""
    versions = {
        f"{name} {version}": None
        for run in results.runs
        for name, version in run.record.get("versions", {}).items()
    }  # fmt: skip
    return ", ".join(versions)


def _paper_config() -> Mapping[str, Any]:
    # Imported when it is needed: it loads torch.
    from rnnzoo.emulation.config import PROFILES

    return vars(PROFILES["paper"])


def _distinct(results: Results, field: str) -> list[str]:
    return list(dict.fromkeys(str(run.record[field]) for run in results.runs if run.record.get(field) is not None))


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _sequence(value) if isinstance(value, list | tuple) else str(value).replace("_", " ")
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _sequence(values: Iterable[Any]) -> str:
    return "[" + ", ".join(_shown(value) for value in values) + "]"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
