from __future__ import annotations

import json
import math
from importlib.machinery import ModuleSpec
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from interrupted_builds import contents

from rnnzoo.cli.main import cli
from rnnzoo.generation.building import estimate as build_estimate
from rnnzoo.generation.building import training_speed
from rnnzoo.generation.building.build import build
from rnnzoo.generation.building.crews import RayCluster, ThisProcess, WorkerProcesses
from rnnzoo.generation.building.estimate import Estimate, ask_about, session_on_made_up_data
from rnnzoo.generation.building.training_speed import Speed, measure_speed
from rnnzoo.generation.kinds import find_producer, find_recipe, smnist
from rnnzoo.generation.kinds.smnist import load_digits, made_up_digits
from rnnzoo.generation.recipes import Recipe

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
MILLISECOND = Speed(threads=1, setup=0.0, step=0.001, example=0.0)


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (build_estimate, training_speed):
        monkeypatch.setattr(module, "usable_cores", lambda: 4)


def estimate(
    engine: str = "reference", crew: object = None, missing: int | None = None, speed: Speed | None = MILLISECOND
) -> Estimate:
    recipe = find_recipe("formal-languages", "paper")
    session = session_on_made_up_data(recipe, Path("zoo"), engine)
    smaller = {scale: find_recipe("formal-languages", scale) for scale in ("small", "tiny")}
    return Estimate(session, crew or ThisProcess(), missing or recipe.models, smaller, speed)


def test_networks_take_turns_on_threads_and_units_on_processes() -> None:
    recipe = find_recipe("formal-languages", "tiny").override({"models": 40})
    two_threads = Speed(threads=2, setup=1.0, step=0.01, example=0.002)
    network = 1 + 0.01 * 1000 + 0.002 * 5 * 100
    assert two_threads.seconds(recipe, 100, 40, 16, 1) == pytest.approx(network * (8 + 8 + 4))
    assert two_threads.seconds(recipe, 100, 40, 16, 2) == pytest.approx(network * (8 + 4))
    assert two_threads.seconds(recipe, 100, 40, 16, 4) == pytest.approx(network * 8 * 2)
    a_gpu = Speed(threads=None, setup=1.0, step=0.01, example=0.002)
    assert a_gpu.seconds(recipe, 100, 40, 16, 1) == pytest.approx(network * 3)


@given(st.integers(1, 3000), st.integers(1, 64), st.integers(1, 8))
def test_no_build_takes_less_than_its_networks_on_all_threads(
    models: int, models_per_unit: int, processes: int
) -> None:
    recipe = find_recipe("formal-languages", "tiny")
    seconds = MILLISECOND.seconds(recipe, 1000, models, models_per_unit, processes)
    assert seconds >= math.ceil(models / min(processes, 4)) * (1 - 1e-9)
    assert seconds <= models + 1e-9


@pytest.mark.slow
def test_a_measured_build_is_the_same_build(small_recipe: Recipe, built_folder: Path, tmp_path: Path) -> None:
    told: list[tuple[int, Speed, bool]] = []
    out = tmp_path / "measured"
    before = lambda session, models: told.append((models, measure_speed(session), out.exists()))  # noqa: E731
    build(small_recipe, out, "reference", before=before)
    ((models, speed, written),) = told
    assert models == small_recipe.models
    assert not written
    assert min(speed.setup, speed.step, speed.example) > 0
    assert contents(out) == contents(built_folder)


def test_what_is_not_agreed_to_writes_nothing(small_recipe: Recipe, tmp_path: Path) -> None:
    def refuse(session: object, models: int) -> None:
        raise click.Abort

    with pytest.raises(click.Abort):
        build(small_recipe, tmp_path / "refused", "reference", before=refuse)
    assert not (tmp_path / "refused").exists()


