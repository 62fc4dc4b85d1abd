"""Zoos are published on the tests' own Hub: whole, in one commit, and not twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st
from loopback_hub import READER, STRANGER, WRITER, Hub

import rnnzoo
from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.manifest import read_manifest
from rnnzoo.format.verification import Check, verify
from rnnzoo.generation.recipe_command import command_of
from rnnzoo.hub.repository_files import listed_paths
from rnnzoo.zoo.cards import repository_texts
from rnnzoo.zoo.zoo import Zoo

NAME = "rnnzoo/zoo"


@cache
def texts(folder: Path, revision: str, command: str | None) -> dict[str, bytes]:
    """The card and what belongs to it, whose pictures take a second."""
    return repository_texts(rnnzoo.load(folder), NAME, revision, command)


@cache
def verified(folder: Path) -> list[Check]:
    return list(verify(folder))


def files_of(folder: Path) -> dict[str, bytes]:
    """A zoo's manifest and what that lists."""
    paths = ["manifest.json", *(file.path for file in read_manifest(folder).listed_files)]
    return {path: (folder / path).read_bytes() for path in paths}


def expected(folder: Path, revision: str = "main") -> dict[str, bytes]:
    """What a repository holds of a zoo."""
    return files_of(folder) | texts(folder, revision, command_of(read_manifest(folder).recipe))


