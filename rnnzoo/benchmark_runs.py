"""Do the jobs of a benchmark, in whichever process: pre-train, evaluate, predict properties, record."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnzoo.atomic import atomic_path, write_json, write_text
from rnnzoo.benchmark_plan import BenchmarkPlan, read_plan, run_name
from rnnzoo.downstream import is_seen_half, train_end_to_end, train_on_embeddings
from rnnzoo.emulated_performance import emulated_accuracy
from rnnzoo.emulation import EmulationTraining, evaluate
from rnnzoo.emulation_data import EmulationData, load_data
from rnnzoo.encoders import Encoder, Rows, build_encoder, embed_rows, find_encoder, load_encoder, save_encoder
from rnnzoo.environment import processor_name, versions
from rnnzoo.errors import RnnzooError
from rnnzoo.jobs import Progress
from rnnzoo.properties import Property, properties_of
from rnnzoo.zoo import Zoo, load

CURVE_POINTS = 10
CHECKPOINT_EVERY_SECONDS = 30.0
SHOWN_PROBES = 3
RECORD_NAME, ERROR_NAME = "record.json", "error.txt"


def open_runs(folder: str) -> Callable[[dict[str, Any], Progress], None]:
    """What does the jobs of the benchmark planned in a results folder."""
    return BenchmarkRuns(Path(folder)).do


def run_folder(folder: Path, name: str) -> Path:
    """Where a run keeps its record and what belongs to it."""
    return folder / "runs" / name


class BenchmarkRuns:
    """The zoo's rows in memory, and how each job is done on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan: BenchmarkPlan = read_plan(folder)
        self.config = self.plan.config
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.zoo = load(self.plan.zoo)
        self.train = load_data(self.zoo.split("train")).to(self.device)
        self.tests = {
            "validation": load_data(self.zoo.split("validation")).to(self.device),
            "ood_test": load_data(self.zoo.split("ood_test")).to(self.device),
        }
        seen = is_seen_half(self._zoo_rows(self.tests["ood_test"])["task"])
        everything = torch.arange(len(seen), device=self.device)
        self.seen, self.unseen = (everything[torch.from_numpy(half).to(self.device)] for half in (seen, ~seen))

    def do(self, payload: dict[str, Any], progress: Progress) -> None:
        """One job; a run that fails for good leaves its reason in its folder, and the others go on."""
        encoder, seed = payload["encoder"], payload["seed"]
        settings = dict(self.config.encoders.get(encoder, {}))
        details = () if payload["kind"] == "emulation" else (payload["property"], "supervised")
        try:
            if payload["kind"] == "emulation":
                self.pretrain(encoder, settings, seed, progress)
                for asked in properties_of(self.plan.kind, tuple(payload["properties"])):
                    self.predict_from_embeddings(encoder, settings, seed, asked)
            else:
                (asked,) = properties_of(self.plan.kind, (payload["property"],))
                self.train_supervised(encoder, settings, seed, asked, progress)
        except Exception as error:
            # Anyone's encoder runs here, and whatever it raises must not take the rest of the matrix with it.
            kind = "emulation" if payload["kind"] == "emulation" else "downstream"
            folder = run_folder(self.folder, run_name(kind, encoder, seed, *details))
            folder.mkdir(parents=True, exist_ok=True)
            message = str(error) if isinstance(error, RnnzooError) else traceback.format_exc()
            write_text(folder / ERROR_NAME, message)

    def pretrain(self, encoder_name: str, settings: dict[str, Any], seed: int, progress: Progress) -> None:
        """An emulation run: train, evaluate on both test splits, keep the encoder; does nothing if it is recorded."""
        folder = run_folder(self.folder, run_name("emulation", encoder_name, seed))
        if (folder / RECORD_NAME).exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        training = EmulationTraining(self.train, encoder_name, self.config.emulation, seed, self.device, settings)
        curve = _train_with_checkpoints(training, self.tests["validation"], folder, progress)
        began = time.perf_counter()
        metrics, rows = {}, []
        for split, data in self.tests.items():
            losses = evaluate(training.encoder, training.emulator, data, self.config.emulation.evaluated_rollouts)
            z = embed_rows(training.encoder, data.networks)
            real, emulated = emulated_accuracy(
                training.emulator, z, data, self.zoo, self.config.emulation.emulated_strings, seed
            )
            gap = float(np.mean(np.abs(real - emulated)))
            metrics[split] = {name: float(values.mean()) for name, values in losses.items()}
            metrics[split]["emulated_accuracy_gap"] = gap
            rows.append(self._described_rows(split, data, losses["total_variation"], real, emulated, z))
        joined = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
        with atomic_path(folder / "rows.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, **joined)
        _write_probes(training.encoder, self.tests["validation"], folder)
        save_encoder(training.encoder, folder / "encoder")
        record = self._record("emulation", encoder_name, training.encoder, settings, seed) | {
            "metrics": metrics,
            "seconds": {"training": curve["seconds"], "evaluation": time.perf_counter() - began},
        }
        write_json(folder / RECORD_NAME, {"run": run_name("emulation", encoder_name, seed), **record})
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        (folder / ERROR_NAME).unlink(missing_ok=True)

    def predict_from_embeddings(self, encoder_name: str, settings: dict[str, Any], seed: int, asked: Property) -> None:
        """A downstream run on the frozen embeddings of a finished emulation run; nothing if it is recorded."""
        name = run_name("downstream", encoder_name, seed, asked.name, "frozen")
        folder = run_folder(self.folder, name)
        if (folder / RECORD_NAME).exists():
            return
        pretrained = run_folder(self.folder, run_name("emulation", encoder_name, seed))
        encoder = load_encoder(pretrained / "encoder").to(self.device)
        began = time.perf_counter()
        train, tests = self._labelled(asked)
        z = embed_rows(encoder, train[0])
        predict = train_on_embeddings(asked, asked.outputs(self.zoo), z, train[1], self.config.downstream, seed)
        metrics = {
            split: asked.score(predict(embed_rows(encoder, rows)), labels) for split, (rows, labels) in tests.items()
        }
        self._record_downstream(name, encoder_name, encoder, settings, seed, asked, "frozen", metrics, began)

    def train_supervised(
        self, encoder_name: str, settings: dict[str, Any], seed: int, asked: Property, progress: Progress
    ) -> None:
        """A downstream run that trains an encoder end to end on the labels; nothing if it is recorded."""
        name = run_name("downstream", encoder_name, seed, asked.name, "supervised")
        if (run_folder(self.folder, name) / RECORD_NAME).exists():
            return
        began = time.perf_counter()
        config = self.config.emulation
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            context = self.train.context(config.z_size, seed)
            encoder = build_encoder(encoder_name, context, config.profile, **settings).to(self.device)
        train, tests = self._labelled(asked)
        outputs = asked.outputs(self.zoo)
        predict = train_end_to_end(asked, outputs, encoder, *train, self.config.downstream, seed, progress)
        metrics = {split: asked.score(predict(rows), labels) for split, (rows, labels) in tests.items()}
        self._record_downstream(name, encoder_name, encoder, settings, seed, asked, "supervised", metrics, began)

    def _labelled(self, asked: Property) -> tuple[tuple[Rows, Tensor], dict[str, tuple[Rows, Tensor]]]:
        """Rows and labels to learn from, train and half of ood_test, and to be scored on (system section 8)."""
        ood, ood_labels = self.tests["ood_test"].networks, self._labels(asked, self.tests["ood_test"])
        seen = ood.take(self.seen)
        own = self.train.networks
        assert own.truth is not None
        assert seen.truth is not None
        weights, truth = torch.cat([own.weights, seen.weights]), torch.cat([own.truth, seen.truth])
        labels = torch.cat([self._labels(asked, self.train), ood_labels[self.seen]])
        validation = self.tests["validation"]
        tests = {
            "validation": (validation.networks, self._labels(asked, validation)),
            "ood_test": (ood.take(self.unseen), ood_labels[self.unseen]),
        }
        train = _with_known_labels(Rows(own.network, weights, None, truth), labels)
        return train, {split: _with_known_labels(*pair) for split, pair in tests.items()}

    def _labels(self, asked: Property, data: EmulationData) -> Tensor:
        return asked.labels(self._zoo_rows(data)).to(self.device)

    def _zoo_rows(self, data: EmulationData) -> Zoo:
        return self.zoo[np.searchsorted(self.zoo.row_numbers, data.row_numbers)]

    def _described_rows(
        self, split: str, data: EmulationData, loss: np.ndarray, real: np.ndarray, emulated: np.ndarray, z: Tensor
    ) -> dict[str, np.ndarray]:
        """What the report shows of every row of a split."""
        rows = self._zoo_rows(data)
        accuracy = rows["accuracy" if self.plan.kind == "formal-languages" else "eval_accuracy"]
        return {
            "split": np.array([split] * len(data)),
            "model_id": rows["model_id"],
            "step": rows["step"],
            "task": rows["task"],
            "accuracy": accuracy.astype(np.float64),
            "total_variation": loss,
            "real_accuracy": real,
            "emulated_accuracy": emulated,
            "z": z.cpu().numpy(),
        }

    def _record(
        self, kind: str, encoder_name: str, encoder: Encoder, settings: dict[str, Any], seed: int
    ) -> dict[str, Any]:
        manifest = self.zoo.manifest
        config = asdict(self.config.emulation if kind == "emulation" else self.config.downstream)
        device = torch.cuda.get_device_name() if self.device == "cuda" else processor_name()
        return {
            "kind": kind,
            "encoder": encoder_name,
            "mechanistic": find_encoder(encoder_name).mechanistic,
            "seed": seed,
            "profile": self.config.emulation.profile,
            "config": {**config, "encoder_settings": {**encoder.settings, **settings}},
            "zoo": {
                "kind": self.plan.kind,
                "folder": self.plan.zoo,
                "recipe_hash": manifest.recipe_hash,
                "models": {split: counts["models"] for split, counts in manifest.splits.items()},
            },
            "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
            "versions": versions(),
            "device": device,
            "threads": torch.get_num_threads(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _record_downstream(
        self,
        name: str,
        encoder_name: str,
        encoder: Encoder,
        settings: dict[str, Any],
        seed: int,
        asked: Property,
        mode: str,
        metrics: dict[str, dict[str, float]],
        began: float,
    ) -> None:
        record = self._record("downstream", encoder_name, encoder, settings, seed) | {
            "property": asked.name,
            "mode": mode,
            "metrics": metrics,
            "seconds": {"training": time.perf_counter() - began},
        }
        folder = run_folder(self.folder, name)
        write_json(folder / RECORD_NAME, {"run": name, **record})
        (folder / ERROR_NAME).unlink(missing_ok=True)


def _train_with_checkpoints(
    training: EmulationTraining, validation: EmulationData, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Train to the end, from the last checkpoint if there is one; returns the curve and the seconds it took."""
    checkpoint, curve_path = folder / "checkpoint.safetensors", folder / "curve.json"
    curve: dict[str, Any] = {"step": [], "loss": [], "validation_step": [], "validation_loss": [], "seconds": 0.0}
    steps = training.config.steps
    if checkpoint.exists() and curve_path.exists():
        training.restore(checkpoint)
        curve = _curve_until(json.loads(curve_path.read_text(encoding="utf-8")), training.step)
    began, before = time.perf_counter(), curve["seconds"]
    last_saved = began
    pending: list[float] = []
    points = sorted({max(1, steps * (i + 1) // CURVE_POINTS) for i in range(CURVE_POINTS)})
    every = max(1, steps // 100)
    while training.step < steps:
        until = min(*(p for p in points if p > training.step), (training.step // every + 1) * every, steps)
        training.losses.clear()
        training.run(until, progress)
        pending += training.losses
        curve["step"].append(training.step)
        curve["loss"].append(float(np.mean(pending)))
        pending.clear()
        if training.step in points:
            losses = evaluate(training.encoder, training.emulator, validation, rollouts=1)
            curve["validation_step"].append(training.step)
            curve["validation_loss"].append(float(losses[training.config.loss].mean()))
        now = time.perf_counter()
        if now - last_saved > CHECKPOINT_EVERY_SECONDS or training.step == steps:
            curve["seconds"] = before + now - began
            write_json(curve_path, curve)
            training.save(checkpoint)
            last_saved = now
    return curve


def _curve_until(curve: dict[str, Any], step: int) -> dict[str, Any]:
    """A curve without what lies beyond the checkpoint that a run goes on from."""
    kept: dict[str, Any] = {"seconds": curve["seconds"]}
    for steps, values in (("step", "loss"), ("validation_step", "validation_loss")):
        count = sum(at <= step for at in curve[steps])
        kept |= {steps: curve[steps][:count], values: curve[values][:count]}
    return kept


def _write_probes(encoder: Encoder, validation: EmulationData, folder: Path) -> None:
    """Keep what a probing encoder sends to the first networks of the validation split."""
    chosen = torch.arange(min(SHOWN_PROBES, len(validation)), device=validation.weights.device)
    with torch.no_grad():
        inputs = encoder.probing_inputs(validation.networks.take(chosen))
    if inputs is not None:
        numbers = inputs.detach().cpu().numpy().astype(np.float32)
        with atomic_path(folder / "probes.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, inputs=numbers, rows=chosen.cpu().numpy())


def _with_known_labels(rows: Rows, labels: Tensor) -> tuple[Rows, Tensor]:
    """Without the rows whose label is not finite, such as the loss of a network that nearly diverged."""
    known = torch.isfinite(labels.flatten(1) if labels.ndim > 1 else labels[:, None]).all(1).nonzero()[:, 0]
    return rows.take(known), labels[known]
