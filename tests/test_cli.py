from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def rnnzoo(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "rnnzoo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=None)


@pytest.fixture(scope="module")
def built_by_command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    options = ["--models", "4", "--snapshots", "0,5", "--hidden-size", "8", "--seed", "3", "--out", "mine"]
    few = ["--set", "rollouts.evaluated=10", "--set", "rollouts.recorded=4", "--engine", "reference"]
    result = rnnzoo("build", "formal-languages", *options, *few, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "4 models, 8 rows" in result.stdout
    return folder / "mine"


def test_build_then_verify_show_and_list(built_by_command: Path) -> None:
    result = rnnzoo("verify", "--all", built_by_command)
    assert result.returncode == 0, result.stdout
    assert "is sound" in result.stdout
    plot = built_by_command.parent / "plot.png"
    result = rnnzoo("show", built_by_command, "--plot", plot)
    assert result.returncode == 0, result.stderr
    assert "LSTM 2 x 8" in result.stdout
    assert "best: model" in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    result = rnnzoo("list", "--folder", built_by_command.parent)
    assert "formal-languages" in result.stdout
    assert "mine" in result.stdout


def test_building_again_does_nothing(built_by_command: Path) -> None:
    options = ["--models", "4", "--snapshots", "0,5", "--hidden-size", "8", "--seed", "3", "--out", built_by_command]
    few = ["--set", "rollouts.evaluated=10", "--set", "rollouts.recorded=4", "--engine", "reference"]
    result = rnnzoo("build", "formal-languages", *options, *few)
    assert result.returncode == 0
    assert "nothing to do" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["build", "chess"], 2, "no recipe for a zoo named 'chess'"),
        (["build", "formal-languages", "--scale", "huge"], 2, "no scale 'huge'"),
        (["build", "formal-languages", "--models", "0"], 2, "models=0 is impossible"),
        (["build", "formal-languages", "--steps", "7"], 2, "protocol.steps=7 is impossible"),
        (["build", "formal-languages", "--snapshots", "a,b"], 2, "0,100,500"),
        (["build", "formal-languages", "--set", "nonsense"], 2, "FIELD=VALUE"),
        (["build", "formal-languages", "--set", "seed=x"], 2, "seed='x' is impossible (Expected `int`"),
        (["build", "formal-languages", "--engine", "quantum"], 2, "no engine 'quantum'"),
        (["verify", "nowhere"], 2, "no zoo 'nowhere'"),
        (["show", "nowhere"], 2, "no zoo 'nowhere'"),
        (["dance"], 2, "No such command"),
    ],
)
def test_bad_requests_get_one_clear_error(arguments: list, code: int, named: str, tmp_path: Path) -> None:
    result = rnnzoo(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert named in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_recipe_in_the_folder_is_refused(built_by_command: Path) -> None:
    result = rnnzoo("build", "formal-languages", "--scale", "tiny", "--out", built_by_command)
    assert result.returncode == 2
    assert "models=4 there and 16 asked for" in result.stderr


def test_verify_fails_with_exit_code_one(built_by_command: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(built_by_command, tmp_path / "copy"))
    shard = next((copy / "data").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1])
    result = rnnzoo("verify", copy)
    assert result.returncode == 1
    assert shard.name in result.stdout
    assert "Traceback" not in result.stderr
    assert rnnzoo("show", built_by_command, "--step", "7").returncode == 2


def test_help_teaches() -> None:
    for arguments, named in ((["--help"], "Start with"), (["build", "--help"], "--snapshots"), (["-h"], "verify")):
        result = rnnzoo(*arguments)
        assert result.returncode == 0
        assert named in result.stdout


def test_imports_stay_light() -> None:
    """Neither the package nor the help page may load the heavy libraries."""
    heavy = "{'torch', 'datasets', 'h5py', 'matplotlib', 'numba', 'huggingface_hub'}"
    code = (
        "import sys, rnnzoo, rnnzoo.cli.main\n"
        "from click.testing import CliRunner\n"
        "for a in (['--help'], ['build', '--help']): assert CliRunner().invoke(rnnzoo.cli.main.cli, a).exit_code == 0\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
    bare = subprocess.run(
        [sys.executable, "-c", "import sys, rnnzoo; print('numpy' in sys.modules)"], capture_output=True, text=True
    )
    assert bare.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "formal-languages", "--gpus", "64"], "--gpus 64 was asked for, but"),
        (["eval", "zoos/mine", "--gpus", "64"], "--gpus 64 was asked for, but"),
        (["build", "formal-languages", "--ray", "auto"], "pip install 'rnnzoo[cluster]'"),
        (["extend", "zoos/mine", "--models", "9", "--ray", "auto"], "pip install 'rnnzoo[cluster]'"),
        (["eval", "zoos/mine", "--ray", "auto"], "pip install 'rnnzoo[cluster]'"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_loaded(arguments: list[str], said: str, tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'ray' else find(name, *rest)\n"
        "from click.testing import CliRunner\n"
        "from rnnzoo.cli.main import cli\n"
        f"result = CliRunner().invoke(cli, {arguments!r})\n"
        "print(type(result.exception).__name__, result.exception, {'torch', 'ray', 'numba'} & set(sys.modules))\n"
    )
    no_gpus = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=no_gpus)
    assert result.stdout.startswith("UsageError"), result.stderr
    assert said in result.stdout
    assert result.stdout.strip().endswith("set()")
    assert list(tmp_path.iterdir()) == []
