from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from datasets import Features, load_dataset
from fsspec.caching import ReadAheadCache

import rnnzoo
from rnnzoo.format.manifest import read_manifest
from rnnzoo.format.schema import label_columns
from rnnzoo.generation.recipe_command import command_of
from rnnzoo.zoo.cards import render_card
from rnnzoo.zoo.dataset_configs import configurations, front_matter
from rnnzoo.zoo.zoo import Zoo


@pytest.mark.parametrize("name", [None, "weights", "labels"])
def test_load_dataset_gives_the_zoos_rows(built_folder: Path, zoo: Zoo, name: str | None, tmp_path: Path) -> None:
    loaded = load_dataset(str(built_folder), name, cache_dir=str(tmp_path))
    assert list(loaded) == ["train", "validation", "ood_test"]
    columns = configurations(zoo.columns)[name or "default"]
    for split, rows in loaded.items():
        expected = zoo.split(split)
        assert rows.column_names == [column.name for column in columns]
        assert rows.num_rows == len(expected)
        table = rows.with_format("arrow")[:]
        for column in columns:
            values = np.array(table[column.name].to_pylist(), dtype=column.dtype)
            assert np.array_equal(values, expected[column.name], equal_nan=column.dtype.startswith("float"))


def test_streaming_gives_the_same_rows(built_folder: Path, zoo: Zoo) -> None:
    rows = list(load_dataset(str(built_folder), "labels", split="train", streaming=True))
    assert [row["step"] for row in rows] == zoo.split("train")["step"].tolist()


def test_files_of_other_formats_and_single_files(copied_folder: Path, zoo: Zoo, tmp_path: Path) -> None:
    """What lies beside the shards is in nobody's way, and one file of any sort loads by `data_files`."""
    (copied_folder / "croissant.json").write_text('{"a": 1}')
    (copied_folder / "plots").mkdir()
    (copied_folder / "plots" / "accuracy.png").write_bytes(b"no picture")

    def loaded(file: str | None, config: str | None = None) -> tuple[list[str], int]:
        rows = load_dataset(
            str(copied_folder), config, data_files=file, cache_dir=str(tmp_path / "cache"), split="train"
        )
        return sorted(rows.column_names), rows.num_rows

    every = sorted(column.name for column in zoo.columns)
    labels = sorted(column.name for column in label_columns(zoo.columns))
    train, validation = len(zoo.split("train")), len(zoo.split("validation"))
    assert loaded(None) == (every, train)
    assert loaded(None, "labels") == (labels, train)
    assert loaded("data/validation-00000-of-00001.h5") == (every, validation)
    assert loaded("labels/validation-00000-of-00001.h5", "labels") == (labels, validation)
    table = load_dataset("parquet", data_files=str(copied_folder / "labels.parquet"), cache_dir=str(tmp_path / "cache"))
    assert table["train"].num_rows == len(zoo)


class ReadAhead(io.RawIOBase):
    """A file of which pieces are fetched as fsspec fetches them for `datasets`: what is read, and a block more."""

    def __init__(self, content: bytes, block: int) -> None:
        self.cache = ReadAheadCache(block, lambda start, stop: content[start:stop], len(content))
        self.place = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.place = offset + (0, self.place, self.cache.size)[whence]
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: memoryview) -> int:
        found = self.cache._fetch(self.place, self.place + len(buffer))
        buffer[: len(found)] = found
        self.place += len(found)
        return len(found)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["built_folder", "digit_folder"])
def test_a_shard_is_streamed_from_front_to_back_once(folder: str, request: pytest.FixtureRequest) -> None:
    """`datasets` looks at all objects of a file, then reads its columns by name."""
    path = request.getfixturevalue(folder) / "data" / "train-00000-of-00001.h5"
    file = ReadAhead(path.read_bytes(), block=32_768)
    with h5py.File(file, "r") as opened:
        opened.visititems(lambda name, column: None)
        for name in opened:
            opened[name][:]
    assert file.cache.total_requested_bytes <= 1.1 * path.stat().st_size


def test_the_cards_features_are_what_datasets_would_write(built_folder: Path) -> None:
    manifest = read_manifest(built_folder)
    for info in front_matter(manifest)["dataset_info"]:
        features = Features._from_yaml_list(info["features"])
        assert features._to_yaml_list() == info["features"]


def test_the_card_is_valid_and_complete(built_folder: Path) -> None:
    text = (built_folder / "README.md").read_text()
    command = command_of(read_manifest(built_folder).recipe)
    assert text == render_card(rnnzoo.load(built_folder), built_folder.name, command=command)
    _, matter, body = text.split("---\n", 2)
    assert [config["config_name"] for config in yaml.safe_load(matter)["configs"]] == ["default", "weights", "labels"]
    assert not re.search("{{ |{%", body)
    for column in read_manifest(built_folder).columns:
        assert f"`{column.name}`" in body


@pytest.mark.slow
def test_datasets_alone_is_enough(built_folder: Path, tmp_path: Path) -> None:
    """The folder loads where neither rnnzoo nor torch can be imported."""
    code = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('rnnzoo', 'torch'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from datasets import load_dataset\n"
        f"rows = load_dataset({str(built_folder)!r}, cache_dir={str(tmp_path)!r})['train'].with_format('numpy')\n"
        "print(rows[0]['weights'].shape, rows[0]['sequences'].shape, rows[0]['log_probs'].shape)\n"
    )
    environment = {**os.environ, "USE_TORCH": "0", "USE_TF": "0", "USE_JAX": "0"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.stdout.strip() == "(13766,) (12, 42) (12, 41, 6)", result.stderr
