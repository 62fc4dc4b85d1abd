"""manifest.json: what a zoo holds, file by file, and where it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rnnzoo.atomic import write_json
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.network import Network
from rnnzoo.schema import SCHEMA_VERSION, Column, columns_of, network_of

MANIFEST = "manifest.json"
FORMAT = "rnnzoo-zoo"


@dataclass(frozen=True)
class ShardFile:
    """One data file of a zoo as its manifest lists it."""

    path: str
    split: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The contents of a zoo's manifest.json.

    Attributes:
        zoo: kind of zoo, for example "formal-languages".
        schema_version: version of the file format.
        recipe: the recipe's JSON data.
        recipe_hash: SHA-256 of the recipe's canonical JSON.
        splits: rows, models and tasks of each split.
        files: every data file.
        provenance: how, where, when and with which versions the zoo was made.
    """

    zoo: str
    schema_version: int
    recipe: Mapping[str, Any]
    recipe_hash: str
    splits: Mapping[str, Mapping[str, int]]
    files: tuple[ShardFile, ...]
    provenance: Mapping[str, Any]

    @cached_property
    def network(self) -> Network:
        """Shape of the zoo's networks."""
        return network_of(self.recipe)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of every shard."""
        return columns_of(self.recipe)

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

    def as_json(self) -> dict[str, Any]:
        """The manifest as written, its own checksum last."""
        data = {
            "format": FORMAT,
            "schema_version": self.schema_version,
            "zoo": self.zoo,
            "recipe": dict(self.recipe),
            "recipe_hash": self.recipe_hash,
            "columns": [column.as_json() for column in self.columns],
            "weight_layout": weight_layout(self.network),
            "splits": {name: dict(counts) for name, counts in self.splits.items()},
            "files": [vars(file) for file in self.files],
            "provenance": dict(self.provenance),
        }
        return {**data, "manifest_sha256": canonical_sha256(data)}

    def write(self, folder: Path) -> None:
        """Write manifest.json into a zoo's folder, whole or not at all."""
        write_json(folder / MANIFEST, self.as_json())


def weight_layout(network: Network) -> list[dict[str, Any]]:
    """Name, shape and offset of every tensor in the flat weight vector, as JSON data."""
    return [{"name": p.name, "shape": list(p.shape), "offset": p.offset} for p in network.parameters()]


def canonical_sha256(data: Any) -> str:
    """SHA-256 of JSON data written with sorted keys and no spaces, hexadecimal."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read and check a zoo's manifest.

    Raises:
        UsageError: the folder is no zoo.
        RnnzooError: the manifest is damaged, edited, or of a schema version this rnnzoo does not read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(
            f"{folder} is no zoo: it has no {MANIFEST}. Name the folder that `rnnzoo build` wrote, "
            f"or build one with `rnnzoo build formal-languages --out {folder}`."
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"field 'format' is not {FORMAT!r}")
        version = data["schema_version"]
        if version != SCHEMA_VERSION:
            raise RnnzooError(
                f"{path}: field schema_version is {version}, but this rnnzoo reads version {SCHEMA_VERSION}. "
                "Install the rnnzoo release that wrote the zoo, or build it again."
            )
        stated = data.pop("manifest_sha256")
        if stated != canonical_sha256(data):
            raise RnnzooError(
                f"{path} was edited: field manifest_sha256 does not match its contents. "
                "Restore the original file (pull the zoo again, or build it again)."
            )
        files = tuple(ShardFile(**file) for file in data["files"])
        return Manifest(
            zoo=data["zoo"],
            schema_version=version,
            recipe=data["recipe"],
            recipe_hash=data["recipe_hash"],
            splits=data["splits"],
            files=files,
            provenance=data["provenance"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RnnzooError(
            f"{path} is damaged ({type(error).__name__}: {error}). Restore it by pulling or building the zoo again."
        ) from error
