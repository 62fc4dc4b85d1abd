"""What other machines need to train units, and units at a URL."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.building.plan import Plan
from rnnzoo.generation.building.remote_units import open_remote_task, remote_work
from rnnzoo.generation.building.unit_store import UnitStore
from rnnzoo.generation.building.units import open_session, unit_path
from rnnzoo.generation.recipes import Recipe


@pytest.fixture(scope="module")
def plan(small_recipe: Recipe) -> Plan:
    fields = {"models": 4, "snapshots": (0, 2), "rollouts.evaluated": 4, "rollouts.recorded": 2}
    return Plan(small_recipe.override(fields), "reference", "hub", 2)


@pytest.fixture(scope="module")
def trained(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    session = open_session(folder, plan)
    for unit in plan.units:
        session.train(unit, lambda done, loss: None)
    return folder


def test_units_come_back_as_they_were_sent(plan: Plan, trained: Path, tmp_path: Path) -> None:
    store = UnitStore(f"file://{tmp_path / 'store'}", plan)
    first, second = plan.units
    assert not store.whole(first)
    store.send(first, trained)
    assert store.whole(first)
    assert not store.whole(second)
    store.fetch(first, tmp_path / "out")
    assert unit_path(tmp_path / "out", first).read_bytes() == unit_path(trained, first).read_bytes()
    with pytest.raises(RnnzooError, match="is gone"):
        store.fetch(second, tmp_path / "out")
    store.remove()
    assert not store.whole(first)


def test_a_unit_cut_short_or_altered_at_the_url_is_not_taken(plan: Plan, trained: Path, tmp_path: Path) -> None:
    store, unit = UnitStore(f"file://{tmp_path / 'store'}", plan), plan.units[0]
    store.send(unit, trained)
    (sent,) = (tmp_path / "store").rglob("*.h5")
    data = sent.read_bytes()
    sent.write_bytes(data[:-1])
    assert not store.whole(unit)
    sent.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert store.whole(unit)
    with pytest.raises(RnnzooError, match="was altered"):
        store.fetch(unit, tmp_path / "out")
    sent.with_suffix(".json").write_text("{")
    assert not store.whole(unit)


def test_other_recipes_and_engines_do_not_meet(plan: Plan, trained: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'store'}"
    UnitStore(url, plan).send(plan.units[0], trained)
    other = Plan(plan.recipe.override({"seed": 1}), plan.engine, plan.source, plan.models_per_unit)
    assert not UnitStore(url, other).whole(plan.units[0])
    assert not UnitStore(url, Plan(plan.recipe, "numba", "hub", 2)).whole(plan.units[0])


@pytest.mark.parametrize(("url", "message"), [("memory://units", "memory of one process"), ("nosuch://x", "nosuch")])
def test_urls_that_cannot_work(plan: Plan, url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        UnitStore(url, plan)


def test_a_machine_that_does_not_see_the_build_says_so(plan: Plan, tmp_path: Path) -> None:
    work = remote_work(tmp_path, plan, None)
    with pytest.raises(UsageError, match="does not see the build"):
        work.open()
    plan.write(tmp_path)
    work.open()({"start": 0, "stop": 2}, lambda done, loss: None)
    assert unit_path(tmp_path, plan.units[0]).exists()


def test_a_machine_with_other_versions_refuses(plan: Plan, tmp_path: Path) -> None:
    plan.write(tmp_path)
    data = json.loads(remote_work(tmp_path, plan, None).argument)
    data["versions"]["numpy"] = "1.0"
    with pytest.raises(UsageError, match=r"has numpy .*, the machine that builds has 1\.0"):
        open_remote_task(json.dumps(data))


def one_line(*options: str) -> str:
    result = CliRunner().invoke(cli, ["build", "formal-languages", "--scale", "tiny", *options])
    assert result.exit_code == 2 or isinstance(result.exception, UsageError)
    return str(result.exception)


def test_without_ray_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    message = one_line("--ray", "auto", "--engine", "reference", "--out", str(tmp_path / "zoo"))
    assert "pip install 'rnnzoo[cluster]'" in message


def test_an_address_where_nobody_answers(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    options = ["--engine", "reference", "--out", str(tmp_path / "zoo")]
    assert "No Ray cluster answers at 127.0.0.1:9" in one_line("--ray", "127.0.0.1:9", *options)
    assert "No Ray cluster answers at nonsense" in one_line("--ray", "nonsense", *options)


def test_units_without_ray_are_refused(tmp_path: Path) -> None:
    assert "--units is for --ray" in one_line("--units", "file:///x", "--out", str(tmp_path / "zoo"))
