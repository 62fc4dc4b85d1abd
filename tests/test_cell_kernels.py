"""The LSTM cell in one launch, without a GPU: in Triton's interpreter, and compiled for an H100."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rnnzoo.networks.lstm_cells import launch_arguments

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _triton_installed() -> None:
    pytest.importorskip("triton", reason="Triton is not installed (it comes for Linux only)")


@pytest.mark.slow
def test_kernels_agree_with_pytorch_in_the_interpreter() -> None:
    checks = "tests/interpreted_cell_kernels.py"
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", checks)
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "tensors"), [("cell_forward", 5), ("cell_backward", 7)])
def test_a_kernel_compiles_for_sm_90(name: str, tensors: int) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from rnnzoo.networks import cell_kernels

    kernel = getattr(cell_kernels, name)
    gates = (0,) if name == "cell_forward" else (0, tensors - 1)
    given = tuple(torch.zeros(64, 1, 32 * (4 if index in gates else 1)) for index in range(tensors))
    arguments, constants = launch_arguments(given)
    assert len(arguments) + len(constants) == len(kernel.arg_names)
    signature = {
        argument: ("*fp32", "i32", "i32") if isinstance(value, tuple) else "i32"
        for argument, value in zip(kernel.arg_names, arguments, strict=False)
    }
    signature |= dict.fromkeys(constants, "constexpr")
    compiled = triton.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 90, 32))
    assert compiled.asm["cubin"]
