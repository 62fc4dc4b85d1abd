"""What a zoo of 100,000 rows costs to plan, pack, open, filter and read: seconds, and peak memory of the process.

    python benchmarks/large_zoo.py              write benchmarks/results/large-zoo-<machine>.json, and print the table
    python benchmarks/large_zoo.py --rows 2000  a quick look

The zoo has random weights of the paper's network and goes through the real shard writer, 6 GB in a temporary folder
that is removed. Every measurement has a process of its own. The files are in the page cache, as they were just written.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import h5py
import numpy as np
from large_zoo_table import LARGE_ZOO, render

from rnnzoo.environment import processor_name
from rnnzoo.generation.building.plan import BUILD_FOLDER, Plan
from rnnzoo.generation.building.units import finished_unit, unit_path, write_sidecar
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.formal_languages import offsets_entropy
from rnnzoo.generation.packing import Rows, pack_zoo
from rnnzoo.generation.recipes import Recipe
from rnnzoo.generation.shard_writer import UnitSource, copy_from_units, shard_file
from rnnzoo.zoo.zoo import Zoo, load

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
SNAPSHOTS = (0, 100, 200, 500, 1000)
SMALL_NETWORK = 8
"""Hidden size where only the number of units matters."""


def synthetic_recipe(models: int, hidden_size: int) -> Recipe:
    """A formal-languages zoo with little but weights in its rows."""
    fields = {"models": models, "network.hidden_size": hidden_size, "snapshots": SNAPSHOTS}
    return find_recipe("formal-languages", "tiny").override(fields | {"rollouts.evaluated": 1, "rollouts.recorded": 1})


def random_tasks(models: int) -> np.ndarray:
    """A task per model, int8 [models, 3]."""
    return np.random.default_rng(0).integers(-3, 3, (models, 3)).astype(np.int8)


def fill(recipe: Recipe, rows: h5py.File | Rows, models: np.ndarray) -> None:
    """Rows of models with random weights and accuracies."""
    random = np.random.default_rng(int(models[0]))
    snapshots = len(recipe.snapshots)
    rows["model_id"][...] = np.repeat(models, snapshots)
    rows["step"][...] = np.tile(recipe.snapshots, len(models))
    rows["task"][...] = np.repeat(random_tasks(recipe.models)[models], snapshots, axis=0)
    rows["weights"][...] = random.standard_normal(rows["weights"].shape, dtype=np.float32)
    for name in ("accuracy", "accuracy_counts", "finished", "train_loss"):
        rows[name][...] = random.random(len(models) * snapshots, dtype=np.float32)
    for name in ("diverged", "sequences", "log_probs"):
        rows[name][...] = 0


def write_zoo(folder: Path, models: int) -> None:
    """The zoo that is read."""
    recipe = synthetic_recipe(models, 32)
    manifest = pack_zoo(folder, recipe, random_tasks(models), offsets_entropy, partial(fill, recipe))
    dataclasses.replace(manifest, provenance={"source": "made of random numbers"}).write(folder)


def pack_units(folder: Path, models: int) -> dict[str, float]:
    """Units of a zoo of small networks, packed as a build packs them."""
    plan = Plan(synthetic_recipe(models, SMALL_NETWORK), "numba", "hub", 16)
    plan.write(folder)
    for unit in plan.units:
        path = unit_path(folder, unit)
        with shard_file(path, len(unit.model_ids) * len(SNAPSHOTS), plan.recipe, split=None) as file:
            fill(plan.recipe, file, np.array(unit.model_ids))
        write_sidecar(path, {"training": 0.0, "recording": 0.0}, "nothing")
    started = time.perf_counter()
    assert all(finished_unit(folder, unit) for unit in plan.units)
    looked = time.perf_counter() - started
    sources = [UnitSource(unit_path(folder, unit), unit.start, unit.stop) for unit in plan.units]
    pack_zoo(folder, plan.recipe, random_tasks(models), offsets_entropy, partial(copy_from_units, plan.recipe, sources))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "units": len(plan.units), "seconds_to_see_what_is_whole": looked}


def timed(action: Callable[[], object]) -> dict[str, float]:
    """Seconds an action takes."""
    started = time.perf_counter()
    action()
    return {"seconds": time.perf_counter() - started}


def rows_at_random(zoo: Zoo) -> None:
    """1,000 single rows."""
    for row in np.random.default_rng(1).integers(0, len(zoo), 1000):
        assert zoo[int(row)].weights.shape


def slices(zoo: Zoo) -> None:
    """100 slices of 64 rows."""
    for row in np.random.default_rng(1).integers(0, max(1, len(zoo) - 64), 100):
        assert zoo[int(row) : int(row) + 64]["weights"].shape


def epoch(zoo: Zoo, columns: list[str], rows: int) -> None:
    """Shuffled batches of 256 through a DataLoader."""
    import torch

    torch.manual_seed(0)
    chosen = zoo[np.random.default_rng(1).permutation(len(zoo))[:rows]]
    for batch in torch.utils.data.DataLoader(chosen.torch_dataset(columns), batch_size=256, shuffle=True):
        assert len(batch[columns[0]])


def measurements(folder: Path, models: int) -> dict[str, Callable[[], dict[str, float]]]:
    """What can be measured, by name."""
    numbers = ["accuracy", "train_loss", "step"]

    def on_zoo(action: Callable[[Zoo], object]) -> dict[str, float]:
        zoo = load(folder)
        return timed(lambda: action(zoo))

    return {
        "rnnzoo.load": lambda: timed(lambda: load(folder)),
        "filter(accuracy=(0.9, 1), step=1000), the first time": lambda: on_zoo(
            lambda zoo: zoo.filter(accuracy=(0.9, 1.0), step=1000)
        ),
        "weights of 1,000 single rows at random": lambda: on_zoo(rows_at_random),
        "weights of 100 slices of 64 rows": lambda: on_zoo(slices),
        "an epoch of 3 columns of numbers, shuffled, batch 256": lambda: on_zoo(lambda z: epoch(z, numbers, len(z))),
        "weights of 10,000 rows, shuffled, batch 256": lambda: on_zoo(lambda z: epoch(z, ["weights"], 10_000)),
        "write": lambda: timed(lambda: write_zoo(folder, models)),
        "pack": lambda: pack_units(folder, models),
        "dry run": lambda: timed(lambda: dry_run(models)),
        "plan": lambda: timed(lambda: Plan(synthetic_recipe(models, 32), "numba", "hub", 16).units),
    }


def dry_run(models: int) -> None:
    """`rnnzoo build --dry-run`, the start of Python included."""
    command = [sys.executable, "-m", "rnnzoo", "build", "formal-languages", "--models", str(models), "--dry-run"]
    subprocess.run(command, check=True, capture_output=True)


def peak_mebibytes() -> float:
    """Largest resident memory of this process so far; getrusage would count the parent's before exec."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def in_a_process(name: str, folder: Path, models: int) -> dict[str, float]:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--folder", str(folder), "--models", str(models)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=1200)
    return json.loads(done.stdout)