@pytest.fixture
def publisher(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    """A Hub whose client is this process, which verifies each zoo and draws its pictures once."""

    def drawn_once(zoo: Zoo, name: str, revision: str, command: str | None, baselines: str) -> dict[str, bytes]:
        return texts(zoo.folder, revision, command)

    hub.serve_this_process(monkeypatch, tmp_path / "home", WRITER)
    monkeypatch.setattr("rnnzoo.hub.repository_files.repository_texts", drawn_once)
    monkeypatch.setattr("rnnzoo.hub.pushing.verify", lambda folder, advance: verified(folder))
    return hub


def uploaded(hub: Hub) -> int:
    return sum(request.received for request in hub.seen("PUT"))


def test_a_zoo_is_published_in_one_commit_and_not_twice(publisher: Hub, built_folder: Path) -> None:
    seen: list[tuple[str, float, float]] = []
    made = rnnzoo.push(built_folder, NAME, tag="v1", report=lambda *progress: seen.append(progress))
    repository, files = publisher.repositories[NAME], expected(built_folder, "v1")
    assert repository.files() == files
    assert (len(repository.commits), repository.tags) == (2, {"v1": made.commit})
    assert made.address == f"{publisher.address}/datasets/{NAME}/tree/{made.commit}"
    assert not repository.private
    size = sum(map(len, files.values()))
    assert (set(made.files), made.size, made.tagged) == (files.keys(), size, made.commit)
    assert [progress for progress in seen if progress[0] == "uploading"][-1] == ("uploading", size, size)

    requests = len(publisher.requests)
    for tag in ("v1", None, "v2"):
        again = rnnzoo.push(built_folder, NAME, tag=tag)
        assert (again.commit, again.files, again.size) == (made.commit, (), 0)
    assert repository.tags == {"v1": made.commit, "v2": made.commit}
    assert len(repository.commits) == 2
    changing = [request.path for request in publisher.requests[requests:] if request.method in ("POST", "PUT")]
    assert changing == [f"/api/datasets/{NAME}/tag/{made.commit}"]


def previous_version(files: dict[str, bytes]) -> dict[str, bytes]:
    """A version of a zoo, of a format that is no longer read, that listed other shards."""
    listed = {"path": "data/train-00001-of-00002.h5", "sha256": "0" * 64}
    manifest = {"format": "rnnzoo-zoo", "schema_version": 1, "files": [listed]}
    return {**files, "manifest.json": json.dumps(manifest).encode(), listed["path"]: b"old"}


@pytest.mark.slow
def test_a_new_version_replaces_the_files_of_the_old_one(publisher: Hub, built_folder: Path) -> None:
    new = expected(built_folder, "v2")
    train = "data/train-00000-of-00001.h5"
    repository = publisher.create(NAME, previous_version({train: new[train], "notes.txt": b"ours"}))
    repository.tags["v1"] = old = repository.branches["main"]
    made = rnnzoo.push(built_folder, NAME, tag="v2")
    assert repository.files() == {**new, "notes.txt": b"ours"}
    assert repository.tags == {"v1": old, "v2": made.commit}
    assert train not in made.files
    assert len(repository.commits) == 3


@pytest.mark.slow
def test_a_tag_stays_what_it_is(publisher: Hub, built_folder: Path) -> None:
    repository = publisher.create(NAME, previous_version({}))
    repository.tags["v1"] = before = repository.branches["main"]
    with pytest.raises(UsageError, match=r"another version as v1 already \(manifest\.json differs\)"):
        rnnzoo.push(built_folder, NAME, tag="v1")
    assert (repository.branches["main"], uploaded(publisher)) == (before, 0)


@pytest.mark.slow
def test_another_card_is_no_other_version(publisher: Hub, built_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = rnnzoo.push(built_folder, NAME, tag="v1")
    size = uploaded(publisher)
    monkeypatch.setattr("rnnzoo.generation.recipe_command.command_of", lambda recipe: "rnnzoo build anything")
    again = rnnzoo.push(built_folder, NAME, tag="v1")
    assert "README.md" in again.files
    assert again.commit != again.tagged == made.commit
    assert publisher.repositories[NAME].tags == {"v1": made.commit}
    assert uploaded(publisher) == size


@pytest.mark.slow
def test_a_branch_of_its_own_leaves_main_alone(publisher: Hub, built_folder: Path) -> None:
    repository = publisher.create(NAME)
    before = repository.branches["main"]
    made = rnnzoo.push(built_folder, NAME, revision="next")
    assert repository.branches == {"main": before, "next": made.commit}
    assert repository.files("next") == expected(built_folder, "next")
    size = uploaded(publisher)
    rnnzoo.push(built_folder, NAME, tag="v1")
    assert repository.files() == repository.files("v1") == expected(built_folder, "v1")
    assert uploaded(publisher) == size
    with pytest.raises(UsageError, match="v1 is a tag"):
        rnnzoo.push(built_folder, NAME, revision="v1")
    with pytest.raises(UsageError, match="next is a branch"):
        rnnzoo.push(built_folder, NAME, tag="next")


@pytest.mark.slow
def test_private_is_private(publisher: Hub, built_folder: Path) -> None:
    rnnzoo.push(built_folder, NAME, private=True)
    assert publisher.repositories[NAME].private
    rnnzoo.push(built_folder, NAME)
    publisher.create("rnnzoo/public")
    with pytest.raises(UsageError, match="is public: push without --private"):
        rnnzoo.push(built_folder, "rnnzoo/public", private=True)
    assert not publisher.repositories["rnnzoo/public"].files()


@pytest.mark.slow
def test_a_dry_run_lists_and_contacts_nobody(publisher: Hub, built_folder: Path) -> None:
    result = CliRunner().invoke(cli, ["push", str(built_folder), NAME, "--dry-run"], catch_exceptions=False)
    assert result.exit_code == 0
    files = expected(built_folder)
    for path, content in files.items():
        assert re.search(rf"{path}\W+{len(content):,}\b", result.output)
    assert files["README.md"].decode() in result.output
    assert not publisher.requests


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tag", "said"),
    [
        ("zoo", None, "not of the form namespace/name"),
        ("a/b/c", None, "is no name that the Hub allows"),
        ("rnnzoo/--", None, "is no name that the Hub allows"),
        (NAME, "v 1", "'v 1' cannot be the name of a branch or tag"),
        (NAME, "0123456789abcdef0123456789abcdef01234567", "no commit's hash"),
        (NAME, "a..b", "cannot be"),
    ],
)
def test_names_the_hub_does_not_allow_are_refused(
    publisher: Hub, built_folder: Path, name: str, tag: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        rnnzoo.push(built_folder, name, tag=tag)
    assert "\n" not in str(caught.value)
    assert not publisher.requests


@pytest.mark.slow
def test_a_zoo_that_does_not_verify_is_not_published(publisher: Hub, copied_folder: Path) -> None:
    shard = next(copied_folder.glob("data/*"))
    content = bytearray(shard.read_bytes())
    content[-9] ^= 1
    shard.write_bytes(content)
    with pytest.raises(RnnzooError, match=r"is not sound and was not published: .*data/"):
        rnnzoo.push(copied_folder, NAME)
    assert not publisher.requests


@pytest.mark.slow
def test_a_zoo_that_changes_while_it_is_uploaded_is_not_published(publisher: Hub, copied_folder: Path) -> None:
    def change() -> None:
        for shard in copied_folder.glob("data/*"):
            shard.write_bytes(shard.read_bytes()[::-1])

    publisher.fail("POST", "preupload", meanwhile=change)
    with pytest.raises(RnnzooError, match=r"was changed while it was uploaded|could not be published"):
        rnnzoo.push(copied_folder, NAME)
    assert not publisher.repositories[NAME].files()


@pytest.mark.slow
def test_more_files_than_a_commit_takes_are_refused_before_anything_is_asked(
    publisher: Hub, built_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnzoo.hub.pushing.MOST_FILES", 2)
    with pytest.raises(UsageError, match="more than the 2 that the Hub takes in one commit"):
        rnnzoo.push(built_folder, NAME)
    assert not publisher.requests


@pytest.mark.slow
def test_a_repository_that_keeps_files_away_is_refused(publisher: Hub, built_folder: Path) -> None:
    found = previous_version({".gitignore": b"*.parquet"})
    publisher.create(NAME, found)
    with pytest.raises(UsageError, match=r"has a \.gitignore"):
        rnnzoo.push(built_folder, NAME)
    assert publisher.repositories[NAME].files() == found
    assert uploaded(publisher) == 0


@pytest.mark.slow
@pytest.mark.parametrize("found", [{"README.md": b"A text."}, {"manifest.json": b'{"format": "other"}'}])
def test_what_is_no_zoo_is_not_overwritten(publisher: Hub, built_folder: Path, found: dict[str, bytes]) -> None:
    publisher.create(NAME, found)
    with pytest.raises(UsageError, match="holds something else than a zoo"):
        rnnzoo.push(built_folder, NAME)
    assert publisher.repositories[NAME].files() == found
    assert uploaded(publisher) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "name", "said"),
    [
        (None, NAME, "There is no token"),
        ("hf_unknown", NAME, "does not know the token"),
        (READER, NAME, "may not write to rnnzoo/zoo"),
        (STRANGER, NAME, "may not write to rnnzoo/zoo"),
        (STRANGER, "rnnzoo/public", "may not write to rnnzoo/public"),
        (STRANGER, "rnnzoo/private", "may not write to rnnzoo/private"),
    ],
)
def test_without_the_right_to_write_nothing_is_uploaded(
    publisher: Hub, built_folder: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, name: str, said: str
) -> None:
    publisher.create("rnnzoo/public")
    publisher.create("rnnzoo/private", private=True)
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UsageError, match=said) as caught:
        rnnzoo.push(built_folder, name)
    assert "\n" not in str(caught.value)
    assert uploaded(publisher) == 0
    assert publisher.repositories.keys() == {"rnnzoo/public", "rnnzoo/private"}


