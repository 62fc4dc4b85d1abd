"""How fast a zoo is read, beside the other ways to read it: rows a second, in one run; and whether damage is noticed.

    python benchmarks/loading.py              write benchmarks/results/loading-<machine>.json, and print the table
    python benchmarks/loading.py --wire       the same for the bytes that readers fetch alone, into the file there is
    python benchmarks/loading.py --document   render the results into docs/performance.md and stop

The zoo has the shape of that of `make eval`, with random weights and traces, and goes through the real shard writer.
All files are in the page cache. Ways take turns; medians of the turns are compared.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import pandas
import torch
from datasets import disable_progress_bars, load_dataset
from loading_table import LOADING, render
from torch.utils.data import DataLoader, Dataset
from wire import fetched

from rnnzoo.environment import processor_name
from rnnzoo.errors import RnnzooError
from rnnzoo.generation.kinds import find_producer, find_recipe
from rnnzoo.generation.packing import Rows, pack_zoo
from rnnzoo.generation.recipes import Recipe
from rnnzoo.zoo.cards import write_card
from rnnzoo.zoo.zoo import Zoo, load

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
MODELS, BATCH, FLIPS = 320, 64, 600
WIRE_MODELS, WIRE_RECORDED = 120, 100
"""Of the zoos whose bytes are counted: hundreds of rows as large as the paper's."""
Ways = dict[str, Callable[[], int]]
"""Ways to do one thing; each returns how many rows it read."""


def write_zoo(folder: Path, models: int, recorded: int = 40, kind: str = "formal-languages") -> None:
    """A zoo of random weights and traces."""
    recipe = find_recipe(kind, "small").override({"models": models, "rollouts.recorded": recorded})
    tasks = np.random.default_rng(0).integers(-3, 3, (models, 3)).astype(np.int8)
    if kind == "smnist":
        tasks = np.random.default_rng(0).random(models) * 360
    criterion = find_producer(kind).split_criterion
    packed = pack_zoo(folder, recipe, tasks, criterion, partial(fill, recipe, tasks))
    manifest = dataclasses.replace(packed, provenance={"source": "made of random numbers"})
    manifest.write(folder)
    write_card(folder, manifest, folder.name)


def fill(recipe: Recipe, tasks: np.ndarray, rows: Rows, models: np.ndarray) -> None:
    """Random numbers in every column of the rows of models."""
    numbers, snapshots = np.random.default_rng(int(models[0])), len(recipe.snapshots)
    known = {
        "model_id": np.repeat(models, snapshots),
        "step": np.tile(recipe.snapshots, len(models)),
        "task": np.repeat(tasks[models], snapshots, axis=0),
        "diverged": False,
    }
    for column in recipe.columns:
        shape = rows[column.name].shape
        if column.name in known:
            rows[column.name][...] = known[column.name]
        elif column.name == "log_probs":
            # As of trained networks: some distinct answers, each many times.
            answers = np.log(numbers.dirichlet(np.ones(shape[-1]), 200)).astype(np.float16)
            rows[column.name][...] = answers[numbers.integers(0, 200, shape[:-1])]
        elif column.name == "tiles":
            # As of digits: four pixels of five are black.
            rows[column.name][...] = numbers.integers(0, 256, shape) * (numbers.random(shape) < 0.2)
        elif column.trace:
            rows[column.name][...] = np.sort(numbers.integers(0, column.high + 1, shape), axis=-1)
        elif column.name == "weights":
            rows[column.name][...] = numbers.standard_normal(shape, dtype=np.float32)
        else:
            rows[column.name][...] = numbers.random(shape) * (column.high or 1)


def batches(dataset: object, columns: list[str], workers: int = 0) -> int:
    """One shuffled epoch of a dataset through PyTorch's DataLoader."""
    rows = 0
    for batch in DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers):
        rows += len(batch[columns[0]])
    return rows


def mapped_batches(path: Path) -> int:
    """Shuffled batches of a .npy file of weights, mapped into memory, as tensors."""
    weights = np.load(path, mmap_mode="r")
    order = np.random.default_rng(0).permutation(len(weights))
    for start in range(0, len(order), BATCH):
        torch.from_numpy(np.asarray(weights[order[start : start + BATCH]]))
    return len(order)


def loop(zoo: Zoo) -> int:
    """Shuffled batches of a zoo's weights as tensors."""
    order = np.random.default_rng(0).permutation(len(zoo))
    for start in range(0, len(order), BATCH):
        torch.from_numpy(zoo[order[start : start + BATCH]]["weights"])
    return len(order)


class MappedDataset(Dataset):
    """Rows of a .npy file of weights, mapped into memory, one by one."""

    def __init__(self, path: Path) -> None:
        self.weights = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"weights": torch.from_numpy(self.weights[index].copy())}


