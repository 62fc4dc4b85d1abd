"""A real Ray cluster: on this machine, and on two network namespaces one of which is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from interrupted_builds import BUILD, Collector, contents, wait_until
from test_benchmark import SMALL, Silent, here, records

from rnnzoo.benchmark.matrix import BenchmarkConfig
from rnnzoo.benchmark.run import run_benchmark
from rnnzoo.errors import UsageError
from rnnzoo.generation.building.build import build
from rnnzoo.generation.building.crews import RayCluster
from rnnzoo.generation.building.plan import Plan, unit_folder
from rnnzoo.generation.building.units import open_session
from rnnzoo.generation.recipes import Recipe
from rnnzoo.jobs.processes import Work
from rnnzoo.jobs.queue import Job
from rnnzoo.jobs.ray_cluster import run_on_ray

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.whole_machine,
    pytest.mark.skipif(sys.platform != "linux", reason="finds Ray's processes through /proc"),
]

PORT = 46379  # of the network namespaces, where no other program is
HELD_UNITS = """
import json, os, threading
from pathlib import Path
from rnnzoo.generation.building.remote_units import open_remote_task

def open_task(argument):
    train, marker = open_remote_task(argument), Path(os.environ["MARKER"])

    def train_or_hold(payload, progress):
        if "HOLD_UNITS" in os.environ:
            marker.touch()
            threading.Event().wait()
        (Path(json.loads(argument)["out"]) / ".build" / "started").touch()
        while not marker.exists():
            threading.Event().wait(0.01)
        train(payload, progress)

    return train_or_hold

def open_failing(argument):
    def fail(payload, progress):
        progress(1, 0.5)
        if payload["fails"]:
            raise ValueError("this job always fails")
    return fail
"""


class Node:
    """The processes of one Ray node, known by a variable that all of them inherit."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], prefix: list[str]) -> None:
        self.mark = f"RNNZOO_TEST_NODE={name}-{os.getpid()}-{time.monotonic_ns()}"
        variable, _, value = self.mark.partition("=")
        command = [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", *arguments,
                   "--num-cpus=1", "--num-gpus=0", "--disable-usage-stats"]  # fmt: skip
        done = subprocess.run(
            command, env={**os.environ, **environment, variable: value}, capture_output=True, text=True, timeout=240
        )
        if done.returncode:
            self.kill()
        assert done.returncode == 0, done.stdout + done.stderr

    def processes(self) -> list[int]:
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def kill(self) -> None:
        """All at once, as when the power fails."""
        while processes := self.processes():
            for process in processes:
                # It may have ended since.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


