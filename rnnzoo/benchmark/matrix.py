"""What a benchmark runs: one zoo, one configuration, and a matrix of encoders, seeds and properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rnnzoo.benchmark.downstream import DOWNSTREAM_PROFILES, DownstreamConfig
from rnnzoo.benchmark.results import RAILS
from rnnzoo.emulation.config import PROFILES, EmulationConfig
from rnnzoo.encoders import find_encoder
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files.atomic import write_json
from rnnzoo.files.strict_json import read_json
from rnnzoo.format.manifest import Manifest
from rnnzoo.jobs.queue import Job
from rnnzoo.kinds import find_kind

PLAN_NAME, LOCK_NAME = "benchmark.json", ".lock"
REQUIRED_SPLITS = ("train", "validation", "ood_test")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Everything that decides a benchmark's numbers but the zoo, the encoder and the seed.

    Args:
        emulation: how encoders are pre-trained.
        downstream: how predictors are trained.
        encoders: settings that override an encoder's own, by its name.
    """

    emulation: EmulationConfig
    downstream: DownstreamConfig
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of_profile(cls, profile: str, assignments: Mapping[str, Any] | None = None) -> BenchmarkConfig:
        """A profile with some fields changed.

        Args:
            profile: "quick", "standard" or "paper".
            assignments: values by "emulation.FIELD", "downstream.FIELD" or "encoders.NAME.SETTING".

        Raises:
            UsageError: an unknown profile or field, or an impossible value.
        """
        if profile not in PROFILES:
            raise UsageError(f"There is no profile {profile!r}: choose one of {', '.join(PROFILES)}.")
        config = cls(PROFILES[profile], DOWNSTREAM_PROFILES[profile])
        changes: dict[str, dict[str, Any]] = {"emulation": {}, "downstream": {}}
        encoders: dict[str, dict[str, Any]] = {}
        for name, value in (assignments or {}).items():
            part, _, rest = name.partition(".")
            encoder, _, setting = rest.rpartition(".")
            if part == "encoders" and encoder:
                encoders.setdefault(encoder, {})[setting] = value
                continue
            known = asdict(getattr(config, part)) if part in changes else {}
            if rest not in known or rest == "profile":
                fields = [f"{p}.{f}" for p in changes for f in asdict(getattr(config, p)) if f != "profile"]
                raise UsageError(f"There is no field {name!r}: choose from encoders.NAME.SETTING, {', '.join(fields)}.")
            if isinstance(value, str) != isinstance(known[rest], str):
                raise UsageError(f"{name}={value!r} is impossible: it is {known[rest]!r} by default.")
            changes[part][rest] = value
        emulation, downstream = (replace(getattr(config, part), **fields) for part, fields in changes.items())
        return cls(emulation, downstream, encoders)

    def as_json(self) -> dict[str, Any]:
        """The configuration as JSON data."""
        return {"emulation": asdict(self.emulation), "downstream": asdict(self.downstream), "encoders": self.encoders}


@dataclass(frozen=True)
class BenchmarkPlan:
    """A results folder's plan, the same for every call that adds encoders, seeds or properties to it.

    Args:
        zoo: path of the zoo.
        kind: of the zoo.
        data_sha256: identifies the zoo's data, see `Manifest.data_sha256`.
        config: everything else.
    """

    zoo: str
    kind: str
    data_sha256: str
    config: BenchmarkConfig

    def write(self, folder: Path) -> None:
        """Write the plan into a results folder, or check that it is the one there.

        Raises:
            UsageError: the folder holds results of another zoo or configuration, which stay as they are.
        """
        there = read_plan(folder) if (folder / PLAN_NAME).exists() else None
        if there is None:
            if folder.is_dir() and any(entry.name != LOCK_NAME for entry in folder.iterdir()):
                raise UsageError(
                    f"{folder} holds files that are no benchmark results; they are left untouched. "
                    "Choose an empty folder with --out."
                )
            write_json(folder / PLAN_NAME, self._as_json())
            return
        if there.data_sha256 != self.data_sha256:
            raise UsageError(
                f"{folder} holds results on another zoo ({there.zoo}, not {self.zoo}): choose another --out."
            )
        before, now = _flat(there.config.as_json()), _flat(self.config.as_json())
        for name in {**before, **now}:
            if before.get(name) != now.get(name) and not (name.startswith("encoders.") and name not in before):
                raise UsageError(
                    f"{folder} holds results with {name}={before.get(name)!r}, but this run has {now.get(name)!r}: "
                    "repeat the options it was begun with to go on, or choose another --out. Finished runs are kept."
                )
        if now != before:
            write_json(folder / PLAN_NAME, self._as_json())

    def _as_json(self) -> dict[str, Any]:
        own = {"zoo": self.zoo, "kind": self.kind, "data_sha256": self.data_sha256}
        return {**own, "config": self.config.as_json()}


