"""Shards made by a stranger, whose manifest fits them: refused, or read as what they are; never a crash."""

from __future__ import annotations

import os
import random
import resource
import signal
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_verification import TRAIN, accept, problems

from rnnzoo.errors import RnnzooError
from rnnzoo.format.manifest import read_manifest
from rnnzoo.format.mapped_shard import MappedShard
from rnnzoo.format.shard_layout import ShardPlan
from rnnzoo.format.shards import plan_of
from rnnzoo.generation.original.exporting import export_zoo
from rnnzoo.zoo.zoo import load

Change = Callable[[h5py.File], None]
MEMORY = 2**30


def replace(name: str, **options) -> Change:
    """Store a column anew, the same values in another way."""

    def change(file: h5py.File) -> None:
        values = file[name][:]
        del file[name]
        if not options.get("external"):
            options["data"] = values
        file.create_dataset(name, shape=values.shape, dtype=values.dtype, **options)

    return change


def link(name: str, target: object) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = target

    return change


def hard_link(file: h5py.File) -> None:
    del file["finished"]
    file["finished"] = file["accuracy"]


def virtual(file: h5py.File) -> None:
    shape = file["weights"].shape
    layout = h5py.VirtualLayout(shape=shape, dtype=np.float32)
    layout[:] = h5py.VirtualSource("elsewhere.h5", "weights", shape=shape)
    del file["weights"]
    file.create_virtual_dataset("weights", layout)


def never_written(name: str, **options) -> Change:
    def change(file: h5py.File) -> None:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        file.create_dataset(name, shape=shape, dtype=dtype, **options)

    return change


def traces(name: str, data: Callable[[bytes], bytes]) -> Change:
    """Put other bytes in place of a compressed chunk."""

    def change(file: h5py.File) -> None:
        _, stored = file[name].id.read_direct_chunk((0,) * file[name].ndim)
        file[name].id.write_direct_chunk((0,) * file[name].ndim, data(zlib.decompress(stored)))

    return change


def many_rows(file: h5py.File) -> None:
    values = file["sequences"]
    shape, chunks = (10**8, *values.shape[1:]), values.chunks
    del file["sequences"]
    file.create_dataset("sequences", shape=shape, chunks=chunks, dtype=np.uint8, compression="gzip", shuffle=True)


GZIP = {"compression": "gzip", "shuffle": True}

