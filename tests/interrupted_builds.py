"""What tests of builds that are killed, starved and interrupted have in common."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rnnzoo.generation.building.reporter import SilentReporter
from rnnzoo.zoo.zoo import load

BUILD = """
import os, sys, time
from rnnzoo.generation.building import plan
from rnnzoo.generation.building.reporter import TerminalReporter
from rnnzoo.jobs.interruption import raise_if_interrupted
import rnnzoo.cli.main

plan.MODELS_PER_UNIT = 2
unit_finished = TerminalReporter.unit_finished

def wait_at_the_gate(self, models):
    unit_finished(self, models)
    gate = os.environ.get("GATE", "")
    if os.path.exists(gate):
        open(gate + "-reached", "w").close()
    while os.path.exists(gate):
        raise_if_interrupted()
        time.sleep(0.01)

TerminalReporter.unit_finished = wait_at_the_gate
sys.argv = ["rnnzoo", "build", *sys.argv[1:]]
rnnzoo.cli.main.main()
"""


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Look again and again, and leave the processor to others meanwhile; a process that ends is not waited for."""
    deadline, never = time.monotonic() + 240, threading.Event()
    while not condition() and (process is None or process.poll() is None) and time.monotonic() < deadline:
        never.wait(0.01)


def contents(out: Path) -> dict[str, bytes]:
    zoo = load(out)
    order = np.lexsort((zoo["step"], zoo["model_id"]))
    return {column.name: zoo[column.name][order].tobytes() for column in zoo.columns}


class Collector(SilentReporter):
    """Keeps the messages and counts the finished models."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.models = 0

    def message(self, text: str) -> None:
        self.messages.append(text)

    def unit_finished(self, models: int) -> None:
        self.models += models