def read_plan(folder: Path) -> BenchmarkPlan:
    """The plan of a results folder.

    Raises:
        RnnzooError: there is none, or it is damaged.
    """
    path = folder / PLAN_NAME
    try:
        return read_json(path, BenchmarkPlan, f"delete {folder} and start anew")
    except FileNotFoundError as error:
        raise RnnzooError(f"{folder} holds no benchmark results ({PLAN_NAME} is missing).") from error


@dataclass(frozen=True)
class Matrix:
    """Which runs are wanted. A folder may hold more.

    Args:
        encoders: names or "module:Class".
        seeds: of initial weights and batches.
        properties: downstream properties.
        supervised: train every encoder end to end on every property, too.
    """

    encoders: tuple[str, ...]
    seeds: tuple[int, ...]
    properties: tuple[str, ...]
    supervised: bool = True

    def jobs(self) -> list[Job]:
        """The matrix as independent jobs: seed by seed, so that a report of the first is soon complete."""
        jobs = []
        for seed in self.seeds:
            for encoder in self.encoders:
                payload = {"kind": "emulation", "encoder": encoder, "seed": seed, "properties": list(self.properties)}
                jobs.append(Job(run_name("emulation", encoder, seed), payload))
        for seed in self.seeds:
            for encoder in self.encoders if self.supervised else ():
                # Rails and controls learn nothing of networks, so labels cannot train them.
                if encoder in RAILS:
                    continue
                for asked in self.properties:
                    payload = {"kind": "supervised", "encoder": encoder, "seed": seed, "property": asked}
                    jobs.append(Job(run_name("downstream", encoder, seed, asked, "supervised"), payload))
        return jobs

    def runs(self) -> list[str]:
        """Names of all runs of the matrix."""
        return [name for job in self.jobs() for name in runs_of(job)]


def runs_of(job: Job) -> list[str]:
    """The runs a job records: itself and, after pre-training, one per property on the frozen embeddings."""
    if job.payload["kind"] != "emulation":
        return [job.name]
    encoder, seed = job.payload["encoder"], job.payload["seed"]
    frozen = (run_name("downstream", encoder, seed, asked, "frozen") for asked in job.payload["properties"])
    return [job.name, *frozen]


def matrix(
    plan: BenchmarkPlan,
    encoders: Sequence[str],
    seeds: Sequence[int],
    properties: Sequence[str] | None,
    supervised: bool,
) -> Matrix:
    """A matrix of runs, checked before any work is done.

    Raises:
        UsageError: an unknown encoder or property, or settings for an encoder that is not in the matrix.
    """
    for encoder in encoders:
        find_encoder(encoder)
    kind = find_kind(plan.kind)
    every = [known.name for known in kind.properties()]
    asked = every if properties is None else [kind.property_named(name).name for name in dict.fromkeys(properties)]
    return Matrix(tuple(dict.fromkeys(encoders)), tuple(dict.fromkeys(seeds)), tuple(asked), supervised)


def run_name(kind: str, encoder: str, seed: int, *details: str) -> str:
    """Name of a run, which is also its folder under `runs`."""
    return "/".join((kind, folder_name(encoder), *details, f"seed-{seed}"))


def folder_name(encoder: str) -> str:
    """An encoder's name as a folder, so that "module:Class" works everywhere."""
    return encoder.replace(":", "_").replace("/", "_")


def check_splits(manifest: Manifest, folder: Path) -> None:
    """Refuse a zoo that lacks a split.

    Raises:
        UsageError: it does.
    """
    for split in REQUIRED_SPLITS:
        if split not in manifest.splits:
            raise UsageError(f"{folder} has no split {split!r}, which the benchmark needs: build a larger zoo.")


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
