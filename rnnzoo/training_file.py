"""The file that an emulation run goes on from: weights, optimizer state and step, in safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from rnnzoo.atomic import atomic_path
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.strict_json import parse_json, reading
from rnnzoo.training_step import TrainingStep


def write_training(path: Path, part: TrainingStep, step: int, run: dict[str, Any]) -> None:
    """Write what a run goes on from, whole or not at all.

    Args:
        path: the file.
        part: the run's models and optimizers.
        step: updates done.
        run: what identifies the run.

    Raises:
        RnnzooError: it cannot be written.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, model in part.parts.items():
        tensors |= {f"{name}.{key}": value for key, value in model.state_dict().items()}
    for name, optimizer in part.optimizers.items():
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.optimizer.{number}.{key}": value for key, value in moments.items()}
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"run": json.dumps(run), "step": str(step)})


def read_training(path: str | Path, part: TrainingStep, run: dict[str, Any]) -> int:
    """Take weights and optimizer state from a file, whatever device it was written on; the updates done.

    Raises:
        UsageError: the file is of a run with another encoder, configuration or seed.
        RnnzooError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise RnnzooError(f"The checkpoint {path} cannot be read ({error}): delete it to start anew.") from error
    remedy = "delete it to start anew"
    with reading(path, remedy):
        saved = parse_json(metadata["run"].encode(), dict[str, Any], path, remedy)
        step = int(metadata["step"])
    mine = json.loads(json.dumps(run))
    for field in mine:
        if saved.get(field) != mine[field]:
            raise UsageError(
                f"The checkpoint {path} is of a run with {field}={saved.get(field)!r}, but this run has "
                f"{mine[field]!r}: use the same settings to resume, or another folder to start anew."
            )
    with reading(path, remedy):
        for name, model in part.parts.items():
            model.load_state_dict({key: tensors[f"{name}.{key}"] for key in model.state_dict()})
        for name, optimizer in part.optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            prefix = f"{name}.optimizer."
            for key, value in tensors.items():
                if key.startswith(prefix):
                    number, _, moment = key.removeprefix(prefix).partition(".")
                    state.setdefault(int(number), {})[moment] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    part.tie_learning_rate()
    return step
