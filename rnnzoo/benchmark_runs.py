"""Do the jobs of a benchmark, in whichever process: pre-train, evaluate, predict properties, record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.atomic import atomic_path, write_json, write_text
from rnnzoo.benchmark_plan import REQUIRED_SPLITS, BenchmarkPlan, read_plan, run_name
from rnnzoo.downstream import is_seen_half, train_end_to_end, train_on_embeddings
from rnnzoo.emulated_performance import emulated_accuracy
from rnnzoo.emulation import EmulationTraining, evaluate
from rnnzoo.emulation_checkpoints import CHECKPOINT_NAME, train_with_checkpoints
from rnnzoo.emulation_data import EmulationData, load_data
from rnnzoo.encoders import Encoder, build_encoder, embed_rows, find_encoder, load_encoder, save_encoder
from rnnzoo.environment import processor_name, versions
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.jobs import Progress
from rnnzoo.properties import Property, properties_of
from rnnzoo.zoo import load

SHOWN_PROBES = 3
RECORD_NAME, ERROR_NAME = "record.json", "error.txt"


def open_runs(folder: str) -> Callable[[dict[str, Any], Progress], None]:
    """What does the jobs of the benchmark planned in a results folder."""
    return BenchmarkRuns(Path(folder)).do


def run_folder(folder: Path, name: str) -> Path:
    """Where a run keeps its record and what belongs to it."""
    return folder / "runs" / name


class BenchmarkRuns:
    """The zoo's sound rows in memory, and how each job is done on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan: BenchmarkPlan = read_plan(folder)
        self.config = self.plan.config
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        zoo = load(self.plan.zoo)
        self.data = load_data(zoo).to(self.device)
        self.zoo = zoo[np.searchsorted(zoo.row_numbers, self.data.row_numbers)]
        ranges = {split: _range_of(split, self.zoo.split_of()) for split in REQUIRED_SPLITS}
        self.train = self.data.part(ranges["train"])
        self.tests = {split: self.data.part(ranges[split]) for split in ("validation", "ood_test")}
        numbers = np.arange(len(self.zoo))
        ood = numbers[ranges["ood_test"]]
        seen = is_seen_half(self.zoo[ood]["task"])
        # Predictors learn from train and half of ood_test, and are scored on the rest (system section 8).
        self.learned = np.concatenate([numbers[ranges["train"]], ood[seen]])
        self.scored = {"validation": numbers[ranges["validation"]], "ood_test": ood[~seen]}

    def do(self, payload: dict[str, Any], progress: Progress) -> None:
        """One job; a run that fails for good leaves its reason in its folder, and the others go on."""
        encoder, seed = payload["encoder"], payload["seed"]
        settings = dict(self.config.encoders.get(encoder, {}))
        details = () if payload["kind"] == "emulation" else (payload["property"], "supervised")
        try:
            if payload["kind"] == "emulation":
                self.pretrain(encoder, settings, seed, progress)
                self.predict_from_embeddings(encoder, settings, seed, payload["properties"])
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
        curve = train_with_checkpoints(training, self.tests["validation"], folder, progress)
        began = time.perf_counter()
        metrics, rows = {}, []
        for split, data in self.tests.items():
            losses = evaluate(training.encoder, training.emulator, data, self.config.emulation.evaluated_rollouts)
            z = embed_rows(training.encoder, data.networks)
            real, emulated = emulated_accuracy(
                training.emulator, z, data, self.zoo, self.config.emulation.emulated_strings, seed
            )
            metrics[split] = {name: float(values.mean()) for name, values in losses.items()}
            if np.isfinite(real).all():
                metrics[split]["emulated_accuracy_gap"] = float(np.mean(np.abs(real - emulated)))
            rows.append(self._described_rows(split, data, losses["total_variation"], real, emulated, z))
        joined = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
        with atomic_path(folder / "rows.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, **joined)  # type: ignore[arg-type]
        _write_probes(training.encoder, self.tests["validation"], folder)
        save_encoder(training.encoder, folder / "encoder")
        record = self._record("emulation", encoder_name, training.encoder, settings, seed) | {
            "metrics": metrics,
            "seconds": {"training": curve["seconds"], "evaluation": time.perf_counter() - began},
        }
        write_json(folder / RECORD_NAME, {"run": run_name("emulation", encoder_name, seed), **record})
        (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
        (folder / ERROR_NAME).unlink(missing_ok=True)

    def predict_from_embeddings(
        self, encoder_name: str, settings: dict[str, Any], seed: int, properties: Sequence[str]
    ) -> None:
        """Downstream runs on the frozen embeddings of a finished emulation run, those that are not recorded."""
        names = {asked: run_name("downstream", encoder_name, seed, asked, "frozen") for asked in properties}
        missing = [asked for asked in properties if not (run_folder(self.folder, names[asked]) / RECORD_NAME).exists()]
        if not missing:
            return
        pretrained = run_folder(self.folder, run_name("emulation", encoder_name, seed))
        encoder = load_encoder(pretrained / "encoder").to(self.device)
        z = embed_rows(encoder, self.data.networks)
        for asked in properties_of(self.plan.kind, tuple(missing)):
            began = time.perf_counter()
            learned, scored, labels = self._labelled(asked)
            outputs = asked.outputs(self.zoo)
            predict = train_on_embeddings(asked, outputs, z[learned], labels[learned], self.config.downstream, seed)
            metrics = {split: asked.score(predict(z[rows]), labels[rows]) for split, rows in scored.items()}
            name = names[asked.name]
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
        learned, scored, labels = self._labelled(asked)
        networks, outputs = self.data.networks, asked.outputs(self.zoo)
        predict = train_end_to_end(
            asked, outputs, encoder, networks.take(learned), labels[learned], self.config.downstream, seed, progress
        )
        metrics = {split: asked.score(predict(networks.take(rows)), labels[rows]) for split, rows in scored.items()}
        self._record_downstream(name, encoder_name, encoder, settings, seed, asked, "supervised", metrics, began)

    def _labelled(self, asked: Property) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Rows to learn from, rows to be scored on, by split, and the labels of all rows.

        Rows whose label is not finite, such as the loss of a network that nearly diverged, are left out.
        """
        labels = asked.labels(self.zoo)
        known = torch.isfinite(labels.flatten(1) if labels.ndim > 1 else labels[:, None]).all(1)

        def rows(numbers: NDArray[np.int64]) -> Tensor:
            chosen = torch.from_numpy(numbers)
            return chosen[known[chosen]].to(self.device)

        scored = {split: rows(numbers) for split, numbers in self.scored.items()}
        return rows(self.learned), scored, labels.to(self.device)

    def _described_rows(
        self, split: str, data: EmulationData, loss: np.ndarray, real: np.ndarray, emulated: np.ndarray, z: Tensor
    ) -> dict[str, np.ndarray]:
        """What the report shows of every row of a split."""
        rows = self.zoo[np.searchsorted(self.zoo.row_numbers, data.row_numbers)]
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
                "folder": Path(self.plan.zoo).name,
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


def _write_probes(encoder: Encoder, validation: EmulationData, folder: Path) -> None:
    """Keep what a probing encoder sends to the first networks of the validation split."""
    chosen = torch.arange(min(SHOWN_PROBES, len(validation)), device=validation.weights.device)
    with torch.no_grad():
        inputs = encoder.probing_inputs(validation.networks.take(chosen))
    if inputs is not None:
        numbers = inputs.detach().cpu().numpy().astype(np.float32)
        with atomic_path(folder / "probes.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, inputs=numbers, rows=chosen.cpu().numpy())


def _range_of(split: str, splits: NDArray[np.str_]) -> slice:
    """Where a split lies among the rows; the rows of a split are consecutive."""
    rows = np.flatnonzero(splits == split)
    if not len(rows):
        raise UsageError(f"All networks of the split {split!r} diverged: the benchmark needs a zoo with sound ones.")
    return slice(int(rows[0]), int(rows[-1]) + 1)
