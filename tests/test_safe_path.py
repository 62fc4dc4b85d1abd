"""In the folder of a downloaded zoo lie modules with the names of ours; none of them is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnzoo.jobs.processes import Work, run_in_processes
from rnnzoo.jobs.queue import Job
from rnnzoo.jobs.ray_cluster import run_on_ray

NAMES = ("h5py", "numpy", "torch", "click", "rich", "json", "ray", "sitecustomize")
OPENER = """
import subprocess, sys
from pathlib import Path

def open_task(argument):
    def task(payload, progress):
        import h5py, numpy
        asked = [sys.executable, "-c", "import h5py; print(h5py.__file__)"]
        grandchild = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        Path(argument).write_text("\\n".join([h5py.__file__, numpy.__file__, grandchild]))

    return task
"""


class Silent:
    def progress(self, job: Job, done: int, value: float) -> None:
        pass

    def finished(self, job: Job) -> None:
        pass

    def message(self, text: str) -> None:
        pass


@pytest.fixture
def strangers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose modules leave a mark when they are imported."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text("open('imported', 'w').close(); raise SystemExit('imported')")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("entries", ["", os.pathsep])
def test_worker_processes_and_theirs_import_from_named_folders_alone(
    strangers_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: str
) -> None:
    """An empty entry of PYTHONPATH names the current folder, and comes from adding to a variable that was not set."""
    named = tmp_path / "named"
    named.mkdir()
    (named / "own_tasks.py").write_text(OPENER)
    monkeypatch.setenv("PYTHONPATH", f"{entries}{named}")
    work = Work("own_tasks:open_task", str(tmp_path / "found"))
    assert run_in_processes(work, [Job("one", {})], [{}], tmp_path / "logs", Silent()) == []
    for line in (tmp_path / "found").read_text().splitlines():
        assert not Path(line).is_relative_to(strangers_folder)
    assert not (strangers_folder / "imported").exists()


def test_the_command_line_does_not_import_them(strangers_folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "rnnzoo", "list"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (strangers_folder / "imported").exists()


def test_workers_of_ray_are_not_told_of_the_folder(strangers_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray adds the folder that is current when it connects to the path of all workers."""
    ray = pytest.importorskip("ray")
    told = []

    def connect(**options: object) -> None:
        told.append(Path.cwd())
        raise RuntimeError("enough")

    monkeypatch.setattr(ray, "init", connect)
    with pytest.raises(Exception, match="enough"):
        run_on_ray(
            Work("rnnzoo.generation.building.units:open_task", ""), [], "auto", strangers_folder / "logs", Silent()
        )
    assert told == [Path(os.sep)]
    assert Path.cwd() == strangers_folder
