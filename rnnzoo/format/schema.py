"""Columns: what each value of a row is. A manifest lists its zoo's, and readers go by that list.

One row is one snapshot of one model. What the rows of a kind of zoo hold is said by its `rnnzoo.kinds.Kind`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from rnnzoo.files import limits
from rnnzoo.networks.network import Network

SCHEMA_VERSION = 2
"""Major version of the format: a reader refuses another."""
SCHEMA_MINOR_VERSION = 1
"""Minor version: a reader of an earlier one ignores what it does not know; see docs/format.md."""
SPLITS = ("train", "validation", "ood_test")

DType = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"
]


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

    name: Annotated[str, Meta(pattern=r"\A[a-z]\w{0,63}\Z")]
    dtype: DType
    shape: Annotated[tuple[Annotated[int, Meta(ge=1, le=limits.ROW_BYTES)], ...], Meta(max_length=4)]
    unit: Annotated[str, Meta(max_length=limits.NAME_LENGTH)]
    description: Annotated[str, Meta(max_length=limits.FACT_LENGTH)]
    trace: bool = False
    may_diverge: bool = False
    low: float | None = None
    high: float | None = None

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one row's value, uncompressed."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def as_json(self) -> dict[str, Any]:
        """As a manifest records it."""
        return asdict(self) | {"shape": list(self.shape)}


def label_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Those that are neither weights nor recordings."""
    return tuple(column for column in columns if not column.trace and column.name != "weights")


def network_of(recipe: Mapping[str, Any]) -> Network:
    """The network shape in a recipe's JSON data."""
    return Network(**recipe["network"])


def is_imported(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe describes a folder of the original release rather than a zoo built here."""
    return "source" in recipe


def identity_columns(recipe: Mapping[str, Any]) -> tuple[Column, ...]:
    """Which model a row is of, after how many updates: the first columns of every kind of zoo."""
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


def weight_columns(network: Network) -> tuple[Column, ...]:
    """The weights of a row, and whether they are finite: columns of every kind of zoo."""
    described = "all parameters, flat, in the order of the weight layout"
    return (
        Column("weights", "float32", (network.parameter_count,), "", described, may_diverge=True),
        Column("diverged", "bool", (), "", "some weight is NaN or infinite"),
    )


def share_column(name: str, of: str, description: str, dtype: DType = "float64") -> Column:
    """A share, between 0 and 1, of something counted."""
    return Column(name, dtype, (), f"share of {of}", description, low=0, high=1)


def loss_column(name: str, description: str, low: float | None = 0, dtype: DType = "float64") -> Column:
    """A cross-entropy in nats per position."""
    return Column(name, dtype, (), "nats per position", description, may_diverge=True, low=low)


def trace_column(
    name: str,
    dtype: DType,
    shape: tuple[int, ...],
    unit: str,
    description: str,
    low: float | None = None,
    high: float | None = None,
) -> Column:
    """A recording of behaviour; what networks answered, in half precision, may diverge with them."""
    return Column(name, dtype, shape, unit, description, True, dtype == "float16", low, high)
