"""Shards are checked once and read as memory maps: by any number of threads and processes, and never by mistake."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from test_verification import TRAIN, accept, edit
from torch.utils.data import DataLoader

import rnnzoo
from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError
from rnnzoo.format import cache, mapped_shard
from rnnzoo.zoo.zoo import Zoo, load


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in which files are remembered at once."""
    monkeypatch.setenv("RNNZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SETTLED_NANOSECONDS", 0)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory: pytest.TempPathFactory, built_folder: Path) -> Zoo:
    """A zoo whose reader may map one shard at a time, as if it had more than a process may open."""
    folder = Path(shutil.copytree(built_folder, tmp_path_factory.mktemp("many") / "zoo"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnnzoo.format.shards.MOST_OPEN_FILES", 1)
        return load(folder)


def through_hdf5(folder: Path, shard: str) -> dict[str, np.ndarray]:
    with h5py.File(folder / shard) as file:
        return {name: file[name][:] for name in file}


@pytest.mark.parametrize("setting", ["cached", "off"])
def test_columns_are_what_hdf5_reads(built_folder: Path, own_cache: Path, setting: str, monkeypatch) -> None:
    if setting == "off":
        monkeypatch.setenv("RNNZOO_CACHE", "off")
    zoo = load(built_folder, "train")
    rows = np.random.default_rng(0).permutation(len(zoo))
    for name, values in through_hdf5(built_folder, TRAIN).items():
        assert zoo[name].tobytes() == values.tobytes()
        assert zoo[rows][name].tobytes() == values[rows].tobytes()
        assert np.asarray(zoo[5][name]).tobytes() == values[5].tobytes()
    assert len(list(own_cache.rglob("*.rows"))) == (2 if setting == "cached" else 0)


def test_a_sound_file_is_checked_once_for_all_processes(built_folder: Path, own_cache: Path) -> None:
    assert len(load(built_folder)["accuracy"]) == 18
    code = (
        "import rnnzoo, rnnzoo.format.mapped_shard as mapped_shard\n"
        "mapped_shard.hashlib = mapped_shard.find_columns = None\n"
        f"print(rnnzoo.load({str(built_folder)!r})['accuracy'].shape)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "(18,)"


def test_a_file_changed_since_is_checked_again(copied_folder: Path, own_cache: Path) -> None:
    assert len(load(copied_folder)["accuracy"]) == 18
    content = bytearray((copied_folder / TRAIN).read_bytes())
    content[-5] ^= 1
    (copied_folder / TRAIN).write_bytes(content)
    with pytest.raises(RnnzooError, match="SHA-256"):
        load(copied_folder)["accuracy"]


def test_a_remembered_file_is_read_as_its_manifest_says_or_checked_again(copied_folder: Path, own_cache: Path) -> None:
    """What was found of a file holds for the manifest it was found by, not for another that claims other columns."""
    assert len(load(copied_folder)["accuracy"]) == 18
    edit(copied_folder, TRAIN, lambda file: file.__delitem__("finished"))
    with pytest.raises(RnnzooError, match="'finished' is missing"):
        load(copied_folder)["accuracy"]


def test_a_damaged_cache_is_made_again(built_folder: Path, own_cache: Path) -> None:
    expected = load(built_folder)["sequences"]
    for path in own_cache.rglob("*.rows"):
        path.write_bytes(path.read_bytes()[:200])
    for path in own_cache.rglob("*.json"):
        path.write_text("[1")
    assert load(built_folder)["sequences"].tobytes() == expected.tobytes()


def test_a_cache_that_cannot_be_written_is_done_without(built_folder: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RNNZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="without a cache"):
        assert load(built_folder, "train")["sequences"].shape == (12, 12, 42)


def test_the_cache_is_shown_and_cleared(built_folder: Path, own_cache: Path) -> None:
    run = CliRunner().invoke
    assert "0.0 MB" in run(cli, ["cache"]).output
    assert "kept decoded" in run(cli, ["show", str(built_folder)]).output
    assert len(list(own_cache.rglob("*.rows"))) > 0
    assert str(own_cache) in run(cli, ["cache", "--clear"]).output
    assert not list(own_cache.rglob("*.rows"))


def test_a_file_open_for_writing_elsewhere_is_said(copied_folder: Path) -> None:
    with open(copied_folder / TRAIN, "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RnnzooError, match="open in another process"):
            load(copied_folder, "train")["step"]


def test_a_file_cut_while_it_is_mapped_is_said(copied_folder: Path) -> None:
    zoo = load(copied_folder, "train")
    assert len(zoo["weights"]) == 12
    os.truncate(copied_folder / TRAIN, 5000)
    with pytest.raises(RnnzooError, match="truncated"):
        zoo["weights"]


def test_a_chunk_that_did_not_shrink_is_read(copied_folder: Path) -> None:
    """HDF5 stores a chunk as it is where deflate would make it larger."""
    values = np.random.default_rng(0).integers(0, 5, (12, 12, 42)).astype(np.uint8)

    def change(file: h5py.File) -> None:
        # Shuffling bytes leaves them as they are.
        file["sequences"].id.write_direct_chunk((0, 0, 0), values.tobytes(), filter_mask=2)

    edit(copied_folder, TRAIN, change)
    assert load(copied_folder, "train")["sequences"].tobytes() == values.tobytes()


def test_batches_are_collated_as_they_were_read(zoo: Zoo) -> None:
    dataset = zoo.torch_dataset(["weights", "step"])
    batch = next(iter(DataLoader(dataset, batch_size=5)))
    assert torch.equal(batch["weights"], torch.from_numpy(zoo[:5]["weights"]))
    mixed = [dataset[3], *dataset.__getitems__([7, 1])]
    from torch.utils.data import default_collate

    assert default_collate(mixed)["step"].tolist() == zoo["step"][[3, 7, 1]].tolist()
    assert dict(dataset[2])["step"] == zoo["step"][2]


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_and_threads_read_the_same_bytes(many_shards: Zoo, zoo: Zoo, method: str) -> None:
    """Eight workers over shards that are mapped one at a time, started while a thread is reading."""
    expected = {name: zoo[name] for name in ("weights", "sequences", "step")}
    stop, wrong = threading.Event(), []

    def read() -> None:
        random = np.random.default_rng(1)
        while not stop.is_set():
            rows = random.permutation(len(zoo))
            wrong.extend(
                name for name, values in expected.items() if not np.array_equal(many_shards[rows][name], values[rows])
            )

    reader = threading.Thread(target=read)
    reader.start()
    try:
        order = np.random.default_rng(2).permutation(np.tile(np.arange(len(zoo)), 4))
        loader = DataLoader(
            many_shards.torch_dataset(list(expected)), batch_size=3, sampler=order.tolist(), num_workers=8,
            multiprocessing_context=method,
        )  # fmt: skip
        batches = list(loader)
    finally:
        stop.set()
        reader.join()
    for name, values in expected.items():
        assert torch.cat([batch[name] for batch in batches]).numpy().tobytes() == values[order].tobytes()
    assert not wrong


def test_threads_share_a_reader(many_shards: Zoo, zoo: Zoo) -> None:
    expected = zoo["sequences"]
    failures: list[Exception] = []

    def read(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            for _ in range(50):
                rows = random.integers(0, len(zoo), 7)
                assert many_shards[rows]["sequences"].tobytes() == expected[rows].tobytes()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_reading_needs_no_hdf5_once_checked(built_folder: Path, own_cache: Path, monkeypatch) -> None:
    expected = load(built_folder)["log_probs"]
    monkeypatch.setattr(mapped_shard, "find_columns", None)
    monkeypatch.setattr(mapped_shard, "inflated_chunks", None)
    assert load(built_folder)["log_probs"].tobytes() == expected.tobytes()
    accept(Path(shutil.copytree(built_folder, own_cache.parent / "copy")))
    with pytest.raises(TypeError):
        rnnzoo.load(own_cache.parent / "copy")["step"]