@pytest.mark.slow
def test_offline_by_choice_names_the_variable(
    publisher: Hub, built_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.fail("GET", "api", cut=0)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RnnzooError, match=r"\(HF_HUB_OFFLINE is set\).*: unset it, and give the same command again"):
        rnnzoo.push(built_folder, NAME)


@pytest.mark.slow
def test_a_zoo_of_a_kind_that_is_not_installed_is_published_as_it_is(
    publisher: Hub, built_folder: Path, forget: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnzoo.hub.repository_files.repository_texts", repository_texts)
    forget("formal-languages")
    rnnzoo.push(built_folder, NAME)
    published = publisher.repositories[NAME].files()
    assert {path: published[path] for path in files_of(built_folder)} == files_of(built_folder)
    assert b"formal-languages" in published["README.md"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        ("GET", f"/api/datasets/{NAME}", {"status": 503}),
        ("GET", "refs", {"cut": 10}),
        ("GET", "refs", {"status": 200}),
        ("GET", "tree", {"status": 503, "times": 9}),
        ("POST", "create", {"status": 500}),
        ("POST", "preupload", {"status": 503, "times": 9}),
        ("POST", "objects/batch", {"status": 200}),
        ("PUT", "large", {"status": 403}),
        ("PUT", "large", {"cut": 1000, "times": 99}),
        ("PUT", "large", {"cut": 10**9, "status": 503, "times": 99}),
        ("POST", "/commit/", {"status": 503}),
        ("POST", "/commit/", {"cut": 100}),
        ("POST", "/commit/", {"status": 502}),
    ],
)
def test_after_a_fault_main_is_as_before_and_a_second_push_succeeds(
    publisher: Hub, built_folder: Path, method: str, path: str, fault: dict[str, Any]
) -> None:
    publisher.fail(method, path, **fault)
    with pytest.raises(RnnzooError) as caught:
        rnnzoo.push(built_folder, NAME)
    assert "\n" not in str(caught.value)
    repository = publisher.repositories.get(NAME)
    assert repository is None or not repository.files()
    publisher.heal()
    rnnzoo.push(built_folder, NAME)
    repository = publisher.repositories[NAME]
    assert repository.files() == expected(built_folder)
    assert len(repository.commits) == 2


