"""Do the jobs of a benchmark, in whichever process: pre-train, evaluate, predict properties, record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.benchmark.downstream import is_seen_half, train_end_to_end, train_on_embeddings
from rnnzoo.benchmark.matrix import REQUIRED_SPLITS, BenchmarkPlan, read_plan, run_name
from rnnzoo.benchmark.results import RECORD_NAME
from rnnzoo.emulation.checkpoints import CHECKPOINT_NAME, train_with_checkpoints
from rnnzoo.emulation.data import EmulationData, load_data
from rnnzoo.emulation.performance import Emulated, emulated_accuracy
from rnnzoo.emulation.trainer import EmulationTraining, evaluate
from rnnzoo.encoders import Encoder, build_encoder, embed_rows, find_encoder, save_encoder
from rnnzoo.encoders.saved import read_saved_encoder
from rnnzoo.environment import processor_name, versions
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.atomic import atomic_path, write_json, write_text
from rnnzoo.hub.store import identity
from rnnzoo.jobs.memory import keep_freed_memory
from rnnzoo.jobs.processes import Progress
from rnnzoo.kinds.properties import Property
from rnnzoo.zoo.zoo import load

SHOWN_PROBES = 3
ERROR_NAME = "error.txt"


def open_runs(folder: str) -> Callable[[dict[str, Any], Progress], None]:
    """What does the jobs of the benchmark planned in a results folder."""
    keep_freed_memory()
    return BenchmarkRuns(Path(folder)).do


def run_folder(folder: Path, name: str) -> Path:
    """Where a run keeps its record and what belongs to it."""
    return folder / "runs" / name


class Subject(NamedTuple):
    """Whom a job is about: an encoder with its settings, and a seed."""

    encoder: str
    settings: dict[str, Any]
    seed: int

    def run(self, kind: str, *details: str) -> str:
        """Name of one of its runs."""
        return run_name(kind, self.encoder, self.seed, *details)


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
        # Predictors learn from train and half of ood_test, and are scored on the rest (paper section 5.3).
        self.learned = np.concatenate([numbers[ranges["train"]], ood[seen]])
        self.scored = {"validation": numbers[ranges["validation"]], "ood_test": ood[~seen]}

    def do(self, payload: dict[str, Any], progress: Progress) -> None:
        """One job; a run that fails for good leaves its reason in its folder, and the others go on."""
        settings = dict(self.config.encoders.get(payload["encoder"], {}))
        subject = Subject(payload["encoder"], settings, payload["seed"])
        supervised = payload["kind"] == "supervised"
        name = subject.run("downstream", payload["property"], "supervised") if supervised else subject.run("emulation")
        try:
            if supervised:
                asked = self.zoo.kind.property_named(payload["property"])
                self.train_supervised(subject, asked, progress)
            else:
                self.pretrain(subject, progress)
                self.predict_from_embeddings(subject, payload["properties"])
        except Exception as error:
            # Anyone's encoder runs here, and whatever it raises must not take the rest of the matrix with it.
            folder = run_folder(self.folder, name)
            folder.mkdir(parents=True, exist_ok=True)
            message = str(error) if isinstance(error, RnnzooError) else traceback.format_exc()
            write_text(folder / ERROR_NAME, message)

    def pretrain(self, subject: Subject, progress: Progress) -> None:
        """An emulation run: train, evaluate on both test splits, keep the encoder; does nothing if it is recorded."""
        name = subject.run("emulation")
        folder = run_folder(self.folder, name)
        if (folder / RECORD_NAME).exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        training = EmulationTraining(
            self.train, subject.encoder, self.config.emulation, subject.seed, self.device, subject.settings
        )
        curve = train_with_checkpoints(training, self.tests["validation"], folder, progress)
        began = time.perf_counter()
        metrics, rows = {}, []
        for split, data in self.tests.items():
            losses = evaluate(training.encoder, training.emulator, data, self.config.emulation.evaluated_rollouts)
            z = embed_rows(training.encoder, data.networks)
            strings = self.config.emulation.emulated_strings
            real, emulated = emulated_accuracy(Emulated(training.emulator, z, data, strings, subject.seed), self.zoo)
            metrics[split] = {name: float(values.mean()) for name, values in losses.items()}
            if np.isfinite(real).all():
                metrics[split]["emulated_accuracy_gap"] = float(np.mean(np.abs(real - emulated)))
            rows.append(self._described_rows(split, data, losses, real, emulated, z))
        joined = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
        with atomic_path(folder / "rows.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, **joined)  # type: ignore[arg-type]
        _write_probes(training.encoder, self.tests["validation"], folder)
        save_encoder(training.encoder, folder / "encoder")
        record = self._record("emulation", subject, training.encoder) | {
            "metrics": metrics,
            "seconds_per_update": curve["seconds_per_update"],
            "seconds": {"training": curve["seconds"], "evaluation": time.perf_counter() - began},
        }
        write_json(folder / RECORD_NAME, {"run": name, **record})
        (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
        (folder / ERROR_NAME).unlink(missing_ok=True)

    def predict_from_embeddings(self, subject: Subject, properties: Sequence[str]) -> None:
        """Downstream runs on the frozen embeddings of a finished emulation run, those that are not recorded."""
        names = {asked: subject.run("downstream", asked, "frozen") for asked in properties}
        missing = [asked for asked in properties if not (run_folder(self.folder, names[asked]) / RECORD_NAME).exists()]
        if not missing:
            return
        pretrained = run_folder(self.folder, subject.run("emulation"))
        encoder = _pretrained(pretrained / "encoder", subject.encoder).to(self.device)
        z = embed_rows(encoder, self.data.networks)
        for asked in map(self.zoo.kind.property_named, missing):
            began = time.perf_counter()
            learned, scored, labels = self._labelled(asked)
            outputs = asked.outputs(self.zoo)
            predict = train_on_embeddings(
                asked, outputs, z[learned], labels[learned], self.config.downstream, subject.seed
            )
            metrics = {split: asked.score(predict(z[rows]), labels[rows]) for split, rows in scored.items()}
            self._record_downstream(names[asked.name], subject, encoder, asked, "frozen", metrics, began)

    def train_supervised(self, subject: Subject, asked: Property, progress: Progress) -> None:
        """A downstream run that trains an encoder end to end on the labels; nothing if it is recorded."""
        name = subject.run("downstream", asked.name, "supervised")
        if (run_folder(self.folder, name) / RECORD_NAME).exists():
            return
        began = time.perf_counter()
        config = self.config.emulation
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(subject.seed)
            context = self.train.context(config.z_size, subject.seed)
            encoder = build_encoder(subject.encoder, context, config.profile, **subject.settings).to(self.device)
        learned, scored, labels = self._labelled(asked)
        networks, outputs = self.data.networks, asked.outputs(self.zoo)
        predict = train_end_to_end(
            asked,
            outputs,
            encoder,
            networks.take(learned),
            labels[learned],
            self.config.downstream,
            subject.seed,
            progress,
        )
        metrics = {split: asked.score(predict(networks.take(rows)), labels[rows]) for split, rows in scored.items()}
        self._record_downstream(name, subject, encoder, asked, "supervised", metrics, began)

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
        self,
        split: str,
        data: EmulationData,
        losses: dict[str, np.ndarray],
        real: np.ndarray,
        emulated: np.ndarray,
        z: Tensor,
    ) -> dict[str, np.ndarray]:
        """What the report shows of every row of a split."""
        rows = self.zoo[np.searchsorted(self.zoo.row_numbers, data.row_numbers)]
        return {
            "split": np.array([split] * len(data)),
            "model_id": rows["model_id"],
            "step": rows["step"],
            "task": rows["task"],
            "accuracy": rows.kind.headline(rows),
            **losses,
            "real_accuracy": real,
            "emulated_accuracy": emulated,
            "z": z.cpu().numpy(),
        }

    def _record(self, kind: str, subject: Subject, encoder: Encoder) -> dict[str, Any]:
        manifest = self.zoo.manifest
        config = asdict(self.config.emulation if kind == "emulation" else self.config.downstream)
        device = torch.cuda.get_device_name() if self.device == "cuda" else processor_name()
        return {
            "kind": kind,
            "encoder": subject.encoder,
            "mechanistic": find_encoder(subject.encoder).mechanistic,
            "seed": subject.seed,
            "profile": self.config.emulation.profile,
            "config": {**config, "encoder_settings": {**encoder.settings, **subject.settings}},
            "zoo": {
                "kind": self.plan.kind,
                **identity(Path(self.plan.zoo)),
                "recipe_hash": manifest.recipe_hash,
                "steps": manifest.snapshots[-1],
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
        subject: Subject,
        encoder: Encoder,
        asked: Property,
        mode: str,
        metrics: dict[str, dict[str, float]],
        began: float,
    ) -> None:
        record = self._record("downstream", subject, encoder) | {
            "property": asked.name,
            "mode": mode,
            "metrics": metrics,
            "seconds": {"training": time.perf_counter() - began},
        }
        folder = run_folder(self.folder, name)
        write_json(folder / RECORD_NAME, {"run": name, **record})
        (folder / ERROR_NAME).unlink(missing_ok=True)


def _pretrained(folder: Path, name: str) -> Encoder:
    """The encoder an emulation run left; whichever class the folder names, only the one of the run is imported."""
    saved = read_saved_encoder(folder)
    if saved.encoder != name:
        raise RnnzooError(f"{folder} holds the encoder {saved.encoder!r}, not {name!r}: delete {folder.parent}.")
    return saved.build()


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
