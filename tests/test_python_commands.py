"""`rnnzoo.build` and `rnnzoo.evaluate` are the commands of these names."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_benchmark import SMALL, here

import rnnzoo
import rnnzoo.benchmark.evaluation
from rnnzoo.cli.eval_commands import eval_command
from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.build_request import request_build
from rnnzoo.generation.cli.build_commands import build_command
from rnnzoo.jobs.processes import Work
from rnnzoo.jobs.queue import FailedJob, Job, Listener
from rnnzoo.zoo.zoo import Zoo

pytestmark = pytest.mark.slow

SIZE: dict[str, Any] = {"models": 3, "snapshots": [0, 5], "seed": 9, "hidden_size": 4, "layers": 1, "batch_size": 8}


def test_build_is_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fields = {"rollouts.evaluated": 6, "rollouts.recorded": 2}
    zoo = rnnzoo.build("formal-languages", "tiny", tmp_path / "python", **SIZE, fields=fields, engine="reference")
    assert "formal-languages: 3 networks of 5 steps" in capfd.readouterr().err
    assert (len(zoo), zoo.folder) == (6, tmp_path / "python")
    words = [
        "build",
        "formal-languages",
        "--scale",
        "tiny",
        "--out",
        str(tmp_path / "command"),
        "--engine",
        "reference",
    ]
    words += [word for name, value in SIZE.items() for word in (f"--{name.replace('_', '-')}", str(value).strip("[]"))]
    words += [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]
    done = CliRunner().invoke(cli, [word.replace(", ", ",") for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    same = rnnzoo.load(tmp_path / "command")
    assert same.manifest.recipe_hash == zoo.manifest.recipe_hash
    assert [file.sha256 for file in same.manifest.files] == [file.sha256 for file in zoo.manifest.files]
    again = rnnzoo.build("formal-languages", "tiny", zoo.folder, **SIZE, fields=fields, progress=False)
    assert again.manifest.provenance == zoo.manifest.provenance


def test_kinds_options_are_keywords() -> None:
    request = request_build("smnist", "tiny", None, {"mnist": "sample", "dataset": None}, {}, "auto", None)
    assert (request.source, request.recipe.tasks.images) == ("sample", "sample")
    assert request.folder == Path("zoos/smnist-tiny")
    assert list(request_build("smnist", "paper", None, {"seed": 3}, {}, "auto", 2).smaller()) == ["small", "tiny"]
    assert request_build("smnist", "paper", None, {}, {}, "auto", 2).engine == "cuda"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"zoo": "mnist"}, "no recipe for a zoo named 'mnist'"),
        ({"scale": "huge"}, "no scale 'huge'"),
        ({"models": 0}, "models=0"),
        ({"models": "many"}, "Recipe field models"),
        ({"steps": 7}, r"protocol\.steps=7"),
        ({"fields": {"tasks.n": 1}}, "'tasks.n' is no field"),
        ({"engine": "abacus"}, "abacus"),
        ({"mnist": "sample"}, "formal-languages has no option --mnist"),
        ({"minst": "sample"}, "no option 'minst'"),
        ({"gpus": 1, "workers": 1}, "--gpus"),
        ({"units": "s3://there"}, "--ray"),
    ],
)
def test_build_refuses_what_the_command_refuses(options: dict[str, Any], named: str, tmp_path: Path) -> None:
    whole = {"zoo": "formal-languages", "scale": "tiny", "out": tmp_path / "new", "progress": False} | options
    with pytest.raises(UsageError, match=named):
        rnnzoo.build(**whole)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("function", "command", "renamed"),
    [
        (rnnzoo.build, build_command, {"assignments": "fields", "yes": None, "dry_run": None}),
        (
            rnnzoo.evaluate,
            eval_command,
            {"assignments": "settings", "own_encoders": None, "no_supervised": "supervised"},
        ),
    ],
)
def test_functions_have_every_option_of_the_commands(function: Any, command: Any, renamed: dict[str, Any]) -> None:
    """And the same defaults."""
    parameters = inspect.signature(function).parameters
    for option in command.params:
        name = renamed.get(option.name, option.name)
        if name is not None:
            assert name in parameters, option.name
            if name in ("scale", "engine", "profile", "encoders", "seeds"):
                assert str(parameters[name].default) == option.default
    spoken_of = inspect.getdoc(function)
    assert spoken_of is not None
    assert all(f"{name}: " in spoken_of for name in parameters)


def test_evaluate_is_the_command(built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnnzoo.benchmark.evaluation, "find_executor", lambda *_: here)
    chosen: dict[str, Any] = {"seeds": [4], "settings": SMALL, "properties": ["accuracy"], "supervised": False}
    outcome = rnnzoo.evaluate(built_folder, ["flat"], **chosen, out=tmp_path / "python")
    assert (outcome.runs, outcome.failures) == (outcome.new_runs, {})
    assert (outcome.folder / "report.html").is_file()
    words = ["eval", str(built_folder), "--encoders", "flat", "--seeds", "4-4", "--properties", "accuracy"]
    words += ["--no-supervised", "--out", str(tmp_path / "command")]
    words += [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    python, command = (
        [json.loads(line) for line in (tmp_path / name / "runs.jsonl").read_text().splitlines()]
        for name in ("python", "command")
    )
    assert [line["run"] for line in python] == ["downstream/flat/accuracy/frozen/seed-4", "emulation/flat/seed-4"]
    for name in ("run", "config", "zoo", "metrics"):
        assert [line[name] for line in python] == [line[name] for line in command]
    assert rnnzoo.evaluate(built_folder, ["flat"], **chosen, out=tmp_path / "python").new_runs == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seeds": 0}, "seeds=0"),
        ({"seeds": [-1]}, "seeds="),
        ({"encoders": "nothing"}, "nothing"),
        ({"profile": "slow"}, "slow"),
        ({"settings": {"emulation.stepz": 1}}, "stepz"),
        ({"properties": ["colour"]}, "colour"),
        ({"zoo": "sample/none"}, "no sample"),
        ({"gpus": 1, "workers": 1}, "--gpus"),
    ],
)
def test_evaluate_refuses_what_the_command_refuses(options: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=named):
        rnnzoo.evaluate(**({"zoo": "sample/formal-languages", "encoders": "flat", "out": tmp_path / "new"} | options))
    assert not (tmp_path / "new" / "plan.json").exists()


def test_an_open_zoo_is_evaluated_whole_or_not_at_all(zoo: Zoo, tmp_path: Path) -> None:
    for part in (zoo.at_step(20), zoo[::-1], rnnzoo.concatenate([zoo])):
        with pytest.raises(UsageError, match="whole zoo"):
            rnnzoo.evaluate(part, ["flat"], out=tmp_path / "new")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_jobs_that_fail_are_an_error_unless_told_otherwise(
    built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(work: Work, jobs: Sequence[Job], log_folder: Path, listener: Listener) -> list[FailedJob]:
        return [FailedJob(job, str(log_folder / "worker.log")) for job in jobs]

    monkeypatch.setattr(rnnzoo.benchmark.evaluation, "find_executor", lambda *_: give_up)
    options: dict[str, Any] = {"encoders": "flat", "seeds": 1, "settings": SMALL, "out": tmp_path / "failed"}
    outcome = rnnzoo.evaluate(rnnzoo.load(built_folder), **options, strict=False)
    assert outcome.runs == 0
    assert outcome.failures
    with pytest.raises(RnnzooError, match=rf"{len(outcome.failures)} job\(s\) failed.*worker\.log"):
        rnnzoo.evaluate(built_folder, **options)
