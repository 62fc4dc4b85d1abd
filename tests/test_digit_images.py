"""Sources of smnist's images: IDX files, the sample, the Hub; and what is said when they are wrong."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.generation.building.build import build
from rnnzoo.generation.kinds import digit_images as sources
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.digit_images import DigitImages, load_images, read_idx_folder
from rnnzoo.generation.kinds.smnist import digit_images
from rnnzoo.kinds.smnist import DIGIT_IMAGES, DigitTasks

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(values: np.ndarray) -> bytes:
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes((0, 0, 8, values.ndim)) + sizes + values.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty images and labels as IDX files, the images gzipped."""
    random = np.random.default_rng(0)
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(random.integers(0, 256, (30, 28, 28)))))
    (tmp_path / "idx" / LABELS).write_bytes(idx(np.arange(30) % 10))
    return tmp_path / "idx"


def tasks_for(images: DigitImages) -> DigitTasks:
    return DigitTasks(images_sha256=images.sha256)


def test_idx_files_are_read_gzipped_or_not(folder: Path) -> None:
    read = read_idx_folder(folder)
    assert read.images.shape == (30, 784)
    assert np.array_equal(read.images, np.random.default_rng(0).integers(0, 256, (30, 28, 28)).reshape(30, -1))
    assert read.labels[:11].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    (folder / IMAGES).write_bytes(gzip.decompress((folder / f"{IMAGES}.gz").read_bytes()))
    (folder / f"{IMAGES}.gz").unlink()
    assert read_idx_folder(folder).sha256 == read.sha256
    assert load_images(tasks_for(read), str(folder)).sha256 == read.sha256


def truncate(folder: Path) -> None:
    (folder / LABELS).write_bytes((folder / LABELS).read_bytes()[:-3])


def cut_gzip(folder: Path) -> None:
    path = folder / f"{IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-100])


def no_gzip(folder: Path) -> None:
    (folder / f"{IMAGES}.gz").write_bytes(b"not gzip at all")


def other_size(folder: Path) -> None:
    (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(idx(np.zeros((30, 32, 32)))))


def swapped(folder: Path) -> None:
    (folder / LABELS).write_bytes(gzip.decompress((folder / f"{IMAGES}.gz").read_bytes()))


def no_labels(folder: Path) -> None:
    (folder / LABELS).unlink()


def fewer_labels(folder: Path) -> None:
    (folder / LABELS).write_bytes(idx(np.zeros(29)))


def unknown_label(folder: Path) -> None:
    (folder / LABELS).write_bytes(idx(np.full(30, 11)))


def unharmed(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (truncate, f"{LABELS} has 27 bytes of data, but its header says 30"),
        (cut_gzip, f"{IMAGES}.gz is damaged or truncated"),
        (no_gzip, f"{IMAGES}.gz is damaged or truncated"),
        (other_size, "32 x 32 pixels"),
        (swapped, f"{LABELS} is no IDX file of labels"),
        (no_labels, f"has no training labels: neither {LABELS} nor {LABELS}.gz"),
        (fewer_labels, "29 labels for 30 images"),
        (unknown_label, "label 11"),
        (unharmed, "neither MNIST nor Fashion-MNIST as published"),
    ],
)
def test_wrong_files_are_named_and_nothing_is_written(
    damage: Callable[[Path], None], named: str, folder: Path, tmp_path: Path
) -> None:
    damage(folder)
    with pytest.raises(RnnzooError) as caught:
        build(find_recipe("smnist", "tiny"), tmp_path / "zoo", source=str(folder))
    assert named in str(caught.value)
    assert not (tmp_path / "zoo").exists()


def test_the_sample_is_five_thousand_images(sample_images: DigitImages) -> None:
    assert sample_images.images.shape == (5000, 784)
    assert np.bincount(sample_images.labels).tolist() == [500] * 10
    assert sample_images.sha256 == DIGIT_IMAGES["mnist", "sample"]


def test_the_sample_is_part_of_mnist(sample_images: DigitImages, mnist_folder: Path) -> None:
    mnist = load_images(DigitTasks(), str(mnist_folder))
    labels = {image.tobytes(): label for image, label in zip(mnist.images, mnist.labels, strict=True)}
    for image, label in zip(sample_images.images, sample_images.labels, strict=True):
        assert labels[image.tobytes()] == label


def test_sources_must_fit_the_recipe() -> None:
    with pytest.raises(UsageError, match="--mnist sample does not have"):
        load_images(DigitTasks(), "sample")
    with pytest.raises(UsageError, match="use --mnist sample"):
        load_images(DigitTasks(**digit_images("mnist", "sample")), "hub")
    with pytest.raises(UsageError, match="no such folder"):
        load_images(DigitTasks(), "nowhere")
    with pytest.raises(UsageError, match=r"fashion-mnist \(sample\)"):
        digit_images("fashion-mnist", "sample")


def test_hub_data_sets_are_read_as_the_files_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_idx_folder(folder)
    pictures = [image.reshape(28, 28) for image in read.images]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=[str(digit) for digit in range(10)])}
    )
    hub = datasets.Dataset.from_dict({"image": pictures, "label": read.labels.tolist()}, features=features)
    asked = []

    def load(name: str, split: str) -> datasets.Dataset:
        asked.append((name, split))
        return hub

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert np.array_equal(load_images(tasks_for(read), "hub").images, read.images)
    assert load_images(tasks_for(read), "hub").sha256 == read.sha256
    fashion = DigitTasks(dataset="fashion-mnist", images_sha256=read.sha256)
    assert load_images(fashion, "hub").sha256 == read.sha256
    assert asked[0] == ("ylecun/mnist", "train")
    assert asked[-1] == ("zalando-datasets/fashion_mnist", "train")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "other_way"), [("mnist", "--mnist sample"), ("fashion-mnist", "dataset-fashion-mnist")]
)
def test_offline_without_a_cache_the_other_ways_are_named(dataset: str, other_way: str, tmp_path: Path) -> None:
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "rnnzoo", "build", "smnist", "--scale", "tiny", "--dataset", dataset]
    result = subprocess.run(
        [*command, "--out", str(tmp_path / "zoo")], capture_output=True, text=True, env=offline, check=False
    )
    message = " ".join(result.stderr.split())
    assert result.returncode == 1
    assert "no copy is cached" in message
    assert "--mnist PATH" in message
    assert other_way in message
    assert "Traceback" not in message
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["formal-languages", "--mnist", "sample"], "it is for smnist"),
        (["smnist", "--dataset", "cats"], "no images cats"),
        (["smnist", "--dataset", "fashion-mnist", "--mnist", "sample"], "no images fashion-mnist (sample)"),
        (["smnist", "--mnist", "nowhere", "--out", "zoo"], "no such folder"),
    ],
)
def test_bad_requests_get_one_clear_error(arguments: list[str], named: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rnnzoo", "build", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 2
    assert named in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"rnnzoo\[sample\]"):
        load_images(DigitTasks(**digit_images("mnist", "sample")), "sample")
