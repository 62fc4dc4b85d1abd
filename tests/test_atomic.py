"""Writers side by side, as two containers on one volume are: of the same process number and the same name."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import atomic, folder_lock
from rnnzoo.files.atomic import atomic_folder, atomic_path, write_text
from rnnzoo.files.folder_lock import locked


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(socket, "gethostname", lambda: "container")


@pytest.mark.usefixtures("twins")
def test_two_writers_of_one_file_both_end_well(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_path(path) as first:
        first.write_text("first")
        with atomic_path(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("twins")
def test_a_second_writer_of_a_folder_is_refused_and_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "zoo"
    with atomic_folder(path) as first:
        (first / "shard").write_text("first")
        with pytest.raises(UsageError, match=r"process 7 on container.* is writing to .*zoo"), atomic_folder(path):
            pytest.fail("two writers at once")
        assert (first / "shard").read_text() == "first"
    assert (path / "shard").read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_filled_meanwhile_is_left_and_said(tmp_path: Path) -> None:
    path = tmp_path / "zoo"

    def fill() -> None:
        with atomic_folder(path) as made:
            (made / "shard").write_text("mine")
            path.mkdir()
            (path / "shard").write_text("theirs")

    with pytest.raises(RnnzooError, match=r"Another process filled .*zoo meanwhile"):
        fill()
    assert (path / "shard").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_was_swapped_before_its_renaming_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "zoo"

    def swap() -> None:
        with atomic_folder(path) as made:
            shutil.rmtree(made)
            made.mkdir()

    with pytest.raises(RnnzooError, match="was replaced by another process"):
        swap()


def test_an_error_removes_only_what_was_made(tmp_path: Path) -> None:
    others = [tmp_path / ".zoo.container.7.partial", tmp_path / ".zoo.more.0123456789abcdef.partial"]
    for other in others:
        other.mkdir()
    with pytest.raises(ValueError, match="stop"), atomic_folder(tmp_path / "zoo"):
        raise ValueError("stop")
    with pytest.raises(ValueError, match="stop"), atomic_path(tmp_path / "file"):
        raise ValueError("stop")
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_what_killed_writers_left_is_swept_by_the_next_holder_alone(tmp_path: Path) -> None:
    left = tmp_path / ".zoo.0123456789abcdef.partial"
    left.mkdir()
    with locked(folder_lock.lock_beside(tmp_path / "zoo"), tmp_path / "zoo", "command"):
        with pytest.raises(UsageError), atomic_folder(tmp_path / "zoo"):
            pytest.fail("two writers at once")
        assert left.exists()
    with atomic_folder(tmp_path / "zoo"):
        assert not left.exists()


def test_new_files_and_folders_have_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "text")
    with atomic_folder(tmp_path / "zoo"):
        pass
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "zoo").stat().st_mode) == 0o777 & ~umask


def test_a_lock_outlives_that_its_file_is_removed_by_the_holder_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder before removes the file after it was opened here and before it is locked."""
    lock, flock, calls = tmp_path / "lock", folder_lock.fcntl.flock, []

    def remove_then_lock(descriptor: int, operation: int) -> None:
        if not calls:
            lock.unlink()
        calls.append(descriptor)
        flock(descriptor, operation)

    monkeypatch.setattr(folder_lock.fcntl, "flock", remove_then_lock)
    with locked(lock, tmp_path, "build"):
        assert len(calls) == 2
        with pytest.raises(UsageError, match="Another build"), locked(lock, tmp_path, "build"):
            pytest.fail("held twice")
    assert not lock.exists()


def test_a_full_disk_at_the_lock_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder_lock.os, "write", refuse)
    with pytest.raises(RnnzooError, match="The disk is full"), locked(tmp_path / "lock", tmp_path, "build"):
        pytest.fail("not held")
    assert not (tmp_path / "lock").exists()


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(folder_lock.fcntl, "flock", refuse)
    with pytest.raises(RnnzooError, match="cannot be held"), locked(tmp_path / "lock", tmp_path, "build"):
        pytest.fail("not held")


@pytest.mark.parametrize("below", ["file/zoo", "x" * 300])
def test_an_impossible_path_is_a_sentence(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RnnzooError, match="choose another folder with --out"):
        atomic.write_text(tmp_path / below / "name", "text")
