"""manifest.json: what a zoo holds, column by column and file by file, and where it came from.

It is the truth about a zoo: readers take columns, the layout of the weights and splits from it, and need not know the
kind of zoo.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits
from rnnzoo.files.atomic import write_json
from rnnzoo.files.safe_paths import check_place
from rnnzoo.files.strict_json import read_json, reading, typed
from rnnzoo.format.recipe_data import KindName, check_recipe
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.format.schema import SCHEMA_MINOR_VERSION, SCHEMA_VERSION, Column, label_columns, network_of
from rnnzoo.kinds import Kind, find_kind
from rnnzoo.networks.network import CELLS, Network, Parameter

MANIFEST = "manifest.json"
FORMAT = "rnnzoo-zoo"
LABEL_TABLE = "labels.parquet"


_REMEDY = "restore it by pulling or building the zoo again"

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
SplitName = Annotated[str, Meta(pattern=r"\A[a-z]\w{0,31}\Z")]
Line = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", max_length=limits.FACT_LENGTH)]
"""Text that is shown: without line breaks it cannot pass for what rnnzoo says."""
Count = Annotated[int, Meta(ge=1, le=limits.ROWS)]


class SplitCounts(TypedDict):
    """What a split has."""

    rows: Count
    models: Count
    tasks: Count


class _Origin(TypedDict):
    """A published zoo: its name on the Hub and the commit."""

    folder: Line
    revision: Line


class _Provenance(TypedDict):
    """The fields of a provenance that rnnzoo prints; whoever wrote it may have added others."""

    source: Line
    engine: NotRequired[Line]
    device: NotRequired[Line]
    release: NotRequired[Line]
    updates_ahead: NotRequired[int]
    restored_starts: NotRequired[int]
    data: NotRequired[Line]
    versions: NotRequired[dict[Line, Line]]
    extended_from: NotRequired[_Origin]
    git_revision: NotRequired[Line | None]
    created: NotRequired[Line]
    seconds: NotRequired[dict[Line, float]]


@dataclass(frozen=True)
class ShardFile:
    """One data file of a zoo as its manifest lists it."""

    path: Annotated[str, Meta(pattern=r"\Adata/\w[\w.-]*\.h5\Z", max_length=limits.NAME_LENGTH)]
    split: SplitName
    rows: Annotated[int, Meta(ge=1, le=limits.ROWS)]
    size: Annotated[int, Meta(ge=1, le=limits.SHARD_BYTES)]
    sha256: Sha256


@dataclass(frozen=True)
class LabelFile:
    """A file with the labels of rows once more: of a split as HDF5, or of all splits as Parquet."""

    path: Annotated[str, Meta(pattern=r"\A(labels/\w[\w.-]*\.h5|labels\.parquet)\Z", max_length=limits.NAME_LENGTH)]
    split: SplitName | None
    rows: Count
    size: Annotated[int, Meta(ge=1, le=limits.SHARD_BYTES)]
    sha256: Sha256


ListedFile = ShardFile | LabelFile


@dataclass(frozen=True)
class Manifest:
    """The contents of a zoo's manifest.json.

    Attributes:
        zoo: kind of zoo, for example "formal-languages".
        schema_version, schema_minor_version: of the file format; see docs/format.md.
        recipe: the recipe's JSON data.
        recipe_hash: SHA-256 of the recipe's canonical JSON.
        columns: every column of every shard.
        weight_layout: where each tensor lies in the flat weight vector.
        inputs: what the networks were fed when traces were recorded; None if nothing was.
        splits: rows, models and tasks of each split.
        files: every data file.
        provenance: how, where, when and with which versions the zoo was made.
        label_files: files with the labels once more; none in a zoo of version 2.0.
    """

    zoo: KindName
    schema_version: int
    schema_minor_version: int
    recipe: Mapping[str, Any]
    recipe_hash: Sha256
    columns: Annotated[tuple[Column, ...], Meta(max_length=limits.COLUMNS)]
    weight_layout: Annotated[tuple[Parameter, ...], Meta(max_length=4 * limits.LAYERS + 2)]
    inputs: RecordedInputs | None
    splits: Annotated[Mapping[SplitName, SplitCounts], Meta(max_length=limits.SPLITS)]
    files: Annotated[tuple[ShardFile, ...], Meta(min_length=1, max_length=limits.FILES)]
    provenance: Mapping[str, Any]
    label_files: Annotated[tuple[LabelFile, ...], Meta(max_length=limits.FILES)] = ()

    @cached_property
    def network(self) -> Network:
        """Shape of the zoo's networks."""
        return network_of(self.recipe)

    @property
    def kind(self) -> Kind:
        """The kind of zoo, or what stands in for one that is not installed."""
        return find_kind(self.zoo)

    @property
    def snapshots(self) -> tuple[int, ...]:
        """The optimizer steps at which every model has a row."""
        return tuple(self.recipe["snapshots"])

    @property
    def rows(self) -> int:
        """Rows of all splits together."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all data files."""
        return sum(file.size for file in self.files)

    @property
    def listed_files(self) -> tuple[ListedFile, ...]:
        """Every file that the manifest vouches for with size and SHA-256."""
        return *self.files, *self.label_files

    @property
    def data_sha256(self) -> str:
        """What identifies the zoo's data: the SHA-256 of its shards' checksums, hexadecimal."""
        return canonical_sha256([file.sha256 for file in self.files])

    def as_json(self) -> dict[str, Any]:
        """The manifest as written, its own checksum last."""
        data = {
            "format": FORMAT,
            "schema_version": self.schema_version,
            "schema_minor_version": self.schema_minor_version,
            "zoo": self.zoo,
            "recipe": dict(self.recipe),
            "recipe_hash": self.recipe_hash,
            "columns": [column.as_json() for column in self.columns],
            "weight_layout": [{**vars(tensor), "shape": list(tensor.shape)} for tensor in self.weight_layout],
            "inputs": self.inputs and self.inputs.as_json(),
            "splits": {name: dict(counts) for name, counts in self.splits.items()},
            "files": [vars(file) for file in self.files],
            **({"label_files": [vars(file) for file in self.label_files]} if self.label_files else {}),
            "provenance": dict(self.provenance),
        }
        return {**data, "manifest_sha256": canonical_sha256(data)}

    def write(self, folder: Path) -> None:
        """Write manifest.json into a zoo's folder, whole or not at all."""
        write_json(folder / MANIFEST, self.as_json())


