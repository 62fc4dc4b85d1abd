"""Everything worth knowing of the CUDA engine and of emulation on one GPU, in one command and a bounded time.

    python benchmarks/gpu_suite.py [--quick] [--seconds 520] [--out benchmarks/results] [--interpret]

Needs torch, numpy and triton, and this checkout; rnnzoo need not be installed. Every section is saved as soon as
it is done, and one that fails leaves its traceback in the JSON and does not stop the others. `--interpret` runs the
whole flow at toy sizes on the CPU, in Triton's interpreter: it proves the flow, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parent
PRECISIONS = ["tf32x3", "ieee", "tf32"]
EMULATION = ("emulation", "emulation, seeds at once")


def main() -> None:
    """Run the sections in order of importance, as far as the time goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, and no whole zoo")
    parser.add_argument("--seconds", type=float, default=520, help="stop starting sections after this long")
    parser.add_argument("--out", type=Path, default=BENCHMARKS / "results", help="folder of the JSON")
    parser.add_argument("--interpret", action="store_true", help="toy sizes on the CPU, in Triton's interpreter")
    arguments = parser.parse_args()
    if arguments.interpret:
        os.environ["TRITON_INTERPRET"] = "1"
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
    sys.path.insert(0, str(BENCHMARKS))
    begun = time.monotonic()
    end = begun + arguments.seconds
    results: dict[str, Any] = {}
    path = arguments.out / f"gpu-{platform.node() or 'machine'}.json"
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, section in sections(arguments, end):
        if time.monotonic() > end - 5:
            results[name] = {"skipped": "no time left"}
        else:
            start = time.monotonic()
            try:
                results[name] = {"result": section()}
            except Exception:
                results[name] = {"error": traceback.format_exc()}
            results[name]["seconds"] = round(time.monotonic() - start, 1)
            print(f"{name}: {results[name]['seconds']} s{' FAILED' if 'error' in results[name] else ''}", flush=True)
        path.write_text(json.dumps(results, indent=1, default=str))
    print_table(results)
    print(f"Written to {path} after {time.monotonic() - begun:.0f} s.")


def sections(arguments: argparse.Namespace, end: float) -> list[tuple[str, Callable[[], Any]]]:
    """Name and action of every section."""
    from checkout import make_importable

    make_importable()
    import gpu_checks
    import gpu_emulation
    import gpu_timing
    from populations import images, languages

    from rnnzoo.generation.engines.triton_options import KernelOptions

    toy = arguments.interpret
    device = "cpu" if toy else "cuda"
    small = toy or arguments.quick
    models = 2 if toy else 1000
    sizes = [2] if toy else [1000] if arguments.quick else [1000, 64, 256, 4000]
    budget = 0.0 if toy else 0.5 if arguments.quick else 1.5

    makers = {"formal-languages": languages, "smnist": images}
    if toy:
        makers = {name: functools.partial(make, positions=2) for name, make in makers.items()}

    def left() -> float:
        return end - time.monotonic()

    plan: list[tuple[str, Callable[[], Any]]] = [
        ("environment", lambda: environment(device)),
        ("draws", lambda: gpu_checks.check_draws(device, makers, 4 if toy else 256)),
        ("gradients", lambda: gpu_checks.check_gradients(device, makers, PRECISIONS[: 1 if toy else None], small)),
        ("training", lambda: gpu_checks.check_training(device, makers, *((1, 2) if toy else (20, 64)))),
        ("inference", lambda: gpu_checks.check_inference(device, makers, small)),
        ("original way", lambda: gpu_timing.original_way(device, makers, 2 if toy else 100)),
        ("throughput", lambda: gpu_timing.throughput(device, makers, sizes, PRECISIONS[: 1 if toy else None], budget)),
        ("phases", lambda: gpu_timing.phases(device, makers, models, KernelOptions(), 1 if toy else 9)),
        (
            "emulation",
            lambda: gpu_emulation.steps_of_encoders(device, toy, budget, time.monotonic() + min(60.0, left())),
        ),
    ]
    if not toy:
        plan.append(("emulation, seeds at once", lambda: gpu_emulation.seeds_at_once(device, budget)))
        plan.append(("kernels", lambda: gpu_timing.kernel_profile(device, makers, models)))
    if not arguments.quick:
        zoo = makers["formal-languages"](models, steps=1 if toy else 20_000)
        shape = (4, 2) if toy else (1000, 100)
        share = 0.6
        plan += [
            (
                "formal-languages, paper scale",
                lambda: gpu_timing.whole_zoo(device, zoo, *shape, time.monotonic() + share * left()),
            ),
            (
                "smnist shape, 1000 models",
                lambda: gpu_timing.partial_training(
                    device,
                    makers["smnist"](models, steps=3 if toy else 20_000),
                    time.monotonic() + min(60.0, share * left()),
                ),
            ),
        ]
        if not toy:
            plan.append(("tuning", lambda: gpu_timing.tuning(device, makers, models, left)))
    return plan


def environment(device: str) -> dict[str, Any]:
    """Versions, and the machine."""
    import numpy
    import torch
    import triton

    found = {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "machine": platform.node(),
    }
    if device == "cpu":
        found["note"] = (
            "Triton's interpreter: its products are plain float32 at every precision, its times mean nothing"
        )
    else:
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "device": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory GiB": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return found


def print_table(results: dict[str, Any]) -> None:
    """The short of it."""
    for name in ("environment", "draws", "gradients", "training", "inference", "phases", "kernels", *EMULATION):
        print(f"\n{name}")
        result = results.get(name, {})
        rows = result.get("result", result)
        for row in rows if isinstance(rows, list) else rows.items() if isinstance(rows, dict) else [rows]:
            print("  ", row)
    original = results.get("original way", {}).get("result", {})
    print(f"\nnn.LSTM and AdamW, one model at a time, ms per step: {original}")
    print(f"{'zoo':18}{'models':>8}{'precision':>11}{'ms/step':>10}{'us/model':>10}{'20,000 steps':>14}{'ratio':>8}")
    throughput = results.get("throughput", {}).get("result", [])
    for row in throughput:
        ratio = original.get(row["zoo"], float("nan")) * 1000 / row["us per model and step"]
        print(
            f"{row['zoo']:18}{row['models']:8}{row['precision']:>11}{row['ms per step']:10.3f}"
            f"{row['us per model and step']:10.3f}{row['seconds for 20,000 steps']:12.1f} s{ratio:8.0f}"
        )
    for name in ("formal-languages, paper scale", "smnist shape, 1000 models"):
        print(f"\n{name}: {results.get(name)}")
    failed = [name for name, section in results.items() if "error" in section]
    skipped = [name for name, section in results.items() if "skipped" in section]
    print(f"\nfailed: {failed or 'nothing'}; skipped for lack of time: {skipped or 'nothing'}")


if __name__ == "__main__":
    main()
