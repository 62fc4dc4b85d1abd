"""The LSTM cell's kernels in Triton's interpreter, against PyTorch's operations.

`test_cell_kernels.py` runs this file in a process of its own with TRITON_INTERPRET=1, which Triton reads when it is
imported.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rnnzoo.networks import cell_kernels, lstm_cells

HIDDEN = 20


def tensors(shape: tuple[int, ...], gates: tuple[bool, ...]) -> list[Tensor]:
    """Random tensors, every other one a step of a sequence, which is not contiguous."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for number, wide in enumerate(gates):
        whole = (*shape[:-1], 3, shape[-1], HIDDEN * (4 if wide else 1))
        values = torch.randn(whole, generator=generator)
        made.append(values.select(-3, 1) if number % 2 else values.select(-3, 1).contiguous())
    return made


@pytest.mark.parametrize("shape", [(7,), (3, 5), (40, 1)])
@pytest.mark.parametrize("name", ["cell_forward", "cell_backward"])
def test_a_kernel_does_what_pytorch_does(name: str, shape: tuple[int, ...]) -> None:
    gates = (True, False, False, False, False) if name == "cell_forward" else (True, *[False] * 5, True)
    given = tensors(shape, gates)
    if name == "cell_backward":
        given[0].sigmoid_()
    expected = [tensor.clone() for tensor in given]
    getattr(lstm_cells, f"{name}_by_pytorch")(*expected)
    lstm_cells._launch(name, tuple(given))
    for ours, theirs in zip(given, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_gradient_of_the_cell_may_be_overwritten() -> None:
    given = tensors((3, 5), (True, *[False] * 5, True))
    given[5] = given[4]
    expected = [tensor.clone() for tensor in given]
    expected[5] = expected[4]
    lstm_cells.cell_backward_by_pytorch(*expected)
    lstm_cells._launch("cell_backward", tuple(given))
    assert torch.allclose(given[4], expected[4], atol=1e-6)
    assert torch.allclose(given[6], expected[6], atol=1e-6)


def test_a_whole_sequence_by_kernels_is_that_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnnzoo.networks.recurrence import lstm_sequence

    inputs = torch.randn(1, 6, 2, 3, requires_grad=True)
    weights = torch.randn(4, 3, 32), torch.randn(4, 8, 32), torch.randn(4, 1, 32)
    results = []
    for by_kernels in (False, True):
        monkeypatch.setattr(lstm_cells, "_in_one_launch", lambda _, chosen=by_kernels: chosen)
        outputs = lstm_sequence(inputs, *weights)
        results.append((outputs, torch.autograd.grad(outputs.square().sum(), inputs)[0]))
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_kernels_module_is_the_interpreted_one() -> None:
    assert type(cell_kernels.cell_forward).__name__ == "InterpretedFunction"
