"""The row of each kind of zoo: columns, dtypes, shapes and units. Writers, readers and checks all use this table.

One row is one snapshot of one model. Shapes depend on the recipe, so columns are made from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rnnzoo.digits import CLASSES, POSITIONS, TILE_PIXELS, TILES
from rnnzoo.errors import RnnzooError
from rnnzoo.languages import VOCABULARY
from rnnzoo.network import Network

SCHEMA_VERSION = 2
SPLITS = ("train", "validation", "ood_test")


@dataclass(frozen=True)
class Column:
    """One column of a shard: an HDF5 dataset [rows, *shape].

    Args:
        name: name of the dataset, and of the column `datasets` shows.
        dtype: NumPy dtype name.
        shape: shape of one row's value, () for a number.
        unit: unit of the values, "" for plain numbers.
        description: one line of meaning.
        trace: a recording of the network's behaviour; left out of the light configurations.
        may_diverge: values of a diverged model may be NaN or infinite.
        low, high: range of the values, both included; None for no bound.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    description: str
    trace: bool = False
    may_diverge: bool = False
    low: float | None = None
    high: float | None = None

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one row's value, uncompressed."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def as_json(self) -> dict[str, Any]:
        """The fields a manifest records."""
        data = asdict(self)
        data["shape"] = list(self.shape)
        return {key: data[key] for key in ("name", "dtype", "shape", "unit", "description")}


def network_of(recipe: Mapping[str, Any]) -> Network:
    """The network shape in a recipe's JSON data."""
    return Network(**recipe["network"])


