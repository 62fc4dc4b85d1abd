"""Zoos fetched by programs that know nothing but the address of a Hub, and what goes wrong on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback_hub import READER, Hub

from rnnzoo.format.manifest import read_manifest
from rnnzoo.samples import FOLDER
from rnnzoo.zoo.zoo import load

pytestmark = pytest.mark.slow

NAME = "rnnzoo/zoo"


@pytest.fixture
def zoos(hub: Hub, built_folder: Path) -> Hub:
    """A Hub with a zoo whose main branch is not its tag v1, and what is no zoo."""
    repository = hub.create(NAME, {**files_of(built_folder), "notes.txt": b"Not listed.", "data/more.bin": bytes(9)})
    repository.tags["v1"] = repository.branches["main"]
    everything = dict.fromkeys(repository.files())
    repository.commit({**everything, **files_of(FOLDER / "formal-languages")})
    repository.branches["next"] = repository.branches["main"]
    repository.commit({"README.md": b"---\ntags: [rnnzoo]\n---\nA card."})
    hub.create("rnnzoo/other", {"README.md": b"---\ntags: [model-zoo]\n---\nA zoo of others.", "data/a.h5": b"a"})
    return hub


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def data_of(folder: Path) -> int:
    """Bytes of the files that a zoo's manifest lists."""
    return sum(file.size for file in read_manifest(folder).listed_files)


def stored(home: Path) -> list[Path]:
    """The versions in a client's store."""
    return [path for path in (home / "store").glob("[a-z]*/*/[0-9a-f]*") if path.is_dir()]


def large_bytes(hub: Hub) -> int:
    return sum(request.sent for request in hub.seen("GET", "^/large/"))


LOAD = """
import json, sys
import rnnzoo
for revision in json.loads(sys.argv[1]):
    zoo = rnnzoo.load("rnnzoo/zoo", revision=revision)
    print(json.dumps([zoo.revision, len(zoo), float(zoo["weights"].sum(dtype=float))]))
"""


