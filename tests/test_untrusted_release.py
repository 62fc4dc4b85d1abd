"""Folders of the original format from a stranger: one clear error before anything is written, in bounded memory."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limited_process import LimitedProcess, limited_process

from rnnzoo.errors import RnnzooError
from rnnzoo.generation.original.exporting import export_zoo
from rnnzoo.generation.original.release import open_release
from rnnzoo.generation.original.values import check_values
from rnnzoo.zoo.zoo import Zoo

pytestmark = pytest.mark.slow

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def released(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released") / "languages"
    export_zoo(zoo, folder)
    return folder


@pytest.fixture(scope="module")
def limited() -> Iterator[LimitedProcess]:
    with limited_process(str(Path(__file__).parent)) as process:
        yield process


def header(text: str) -> bytes:
    """A .npy file's first bytes, with any text as its header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def described(descr: str = "'<i2'", order: str = "False", shape: str = "(18, 12, 42)") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n")


def put(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def zipped(folder: Path) -> None:
    with open(folder / "sequences.npy", "wb") as file:
        np.savez(file, sequences=np.zeros((18, 12, 42), np.int16))


def numbers(column: int, value: int) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "num_step_correct.npy"
        values = np.load(path)
        values[2::3, column] = value
        np.save(path, values)

    return damage


def link(name: str) -> Damage:
    def damage(folder: Path) -> None:
        outside = folder.parent / "outside"
        os.replace(folder / name, outside)
        (folder / name).symlink_to(outside)

    return damage


def unsettled(folder: Path) -> None:
    """A parameter array of a network whose layout alone would take 4 * 10**8 tensors."""
    (folder / "args.json").write_text('{"rnn_num_layers": 100000000}')


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory through /proc and setrlimit")
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (zipped, "sequences.npy is damaged"),
        (put("sequences.npy", described(shape=f"({2**60}, 12, 42)")), "sequences.npy is damaged"),
        (put("sequences.npy", described(shape=f"({2**62}, 4, 0)")), "every axis"),
        (put("sequences.npy", described(shape="(-18, -12, 42)")), "every axis"),
        (put("sequences.npy", described(shape=f"({'9' * 900},)")), "sequences.npy is damaged"),
        (put("sequences.npy", described(order="True") + bytes(18 * 12 * 42 * 2)), "Fortran order"),
        (put("sequences.npy", described(descr="'|O'") + bytes(18 * 12 * 42 * 8)), "sequences.npy holds object"),
        (put("sequences.npy", described(descr="[]") + bytes(18 * 12 * 42 * 2)), "sequences.npy is damaged"),
        (put("sequences.npy", header("(" * 60_000)), "sequences.npy is damaged"),
        (put("sequences.npy", header("-" * 900 + "1")), "sequences.npy is damaged"),
        (put("sequences.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"), "sequences.npy is damaged"),
        (unsettled, "rnn_num_layers"),
        (put("args.json", b'{"rnn_hidden_size": 1000000000}'), "rnn_hidden_size"),
        (put("args.json", b'{"rnn_num_layers": true}'), "rnn_num_layers"),
        (put("args.json", b'{"max_n": 1000000000}'), "max_n"),
        (put("args.json", b'{"max_n": 60000}'), "max_n"),
        (put("args.json", b'{"max_n": 2}'), "tasks.largest_n"),
        (put("args.json", b'{"seed": 1e400}'), "too large"),
        (put("args.json", b'{"seed": ' + b"9" * 10_000 + b"}"), "digits"),
        (put("args.json", b'{"seed": 1, "seed": 2}'), "twice"),
        (put("args.json", b"[" * 100_000), "nested deeper"),
        (put("args.json", b'{"note": "' + b"x" * 100_000 + b'"}'), "bytes, more than"),
        (numbers(1, 2**31), "steps beyond"),
        (numbers(1, 2**62), "steps beyond"),
        (numbers(1, -5), "steps beyond"),
        (link("args.json"), "link to elsewhere"),
        (link("sequences.npy"), "link to elsewhere"),
    ],
)
def test_hostile_folders_are_refused(
    limited: LimitedProcess, damage: Damage, named: str, released: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "released"))
    damage(folder)
    answer = limited.call("strangers_folders.command", f"import {folder} --out {tmp_path / 'zoo'}")
    assert named in answer.get("error", str(answer))
    assert not (tmp_path / "zoo").exists()


def idx(count: int, side: int = 28) -> bytes:
    return bytes((0, 0, 8, 3)) + struct.pack(">III", count, side, side)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory through /proc and setrlimit")
@pytest.mark.parametrize(("count", "named"), [(60_000, "more than 47040000 bytes"), (7_653_061, "7,653,061")])
def test_images_that_unpack_to_gigabytes_are_refused(
    limited: LimitedProcess, count: int, named: str, released: Path, tmp_path: Path
) -> None:
    zeros = gzip.compress(bytes(2**24))
    with open(tmp_path / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(gzip.compress(idx(count)))
        for _ in range(6 * 2**30 // 2**24):
            file.write(zeros)
    assert (tmp_path / "train-images-idx3-ubyte.gz").stat().st_size < 8 * 2**20
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1)) + struct.pack(">I", 1) + b"\0")
    answer = limited.call("strangers_folders.command", f"import {released} --out {tmp_path / 'zoo'} --mnist {tmp_path}")
    assert named in answer.get("error", str(answer))
    assert not (tmp_path / "zoo").exists()


FILES = ("parameters", "sequences", "logits", "tasks", "num_step_correct")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([*(f"{name}.npy" for name in FILES), "args.json"]),
    flips=st.lists(st.tuples(st.integers(0, 200), st.integers(1, 255)), max_size=3),
    kept=st.none() | st.integers(0, 300),
)
def test_flipped_and_truncated_files_are_read_or_refused(
    name: str, flips: list[tuple[int, int]], kept: int | None, released: Path
) -> None:
    path = released / name
    before = path.read_bytes()
    content = bytearray(before[:kept])
    for position, change in flips:
        if content:
            content[position % len(content)] ^= change
    try:
        path.write_bytes(content)
        with suppress(RnnzooError):
            check_values(open_release(released))
    finally:
        path.write_bytes(before)


def test_exported_arrays_are_on_disk_before_the_folder_has_its_name(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, int]] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((path.name, os.fstat(descriptor).st_size))
        assert not (tmp_path / "released").exists() or path == tmp_path
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    export_zoo(zoo, tmp_path / "released")
    arrays = {(path.name, path.stat().st_size) for path in (tmp_path / "released").glob("*.npy")}
    assert len(arrays) == len(FILES)
    assert arrays <= set(synced)
