"""Real processes, killed, starved and interrupted: nothing whole is lost, and the zoo comes out the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interrupted_builds import BUILD, Collector, contents, wait_until

from rnnzoo.format.verification import verify
from rnnzoo.generation.building import plan as plan_module
from rnnzoo.generation.building.build import build
from rnnzoo.generation.building.crews import WorkerProcesses, train_in_processes
from rnnzoo.generation.building.plan import Plan, unit_folder
from rnnzoo.generation.recipes import Recipe
from rnnzoo.jobs.processes import cpu_environments, gpu_environments

KILLS = int(os.environ.get("RNNZOO_KILLS", "4"))
"""Random moments at which a worker or the whole build is killed."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds worker processes through /proc"),
]


def start(out: Path, *options: str, gate: Path | None = None) -> subprocess.Popen[str]:
    """A build in its own process; with a gate, it stands still after its first unit for as long as that file exists."""
    environment = {**os.environ, "GATE": str(gate or "")}
    if gate:
        gate.touch()
    command = [
        sys.executable, "-c", BUILD, "formal-languages", "--scale", "tiny", "--models", "14", "--snapshots", "0,25",
        "--set", "rollouts.evaluated=8", "--set", "rollouts.recorded=3", "--engine", "reference", "--out", str(out),
        *options,
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def children(process: subprocess.Popen[str]) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def whole_units(out: Path) -> dict[str, tuple[int, int]]:
    """Identity of every finished unit's sidecar: it changes if the unit is trained again."""
    found = {}
    for path in unit_folder(out).glob("*.json"):
        status = path.stat()
        found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def test_random_kills_cost_nothing_that_was_whole(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """Zoos are built, and builds killed, until there were enough kills."""
    generator = random.Random(5)
    kills = zoos = 0
    while kills < KILLS:
        out = tmp_path / f"zoo-{zoos}"
        zoos += 1
        seen: dict[str, tuple[int, int]] = {}
        while not (out / "manifest.json").exists():
            process = start(out, "--workers", "2")
            while process.poll() is None and kills < KILLS:
                kills += kill_at_a_random_moment(process, generator)
                now = whole_units(out)
                assert seen.items() <= now.items() or not now
                seen |= now
            _, errors = process.communicate(timeout=240)
            assert process.returncode in (0, 1, -signal.SIGKILL), errors
            assert "Traceback" not in errors, errors
        assert contents(out) == undisturbed
        assert [p for check in verify(out, every_trace=True) for p in check.problems] == []
        assert not list(out.rglob("*.partial"))


def kill_at_a_random_moment(process: subprocess.Popen[str], generator: random.Random) -> int:
    """Kill a worker or the whole build some time within the next seconds; 0 if it ended before that."""
    wait_until(lambda: children(process), process)
    moment = time.monotonic() + generator.random() * 3
    wait_until(lambda: time.monotonic() > moment, process)
    victims = children(process)
    if not victims or process.poll() is not None:
        return 0
    try:
        os.kill(process.pid if generator.random() < 0.4 else generator.choice(victims), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def test_workers_end_with_a_killed_build(fourteen_models: Recipe, tmp_path: Path) -> None:
    process = start(tmp_path / "zoo", "--workers", "2")
    wait_until(lambda: len(children(process)) == 2, process)
    workers = children(process)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(is_running(pid) for pid in workers))
    assert not any(is_running(pid) for pid in workers)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_ctrl_c_stops_cleanly(
    fourteen_models: Recipe, undisturbed: dict[str, bytes], tmp_path: Path, options: tuple[str, ...]
) -> None:
    out = tmp_path / "zoo"
    process = start(out, *options, gate=tmp_path / "gate")
    # Elsewhere the signal could fall into a callback, where Python drops exceptions.
    wait_until((tmp_path / "gate-reached").exists, process)
    workers = children(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "give the same command again to go on" in errors
    assert "Traceback" not in errors
    assert not any(is_running(pid) for pid in workers)
    before = whole_units(out)
    again = start(out, *options)
    _, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert f"Going on from {2 * len(before)} of 14 models" in errors
    assert contents(out) == undisturbed


def test_a_second_build_refuses_while_the_first_works(tmp_path: Path) -> None:
    out = tmp_path / "zoo"
    gate = tmp_path / "gate"
    first = start(out, gate=gate)
    wait_until(lambda: whole_units(out), first)
    second = start(out)
    _, errors = second.communicate(timeout=240)
    assert second.returncode == 2
    assert f"Another build (process {first.pid} on {socket.gethostname()}) is writing to" in errors
    gate.unlink()
    first.communicate(timeout=240)
    assert first.returncode == 0


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_disk_that_fills_up_while_building(
    small_disk: Path, undisturbed: dict[str, bytes], tmp_path: Path, options: tuple[str, ...]
) -> None:
    out, gate = small_disk / "zoo", tmp_path / "gate"
    process = start(out, *options, gate=gate)
    wait_until(lambda: whole_units(out), process)
    ballast = small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    gate.unlink()
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "The disk is full" in " ".join(errors.split())
    assert "Traceback" not in errors
    before = whole_units(out)
    assert before
    ballast.unlink()
    again = start(out, *options)
    _, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert contents(out) == undisturbed


def test_workers_and_units_do_not_change_the_zoo(
    fourteen_models: Recipe, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "MODELS_PER_UNIT", 3)
    build(fourteen_models, tmp_path / "zoo", "reference", crew=WorkerProcesses(cpu_environments(2)))
    assert contents(tmp_path / "zoo") == undisturbed


def test_a_unit_that_always_fails_is_given_up_and_the_rest_goes_on(fourteen_models: Recipe, tmp_path: Path) -> None:
    """The unit's file name is taken by a folder that cannot be replaced, so writing it fails every time."""
    plan = Plan(fourteen_models.override({"models": 6}), "reference", "hub", 2)
    plan.write(tmp_path)
    (unit_folder(tmp_path) / "models-00000002-00000004.h5" / "obstacle").mkdir(parents=True)
    reporter = Collector()
    failed = train_in_processes(tmp_path, plan.units, [{}], reporter)
    assert [f.job.payload for f in failed] == [{"start": 2, "stop": 4}]
    assert reporter.models == 4
    assert "Traceback" in Path(failed[0].log).read_text()
    assert any("for the last of 3 times" in message for message in reporter.messages)


def test_more_gpus_than_there_are_is_one_clear_line(tmp_path: Path) -> None:
    import torch

    if torch.cuda.device_count() >= 64:
        pytest.skip("this machine has 64 GPUs")
    with pytest.raises(Exception, match="--gpus 64 was asked for"):
        gpu_environments(64)
    process = start(tmp_path / "zoo", "--gpus", "64")
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 2
    assert len(errors.strip().splitlines()) == 1
