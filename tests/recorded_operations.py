"""What stands in for a CUDA graph where there is no GPU: PyTorch's operations, watched, or recorded and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from rnnzoo.emulation.trainer import EmulationTraining

WAITING = (
    "_local_scalar_dense",
    "is_nonzero",
    "equal",
    "nonzero",
    "masked_select",
    "unique",
    "_unique",
    "bincount",
    "lift_fresh",
    "repeat_interleave.Tensor",
)
"""Operations whose result or shape the host reads from the device, or that bring a tensor from the host."""

FROM_HOST = ("tensor", "as_tensor", "from_numpy")
TO_HOST = ("numpy", "tolist", "__array__", "data_ptr")


class Watch(TorchDispatchMode):
    """Counts operations, and lists those that a CUDA graph cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = 0
        self.impossible: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = str(func).removeprefix("aten."), kwargs or {}
        moved = name.startswith("_to_copy") and kwargs.get("device") is not None
        masked = name.startswith(("index.", "index_put")) and any(
            tensor.dtype in (torch.bool, torch.uint8) for tensor in tree_leaves(args[1])
        )
        if name.startswith(WAITING) or moved or masked:
            self.impossible.append(str(func))
        result = func(*args, **kwargs)
        self.kernels += launches(func)
        return result


def launches(func: Any) -> bool:
    """Whether an operation computes anything: views and new memory do not."""
    name = func._schema.name.removeprefix("aten::")
    return not is_view(func) and not name.startswith(("empty", "new_empty", "detach", "set_"))


def is_view(func: Any) -> bool:
    """Whether an operation's result lies in the memory of its arguments, unchanged."""
    return func.is_view or func._schema.name in ("aten::_unsafe_view", "aten::detach", "aten::lift_fresh")


@contextmanager
def nothing_of_the_host() -> Iterator[Watch]:
    """Watch operations, with all forbidden that moves numbers to or from the host past PyTorch's dispatch."""

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("numbers move between host and device")

    with pytest.MonkeyPatch.context() as patch, Watch() as watch:
        for name in FROM_HOST:
            patch.setattr(torch, name, forbidden)
        for name in TO_HOST:
            patch.setattr(Tensor, name, forbidden)
        yield watch


class Recording(TorchDispatchMode):
    """Every operation that computes, with the tensors it read and those it left."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not is_view(func):
            self.operations.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Do the operations again, on the same memory; nothing else of what was recorded is run."""
        for func, args, kwargs, result in self.operations:
            # Some of oneDNN's leave out what a backward pass needs unless gradients are wanted.
            again = func(*tree_map(_detached, args), **tree_map(_detached, kwargs))
            if not func._schema.is_mutable:
                tree_map(_overwrite, result, again)


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _overwrite(old: Any, new: Any) -> None:
    if isinstance(old, Tensor):
        old.detach().copy_(new)


class OperationRecorder:
    """Records a training step as a CUDA graph would: recording leaves weights, moments and outcome as they were."""

    def __init__(self, training: EmulationTraining) -> None:
        self.training = training
        self.replays = 0

    def warm_up(self, work: Callable[[], None], watched: bool) -> str | None:
        """Do the work."""
        work()
        return None

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """The recorded operations, ready to be replayed."""
        training = self.training
        assert training.ahead is not None
        lasting = [training.ahead.outcome]
        lasting += [tensor for model in training.models.values() for tensor in model.state_dict().values()]
        for optimizer in training.optimizers.values():
            lasting += [moment for state in optimizer.state.values() for moment in state.values()]
        before = [tensor.detach().clone() for tensor in lasting]
        with Recording() as recording:
            work()
        for tensor, was in zip(lasting, before, strict=True):
            tensor.detach().copy_(was)

        def replay() -> None:
            self.replays += 1
            recording.replay()

        return replay