ATTACKS: dict[str, tuple[Change, str]] = {
    "external storage": (replace("accuracy", external=[("/etc/passwd", 0, 48)]), "another file"),
    "external link": (link("accuracy", h5py.ExternalLink("/etc/passwd", "accuracy")), "somewhere else"),
    "soft link": (link("accuracy", h5py.SoftLink("/finished")), "somewhere else"),
    "hard link": (hard_link, "one and the same"),
    "virtual dataset": (virtual, "other files"),
    "group": (lambda file: (file.__delitem__("finished"), file.create_group("finished")), "no dataset"),
    "never written": (never_written("accuracy"), "never written"),
    "never written traces": (never_written("log_probs", chunks=(12, 12, 41, 6), **GZIP), "chunks missing"),
    "weights in chunks": (replace("weights", chunks=(1, 13766)), "in one piece"),
    "compact": (lambda file: _compact(file, "task"), "in the header"),
    "other filters": (replace("sequences", chunks=(12, 12, 42), compression="lzf"), "not compressed as zoos are"),
    "no filters": (replace("sequences", chunks=(12, 12, 42)), "not compressed as zoos are"),
    "other chunks": (replace("sequences", chunks=(1, 12, 42), **GZIP), "chunks of shape"),
    "resizable": (replace("sequences", maxshape=(None, 12, 42), chunks=(12, 12, 42), **GZIP), "resized"),
    "too many rows": (many_rows, "shape"),
    "big-endian": (lambda file: _retyped(file, "train_loss", ">f4"), "dtype"),
    "chunk too short": (traces("sequences", lambda data: zlib.compress(data[:-1])), "bytes or more"),
    "chunk too long": (traces("sequences", lambda data: zlib.compress(data + bytes(10**6))), "does not end"),
    "chunk and more": (traces("sequences", lambda data: zlib.compress(data) + b"more"), "does not end"),
    "chunk cut": (traces("sequences", lambda data: zlib.compress(data)[:-3]), "does not end"),
    "no deflate": (traces("log_probs", lambda data: bytes(len(data) // 2)), "damaged"),
    "neither true nor false": (lambda file: _odd_truth(file), "neither true nor false"),
    "text that lies elsewhere": (lambda file: file.attrs.__setitem__("split", "train"), "not a single text"),
    "other attribute": (lambda file: file.attrs.__setitem__("note", 1), "not one of a zoo's"),
}


def _compact(file: h5py.File, name: str) -> None:
    values = file[name][:]
    del file[name]
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(values.shape)
    dataset = h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(values.dtype), space, made)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def _retyped(file: h5py.File, name: str, dtype: str) -> None:
    values = file[name][:].astype(dtype)
    del file[name]
    file.create_dataset(name, data=values)


def _odd_truth(file: h5py.File) -> None:
    offset = file["diverged"].id.get_offset()
    path = Path(file.filename)
    file.close()
    with open(path, "rb+") as raw:
        raw.seek(offset)
        raw.write(b"\x07")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("cached", [True, False])
def test_an_attack_is_refused_wherever_the_zoo_is_opened(
    copied_folder: Path, tmp_path: Path, attack: str, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, named = ATTACKS[attack]
    with h5py.File(copied_folder / TRAIN, "r+") as file:
        change(file)
    # A file that became too small for its rows is refused by the manifest alone.
    os.truncate(copied_folder / TRAIN, max((copied_folder / TRAIN).stat().st_size, 720_000))
    accept(copied_folder)
    if not cached:
        monkeypatch.setenv("RNNZOO_CACHE", "off")
    with bounded_memory():
        with pytest.raises(RnnzooError, match=named) as refusal:
            read_all(copied_folder)
        assert TRAIN in str(refusal.value)
        with pytest.raises(RnnzooError, match=named):
            export_zoo(load(copied_folder), tmp_path / "exported")
        assert not (tmp_path / "exported").exists()
        found = problems(copied_folder)
        assert any(named in problem and TRAIN in problem for check in found.values() for problem in check)


def read_all(folder: Path) -> None:
    zoo = load(folder, "train")
    for column in zoo.columns:
        zoo[column.name]


@pytest.mark.parametrize("attack", ["external storage", "hard link", "never written"])
def test_an_altered_unit_is_refused(tmp_path: Path, built_folder: Path, attack: str) -> None:
    """Units of an unfinished build come from a shared folder or a URL."""
    manifest = read_manifest(built_folder)
    plan = ShardPlan.of_zoo(manifest.zoo, manifest.recipe_hash, manifest.columns, 12, None)
    path = tmp_path / "unit.h5"
    with h5py.File(path, "w") as file:
        for name, value in plan.attributes.items():
            file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
        for column in plan.columns:
            file[column.name] = np.zeros((12, *column.shape), column.dtype)
    assert MappedShard(path, plan, path.stat().st_size, None).rows("weights").shape == (12, 13766)
    with h5py.File(path, "r+") as file:
        ATTACKS[attack][0](file)
    with pytest.raises(RnnzooError, match=ATTACKS[attack][1]):
        MappedShard(path, plan, path.stat().st_size, None)


@settings(max_examples=25, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_no_damage_is_silent(
    built_folder: Path, tmp_path_factory: pytest.TempPathFactory, place: float, bit: int, cut: bool
) -> None:
    """A flipped bit or a truncation anywhere is an error of `load`, whichever column is asked for."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "data").mkdir()
    (folder / "manifest.json").write_bytes((built_folder / "manifest.json").read_bytes())
    whole = bytearray((built_folder / TRAIN).read_bytes())
    position = int(place * len(whole))
    if cut:
        del whole[position:]
    else:
        whole[position] ^= 1 << bit
    (folder / TRAIN).write_bytes(whole)
    with pytest.raises(RnnzooError, match="altered"):
        load(folder, "train")["step"]


@pytest.mark.parametrize("seed", range(8))
def test_bytes_changed_with_care_never_crash_or_hang(built_folder: Path, tmp_path: Path, seed: int) -> None:
    """Bytes changed under a checksum that fits: refused, or read within bounds by a process that ends."""
    manifest = read_manifest(built_folder)
    listed = manifest.files[0]
    plan = plan_of(manifest, listed)
    whole = (built_folder / listed.path).read_bytes()
    generator = random.Random(seed)
    path = tmp_path / "altered.h5"
    for _ in range(5):
        altered = bytearray(whole)
        for _ in range(generator.choice([1, 1, 2, 4])):
            # The structure of the file lies in its first pages, and is what HDF5 itself reads.
            position = generator.randrange(16384) if generator.random() < 0.9 else generator.randrange(len(altered))
            altered[position] ^= generator.randrange(1, 256)
        path.write_bytes(altered)
        assert in_child(lambda: _read_all(path, plan)) in (0, 1)


def _read_all(path: Path, plan: ShardPlan) -> int:
    os.environ["RNNZOO_CACHE"] = "off"
    limit_memory()
    signal.alarm(20)
    try:
        shard = MappedShard(path, plan, path.stat().st_size, None)
        for column in plan.columns:
            shard.rows(column.name)
    except RnnzooError:
        return 1
    return 0


def in_child(action: Callable[[], int]) -> int:
    """What an action returns in a process of its own; negative if a signal ended it, 70 if it raised."""
    child = os.fork()
    if not child:
        code = 70
        try:
            code = action()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def limit_memory() -> None:
    """From now on this process may take so much more memory than it has, and no more."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


@contextmanager
def bounded_memory() -> Iterator[None]:
    """A block in which memory is limited."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit_memory()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