def test_a_build_says_what_it_takes_and_what_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_estimate, "find_spec", lambda name: None)
    first, second, third = estimate().lines
    assert first == "formal-languages: 1,000 networks of 20,000 steps, 9,000 rows, at most 976.4 MB."
    assert second.startswith("About 5 h 33 min, by what the reference engine just took on ")
    assert third == (
        "Faster: with numba (pip install 'rnnzoo[build]'): about 6 min; --workers 4: about 1 h 25 min; "
        "--scale small: about 9 min; --scale tiny: about 16 s."
    )
    (_, line, third) = estimate(missing=500).lines
    assert "for the 500 networks that are missing" in line
    assert "numba" not in third
    assert "--workers" not in estimate(crew=WorkerProcesses([{}] * 4)).lines[-1]
    assert "no estimate" in estimate(crew=RayCluster("auto"), speed=None).lines[-1]


def test_numba_is_named_where_it_can_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_estimate, "find_spec", lambda name: ModuleSpec(name, None))
    for engine, named in (("numba", True), ("reference", False)):
        chosen = type("Engine", (), {"name": engine})
        asked = estimate()
        monkeypatch.setattr(build_estimate, "find_engine", lambda name, population, chosen=chosen: (chosen, None))
        assert ("--engine numba" in asked.lines[-1]) is named
        monkeypatch.undo()
        monkeypatch.setattr(build_estimate, "find_spec", lambda name: ModuleSpec(name, None))


@pytest.mark.parametrize(
    ("seconds", "terminal", "agreed", "asked"),
    [(7200, True, False, True), (7200, False, False, False), (7200, True, True, False), (1800, True, False, False)],
)
@pytest.mark.parametrize("answer", [True, False])
def test_a_long_build_asks_on_a_terminal(
    seconds: float, terminal: bool, agreed: bool, asked: bool, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[str] = []
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: terminal)
    monkeypatch.setattr(click, "confirm", lambda text, **options: questions.append(text) or answer)
    speed = Speed(threads=1, setup=seconds / 1000, step=0.0, example=0.0)
    said: list[str] = []
    if asked and not answer:
        with pytest.raises(click.Abort):
            ask_about(estimate(speed=speed), said.append, agreed)
    else:
        ask_about(estimate(speed=speed), said.append, agreed)
    assert bool(questions) is asked
    assert "1,000 networks" in said[0]


def test_a_dry_run_needs_no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smnist, "load_images", lambda tasks, source: pytest.fail("images were loaded"))
    monkeypatch.setattr(build_estimate, "measure_speed", lambda session: MILLISECOND)
    result = CliRunner().invoke(cli, ["build", "smnist", "--engine", "reference", "--dry-run"], catch_exceptions=False)
    assert "About 5 h 33 min" in result.output
    assert "--scale small" in result.output
    result = CliRunner().invoke(cli, ["build", "smnist", "--scale", "tiny", "--engine", "none", "--dry-run"])
    assert "no time estimate: There is no engine 'none'" in result.output


def test_made_up_images_are_as_many_as_those_they_stand_for(digit_recipe: Recipe) -> None:
    made_up, real = made_up_digits(digit_recipe), load_digits(digit_recipe, "sample")
    assert made_up.source.images.shape == real.source.images.shape
    assert made_up.source.images.dtype == real.source.images.dtype
    assert (made_up.training == real.training).all()
    assert len(made_up_digits(find_recipe("smnist", "paper")).source.labels) == 60_000


def test_numbas_speedup_is_the_benchmarks() -> None:
    (path,) = RESULTS.glob("engines-*.json")
    result = json.loads(path.read_text())
    for zoo, task in (("formal-languages", "formal-languages"), ("smnist", "dense tiles")):
        took = {rival["rival"]: rival["ms_per_model_step"] for rival in result["tasks"][task]["rivals"]}
        measured = took["reference engine"] / took["numba engine"] / result["threads"]
        assert find_producer(zoo).numba_speedup == pytest.approx(measured, rel=0.02)