def test_a_zoo_is_pulled_loaded_listed_and_removed(zoos: Hub, built_folder: Path, tmp_path: Path) -> None:
    repository = zoos.repositories[NAME]
    first, second, third = repository.tags["v1"], repository.branches["next"], repository.branches["main"]

    def run(*arguments: str) -> str:
        done = zoos.rnnzoo(*arguments, home=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    # Only what the manifest lists is fetched, and the card.
    told = run("pull", NAME, "--revision", "v1")
    assert f"{NAME} at v1 is commit {first}." in told
    (folder,) = stored(tmp_path)
    assert files_of(folder) == files_of(built_folder)
    assert large_bytes(zoos) == sum(len(c) for path, c in files_of(built_folder).items() if path.endswith(("h5", "et")))
    before = len(zoos.requests)
    assert "0.0 MB of them fetched now" in run("pull", NAME, "--revision", "v1")
    assert [request.method for request in zoos.requests[before:]] == ["GET"]

    # The new version and the old by tag, branch and commit, each fetched on first use.
    asked = [None, "v1", "next", first]
    done = zoos.python(LOAD, json.dumps(asked), home=tmp_path)
    expected = []
    for source, commit in [(built_folder, first), (FOLDER / "formal-languages", second)]:
        zoo = load(source)
        expected.append([commit, len(zoo), float(zoo["weights"].sum(dtype=float))])
    old, new = expected
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[third, *new[1:]], old, new, old], done.stderr
    assert large_bytes(zoos) == sum(map(data_of, (built_folder, FOLDER / "formal-languages")))

    # Without the Hub what is here is taken, and said.
    offline = zoos.python(LOAD, "[null]", home=tmp_path, HF_HUB_OFFLINE="1")
    assert json.loads(offline.stdout) == [third, *new[1:]]
    assert f"{NAME} is taken as it is here, main, commit {third}: HF_HUB_OFFLINE is set." in offline.stderr
    gone = zoos.python(LOAD, '["v1"]', home=tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert json.loads(gone.stdout) == old
    assert f"v1, commit {first}: " in gone.stderr
    told = run("list", "--remote")
    assert NAME in told
    assert "rnnzoo/other" not in told
    assert third[:12] in told
    assert f"commit {second} is deleted" in run("remove", NAME, "--revision", "next")
    assert {path.name for path in stored(tmp_path)} == {first, third}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_pull_that_is_stopped_is_gone_on_with(
    zoos: Hub, built_folder: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    client: list[subprocess.Popen[str]] = []
    # The last of seven files, of which four are asked for at once.
    zoos.fail("GET", r"^/large/.*/labels\.parquet", cut=1000, meanwhile=lambda: os.kill(client[0].pid, sent))
    program = "from rnnzoo.cli.main import main; main()"
    command = [sys.executable, "-c", program, "pull", NAME, "--revision", "v1"]
    environment = zoos.environment(tmp_path)
    client.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True))
    _, told = client[0].communicate()
    assert client[0].returncode == code
    assert code < 0 or "Stopped. Files that had arrived are kept; give the same command again to go on." in told
    assert "Traceback" not in told
    assert not stored(tmp_path)
    (unfinished,) = (tmp_path / "store" / NAME).glob(".*.partial")
    whole = [path for path in files_of(unfinished) if path != "manifest.json"]
    assert whole
    again = zoos.rnnzoo("pull", NAME, "--revision", "v1", home=tmp_path)
    assert again.returncode == 0, again.stderr
    (folder,) = stored(tmp_path)
    assert files_of(folder) == files_of(built_folder)
    # What had arrived whole was asked for once.
    assert all(len(zoos.seen("GET", f"^/large/.*/{path}$")) == 1 for path in whole)
    assert not list(folder.parent.glob(".*"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"path": "^/large/", "cut": 5000}, ""),
        ({"path": r"^/large/.*\.h5", "wrong_byte": 4000}, ""),
        ({"path": r"^/large/.*\.h5", "wrong_byte": 4000, "times": 99}, "is not what its manifest.json lists"),
        ({"path": "^/large/", "status": 503, "times": 99}, "503"),
        ({"path": "^/large/", "status": 200, "times": 99}, "could not be fetched from the Hub"),
        ({"path": "^/api/datasets", "status": 503, "times": 99}, "503"),
        ({"path": "^/api/datasets", "status": 200, "times": 99}, "what answered is no Hub"),
    ],
)
def test_what_goes_wrong_on_the_way_is_mended_or_said(
    zoos: Hub, built_folder: Path, tmp_path: Path, fault: dict[str, object], said: str
) -> None:
    zoos.fail("GET", str(fault.pop("path")), **fault)
    done = zoos.rnnzoo("pull", NAME, "--revision", "v1", home=tmp_path)
    if said:
        assert done.returncode == 1
        (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert said in sentence
        assert "Traceback" not in done.stderr
        assert not stored(tmp_path)
        zoos.heal()
        done = zoos.rnnzoo("pull", NAME, "--revision", "v1", home=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = stored(tmp_path)
    assert files_of(folder) == files_of(built_folder)


def test_two_who_want_the_same_at_once_fetch_it_once(zoos: Hub, built_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOAD, '["v1"]']
    environment = zoos.environment(tmp_path)
    clients = [subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(2)]
    assert [client.wait() for client in clients] == [0, 0]
    assert large_bytes(zoos) == data_of(built_folder)


REFUSALS = """
import json, sys
import rnnzoo
for name, revision in json.loads(sys.argv[1]):
    try:
        answer = [0, str(rnnzoo.pull(name, revision))]
    except rnnzoo.RnnzooError as error:
        answer = [error.exit_code, str(error)]
    print(json.dumps(answer))
"""


def test_what_is_not_there_or_not_ones_own_is_refused(zoos: Hub, tmp_path: Path) -> None:
    zoos.create("rnnzoo/secret", zoos.repositories[NAME].files("v1"), private=True)
    asked = [
        ("rnnzoo/none", None, 2, "no dataset 'rnnzoo/none' on the Hub"),
        ("rnnzoo/secret", None, 2, "it is private and you are not logged in"),
        (NAME, "v9", 2, "has no revision 'v9'"),
        ("rnnzoo/other", None, 2, "is no whole zoo of rnnzoo: manifest.json is missing"),
        ("zoo", None, 2, "is no name on the Hub"),
    ]
    done = zoos.python(REFUSALS, json.dumps([question[:2] for question in asked]), home=tmp_path)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(asked), done.stderr
    for (*_, code, said), (found, told) in zip(asked, answers, strict=True):
        assert code == found, told
        assert said in told
    for token, code, said in [(READER, 0, "secret"), ("hf_withdrawn", 2, "HF_TOKEN to a token that may read it")]:
        done = zoos.python(REFUSALS, '[["rnnzoo/secret", null]]', home=tmp_path, token=token)
        found, told = json.loads(done.stdout)
        assert found == code, told
        assert said in told


def fill(disk: Path, left: int) -> Callable[[], None]:
    """What leaves so many bytes free on a disk."""

    def write() -> None:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "ballast").write_bytes(bytes(max(free - left, 0)))

    return write


@pytest.mark.parametrize("before", [True, False])
def test_a_disk_that_is_too_small_or_fills_up(
    zoos: Hub, small_disk: Path, built_folder: Path, tmp_path: Path, before: bool
) -> None:
    if before:
        fill(small_disk, 300_000)()
    else:
        zoos.fail("GET", r"^/large/.*/train", meanwhile=fill(small_disk, 100_000))
    home = str(small_disk / "store")
    done = zoos.rnnzoo("pull", NAME, "--revision", "v1", home=tmp_path, RNNZOO_HOME=home)
    assert done.returncode == 1, done.stdout
    assert ("The disk is too full" if before else "The disk is full") in done.stderr
    assert "Traceback" not in done.stderr
    assert bool(zoos.seen("GET", "^/large/")) != before
    (small_disk / "ballast").unlink()
    done = zoos.rnnzoo("pull", NAME, "--revision", "v1", home=tmp_path, RNNZOO_HOME=home)
    assert done.returncode == 0, done.stderr
    (folder,) = (small_disk / "store" / NAME).glob("[0-9a-f]*")
    assert files_of(folder) == files_of(built_folder)


def test_a_store_that_cannot_be_made_names_the_variable(zoos: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = zoos.rnnzoo("pull", NAME, home=tmp_path, RNNZOO_HOME=str(tmp_path / "file" / "store"))
    assert done.returncode == 1
    assert "RNNZOO_HOME" in done.stderr
    assert "Traceback" not in done.stderr
