"""The same work with one of PyTorch's threads and with three, on a processor where that makes a difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode

Result = TypeVar("Result")
LIBRARY_SUMS = {
    torch.ops.aten.mm,
    torch.ops.aten.addmm,
    torch.ops.aten.bmm,
    torch.ops.aten.baddbmm,
    torch.ops.aten.mv,
    torch.ops.aten.dot,
    torch.ops.aten.sum,
    torch.ops.aten.mean,
    torch.ops.aten.mkldnn_rnn_layer,
    torch.ops.mkldnn._linear_pointwise,
}


class SplitSums(TorchDispatchMode):
    """Changes the sums that PyTorch and its libraries make a little with the number of threads.

    Some processors' libraries do so, since they split a sum among the threads; others' do not, and there a test of
    numbers that are promised to be equal would see nothing.
    """

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket in LIBRARY_SUMS:
            first = result[0] if isinstance(result, tuple) else result
            if first.is_floating_point():
                first.mul_(1 + 1e-6 * (torch.get_num_threads() - 1))
        return result


def with_one_and_three_threads(work: Callable[[], Result]) -> tuple[Result, Result]:
    """What the work gives with one thread, and with three; only our own kernels' sums can be equal in every bit."""
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            with SplitSums():
                results.append(work())
    finally:
        torch.set_num_threads(before)
    one, three = results
    return one, three
