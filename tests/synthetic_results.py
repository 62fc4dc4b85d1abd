"""Results of a benchmark that never ran: what `rnnzoo eval` writes, with made-up numbers of a realistic size."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rnnzoo.emulation.config import EmulationConfig

CONFIG = EmulationConfig(
    profile="quick",
    steps=1000,
    learning_rate=3e-3,
    schedule="one-cycle",
    clip_norm=1.0,
    hidden_size=64,
    z_enters="every",
)
LOSSES = {
    "constant": 0.071,
    "labels": 0.017,
    "statistics": 0.069,
    "flat": 0.066,
    "transformer": 0.068,
    "dwsnet": 0.061,
    "graph": 0.058,
    "non-interactive": 0.044,
    "interactive": 0.041,
    "probe-generator": 0.039,
    "rollout-probing": 0.031,
}
MECHANISTIC = {"statistics", "flat", "transformer", "dwsnet", "graph"}
PROBING = {"non-interactive": 8, "interactive": 8, "probe-generator": 8, "rollout-probing": 16}
PROPERTIES = {
    "formal-languages": ("task", "accuracy"),
    "smnist": ("angle", "accuracy", "step", "generalization_gap"),
}
SNAPSHOTS = (0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)


def write_results(
    folder: Path,
    kind: str = "formal-languages",
    encoders: tuple[str, ...] = tuple(LOSSES),
    seeds: int = 3,
    models: int = 58,
) -> Path:
    """A results folder with every run of a matrix; `models` per test split. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = _rows(kind, models)
    lines = []
    for seed in range(seeds):
        for number, encoder in enumerate(encoders):
            random = np.random.default_rng([seed, number])
            quality = LOSSES.get(encoder, 0.05) * (1 + 0.04 * random.standard_normal())
            lines.append(_emulation(folder, kind, encoder, seed, quality, rows, random))
            for asked in PROPERTIES[kind]:
                modes = ("frozen",) if encoder in ("constant", "labels") else ("frozen", "supervised")
                lines += [_downstream(kind, encoder, seed, asked, mode, quality, random) for mode in modes]
    (folder / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def _common(kind: str, run_kind: str, encoder: str, seed: int, details: tuple[str, ...]) -> dict[str, Any]:
    config = asdict(CONFIG) | {"encoder_settings": {"probes": 8} if encoder in PROBING else {}}
    return {
        "run": "/".join((run_kind, encoder.replace(":", "_").replace("/", "_"), *details, f"seed-{seed}")),
        "kind": run_kind,
        "encoder": encoder,
        "mechanistic": None if encoder in ("constant", "labels") else encoder in MECHANISTIC,
        "seed": seed,
        "profile": "quick",
        "config": config,
        "zoo": {
            "kind": kind,
            "folder": f"/home/user/zoos/{kind}-small",
            "recipe_hash": "5f2c" * 16,
            "models": {"train": 268, "validation": 58, "ood_test": 58},
        },
        "parameters": 20_000 + 4321 * len(encoder),
        "versions": {"rnnzoo": "0.1.0", "python": "3.11.7", "numpy": "2.4.6", "torch": "2.13.0"},
        "device": "Intel(R) Xeon(R) Processor @ 2.60GHz, 2 cores",
        "threads": 1,
        "created": "2026-01-02T03:04:05+00:00",
    }


def _emulation(
    folder: Path,
    kind: str,
    encoder: str,
    seed: int,
    quality: float,
    rows: dict[str, np.ndarray],
    random: np.random.Generator,
) -> dict[str, Any]:
    record = _common(kind, "emulation", encoder, seed, ())
    place = folder / "runs" / record["run"]
    place.mkdir(parents=True)
    steps = np.arange(10, 1001, 10)
    loss = quality + (0.25 - quality) * np.exp(-steps / 120) + 0.002 * random.standard_normal(len(steps))
    curve = {
        "step": steps.tolist(),
        "loss": np.maximum(loss, 0.004).tolist(),
        "validation_step": steps[9::10].tolist(),
        "validation_loss": (loss[9::10] * 1.08).tolist(),
        "seconds": 41.0,
    }
    (place / "curve.json").write_text(json.dumps(curve))
    count = len(rows["step"])
    known = float(np.clip((0.075 - quality) / 0.06, 0.02, 1))
    emulated = np.clip(known * rows["accuracy"] + (1 - known) * 0.3 + 0.06 * random.standard_normal(count), 0, 1)
    values = rows | {
        "total_variation": np.abs(quality * (0.5 + rows["accuracy"]) * (1 + 0.4 * random.standard_normal(count))),
        "real_accuracy": rows["accuracy"],
        "emulated_accuracy": np.round(emulated, 2),
        "z": _embeddings(kind, rows, known, random),
    }
    np.savez(place / "rows.npz", **values)
    if encoder in PROBING:
        examples = 3 if encoder == "interactive" else 1
        np.savez(place / "probes.npz", inputs=_probes(kind, examples, PROBING[encoder], random), rows=np.arange(3))
    numbers = {}
    for split, factor in (("validation", 1.0), ("ood_test", 1.12)):
        gap = np.abs(values["real_accuracy"] - values["emulated_accuracy"])[values["split"] == split].mean()
        names = {"total_variation": 1.0, "kl": 1.9, "reverse_kl": 2.2, "jensen_shannon": 0.4}
        numbers[split] = {name: quality * factor * scale for name, scale in names.items()}
        numbers[split]["emulated_accuracy_gap"] = float(gap)
    return record | {"metrics": numbers, "seconds": {"training": 30 + 200 * random.random(), "evaluation": 3.3}}


def _downstream(
    kind: str, encoder: str, seed: int, asked: str, mode: str, quality: float, random: np.random.Generator
) -> dict[str, Any]:
    known = float(np.clip((0.08 - quality) / 0.07, 0, 1)) * (1 if mode == "frozen" else 0.8)
    metrics = {}
    for split, factor in (("validation", 1.0), ("ood_test", 0.7)):
        right = factor * known + 0.02 * random.random()
        wrong = 1 - right
        metrics[split] = {
            "task": {"exact": right**2, "offsets": right, "cross_entropy": 1.8 * wrong},
            "accuracy": {"mse": 0.12 * wrong, "r2": right},
            "generalization_gap": {"mse": 0.004 * wrong, "r2": right - 0.3},
            "angle": {"degrees": 90 * wrong, "mse": 0.5 * wrong},
            "step": {"correct": right, "cross_entropy": 2.2 * wrong},
        }[asked]
    own = {"property": asked, "mode": mode, "metrics": metrics, "seconds": {"training": 4.0 + random.random()}}
    config = {"hidden_size": 128, "frozen_steps": 1000, "supervised_steps": 300, "encoder_settings": {}}
    return _common(kind, "downstream", encoder, seed, (asked, mode)) | own | {"config": config}


def _rows(kind: str, models: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    count = len(SNAPSHOTS)
    model_id = np.repeat(np.sort(random.permutation(8 * models)[: 2 * models]), count)
    step = np.tile(SNAPSHOTS, 2 * models)
    split = np.repeat(["validation", "ood_test"], models * count)
    speed = np.repeat(random.normal(7.5, 0.8, 2 * models), count)
    learned = 1 / (1 + np.exp(-(np.log(step + 1) - speed) * 2))
    noise = 1 + 0.05 * random.standard_normal(len(step))
    if kind == "formal-languages":
        tasks = np.repeat(random.integers(-3, 3, (2 * models, 3)), count, axis=0)
        accuracy = np.clip(learned * noise, 0, 1)
    else:
        angles = random.random(models) * 312, 312 + random.random(models) * 48
        tasks = np.repeat(np.concatenate(angles), count)
        accuracy = np.clip(0.1 + 0.85 * learned * noise, 0, 1)
    return {
        "split": split,
        "model_id": model_id,
        "step": step,
        "task": tasks,
        "accuracy": np.round(accuracy, 3),
    }


def _embeddings(kind: str, rows: dict[str, np.ndarray], known: float, random: np.random.Generator) -> np.ndarray:
    if kind == "formal-languages":
        task = rows["task"] / 3
    else:
        radians = np.deg2rad(rows["task"])[:, None]
        task = np.concatenate([np.sin(radians), np.cos(radians)], axis=1)
    learned = rows["accuracy"][:, None]
    features = np.concatenate([task * learned, 1.5 * learned], axis=1) * known
    z = features @ random.standard_normal((features.shape[1], 16)) + 0.3 * random.standard_normal((len(learned), 16))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


def _probes(kind: str, examples: int, probes: int, random: np.random.Generator) -> np.ndarray:
    if kind == "smnist":
        near_digits = np.cumsum(random.standard_normal((examples, probes, 50, 16)), axis=3)
        return np.clip(near_digits, -0.4242, 2.8215).astype(np.float32)
    tokens = np.sort(random.integers(0, 6, (examples, probes, 22)), axis=2)
    tokens[:, :, 0] = 4
    logits = random.standard_normal((examples, probes, 22, 6)) + 4 * np.eye(6)[tokens]
    shares = np.exp(logits)
    return (shares / shares.sum(axis=3, keepdims=True)).astype(np.float32)
