"""The CUDA engine without a GPU: its kernels in Triton's interpreter, and compiled for an H100."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnzoo.encoders.registry import BUILT_IN
from rnnzoo.generation.engines.cuda_engine import CudaEngine
from rnnzoo.generation.engines.interface import EngineUnavailable
from rnnzoo.generation.engines.triton_options import KernelOptions

ROOT = Path(__file__).parent.parent
SHARED_MEMORY = 227 * 1024
"""Bytes of shared memory that one program can have on sm_90."""


@pytest.fixture(autouse=True)
def _triton_installed() -> None:
    pytest.importorskip("triton", reason="Triton is not installed (it comes for Linux only)")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**variables, **environment}, capture_output=True, text=True
    )


@pytest.mark.slow
def test_kernels_agree_with_the_reference_in_the_interpreter():
    checks = "tests/interpreted_triton_kernels.py"
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", checks, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["tf32x3", "ieee"])
def test_every_kernel_compiles_for_sm_90_and_fits(precision):
    done = run("benchmarks/kernel_resources.py", "--json", "--precision", precision)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["kernel"] for row in rows} == {
        "draw_distinct",
        "draw_each",
        "gather_tiles",
        "layer_forward",
        "read_out_and_loss",
        "layer_backward",
        "weight_gradients",
        "input_gradient",
        "adamw",
        "sample_strings",
        "predict_tokens",
        "classify_images",
    }
    for row in rows:
        assert row["shared"] <= SHARED_MEMORY, row
        assert row["spilled"] == 0, row


@pytest.mark.slow
def test_gpu_suite_runs_from_a_bare_checkout(tmp_path):
    packages = str(Path(np.__file__).parent.parent)
    command = ("-S", "benchmarks/gpu_suite.py", "--interpret", "--out", str(tmp_path))
    done = run(*command, PYTHONPATH=packages)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("gpu-*.json")
    results = json.loads(path.read_text())
    assert [name for name, section in results.items() if "result" not in section] == []
    assert results["draws"]["result"] == {"formal-languages": True, "smnist": True}
    for row in results["gradients"]["result"]:
        assert row["tf32x3"] < 1e-5
    assert results["formal-languages, paper scale"]["result"]["complete"]
    steps = {row["encoder"]: row["largest difference of losses"] for row in results["emulation"]["result"]}
    assert steps == dict.fromkeys(BUILT_IN, 0.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_engine_is_unavailable_without_a_gpu():
    with pytest.raises(EngineUnavailable, match="no NVIDIA GPU"):
        CudaEngine()


def test_rounded_products_are_never_the_default_and_unknown_ones_are_refused():
    assert KernelOptions().precision == "tf32x3"
    with pytest.raises(ValueError, match="precision='half' must be one of tf32x3, ieee, tf32"):
        KernelOptions(precision="half")