def measure_all(rows: int) -> dict:
    """Everything, in temporary folders."""
    models = rows // len(SNAPSHOTS)
    result: dict = {"machine": processor_name(), "python": platform.python_version(), "rows": rows, "models": models}
    with tempfile.TemporaryDirectory(prefix="rnnzoo-large-") as temporary:
        folder = Path(temporary)
        measure = partial(in_a_process, models=models)
        result["planning"] = {
            "100,000 models, rnnzoo build --dry-run": in_a_process("dry run", folder, 100_000),
            "100,000 models, units of the plan": in_a_process("plan", folder, 100_000),
        }
        result["packing"] = [
            {"models": count, **in_a_process("pack", folder / f"units-{count}", count)}
            for count in (models // 8, models // 2, models)
        ]
        subprocess.run(["rm", "-rf", *folder.glob("units-*")], check=True)
        result["writing"] = measure("write", folder / "zoo")
        files = list((folder / "zoo" / "data").iterdir())
        result |= {"files": len(files), "gigabytes": sum(file.stat().st_size for file in files) / 1e9}
        names = list(measurements(folder, models))[:6]
        result["reading"] = {name: measure(name, folder / "zoo") for name in names}
        assert not (folder / "zoo" / BUILD_FOLDER).exists()
    result["load_average"] = os.getloadavg()[1]
    return result


@click.command()
@click.option("--rows", default=100_000, show_default=True)
@click.option("--document", is_flag=True, help="Render the results into docs/performance.md and stop.")
@click.option("--measure", hidden=True)
@click.option("--folder", type=click.Path(path_type=Path), hidden=True)
@click.option("--models", type=int, hidden=True)
def main(rows: int, document: bool, measure: str | None, folder: Path, models: int) -> None:
    """Measure, write benchmarks/results/large-zoo-<machine>.json, print the table."""
    if document:
        LARGE_ZOO.rewrite(DOCUMENT, RESULTS)
        return
    if measure:
        print(json.dumps({**measurements(folder, models)[measure](), "peak_mebibytes": peak_mebibytes()}))
        return
    result = measure_all(rows)
    if rows == 100_000:
        name = "".join(c if c.isalnum() else "-" for c in result["machine"].lower())
        (RESULTS / f"large-zoo-{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(render(result))


if __name__ == "__main__":
    main()