def columns_of(recipe: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a zoo built by a recipe, given as its JSON data.

    Raises:
        RnnzooError: a kind of zoo this version does not know.
    """
    kinds = {"formal-languages": _formal_languages_columns, "smnist": _smnist_columns}
    if recipe["zoo"] not in kinds:
        raise RnnzooError(f"This rnnzoo knows no zoo of kind {recipe['zoo']!r}: update rnnzoo.")
    return kinds[recipe["zoo"]](recipe)


def is_imported(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe describes a folder of the original release rather than a zoo built here."""
    return "source" in recipe


def _identity_columns(recipe: Mapping[str, Any]) -> tuple[Column, ...]:
    model_id = Column(
        "model_id",
        "int32",
        (),
        "",
        "number of the model in its zoo; a model has one row per snapshot",
        low=0,
        high=recipe["models"] - 1,
    )
    if not is_imported(recipe):
        counted = "updates the weights have had; 0 is the initialisation"
        return model_id, Column("step", "int32", (), "optimizer updates", counted)
    counted = "step counter of the released code; the weights have had one update more"
    return (
        model_id,
        Column("step", "int32", (), "optimizer updates", counted),
        Column("run", "int64", (), "", "number of the training run in the original release"),
    )


def _weight_columns(network: Network) -> tuple[Column, ...]:
    return (
        Column(
            "weights",
            "float32",
            (network.parameter_count,),
            "",
            "all parameters, flat, in the order of the weight layout",
            may_diverge=True,
        ),
        Column("diverged", "bool", (), "", "some weight is NaN or infinite"),
    )


def _formal_languages_columns(recipe: Mapping[str, Any]) -> tuple[Column, ...]:
    network = network_of(recipe)
    recorded, length = recipe["rollouts"]["recorded"], recipe["tasks"]["length"]
    # The original release counts only fitting letters over all its rollouts; the rest comes from those it recorded.
    rollouts = "recorded rollouts" if is_imported(recipe) else "rollouts"
    overwritten = "the release has an end token in place of the start token, which it writes over unfinished strings"
    restored = is_imported(recipe) and recipe["source"].get("restored_starts", 0) > 0
    return (
        *_identity_columns(recipe),
        Column(
            "task",
            "int8",
            (3,),
            "",
            "offsets (m_b, m_c, m_d) of the language a^n b^(n+m_b) c^(n+m_c) d^(n+m_d)",
            low=recipe["tasks"]["smallest_offset"],
            high=recipe["tasks"]["largest_offset"],
        ),
        *_weight_columns(network),
        _share("accuracy", "float32", rollouts, "exactly in the language: order and counts"),
        _share("accuracy_counts", "float32", "rollouts", "letter counts fit the task, in any order"),
        _share("finished", "float32", rollouts, "contain an end token"),
        Column(
            "train_loss",
            "float32",
            (),
            "nats per position",
            "expected training loss: mean cross-entropy over the task's training strings, padding included",
            may_diverge=True,
            low=0,
        ),
        Column(
            "sequences",
            "uint8",
            (recorded, length),
            "tokens",
            "strings sampled from the model: a b c d = 0..3, start = 4, end = 5",
            trace=True,
            low=0,
            high=VOCABULARY - 1,
        ),
        Column(
            "log_probs",
            "float16",
            (recorded, length - 1, network.output_size),
            "nats",
            "log-probability of every next token after each position of `sequences`",
            trace=True,
            may_diverge=True,
        ),
        *((_trace("start_overwritten", "bool", (recorded,), "", overwritten),) if restored else ()),
    )


def _smnist_columns(recipe: Mapping[str, Any]) -> tuple[Column, ...]:
    network, recorded = network_of(recipe), recipe["rollouts"]["recorded"]
    losses = recipe["source"].get("losses") if is_imported(recipe) else None
    held_out = "mean cross-entropy over all positions of images never trained on"
    kept: tuple[Column, ...] = ()
    if losses == "released":
        held_out += ", as released: the last two of 12,002 images weigh as much as a thousand others"
    if losses == "recomputed":
        kept = tuple(_loss(f"released_{name}", f"`{name}` as released") for name in ("train_loss", "eval_loss"))
    columns = (
        *_identity_columns(recipe),
        Column(
            "task",
            "float64",
            (),
            "degrees",
            "angle by which every image is rotated, counter-clockwise",
            low=0,
            high=360,
        ),
        *_weight_columns(network),
        Column("weight_decay", "float64", (), "", "AdamW's decoupled weight decay in training", low=0),
        _share("eval_accuracy", "float64", "images", "images never trained on that are classified right"),
        _loss("train_loss", "mean cross-entropy over all positions of training images"),
        _loss("eval_loss", held_out),
        _loss("generalization_gap", "eval_loss - train_loss", low=None),
        *kept,
        _trace("image_indices", "int32", (recorded,), "", "which training images the traces are of", low=0),
        _trace("labels", "uint8", (recorded,), "", "class of each image", low=0, high=CLASSES - 1),
        _trace(
            "tiles",
            "uint8",
            (recorded, TILES, TILE_PIXELS),
            "pixel intensity",
            "the images as the model saw them: rotated, cut into 4 x 4 tiles, both row-major, not yet normalised",
        ),
        _trace(
            "log_probs",
            "float16",
            (recorded, POSITIONS, network.output_size),
            "nats",
            "log-probability of every class after the zero tile and after each tile of `tiles`",
        ),
    )
    if not is_imported(recipe):
        return columns
    # The release names no images; where they could not be recognised, nothing is known of labels either.
    unknown = () if recipe["tasks"]["images_sha256"] else ("image_indices", "labels")
    logits = "logits as released, of which `log_probs` is the log-softmax"
    return (
        *(column for column in columns if column.name not in unknown),
        _trace("logits", "float16", (recorded, POSITIONS, network.output_size), "", logits),
    )


def _share(name: str, dtype: str, of: str, description: str) -> Column:
    return Column(name, dtype, (), f"share of {of}", description, low=0, high=1)


def _loss(name: str, description: str, low: float | None = 0) -> Column:
    return Column(name, "float64", (), "nats per position", description, may_diverge=True, low=low)


def _trace(
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    unit: str,
    description: str,
    low: float | None = None,
    high: float | None = None,
) -> Column:
    return Column(name, dtype, shape, unit, description, True, dtype == "float16", low, high)