def hdf5_rows(folder: Path, order: np.ndarray) -> int:
    """Whole rows one by one by h5py with files and datasets held open."""
    columns, places = [], []
    for path in sorted((folder / "data").glob("train-*.h5")):
        file = h5py.File(path)
        columns.append({name: file[name] for name in file})
        places += [(len(columns) - 1, row) for row in range(len(file["step"]))]
    for number in order.tolist():
        shard, row = places[number]
        for dataset in columns[shard].values():
            dataset[row]
    return len(order)


def single_rows(zoo: Zoo, order: np.ndarray) -> int:
    """Whole rows one by one."""
    dataset = zoo.torch_dataset()
    for row in order.tolist():
        dict(dataset[row])
    return len(order)


def format_rows(dataset: object, order: np.ndarray) -> int:
    """Whole rows one by one of a formatted dataset."""
    for row in order.tolist():
        dataset[row]
    return len(order)


def in_order(dataset: Iterable[object], count: int) -> int:
    """The first rows of a dataset, one after the other."""
    return sum(1 for _ in islice(dataset, count))


def in_batches(dataset: object) -> int:
    """All rows of a formatted dataset in batches, in order."""
    return sum(len(batch["model_id"]) for batch in dataset.iter(BATCH))


def slices(zoo: Zoo) -> int:
    """All columns of a zoo in batches, in order."""
    for start in range(0, len(zoo), BATCH):
        part = zoo[start : start + BATCH]
        for column in zoo.columns:
            part[column.name]
    return len(zoo)


def reading(folder: Path) -> dict[str, Ways]:
    """What is compared: the first way is what the others are held against."""
    zoo = load(folder, "train")
    names = [column.name for column in zoo.columns]
    np.save(folder.parent / "weights.npy", zoo["weights"])
    with_datasets = load_dataset(str(folder), split="train", cache_dir=str(folder.parent / "datasets"))
    only_weights = load_dataset(str(folder), "weights", split="train", cache_dir=str(folder.parent / "datasets"))
    mapped = MappedDataset(folder.parent / "weights.npy")
    order = np.random.default_rng(0).permutation(len(zoo))
    streamed = load_dataset(str(folder), split="train", streaming=True)
    labels = load_dataset(str(folder), "labels", cache_dir=str(folder.parent / "datasets"))
    whole = load(folder)
    return {
        "all columns in order": {
            "load_dataset, Python lists, row by row": lambda: in_order(with_datasets, 100),
            f"load_dataset, numpy format, batches of {BATCH}": lambda: in_batches(with_datasets.with_format("numpy")),
            f"load_dataset, torch format, batches of {BATCH}": lambda: in_batches(with_datasets.with_format("torch")),
            "load_dataset, streaming from disk, Python lists, row by row": lambda: in_order(streamed, 100),
            f"load_dataset, streaming from disk, numpy format, batches of {BATCH}": lambda: in_batches(
                streamed.with_format("numpy")
            ),
            f"rnnzoo, batches of {BATCH}": lambda: slices(zoo),
        },
        "labels of all rows": {
            "load_dataset, labels, pandas format": lambda: sum(len(part.to_pandas()) for part in labels.values()),
            "pandas.read_parquet of labels.parquet": lambda: len(pandas.read_parquet(folder / "labels.parquet")),
            "rnnzoo, Zoo.to_pandas": lambda: len(whole.to_pandas()),
        },
        f"shuffled batches of {BATCH}, all columns": {
            "load_dataset, torch format": lambda: batches(with_datasets.with_format("torch"), names),
            "rnnzoo, DataLoader": lambda: batches(zoo.torch_dataset(), names),
        },
        f"shuffled batches of {BATCH}, all columns, 2 workers": {
            "load_dataset, torch format": lambda: batches(with_datasets.with_format("torch"), names, workers=2),
            "rnnzoo, DataLoader": lambda: batches(zoo.torch_dataset(), names, workers=2),
        },
        f"shuffled batches of {BATCH}, weights": {
            "NumPy memory map of one .npy, plain loop": lambda: mapped_batches(folder.parent / "weights.npy"),
            "rnnzoo, plain loop": lambda: loop(zoo),
        },
        f"shuffled batches of {BATCH}, weights, DataLoader": {
            "NumPy memory map of one .npy, a Dataset": lambda: batches(mapped, ["weights"]),
            "load_dataset, torch format": lambda: batches(only_weights.with_format("torch"), ["weights"]),
            "rnnzoo": lambda: batches(zoo.torch_dataset(["weights"]), ["weights"]),
        },
        f"shuffled batches of {BATCH}, weights, DataLoader, 2 workers": {
            "NumPy memory map of one .npy, a Dataset": lambda: batches(mapped, ["weights"], workers=2),
            "load_dataset, torch format": lambda: batches(only_weights.with_format("torch"), ["weights"], workers=2),
            "rnnzoo": lambda: batches(zoo.torch_dataset(["weights"]), ["weights"], workers=2),
        },
        "whole rows one by one, shuffled": {
            "h5py, held handles": lambda: hdf5_rows(folder, order[:200]),
            "load_dataset, numpy format": lambda: format_rows(with_datasets.with_format("numpy"), order[:300]),
            "rnnzoo": lambda: single_rows(zoo, order),
        },
    }


