"""Every snippet and command of the README and the docs runs; the tables say what the code says."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from shared_work import made_once, shared_folder
from test_benchmark import here

import rnnzoo.benchmark.evaluation
from rnnzoo.cli.main import cli
from rnnzoo.format.manifest import read_manifest
from rnnzoo.generation.building.build import build
from rnnzoo.generation.kinds import find_recipe, published_recipes
from rnnzoo.generation.recipes import Recipe

ROOT = Path(__file__).resolve().parent.parent
SHORTENED = {"build": ["--dry-run"], "eval": ["--seeds", "1", "--set", "downstream.frozen_steps=20"]}
ELSEWHERE = {"publishing.md"}
"""Pages that a test of their own runs."""
DOCS = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in ELSEWHERE)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
NAMES = [page.name for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    """Fenced text of a language; blocks that have a name run elsewhere."""
    fenced = re.findall(r"^```(\w*)( [^\n]+)?\n(.*?)^```$", page.read_text(), flags=re.M | re.S)
    return [text for found, name, text in fenced if found == language and not name]


@pytest.fixture(scope="session")
def demo_zoos(tmp_path_factory: pytest.TempPathFactory, small_recipe: Recipe, digit_recipe: Recipe) -> dict[str, Path]:
    """The zoos that `make demo` builds, of fewer networks: by recipe, not to be changed."""
    zoos, folder = {}, shared_folder(tmp_path_factory) / "demo"
    folder.mkdir(exist_ok=True)
    for few in (small_recipe, digit_recipe):
        recipe = few.override({"snapshots": find_recipe(few.zoo, "tiny").snapshots})
        make = functools.partial(build, recipe, engine="auto")
        zoos[few.zoo] = made_once(folder / few.zoo, make)
    return zoos


@pytest.fixture
def demo_folder(demo_zoos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which the demo's zoos lie where the README says."""
    (tmp_path / "demo").mkdir()
    for name, zoo in demo_zoos.items():
        (tmp_path / "demo" / name).symlink_to(zoo)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_snippets_run(page: Path, demo_folder: Path) -> None:
    for snippet in blocks(page, "python"):
        exec(compile(snippet, page.name, "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_run(page: Path, demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds are planned, not trained, encoders are compared here and with one seed; all else runs as written."""
    monkeypatch.setattr(rnnzoo.benchmark.evaluation, "find_executor", lambda *_: here)
    for line in "\n".join(blocks(page, "")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["rnnzoo"]:
            result = CliRunner().invoke(cli, words[1:] + SHORTENED.get(words[1], []), catch_exceptions=False)
            assert result.exit_code == 0, (line, result.output)
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.M), line


def test_the_demo_and_the_checks_are_run_by_ci() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    for target in ("make check", "make demo", "make test"):
        assert target in text
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_readmes_table_of_scales_is_the_recipes() -> None:
    text = (ROOT / "README.md").read_text()
    for scales in published_recipes().values():
        for scale, recipe in scales.items():
            assert re.search(rf"`{scale}`[^|]*\| {recipe.models:,} \| {recipe.protocol.steps:,} \|", text)
    steps = re.findall(r"\d+", "".join(re.findall(r"^\| `\w+`[^|]*\|[^|]*\|[^|]*\|([^|]*)\|", text, flags=re.M)))
    assert tuple(map(int, steps)) == find_recipe("formal-languages", "paper").snapshots


def test_the_formats_tables_are_the_schema(built_folder: Path, digit_folder: Path) -> None:
    text = (ROOT / "docs" / "format.md").read_text()
    for folder in (built_folder, digit_folder):
        manifest = read_manifest(folder)
        (section,) = re.findall(rf"^### {manifest.zoo}$(.*?)^##", text, flags=re.M | re.S)
        listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, flags=re.M)
        assert listed == [(column.name, column.dtype) for column in manifest.columns]


def test_the_slurm_script_is_sound_bash() -> None:
    script = ROOT / "docs" / "slurm.sh"
    checked = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    (recipe,) = blocks(ROOT / "docs" / "clusters.md", "sh")
    assert recipe.strip() in script.read_text()
