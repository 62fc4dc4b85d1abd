"""The files that runs leave beside their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rnnzoo.benchmark.results import Results, Run, TrainingCurve
from rnnzoo.errors import RnnzooError
from rnnzoo.files.strict_json import read_json

_ROW_FIELDS = ("split", "model_id", "step", "task", "accuracy", "total_variation", "emulated_accuracy", "z")


def path_of(results: Results, run: Run, name: str) -> Path:
    """Where a file of a run lies."""
    return results.folder / "runs" / run.name / name


def read_curve(results: Results, run: Run) -> dict[str, Any] | None:
    """The training curve of an emulation run by the fields of `TrainingCurve`; None if it is not there.

    Raises:
        RnnzooError: it is damaged.
    """
    path = path_of(results, run, "curve.json")
    if not path.exists():
        return None
    remedy = f"delete {path.parent} and give the `rnnzoo eval` command again"
    return vars(read_json(path, TrainingCurve, remedy, finite=False))


def read_arrays(results: Results, run: Run, name: str) -> dict[str, NDArray[Any]] | None:
    """The arrays of "rows.npz" or "probes.npz" by name; None if the file is not there.

    Raises:
        RnnzooError: it is damaged.
    """
    path = path_of(results, run, name)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {field: file[field] for field in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise damaged(path, error) from error
    required = _ROW_FIELDS if name == "rows.npz" else ("inputs", "rows")
    absent = [field for field in required if field not in arrays]
    if absent:
        raise damaged(path, f"no array {absent[0]!r}")
    if name == "rows.npz" and len({len(array) for array in arrays.values()}) > 1:
        raise damaged(path, "its arrays differ in length")
    if name == "rows.npz" and not np.isfinite(arrays["z"]).all():
        raise damaged(path, "z is not finite")
    return arrays


def damaged(path: Path, reason: object) -> RnnzooError:
    """The error that a file of a run is damaged."""
    return RnnzooError(f"{path} is damaged ({reason}): delete {path.parent} and give the `rnnzoo eval` command again.")
