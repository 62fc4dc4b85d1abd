"""A package outside rnnzoo, the one that docs/adding_a_zoo.md makes, adds a kind of zoo by its entry point alone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from interrupted_builds import BUILD, wait_until

from rnnzoo.zoo.zoo import load

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "adding_a_zoo.md").read_text()
FILES = dict(re.findall(r"^```\w+ (\S+\.\w+)\n(.*?)^```$", PAGE, flags=re.M | re.S))
ALLOWED_LINES = 200


def block(name: str) -> str:
    (found,) = re.findall(rf"^```\w+ {name}\n(.*?)^```$", PAGE, flags=re.M | re.S)
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that has the package, as pip would install it: files, and a list of entry points."""
    site = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    metadata = site / f"delayed_copy-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in announced.items())
        for group, announced in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points))
    return {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200", "RNNZOO_CACHE": "off"}


@pytest.fixture(scope="module")
def folder(installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's commands ran, the first build of which was killed on its way."""
    place = tmp_path_factory.mktemp("work")
    build, *others = block("kind").splitlines()
    gate = place / "gate"
    gate.touch()
    arguments = shlex.split(build)[2:]
    begun = subprocess.Popen(
        [sys.executable, "-c", BUILD, *arguments], cwd=place, env={**installed, "GATE": str(gate)}, text=True
    )
    wait_until(Path(f"{gate}-reached").exists, begun)
    begun.kill()
    begun.wait()
    gate.unlink()
    for line in (build, *others):
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(line)], cwd=place, env=installed, capture_output=True, text=True
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        with open(place / "log", "a") as log:
            log.write(f"{line}\n{done.stdout}{done.stderr}\n")
    return place


def test_the_package_is_small() -> None:
    lines = sum(len(text.splitlines()) for text in FILES.values())
    assert set(FILES) == {"pyproject.toml", "delayed_copy/__init__.py", "delayed_copy/producer.py"}
    assert lines <= ALLOWED_LINES


def test_it_builds_resumes_verifies_shows_and_evaluates(folder: Path) -> None:
    log = (folder / "log").read_text()
    assert re.search(r"Going on from \d+ of 16 models", log)
    assert "as delayed-copy has them" in log
    assert "all 48 rows" in log
    assert "delayed-copy is sound" in log
    assert re.search(r"best: model \d+ at step 200, lag \d, accuracy", log)
    assert (folder / "delayed-copy.png").stat().st_size > 10_000
    results = folder / "results"
    page = next(results.rglob("report.html")).read_text()
    for told in ("lag: correct", "accuracy: mse", "lag 6"):
        assert told in page
    runs = next(results.rglob("runs.jsonl")).read_text()
    assert "emulated_accuracy_gap" in runs


def test_the_pages_snippet_runs(folder: Path, installed: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block("uses")], cwd=folder, env=installed, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "lag" in done.stdout
    assert "'model_id'" in done.stdout


def test_who_lacks_the_package_can_use_the_zoo(folder: Path) -> None:
    zoo = load(folder / "delayed-copy")
    assert not zoo.kind.known
    again = zoo.run(zoo.recorded_inputs())
    assert np.abs(again - zoo["log_probs"].astype(np.float32)).max() < 0.01
    done = subprocess.run(
        [sys.executable, "-m", "rnnzoo", "verify", str(folder / "delayed-copy"), "--all"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no such kind of zoo is installed" in " ".join(done.stdout.split())


def test_it_learns(folder: Path) -> None:
    """Lags are few and networks small: after 200 steps some answer nearly all, at step 0 one of four."""
    zoo = load(folder / "delayed-copy")
    assert zoo.at_step(0)["accuracy"].mean() < 0.35
    assert zoo.at_step(200)["accuracy"].max() > 0.9
