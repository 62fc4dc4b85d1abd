"""A zoo: the rows of one folder, and the manifest that says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rnnzoo.format.manifest import Manifest, read_manifest
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.format.shards import ShardReader
from rnnzoo.hub.names import resolve
from rnnzoo.hub.store import version_at
from rnnzoo.kinds import Kind
from rnnzoo.networks.network import Network, Parameter
from rnnzoo.rows.model import Model
from rnnzoo.rows.zoo_rows import ZooRows

__all__ = ["Model", "Zoo", "load"]


class Zoo(ZooRows):
    """Some rows of a zoo, each one snapshot of one model. Nothing is read until it is asked for.

    `zoo["accuracy"]` is a column as a NumPy array, `zoo[3]` one snapshot, `zoo[10:20]` or
    `zoo[zoo["finished"] > 0.9]` a smaller zoo.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        rows: NDArray[np.int64] | None = None,
        reader: ShardReader | None = None,
        numbers: dict[str, NDArray[Any]] | None = None,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self._shards = reader or ShardReader(folder, manifest)
        super().__init__(self._shards, rows, numbers)

    @property
    def origin(self) -> str:
        """Where these rows come from, for people."""
        return str(self.folder)

    @property
    def revision(self) -> str | None:
        """The commit on the Hub that the zoo was fetched at; None for any other folder."""
        version = version_at(self.folder)
        return version.commit if version else None

    @property
    def network(self) -> Network:
        """Shape of the zoo's networks."""
        return self.manifest.network

    @property
    def kind(self) -> Kind:
        """What kind of zoo it is; what is particular to it."""
        return self.manifest.kind

    @property
    def weight_layout(self) -> tuple[Parameter, ...]:
        """Where each tensor lies in the column `weights`."""
        return self.manifest.weight_layout

    @property
    def inputs(self) -> RecordedInputs | None:
        """What the networks were fed when their traces were recorded; None if nothing was."""
        return self.manifest.inputs

    @property
    def snapshots(self) -> tuple[int, ...]:
        """The optimizer steps the zoo has snapshots of."""
        return self.manifest.snapshots

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits the zoo has."""
        return tuple(self.manifest.splits)

    def split_of(self) -> NDArray[np.str_]:
        """The split each of these rows is in."""
        files = self.manifest.files
        return np.repeat([file.split for file in files], [file.rows for file in files])[self._rows]

    def _select(self, rows: NDArray[np.int64]) -> Self:
        return type(self)(self.folder, self.manifest, rows, self._shards, self._numbers)


def load(path_or_name: str | Path, split: str | None = None, revision: str | None = None) -> Zoo:
    """Open a zoo: a folder that `rnnzoo build` wrote, or a name on the Hugging Face Hub such as "rnnzoo/smnist".

    Args:
        path_or_name: folder, or `namespace/name` of a dataset on the Hub, fetched once (see `rnnzoo.pull`).
        split: only the rows of "train", "validation" or "ood_test".
        revision: branch, tag or commit on the Hub; by default the main branch, as it is now if the Hub can be reached.

    Raises:
        UsageError: no such folder or name, or no such split.
        RnnzooError: the zoo is damaged, or of a version this rnnzoo does not read.
    """
    # Absolute, so that a later change of the current folder does not change what is read.
    folder = resolve(path_or_name, revision).absolute()
    zoo = Zoo(folder, read_manifest(folder))
    return zoo if split is None else zoo.split(split)
