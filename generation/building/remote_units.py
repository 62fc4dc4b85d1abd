"""Train units of a build on other machines, which may share its folder or send units to a URL."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnzoo.environment import versions
from rnnzoo.errors import UsageError
from rnnzoo.generation.building.plan import Plan, Unit, plan_path, read_plan
from rnnzoo.generation.building.unit_store import UnitStore
from rnnzoo.generation.building.units import open_session
from rnnzoo.jobs.processes import Progress, Task, Work

OPENER = "rnnzoo.generation.building.remote_units:open_remote_task"


def remote_work(out: Path, plan: Plan, units: str | None) -> Work:
    """What other machines are told: the plan, where units go, and the versions that decide a zoo's numbers."""
    data = {"out": str(out.resolve()), "plan": plan.as_json(), "units": units, "versions": versions()}
    return Work(OPENER, json.dumps(data))


def open_remote_task(argument: str) -> Task:
    """What trains units on this machine; see `remote_work`.

    Raises:
        UsageError: this machine does not see the folder, has other versions, or cannot use the engine.
    """
    data = json.loads(argument)
    _check_versions(data["versions"])
    out, plan = Path(data["out"]), Plan.from_json(data["plan"])
    if data["units"] is None and not (plan_path(out).exists() and read_plan(out) == plan):
        raise UsageError(
            f"{socket.gethostname()} does not see the build in {out}: choose an --out that all machines share, "
            "or a --units URL that all of them can write to."
        )
    session = open_session(out, plan)
    if data["units"] is None:
        return lambda payload, progress: session.train(Unit(**payload), progress)
    store = UnitStore(data["units"], plan)

    def train_and_send(payload: dict[str, Any], progress: Progress) -> None:
        unit = Unit(**payload)
        with tempfile.TemporaryDirectory(prefix="rnnzoo-") as folder:
            session.train(unit, progress, Path(folder))
            store.send(unit, Path(folder))

    return train_and_send


def _check_versions(expected: Mapping[str, str]) -> None:
    here = versions()
    for name in sorted({*expected, *here}):
        if here.get(name) != expected.get(name):
            raise UsageError(
                f"{socket.gethostname()} has {name} {here.get(name, 'not installed')}, the machine that builds has "
                f"{expected.get(name, 'not installed')}; numbers could differ. Install the same on all machines."
            )