def described_zoo(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a manifest that a recipe, given as JSON data, decides.

    Raises:
        UsageError: a kind of zoo, or a recurrent cell, that is not known here.
    """
    kind = find_kind(recipe["zoo"])
    if not kind.known:
        raise UsageError(f"There is no kind of zoo {recipe['zoo']!r} here: install the package that has it.")
    return {
        "zoo": recipe["zoo"],
        "schema_version": SCHEMA_VERSION,
        "schema_minor_version": SCHEMA_MINOR_VERSION,
        "recipe": recipe,
        "recipe_hash": canonical_sha256(recipe),
        "columns": kind.columns(recipe),
        "weight_layout": tuple(network_of(recipe).parameters()),
        "inputs": kind.inputs(recipe),
    }


def canonical_sha256(data: Any) -> str:
    """SHA-256 of JSON data written with sorted keys and no spaces, hexadecimal."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read and check a zoo's manifest, and where its files lie.

    Raises:
        UsageError: the folder is no zoo.
        RnnzooError: the manifest is damaged, edited, contradicts itself, claims impossible sizes, names files that lie
            elsewhere, or is of a schema version this rnnzoo does not read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(
            f"{folder} is no zoo: it has no {MANIFEST}. Name the folder that `rnnzoo build` or `rnnzoo import` wrote "
            "(`rnnzoo list` shows those in ./zoos)."
        )
    check_place(folder, MANIFEST)
    data = read_json(path, dict[str, Any], _REMEDY)
    with reading(path, _REMEDY):
        manifest = _checked(data, path)
    for file in manifest.listed_files:
        check_place(folder, file.path)
    return manifest


def _checked(data: dict[str, Any], path: Path) -> Manifest:
    """The manifest in JSON data, once nothing in it contradicts the rest."""
    if data.pop("format", None) != FORMAT:
        raise ValueError(f"field format is not {FORMAT!r}")
    if data["schema_version"] != SCHEMA_VERSION:
        raise RnnzooError(
            f"{path}: field schema_version is {data['schema_version']!r}, but this rnnzoo reads version "
            f"{SCHEMA_VERSION}. Install the rnnzoo release that wrote the zoo, or build it again."
        )
    if data.pop("manifest_sha256", None) != canonical_sha256({"format": FORMAT, **data}):
        raise RnnzooError(
            f"{path} was edited: field manifest_sha256 does not match its contents. "
            "Restore the original file (pull the zoo again, or build it again)."
        )
    minor = data["schema_minor_version"]
    exactly = isinstance(minor, int) and minor <= SCHEMA_MINOR_VERSION
    manifest = typed(data, Manifest, exactly)
    check_recipe(manifest.recipe, exactly)
    msgspec.convert(manifest.provenance, _Provenance)
    for problem in _contradictions(manifest):
        raise ValueError(problem)
    return manifest


def _contradictions(manifest: Manifest) -> Iterator[str]:
    """Whatever a manifest says that the rest of it shows to be false or impossible."""
    recipe, columns = manifest.recipe, manifest.columns
    if manifest.zoo != recipe["zoo"]:
        yield f"field zoo is {manifest.zoo!r}, but its recipe is of {recipe['zoo']}"
    if manifest.recipe_hash != canonical_sha256(recipe):
        yield "field recipe_hash is not the SHA-256 of the recipe"
    row_bytes = sum(column.row_bytes for column in columns)
    if row_bytes > limits.ROW_BYTES:
        yield f"field columns: a row takes {row_bytes:,} bytes, more than {limits.ROW_BYTES:,}"
        return
    yield from _column_problems(manifest)
    for field, needed in (("engine", "device"), ("release", "updates_ahead")):
        if field in manifest.provenance and needed not in manifest.provenance:
            yield f"field provenance has {field} but no {needed}"
    yield from _miscounts(manifest)
    yield from _label_problems(manifest)
    stored = sum(column.row_bytes for column in columns if not column.trace)
    for file in manifest.files:
        if file.rows * stored > file.size or file.rows * row_bytes > file.size * limits.DEFLATE_RATIO:
            yield f"file {file.path} of {file.size:,} bytes cannot hold {file.rows:,} rows"


def _column_problems(manifest: Manifest) -> Iterator[str]:
    """Columns that every zoo has and lacks here, and what contradicts them."""
    network, found = manifest.network, {column.name: column for column in manifest.columns}
    if len(found) < len(manifest.columns):
        yield "field columns names a column twice"
    stop = 0
    for tensor in manifest.weight_layout:
        if tensor.offset != stop:
            yield f"field weight_layout: tensor {tensor.name} does not begin where the one before it ends"
        stop = tensor.offset + tensor.size
    if network.cell in CELLS and stop != network.parameter_count:
        yield f"field weight_layout has {stop:,} values, but {network.describe()} has {network.parameter_count:,}"
    needed = {
        "model_id": ("int32", ()),
        "step": ("int32", ()),
        "weights": ("float32", (stop,)),
        "diverged": ("bool", ()),
    }
    for name, (dtype, shape) in needed.items():
        if name not in found or (found[name].dtype, found[name].shape) != (dtype, shape):
            yield f"field columns has no {name!r} of {dtype} {list(shape)}"
    if "task" not in found:
        yield "field columns has no 'task'"
    if (inputs := manifest.inputs) is None:
        return
    stored, answers = found.get(inputs.column), found.get("log_probs")
    if stored is None or not stored.trace or stored.dtype != "uint8" or answers is None or not answers.trace:
        yield f"field inputs: columns has no recorded {inputs.column!r} of uint8, or no 'log_probs'"
        return
    recorded, positions = stored.shape[0] if stored.shape else 0, inputs.positions
    if inputs.form == "tokens":
        fits = stored.shape[1:] == stored.shape[1:2] and stored.shape[1:] >= (positions,)
    else:
        fits = stored.shape[1:] == (positions - inputs.zeros_before, network.input_size)
    if not fits or answers.shape != (recorded, positions, network.output_size):
        yield f"field inputs does not fit the shapes of the columns {inputs.column!r} and 'log_probs'"


def _miscounts(manifest: Manifest) -> Iterator[str]:
    """Rows, models and files that do not add up."""
    models, snapshots = manifest.recipe["models"], len(manifest.snapshots)
    if manifest.rows != models * snapshots:
        yield f"its files have {manifest.rows:,} rows, but {models:,} models of {snapshots} snapshots have others"
    if manifest.rows > limits.ROWS:
        yield f"it has {manifest.rows:,} rows, more than {limits.ROWS:,}"
    if len({file.path for file in manifest.files}) < len(manifest.files):
        yield "field files names a file twice"
    if sum(counts["models"] for counts in manifest.splits.values()) != models:
        yield f"the splits do not have the recipe's {models:,} models together"
    rows_of = Counter(dict.fromkeys(manifest.splits, 0))
    for file in manifest.files:
        rows_of[file.split] += file.rows
    for split, rows in rows_of.items():
        counts = manifest.splits.get(split)
        if counts is None or not rows == counts["rows"] == counts["models"] * snapshots:
            yield f"split {split} states {counts}, but its files have {rows:,} rows of {snapshots} snapshots"


def _label_problems(manifest: Manifest) -> Iterator[str]:
    """Files of labels that are not those of all rows, each once as HDF5 and once as Parquet."""
    if manifest.schema_minor_version == 0 and not manifest.label_files:
        return
    rows_of: dict[str | None, int] = dict.fromkeys([*manifest.splits, None], 0)
    row_bytes = sum(column.row_bytes for column in label_columns(manifest.columns))
    for file in manifest.label_files:
        if (file.path == LABEL_TABLE) != (file.split is None) or file.split not in rows_of:
            yield f"field label_files: {file.path} cannot be of split {file.split}"
            return
        if file.split is not None and file.rows * row_bytes > file.size:
            yield f"field label_files: {file.path} of {file.size:,} bytes cannot hold {file.rows:,} rows"
        rows_of[file.split] += file.rows
    if len({file.path for file in manifest.label_files}) < len(manifest.label_files):
        yield "field label_files names a file twice"
    expected = {name: counts["rows"] for name, counts in manifest.splits.items()}
    if rows_of.pop(None) != manifest.rows or rows_of != expected:
        yield "field label_files: its files do not have every row once by split, and once in one table"
    if any(column.name == "split" for column in manifest.columns):
        yield "field columns has 'split', which is the name of a column of the table of labels"
