"""The benchmark: a matrix of runs that is done once, goes on after a stop, and keeps what is finished."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnzoo.benchmark.matrix import BenchmarkConfig, run_name
from rnnzoo.benchmark.report.sentences import describe_runs
from rnnzoo.benchmark.results import read_results
from rnnzoo.benchmark.run import Outcome, run_benchmark
from rnnzoo.emulation import checkpoints as emulation_checkpoints
from rnnzoo.encoders import Context, Encoder, Rows, load_encoder
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.hub.store import Version
from rnnzoo.jobs.processes import Work
from rnnzoo.jobs.queue import FailedJob, Job, Listener

SMALL = {
    "emulation.steps": 6,
    "emulation.rows_per_step": 4,
    "emulation.hidden_size": 8,
    "emulation.emulated_strings": 3,
    "downstream.frozen_steps": 5,
    "downstream.supervised_steps": 3,
    "encoders.non-interactive.probes": 2,
    "encoders.non-interactive.core_size": 8,
}


class Silent:
    """Counts the jobs that were begun."""

    jobs = 0

    def begin(self, jobs: Sequence[Job], steps: Sequence[int], finished_runs: int) -> None:
        self.jobs += len(jobs)

    def progress(self, job: Job, done: int, value: float) -> None:
        pass

    def finished(self, job: Job) -> None:
        pass

    def message(self, text: str) -> None:
        pass


def here(work: Work, jobs: Sequence[Job], log_folder: Path, listener: Listener) -> list[FailedJob]:
    """Do the jobs in this process."""
    task = work.open()
    for job in jobs:
        task(job.payload, lambda done, value, job=job: listener.progress(job, done, value))
        listener.finished(job)
    return []


def run(zoo: Path, folder: Path, encoders: Sequence[str], listener: Any = None, **options: Any) -> Outcome:
    seeds = options.pop("seeds", [0])
    config = BenchmarkConfig.of_profile("quick", SMALL | options.pop("fields", {}))
    return run_benchmark(zoo, folder, config, encoders, seeds, here, listener or Silent(), **options)


def records(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "runs.jsonl").read_text().splitlines()
    return {record["run"]: record for record in map(json.loads, lines)}


@pytest.fixture(scope="module")
def results(built_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark") / "results"
    outcome = run(built_folder, folder, ["constant", "labels", "statistics", "non-interactive"], seeds=[0, 1])
    assert (outcome.runs, outcome.new_runs, outcome.failures) == (2 * (4 * 3 + 2 * 2), 2 * (4 * 3 + 2 * 2), {})
    return folder


def test_every_run_is_one_line_with_its_numbers(results: Path) -> None:
    found = records(results)
    assert len(found) == 32
    emulation = found["emulation/non-interactive/seed-1"]
    assert emulation["config"]["steps"] == 6
    assert emulation["config"]["encoder_settings"]["probes"] == 2
    names = {"total_variation", "kl", "reverse_kl", "jensen_shannon", "emulated_accuracy_gap"}
    assert all(set(metrics) == names for metrics in emulation["metrics"].values())
    task = found["downstream/statistics/task/supervised/seed-0"]
    assert (task["property"], task["mode"], task["mechanistic"]) == ("task", "supervised", True)
    assert set(task["metrics"]["ood_test"]) == {"exact", "offsets", "cross_entropy"}
    assert "downstream/labels/task/supervised/seed-0" not in found
    assert found["emulation/labels/seed-0"]["mechanistic"] is None
    assert all(np.isfinite(v) for r in found.values() for m in r["metrics"].values() for v in m.values())


def test_results_of_a_published_zoo_say_which_version_it_was(
    built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNNZOO_HOME", str(tmp_path / "store"))
    version = Version("someone/zoo", "0123456789abcdef" * 2 + "01234567")
    shutil.copytree(built_folder, version.folder)
    run(version.folder, tmp_path / "results", ["constant"], supervised=False, properties=[])
    results = read_results(tmp_path / "results")
    assert (results.zoo["folder"], results.zoo["revision"]) == (version.name, version.commit)
    assert f"on the formal-languages zoo someone/zoo at revision {version.commit} (" in describe_runs(results)


def test_what_a_run_leaves_for_the_report(results: Path) -> None:
    folder = results / "runs" / "emulation" / "non-interactive" / "seed-0"
    curve = json.loads((folder / "curve.json").read_text())
    assert curve["step"][-1] == curve["validation_step"][-1] == 6
    with np.load(folder / "rows.npz") as rows:
        assert set(rows["split"]) == {"validation", "ood_test"}
        assert np.allclose(np.linalg.norm(rows["z"], axis=1), 1, atol=1e-5)
        assert len({len(rows[name]) for name in rows.files}) == 1
    with np.load(folder / "probes.npz") as probes:
        assert probes["inputs"].shape[1:] == (2, 22, 6)
    assert load_encoder(folder / "encoder").settings["probes"] == 2
    assert not (folder / "checkpoint.safetensors").exists()
    assert not (results / "runs" / "emulation" / "statistics" / "seed-0" / "probes.npz").exists()


def test_a_second_call_does_nothing_and_more_seeds_join(built_folder: Path, tmp_path: Path) -> None:
    folder, listener = tmp_path / "results", Silent()
    run(built_folder, folder, ["constant"], listener)
    before = records(folder)
    again = run(built_folder, folder, ["constant"], listener)
    assert (again.new_runs, again.runs, listener.jobs) == (0, 3, 1)
    more = run(built_folder, folder, ["constant"], listener, seeds=[0, 7])
    assert (more.new_runs, more.runs, listener.jobs) == (3, 6, 2)
    assert before.items() <= records(folder).items()


def test_a_lost_record_is_all_that_is_done_again(built_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run(built_folder, folder, ["statistics"], supervised=False)
    before = records(folder)
    lost = run_name("downstream", "statistics", 0, "task", "frozen")
    (folder / "runs" / lost / "record.json").unlink()
    assert run(built_folder, folder, ["statistics"], supervised=False).new_runs == 1
    after = records(folder)
    assert after.pop(lost)["metrics"] == before.pop(lost)["metrics"]
    assert after == before


def test_a_stopped_run_goes_on_as_if_never_stopped(
    built_folder: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stops(Silent):
        def progress(self, job: Job, done: int, value: float) -> None:
            if done == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(emulation_checkpoints, "CHECKPOINT_EVERY_SECONDS", 0.0)
    folder = tmp_path / "results"
    with pytest.raises(KeyboardInterrupt):
        run(built_folder, folder, ["non-interactive"], Stops(), supervised=False)
    own = Path("runs") / "emulation" / "non-interactive" / "seed-0"
    assert (folder / own / "checkpoint.safetensors").exists()
    run(built_folder, folder, ["non-interactive"], supervised=False)
    for name in ("emulation/non-interactive/seed-0", "downstream/non-interactive/task/frozen/seed-0"):
        assert records(folder)[name]["metrics"] == records(results)[name]["metrics"]
    curves = [json.loads((place / own / "curve.json").read_text()) for place in (folder, results)]
    assert curves[0]["loss"] == curves[1]["loss"]
    assert curves[0]["validation_loss"] == curves[1]["validation_loss"]


def test_results_of_another_configuration_or_zoo_are_left_alone(
    built_folder: Path, digit_folder: Path, results: Path, tmp_path: Path
) -> None:
    before = (results / "runs.jsonl").read_bytes()
    with pytest.raises(UsageError, match=r"emulation\.steps=6, but this run has 7.*Finished runs are kept"):
        run(built_folder, results, ["constant"], fields={"emulation.steps": 7})
    with pytest.raises(UsageError, match=r"encoders\.non-interactive\.probes=2, but this run has 3"):
        run(built_folder, results, ["constant"], fields={"encoders.non-interactive.probes": 3})
    with pytest.raises(UsageError, match="holds results on another zoo"):
        run(digit_folder, results, ["constant"])
    assert (results / "runs.jsonl").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds files that are no benchmark results"):
        run(built_folder, tmp_path / "mine", ["constant"])


class WrongShape(Encoder):
    def forward(self, rows: Rows) -> Tensor:
        return rows.weights[:, :3]


class NotANumber(Encoder):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.weight = torch.nn.Parameter(torch.zeros(16))

    def forward(self, rows: Rows) -> Tensor:
        return (self.weight / 0).expand(len(rows), -1)


class Raises(NotANumber):
    def forward(self, rows: Rows) -> Tensor:
        raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        ("WrongShape", r"returned shape \(4, 3\) for 4 networks"),
        ("NotANumber", "returned NaN or infinity"),
        ("Raises", "ValueError: no such thing"),
    ],
)
def test_a_faulty_encoder_fails_alone(built_folder: Path, tmp_path: Path, encoder: str, reason: str) -> None:
    outcome = run(built_folder, tmp_path / "results", [f"{__name__}:{encoder}", "constant"], supervised=False)
    assert outcome.runs == 3
    ((name, why),) = outcome.failures.items()
    assert name == f"emulation/{__name__}_{encoder}/seed-0"
    assert re.search(reason, why)


@pytest.mark.parametrize(
    ("fields", "encoders", "options", "message"),
    [
        ({"emulation.step": 5}, ["constant"], {}, "There is no field 'emulation.step'"),
        ({"emulation.steps": 0}, ["constant"], {}, "steps=0 is impossible"),
        ({"emulation.loss": "l2"}, ["constant"], {}, "loss='l2' is impossible"),
        ({"downstream.frozen_steps": 0}, ["constant"], {}, r"downstream\.frozen_steps=0 is impossible"),
        ({}, ["nobody"], {}, "There is no encoder named 'nobody'"),
        ({}, ["constant"], {"properties": ["angle"]}, "formal-languages has no property 'angle'"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(
    built_folder: Path, tmp_path: Path, fields: dict[str, Any], encoders: list[str], options: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(built_folder, tmp_path / "results", encoders, fields=fields, **options)
    assert not (tmp_path / "results").exists()


def test_a_damaged_record_is_named(built_folder: Path, tmp_path: Path) -> None:
    run(built_folder, tmp_path / "results", ["constant"], properties=["accuracy"])
    record = tmp_path / "results" / "runs" / "emulation" / "constant" / "seed-0" / "record.json"
    record.write_text(record.read_text()[:50])
    with pytest.raises(RnnzooError, match=r"emulation/constant/seed-0/record\.json is damaged"):
        run(built_folder, tmp_path / "results", ["constant"], properties=["accuracy"])


def test_smnist_has_properties_of_its_own(digit_folder: Path, tmp_path: Path) -> None:
    fields = {"encoders.interactive.probes": 1, "encoders.interactive.steps": 3, "encoders.interactive.core_size": 4}
    outcome = run(digit_folder, tmp_path / "results", ["interactive"], fields=fields)
    assert outcome.failures == {}
    found = records(tmp_path / "results")
    for asked, metric in (("angle", "degrees"), ("accuracy", "mse"), ("step", "correct"), ("generalization_gap", "r2")):
        for mode in ("frozen", "supervised"):
            assert metric in found[run_name("downstream", "interactive", 0, asked, mode)]["metrics"]["validation"]


@pytest.mark.slow
def test_the_command_runs_on_worker_processes(built_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rnnzoo", "eval", str(built_folder), "--encoders", "constant,statistics"]
    command += ["--seeds", "4-4", "--workers", "2", "--out", str(tmp_path / "results"), "--no-supervised"]
    for name, value in SMALL.items():
        command += ["--set", f"{name}={value}"]
    first = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert "6 runs, 6 of them new" in first.stdout
    assert (tmp_path / "results" / "report.html").exists()
    assert set(records(tmp_path / "results")) >= {"emulation/statistics/seed-4", "emulation/constant/seed-4"}
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert "6 runs, 0 of them new" in again.stdout
    wrong = subprocess.run([*command, "--seeds", "x"], capture_output=True, text=True, timeout=240)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


def test_the_page_names_the_profiles_as_they_are() -> None:
    page = (Path(__file__).parents[1] / "docs" / "benchmark.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == ["quick", "standard", "paper"]
    for name, steps, networks, rate, emulator, enters, supervised in rows:
        config = BenchmarkConfig.of_profile(name.strip("`"))
        assert f"{config.emulation.steps:,}" == steps
        assert config.emulation.rows_per_step == int(networks)
        assert config.emulation.learning_rate == float(rate)
        assert f"{config.emulation.layers} x {config.emulation.hidden_size}" == emulator
        assert f"{config.emulation.z_enters} input" == enters
        assert f"{config.downstream.supervised_steps:,}" == supervised


def test_a_second_evaluation_of_the_folder_is_refused(built_folder: Path, results: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(results, tmp_path / "copy"))
    before = (copy / "runs.jsonl").read_bytes()

    class Second(Silent):
        def begin(self, jobs: Sequence[Job], steps: Sequence[int], finished_runs: int) -> None:
            with pytest.raises(UsageError, match=rf"Another eval \(process {os.getpid()} on .*\) is writing to"):
                run(built_folder, copy, ["flat"])
            assert (copy / "runs.jsonl").read_bytes() == before

    outcome = run(built_folder, copy, ["constant"], Second(), seeds=[2])
    assert outcome.new_runs == 3
    assert not (copy / ".lock").exists()


def test_results_without_their_records_are_not_replaced(built_folder: Path, results: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(results, tmp_path / "copy", ignore=shutil.ignore_patterns("runs")))
    before = (copy / "runs.jsonl").read_bytes()
    with pytest.raises(UsageError, match="without their records"):
        run(built_folder, copy, ["flat"])
    assert (copy / "runs.jsonl").read_bytes() == before
