"""Finished units at a URL: where workers without a shared folder leave them, and the build collects them."""

from __future__ import annotations

from pathlib import Path

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits
from rnnzoo.files.atomic import atomic_path
from rnnzoo.files.strict_json import parse_json
from rnnzoo.generation.building.plan import Plan, Unit
from rnnzoo.generation.building.units import Sidecar, checked_source, unit_path


class UnitStore:
    """The units of one plan at an fsspec URL, such as s3://bucket/folder or file:///shared/folder.

    A unit's file is sent before its sidecar, so a sidecar that matches its file says that the unit is whole.

    Raises:
        UsageError: no such kind of URL, its package is not installed, or it lives in one process's memory.
    """

    def __init__(self, url: str, plan: Plan) -> None:
        import fsspec

        try:
            self.files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"--units {url} cannot be used: {error}.") from error
        if "memory" in self.files.protocol:
            raise UsageError(f"--units {url} is the memory of one process, which no other can read: choose another.")
        self.url = url
        # Two zoos, or two engines, may share a URL.
        self.folder = f"{root.rstrip('/')}/{plan.recipe.hash[:16]}-{plan.engine}-{plan.models_per_unit}"

    def send(self, unit: Unit, out: Path) -> None:
        """Send a finished unit of a build folder.

        Raises:
            RnnzooError: the URL cannot be written to.
        """
        path = unit_path(out, unit)
        try:
            self.files.makedirs(self.folder, exist_ok=True)
            for file in (path, path.with_suffix(".json")):
                self.files.put_file(str(file), f"{self.folder}/{file.name}")
        except OSError as error:
            raise RnnzooError(f"{self.url} cannot be written to ({error}): check --units.") from error

    def whole(self, unit: Unit) -> bool:
        """Whether a unit is there in full."""
        try:
            text = self.files.cat_file(f"{self.folder}/{unit.name}.json", end=limits.JSON_BYTES + 1)
            sidecar = parse_json(text, Sidecar, f"{self.folder}/{unit.name}.json", "delete it")
            return bool(self.files.info(f"{self.folder}/{unit.name}.h5")["size"] == sidecar.size)
        except (OSError, RnnzooError):
            return False

    def fetch(self, unit: Unit, out: Path) -> None:
        """Bring a unit into a build folder, and check it.

        Raises:
            RnnzooError: it cannot be read, is not what was sent, or the disk is full.
        """
        path = unit_path(out, unit)
        for file in (path, path.with_suffix(".json")):
            with atomic_path(file) as temporary:
                try:
                    self.files.get_file(f"{self.folder}/{file.name}", str(temporary))
                except FileNotFoundError as error:
                    raise RnnzooError(f"{self.folder}/{file.name} is gone; give the same command again.") from error
        checked_source(out, unit)

    def remove(self) -> None:
        """Delete the units of this plan."""
        if self.files.exists(self.folder):
            self.files.rm(self.folder, recursive=True)