def test_a_process_that_ends_by_itself_hinders_no_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    listed = iter([[ended.pid], []])
    node = Node.__new__(Node)
    monkeypatch.setattr(node, "processes", lambda: next(listed))
    node.kill()


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose name is short enough for the sockets Ray puts there."""
    folder = Path(tempfile.mkdtemp(prefix="rz-", dir="/tmp"))
    (folder / "held_units.py").write_text(HELD_UNITS)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def head(address: str, port: int, folder: Path, environment: dict[str, str], prefix: list[str]) -> Node:
    arguments = ["--head", f"--node-ip-address={address}", f"--port={port}", f"--temp-dir={folder}"]
    quick = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}
    quick |= {"PYTHONPATH": str(folder)} | environment
    return Node("head", [*arguments, "--include-dashboard=false"], quick, prefix)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Node]]:
    """A cluster of one node on this machine: its address, and its processes."""
    with short_folder() as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        node = head("127.0.0.1", port, folder, {"MARKER": str(folder / "marker")}, [])
        try:
            yield f"127.0.0.1:{port}", node
        finally:
            node.kill()


@pytest.fixture
def five_models_per_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnzoo.generation.building.plan.MODELS_PER_UNIT", 5)


@pytest.mark.usefixtures("five_models_per_unit")
def test_through_a_shared_folder(
    cluster: tuple[str, Node],
    fourteen_models: Recipe,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    five_models_per_unit: None,
) -> None:
    """A cluster without the GPUs asked for is refused, and nothing is left that hinders the next try."""
    out = tmp_path / "zoo"
    with pytest.raises(UsageError, match=r"--gpus 3 was asked for, but the Ray cluster at .* has no GPUs"):
        build(fourteen_models, out, "cuda", crew=RayCluster(cluster[0], gpus=3))
    build(fourteen_models, out, "reference", crew=RayCluster(cluster[0]))
    assert contents(out) == undisturbed


@pytest.mark.usefixtures("five_models_per_unit")
def test_through_a_url(
    cluster: tuple[str, Node],
    fourteen_models: Recipe,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    five_models_per_unit: None,
) -> None:
    """A unit that an earlier, killed build sent is not trained again; in the end nothing is left at the URL."""
    crew = RayCluster(cluster[0], units=f"file://{tmp_path / 'store'}")
    plan = Plan(fourteen_models, "reference", "hub", 5)
    open_session(tmp_path / "sent", plan).train(plan.units[1], lambda done, loss: None)
    crew.store(plan).send(plan.units[1], tmp_path / "sent")
    (sent,) = (tmp_path / "store").rglob("*.json")
    written = sent.stat().st_mtime_ns
    at_the_end = []

    class Watching(Collector):
        def phase(self, text: str) -> None:
            if text == "fetching units":
                at_the_end.append(sent.stat().st_mtime_ns)

    reporter = Watching()
    build(fourteen_models, tmp_path / "zoo", "reference", reporter, crew=crew)
    assert at_the_end == [written]
    assert reporter.models == 14
    assert contents(tmp_path / "zoo") == undisturbed
    assert not list((tmp_path / "store").rglob("*.*"))


def test_a_job_that_always_fails_is_given_up_and_the_rest_goes_on(cluster: tuple[str, Node], tmp_path: Path) -> None:
    listener = Listener()
    jobs = [Job(name, {"fails": name == "the bad one"}) for name in ("first", "the bad one", "last")]
    failed = run_on_ray(Work("held_units:open_failing", ""), jobs, cluster[0], tmp_path, listener)
    assert [f.job.name for f in failed] == ["the bad one"]
    assert sorted(listener.done) == ["first", "last"]
    assert len(listener.messages) == 3
    assert "ValueError: this job always fails" in listener.messages[0]
    assert Path(failed[0].log).read_text().count("ValueError: this job always fails") >= 3


def test_a_benchmark_runs_its_matrix_on_the_cluster(
    cluster: tuple[str, Node], built_folder: Path, tmp_path: Path
) -> None:
    config = BenchmarkConfig.of_profile("quick", SMALL)
    command = [sys.executable, "-m", "rnnzoo", "eval", str(built_folder), "--encoders", "constant,statistics"]
    command += ["--seeds", "1", "--ray", cluster[0], "--out", str(tmp_path / "cluster")]
    for name, value in SMALL.items():
        command += ["--set", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    run_benchmark(built_folder, tmp_path / "here", config, ["constant", "statistics"], [0], here, Silent())
    on_cluster, at_home = records(tmp_path / "cluster"), records(tmp_path / "here")
    assert on_cluster.keys() == at_home.keys()
    for name, record in at_home.items():
        for split, metrics in record["metrics"].items():
            assert on_cluster[name]["metrics"][split] == pytest.approx(metrics, rel=1e-3, abs=1e-4)


def test_ctrl_c_ends_the_workers(cluster: tuple[str, Node], tmp_path: Path) -> None:
    """The workers' units never end, since the file they wait for never comes."""
    address, node = cluster
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *options(tmp_path / "zoo", address)], stderr=subprocess.PIPE, text=True
    )
    started = tmp_path / "zoo" / ".build" / "started"
    wait_until(started.exists, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "give the same command again to go on" in errors
    assert "Traceback" not in errors
    wait_until(lambda: not any("RayWorker" in name_of(pid) for pid in node.processes()))
    assert not any("RayWorker" in name_of(pid) for pid in node.processes())


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


HELD = "from rnnzoo.generation.building import remote_units\nremote_units.OPENER = 'held_units:open_task'"
SCRIPT = BUILD.replace("import rnnzoo.cli.main", f"import rnnzoo.cli.main\n{HELD}")


def options(out: Path, address: str) -> list[str]:
    return [
        "formal-languages", "--scale", "tiny", "--models", "14", "--snapshots", "0,25", "--engine", "reference",
        "--set", "rollouts.evaluated=8", "--set", "rollouts.recorded=3", "--out", str(out), "--ray", address,
    ]  # fmt: skip


class Listener(Collector):
    """Keeps the names of finished jobs as well."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def progress(self, job: Job, done: int, value: float) -> None:
        pass

    def finished(self, job: Job) -> None:
        self.done.append(job.name)


@pytest.fixture
def two_machines() -> Iterator[tuple[list[str], list[str]]]:
    """Command prefixes that run in two network namespaces joined by a cable: 10.213.7.1 and 10.213.7.2."""
    names = [f"rnnzoo-{os.getpid()}-{side}" for side in "ab"]
    cable = [f"rz{os.getpid()}{side}" for side in "ab"]
    if shutil.which("ip") is None or subprocess.run(["ip", "netns", "add", names[0]], capture_output=True).returncode:
        pytest.skip("no right to make network namespaces")
    try:
        steps = [f"netns add {names[1]}", f"link add {cable[0]} type veth peer name {cable[1]}"]
        for index in (0, 1):
            steps.append(f"link set {cable[index]} netns {names[index]}")
            for inside in (f"addr add 10.213.7.{index + 1}/24 dev {cable[index]}", f"link set {cable[index]} up",
                           "link set lo up"):  # fmt: skip
                steps.append(f"-n {names[index]} {inside}")
        for step in steps:
            subprocess.run(["ip", *step.split()], check=True, capture_output=True)
        yield ["ip", "netns", "exec", names[0]], ["ip", "netns", "exec", names[1]]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def test_a_node_that_is_lost_costs_its_unit_in_work(
    two_machines: tuple[list[str], list[str]], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """The other node holds a unit until it is killed; this one trains nothing before that node has a unit to lose."""
    out, marker = tmp_path / "zoo", tmp_path / "held"
    here, there = two_machines
    nodes = []
    with short_folder() as folder:
        variables = {"MARKER": str(marker), "PYTHONPATH": str(folder)}
        try:
            nodes.append(head("10.213.7.1", PORT, folder, variables, here))
            arguments = [f"--address=10.213.7.1:{PORT}", "--node-ip-address=10.213.7.2"]
            nodes.append(Node("other", arguments, variables | {"HOLD_UNITS": "1"}, there))
            command = [*here, sys.executable, "-c", SCRIPT, *options(out, f"10.213.7.1:{PORT}")]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            wait_until(marker.exists, process)
            nodes[1].kill()
            _, errors = process.communicate(timeout=240)
        finally:
            for node in nodes:
                node.kill()
    assert marker.exists()
    assert process.returncode == 0, errors
    assert errors.count("trying again") == 1
    assert contents(out) == undisturbed
    assert not unit_folder(out).exists()