@pytest.mark.slow
def test_what_was_uploaded_is_not_uploaded_again(publisher: Hub, built_folder: Path) -> None:
    """The connection drops once, and the library tries again; then for good."""
    last, *others = (file.sha256 for file in read_manifest(built_folder).files)
    publisher.fail("PUT", others[0], cut=1000)
    publisher.fail("PUT", last, cut=1000, times=99)
    with pytest.raises(RnnzooError, match="give the same command again, and what was uploaded is not uploaded again"):
        rnnzoo.push(built_folder, NAME)
    arrived = set(publisher.large)
    assert arrived >= set(others)
    assert last not in arrived
    publisher.heal()
    tried = len(publisher.seen("PUT"))
    rnnzoo.push(built_folder, NAME)
    sent = [request.path.removeprefix("/large/") for request in publisher.seen("PUT")[tried:]]
    assert sorted(sent) == sorted(set(publisher.large) - arrived)
    assert publisher.repositories[NAME].files() == expected(built_folder)


@pytest.mark.slow
def test_an_answer_that_is_lost_makes_no_second_commit(publisher: Hub, built_folder: Path) -> None:
    publisher.fail("POST", "/commit/", lost=True)
    with pytest.raises(RnnzooError, match="could not be published"):
        rnnzoo.push(built_folder, NAME, tag="v1")
    made = rnnzoo.push(built_folder, NAME, tag="v1")
    repository = publisher.repositories[NAME]
    assert (made.files, len(repository.commits), repository.tags) == ((), 2, {"v1": made.commit})


@pytest.mark.slow
def test_a_tag_that_fails_says_what_was_published(publisher: Hub, built_folder: Path) -> None:
    publisher.fail("POST", "/tag/", status=503)
    with pytest.raises(RnnzooError, match=r"the zoo is published as commit [0-9a-f]{40}, but it has no tag yet"):
        rnnzoo.push(built_folder, NAME, tag="v1")
    rnnzoo.push(built_folder, NAME, tag="v1")
    assert publisher.repositories[NAME].files("v1") == expected(built_folder, "v1")


@pytest.mark.slow
def test_another_push_in_between_is_kept(publisher: Hub, built_folder: Path) -> None:
    repository = publisher.create(NAME, previous_version({}))
    publisher.fail("POST", "/commit/", meanwhile=lambda: repository.commit({"notes.txt": b"theirs"}))
    with pytest.raises(RnnzooError, match="Somebody else changed rnnzoo/zoo"):
        rnnzoo.push(built_folder, NAME)
    assert repository.files() == previous_version({"notes.txt": b"theirs"})
    rnnzoo.push(built_folder, NAME)
    assert repository.files() == {**expected(built_folder), "notes.txt": b"theirs"}


@pytest.mark.slow
def test_a_push_that_is_killed_while_it_uploads_can_be_repeated(hub: Hub, built_folder: Path, tmp_path: Path) -> None:
    client: list[subprocess.Popen[bytes]] = []
    hub.fail("PUT", "large", cut=1000, meanwhile=lambda: os.kill(client[0].pid, signal.SIGKILL))
    command = [sys.executable, "-m", "rnnzoo", "push", str(built_folder), NAME]
    client.append(subprocess.Popen(command, cwd=tmp_path, env=hub.environment(tmp_path / "home", WRITER)))
    assert client[0].wait() == -signal.SIGKILL
    assert not hub.repositories[NAME].files()
    pushed = hub.rnnzoo("push", built_folder, NAME, "--tag", "v1", home=tmp_path / "home", token=WRITER)
    assert (pushed.returncode, pushed.stderr) == (0, "")
    found, wanted = hub.repositories[NAME].files(), expected(built_folder, "v1")
    for contents in (found, wanted):
        contents["croissant.json"] = re.sub(rb"https?://[\w.:]+/(datasets|rnnzoo)", b"", contents["croissant.json"])
    assert found == wanted
    commit = hub.repositories[NAME].tags["v1"]
    assert f"Commit {commit}, tag v1: {hub.address}/datasets/{NAME}/tree/{commit}" in pushed.stdout


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["path", "sha256", "files"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3), st.text(max_size=5))
def test_whatever_is_called_a_manifest_lists_paths(manifest: dict[str, Any], path: str) -> None:
    assert all(isinstance(listed, str) for listed in listed_paths(manifest))
    assert path in listed_paths({**manifest, "of files": [{"path": path, "sha256": "0" * 64}]})
