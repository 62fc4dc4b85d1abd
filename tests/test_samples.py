"""The zoos that come with the package: in its wheel, small, whole, and there without anything else."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

import rnnzoo
from rnnzoo.cli.main import cli
from rnnzoo.errors import UsageError
from rnnzoo.format.verification import verify
from rnnzoo.kinds import kind_names
from rnnzoo.samples import sample_names

ROOT = Path(__file__).parent.parent
MOST_BYTES = 3_000_000
"""All samples together may take so much of the wheel."""

USE = """
import sys
sys.modules["datasets"] = sys.modules["mlxtend"] = sys.modules["huggingface_hub"] = None
import rnnzoo
from rnnzoo.format.verification import verify
from rnnzoo.samples import sample_names
for name in sample_names():
    zoo = rnnzoo.load(name)
    assert zoo.folder.is_relative_to(sys.argv[1]), zoo.folder
    problems = [problem for check in verify(zoo.folder, every_trace=True) for problem in check.problems]
    print(name, len(zoo), zoo.run(zoo[0].recorded_inputs()).shape[0], problems)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is published, of the sources of this checkout."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in ("rnnzoo", "generation", "cards"):
        shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    program = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    built = subprocess.run([sys.executable, "-c", program], cwd=sources, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.mark.slow
def test_an_installed_wheel_has_them_whole_and_writes_nothing_beside_them(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site-packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*install, "--target", str(target), str(wheel)], check=True)
    before = sorted(path for path in target.rglob("*"))
    environment = {**os.environ, "PYTHONPATH": str(target), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", USE, str(target)]
    used = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert used.stdout.splitlines() == ["sample/formal-languages 24 24 []", "sample/smnist 24 24 []"], used.stderr
    assert sorted(path for path in target.rglob("*")) == before


@pytest.mark.slow
def test_they_are_a_small_part_of_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        size = sum(file.compress_size for file in archive.infolist() if file.filename.startswith("rnnzoo/samples/"))
    assert 0 < size <= MOST_BYTES


@pytest.mark.parametrize("name", sample_names())
def test_each_is_sound_and_trained(name: str) -> None:
    zoo = rnnzoo.load(name)
    assert not [problem for check in verify(zoo.folder) for problem in check.problems]
    assert list(zoo.manifest.splits) == ["train", "validation", "ood_test"]
    early, last = (zoo.kind.headline(zoo.at_step(step)).mean() for step in zoo.snapshots)
    assert early < 0.7 < 0.9 < last
    assert name == f"sample/{zoo.manifest.zoo}"


def test_none_lies_where_load_dataset_would_take_it_for_a_zoo_on_the_hub() -> None:
    """In a checkout, `load_dataset("rnnzoo/smnist")` would read a folder of that path."""
    assert not [name for name in kind_names() if (ROOT / "rnnzoo" / name).exists()]


def test_a_folder_of_that_name_comes_first(built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "smnist").symlink_to(built_folder)
    monkeypatch.chdir(tmp_path)
    assert rnnzoo.load("sample/smnist").manifest.zoo == "formal-languages"


def test_samples_that_are_none_are_named_before_the_hub_is_asked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sample/mnist", "sample/", "sample/../samples/smnist", "sample/smnist/data"):
        with pytest.raises(UsageError, match="comes with sample/formal-languages, sample/smnist"):
            rnnzoo.load(name)


def test_the_command_line_lists_and_draws_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "sample/formal-languages, sample/smnist" in CliRunner().invoke(cli, ["list"]).output
    shown = CliRunner().invoke(cli, ["show", "sample/smnist", "--plot", "drawn.png"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_makefile_says_how_they_are_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    monkeypatch.chdir(tmp_path)
    hashes = set()
    for line in re.findall(r"rnnzoo (build .* --out build/samples/\S+)", target):
        planned = CliRunner().invoke(cli, [*shlex.split(line), "--dry-run"], catch_exceptions=False)
        hashes |= set(re.findall(r"recipe hash (\w+)", planned.output))
    assert hashes == {rnnzoo.load(name).manifest.recipe_hash for name in sample_names()}
