"""Compile every kernel of the CUDA engine for sm_90, without a GPU, and print what each needs.

    python benchmarks/kernel_resources.py                            print the table
    python benchmarks/kernel_resources.py --keep kernels-NAME.json   write it, both precisions, to benchmarks/results
    python benchmarks/kernel_resources.py --document                 render all results into docs/gpu_engine.md

The launches are those that the engine makes: it runs on the host with its launches recorded, not executed,
so sizes, warps and pipeline depths are the ones in production. Registers and stack (spilled registers) are read
from the compiled cubin with the `cuobjdump` that Triton brings along, shared memory from Triton's metadata.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

import numpy as np
import torch
import triton
from kernel_table import KERNELS
from populations import images, languages
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from rnnzoo.generation.engines.interface import Snapshot
from rnnzoo.generation.engines.triton_inference import classify, predict, sample_rollouts
from rnnzoo.generation.engines.triton_options import PRECISIONS, KernelOptions
from rnnzoo.generation.engines.triton_population import TritonPopulation
from rnnzoo.generation.population import Population, TileExamples

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "gpu_engine.md"
KEPT = ("tf32x3", "ieee")
"""Precisions that a model may be trained with; "tf32" is there for comparison only."""
CAPABILITY = 90
Launch = tuple[JITFunction, tuple[Any, ...], dict[str, Any]]
POINTERS = {
    torch.float32: "*fp32",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.int16: "*i16",
    torch.uint8: "*u8",
}


def record_launches(population: Population, options: KernelOptions) -> list[Launch]:
    """The launches of one update and of the evaluation of one snapshot, not executed."""
    launches: list[Launch] = []

    def record(kernel: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        launches.append((kernel, args, kwargs))

    run, JITFunction.run = JITFunction.run, record
    try:
        TritonPopulation(population, "cpu", use_graph=False, options=options).update()
        snapshot = Snapshot(0, population.initial_weights())
        device = torch.device("cpu")
        if isinstance(population.examples, TileExamples):
            chosen = np.zeros((len(population), 128), dtype=np.int32)
            classify(population, snapshot, chosen, 100, device, options)
        else:
            sample_rollouts(population, snapshot, 1000, 100, 42, 4, device, options)
            predict(population, snapshot, np.zeros((len(population), 128, 41), dtype=np.uint8), device, options)
    finally:
        JITFunction.run = run
    return launches


def resources(launch: Launch) -> dict[str, Any]:
    """Name, registers per thread, spilled bytes per thread, shared bytes and warps per program of a launch."""
    kernel, args, kwargs = launch
    options = {name: kwargs[name] for name in ("num_warps", "num_stages") if name in kwargs}
    constants = {name: value for name, value in kwargs.items() if name not in options}
    tensors = dict(zip(kernel.arg_names, args, strict=False))
    signature = {name: POINTERS[tensor.dtype] for name, tensor in tensors.items()}
    signature |= dict.fromkeys(constants, "constexpr")
    aligned = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in tensors}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    compiled = triton.compile(source, target=GPUTarget("cuda", CAPABILITY, 32), options=options)
    return {
        "kernel": kernel.__name__,
        "warps": compiled.metadata.num_warps,
        "shared": compiled.metadata.shared,
        **cubin_usage(compiled.asm["cubin"]),
    }


def cubin_usage(cubin: bytes) -> dict[str, int]:
    """Registers and bytes of stack per thread of the one kernel in a cubin."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [str(tool), "--dump-resource-usage", str(path)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", text)
    assert found, text
    registers, stack, local = map(int, found.groups())
    return {"registers": registers, "spilled": stack + local}


def measure(precision: str, hidden_size: int = 32) -> list[dict[str, Any]]:
    """Resources of every distinct launch for both zoos, at production size or with other hidden sizes."""
    rows = []
    zoos = {"formal-languages": languages(16, hidden_size=hidden_size), "smnist": images(16, hidden_size=hidden_size)}
    for zoo, population in zoos.items():
        seen = set()
        for launch in record_launches(population, KernelOptions(precision=precision)):
            key = (launch[0].__name__, tuple(sorted(launch[2].items())))
            if key not in seen:
                seen.add(key)
                rows.append({"zoo": zoo, "precision": precision, **resources(launch)})
    return rows


def keep(name: str) -> Path:
    """Write what this compiler needs, with both precisions, to a file among the results."""
    result = {
        "triton": triton.__version__,
        "target": f"sm_{CAPABILITY}",
        "precisions": {precision: measure(precision) for precision in KEPT},
    }
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / name
    target.write_text(json.dumps(result, indent=1) + "\n")
    return target


def main() -> None:
    """Print the table, or JSON with --json; or keep it, or render what was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=PRECISIONS, default="tf32x3")
    parser.add_argument("--hidden", type=int, default=32, help="hidden size; production has 32")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", metavar="FILE", help="name of a file in benchmarks/results: kernels-NAME.json")
    parser.add_argument("--document", action="store_true", help="rewrite the tables of docs/gpu_engine.md")
    arguments = parser.parse_args()
    if arguments.keep:
        print(keep(arguments.keep))
    if arguments.document:
        KERNELS.rewrite(DOCUMENT, FOLDER)
    if arguments.keep or arguments.document:
        return
    rows = measure(arguments.precision, arguments.hidden)
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"triton {triton.__version__}, sm_{CAPABILITY}, {arguments.precision}")
    print(f"{'zoo':18}{'kernel':20}{'warps':>6}{'registers':>10}{'spilled':>8}{'shared':>8}")
    for row in rows:
        print("{zoo:18}{kernel:20}{warps:6}{registers:10}{spilled:8}{shared:8}".format(**row))


if __name__ == "__main__":
    main()
