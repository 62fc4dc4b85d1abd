"""Compare weight encoders on a zoo, as `rnnzoo eval` does: the matrix of runs, then the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnzoo.benchmark.executors import find_executor
from rnnzoo.errors import RnnzooError, UsageError

if TYPE_CHECKING:
    from rnnzoo.benchmark.run import Outcome
    from rnnzoo.zoo.zoo import Zoo


def evaluate(
    zoo: str | Path | Zoo,
    encoders: str | Sequence[str] = "all",
    *,
    seeds: int | Sequence[int] = 3,
    profile: str = "quick",
    settings: Mapping[str, Any] | None = None,
    properties: Sequence[str] | None = None,
    supervised: bool = True,
    out: str | Path | None = None,
    workers: int | None = None,
    gpus: int | None = None,
    ray: str | None = None,
    strict: bool = True,
    revision: str | None = None,
) -> Outcome:
    """Compare weight encoders on a zoo: emulation, downstream properties, and a report; see docs/benchmark.md.

    Every finished run is kept in the results folder; a call that was stopped goes on where it was when it is given
    again, and more encoders or seeds join what is there. Progress is told on standard error.

    Args:
        zoo: folder or name, as `rnnzoo.load` takes it, or a whole zoo that is open.
        encoders: names or "module:Class", or "all" of rnnzoo's own and of those that installed packages announce, or
            "controls".
            Processes of their own import a class by its name: one that a notebook defines goes into a module.
        seeds: how many, from 0, or which ones.
        profile: "quick" (minutes), "standard" (a day on two cores) or "paper" (the paper's 100,000 steps).
        settings: changes of the profile, for example {"emulation.steps": 500}.
        properties: downstream properties; by default all of the zoo's kind.
        supervised: also train every encoder end to end on every property.
        out: results, by default results/ZOO-PROFILE; `report.html` and `report.md` are written there.
        workers: processes on the CPU that share the cores; by default one per core.
        gpus: run on so many GPUs; by default on all of this machine.
        ray: "auto" or the address of a Ray cluster to run on.
        strict: raise an error at the end if some jobs failed, instead of only naming them in what is returned.
        revision: of a zoo on the Hub, branch, tag or commit.

    Returns:
        The results folder, how many runs it has, how many of them are new, and what failed.

    Raises:
        UsageError: an unknown name, an impossible option, a zoo that cannot be used, or a folder with other results.
        RnnzooError: some jobs failed, or the folder cannot be written; all finished runs are kept.
    """
    execute = find_executor(workers, gpus, ray)
    from rnnzoo.benchmark.matrix import BenchmarkConfig
    from rnnzoo.benchmark.progress import EvaluationProgress
    from rnnzoo.benchmark.report import write_report
    from rnnzoo.benchmark.run import run_benchmark
    from rnnzoo.encoders import encoder_names
    from rnnzoo.encoders.registry import CONTROLS

    zoo = _place(zoo)
    config = BenchmarkConfig.of_profile(profile, dict(settings or {}))
    groups = {"all": encoder_names(), "controls": list(CONTROLS)}
    given = [encoders] if isinstance(encoders, str) else encoders
    named = [name for text in given for name in groups.get(text, [text])]
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or any(not isinstance(seed, int) or seed < 0 for seed in chosen):
        raise UsageError(f"seeds={seeds!r} is impossible: give how many, at least 1, or a list of whole numbers.")
    folder = Path(out) if out is not None else results_folder(zoo, profile)
    with EvaluationProgress(folder / "logs" / "progress.log") as progress:
        outcome = run_benchmark(zoo, folder, config, named, chosen, execute, progress, properties, supervised, revision)
    if outcome.runs:
        write_report(folder)
    if strict:
        raise_failures(outcome)
    return outcome


def _place(zoo: object) -> str | Path:
    """Folder or name of a zoo."""
    from rnnzoo.zoo.zoo import Zoo

    if isinstance(zoo, Zoo) and zoo.row_numbers.tolist() == list(range(zoo.manifest.rows)):
        return zoo.folder
    if not isinstance(zoo, str | Path):
        raise UsageError("evaluate takes a zoo's folder or name, or a whole zoo: splits and snapshots are all needed.")
    return zoo


def results_folder(zoo: str | Path, profile: str) -> Path:
    """Where results go unless told otherwise."""
    return Path("results") / f"{Path(zoo).name}-{profile}"


def raise_failures(outcome: Outcome) -> None:
    """Raise a RnnzooError that names the first job that failed, if some did."""
    if outcome.failures:
        name, reason = next(iter(outcome.failures.items()))
        others = f" {len(outcome.failures) - 1} more failed." if len(outcome.failures) > 1 else ""
        raise RnnzooError(
            f"{len(outcome.failures)} job(s) failed; all finished runs are kept. {name}: {reason.strip()}{others} "
            f"Reasons lie beside the runs in {outcome.folder / 'runs'} as error.txt; the same command tries them again."
        )