def rates(ways: Ways, turns: int) -> dict[str, float]:
    """Rows a second of each way, the median of turns taken one after the other; the first round is not counted."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            rows = way()
            if turn:
                found[name].append(rows / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in found.items()}


def first_open(folder: Path) -> dict[str, float]:
    """Reading one row of every trace where nothing was read before, and again in another process."""
    code = (
        "import sys, time, rnnzoo\n"
        f"zoo = rnnzoo.load({str(folder)!r})\n"
        "traces = [c for c in zoo.columns if c.trace]\n"
        "import h5py, rnnzoo.format.mapped_shard\n"
        "rows = range(0, len(zoo), 50)\n"
        "started = time.perf_counter()\n"
        "for c in traces: zoo[list(rows)][c.name]\n"
        "print(time.perf_counter() - started, sum(c.row_bytes for c in traces) * len(zoo) / 1e6)\n"
    )
    with tempfile.TemporaryDirectory(prefix="rnnzoo-cache-") as cache:
        times = []
        for _ in range(2):
            environment = {**os.environ, "RNNZOO_CACHE": cache}
            told = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            times.append([float(word) for word in told.stdout.split()])
    return {"megabytes": times[0][1], "seconds": times[0][0], "seconds_again": times[1][0]}


def flips(folder: Path) -> dict[str, int]:
    """What `load` makes of a flipped bit anywhere in a shard, whatever column is read."""
    zoo = load(folder)
    path = folder / zoo.manifest.files[0].path
    expected = {column.name: zoo[:200][column.name].tobytes() for column in zoo.columns}
    whole, generator = path.read_bytes(), random.Random(0)
    found = {"tried": FLIPS, "refused": 0, "silent": 0}
    for _ in range(FLIPS):
        position, bit = generator.randrange(len(whole)), generator.randrange(8)
        with open(path, "rb+") as file:
            file.seek(position)
            file.write(bytes([whole[position] ^ (1 << bit)]))
        try:
            again = load(folder)[:200]
            found["silent"] += any(again[name].tobytes() != values for name, values in expected.items())
        except RnnzooError:
            found["refused"] += 1
        with open(path, "rb+") as file:
            file.seek(position)
            file.write(whole[position : position + 1])
    return found


def wire(temporary: Path) -> dict[str, dict[str, Any]]:
    """What readers fetch of zoos of each kind, see `fetched`."""
    found: dict[str, dict[str, Any]] = {}
    for kind in ("formal-languages", "smnist"):
        folder = temporary / kind
        write_zoo(folder, WIRE_MODELS, WIRE_RECORDED, kind)
        manifest = load(folder).manifest
        found[kind] = {
            "rows": manifest.rows,
            "files": len(manifest.files),
            "bytes": manifest.size,
            "shares": fetched(folder, temporary / f"{kind}-reader"),
        }
    return found


def result_path(machine: str) -> Path:
    """Where a machine's result is."""
    return RESULTS / f"loading-{''.join(c if c.isalnum() else '-' for c in machine.lower())}.json"


@click.command()
@click.option("--models", default=MODELS, show_default=True)
@click.option("--turns", default=5, show_default=True)
@click.option("--wire", "only_wire", is_flag=True, help="Count again what readers fetch, and nothing else.")
@click.option("--document", is_flag=True, help="Render the results into docs/performance.md and stop.")
def main(models: int, turns: int, only_wire: bool, document: bool) -> None:
    """Measure, write benchmarks/results/loading-<machine>.json, print the table."""
    if document:
        LOADING.rewrite(DOCUMENT, RESULTS)
        return
    disable_progress_bars()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="rnnzoo-loading-") as temporary:
        os.environ["RNNZOO_CACHE"] = str(Path(temporary) / "cache")
        path = result_path(processor_name())
        if only_wire:
            path.write_text(json.dumps(json.loads(path.read_text()) | {"wire": wire(Path(temporary))}, indent=1) + "\n")
            return
        folder = Path(temporary) / "zoo"
        write_zoo(folder, models)
        zoo = load(folder)
        result = {
            "machine": processor_name(),
            "rows": len(zoo),
            "files": len(zoo.manifest.files),
            "row_bytes": sum(column.row_bytes for column in zoo.columns),
            "turns": turns,
            "first_open": first_open(folder),
            "reading": {task: rates(ways, turns) for task, ways in reading(folder).items()},
            "flips": flips(folder),
            "wire": wire(Path(temporary)),
            "load_average": os.getloadavg()[1],
        }
    if models == MODELS:
        path.write_text(json.dumps(result, indent=1) + "\n")
    print(render(result))


if __name__ == "__main__":
    main()
