"""A process with little memory and time left, which does what a user would do with files from a stranger."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MEMORY = 512 * 2**20
"""Bytes it may take beyond what its imports have taken."""
SECONDS = 120
"""Of processor time; a process that hangs is killed, and the test fails."""

_PROGRAM = f"""
import importlib, json, resource, sys
from pathlib import Path
import numpy, torch, h5py, safetensors.torch, click.testing
import rnnzoo, rnnzoo.cli.main, rnnzoo.encoders, rnnzoo.hub.names, rnnzoo.benchmark.report, rnnzoo.format.verification
import rnnzoo.generation.building.plan, rnnzoo.generation.original.importing
from rnnzoo.errors import RnnzooError
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + {MEMORY}, taken + {MEMORY}))
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
for line in sys.stdin:
    function, *arguments = json.loads(line)
    module, _, name = function.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)(*arguments)
        answer = dict(answer=str(found))
    except RnnzooError as error:
        answer = dict(error=str(error))
    except BaseException as error:
        answer = dict(crash=repr(error))
    print(json.dumps(answer), flush=True)
"""


class LimitedProcess:
    """Calls functions of tests in the process, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def call(self, function: str, *arguments: str) -> dict[str, Any]:
        """What a function answered, as {"answer": text}, or raised: {"error": text} by rnnzoo, {"crash": text} else.

        Args:
            function: "module.name", the module in the folder of the tests.
            arguments: its arguments.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([function, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"crash": f"the process ended with {self.process.wait()}"}


@contextmanager
def limited_process(folder: str) -> Iterator[LimitedProcess]:
    """A process that finds modules in a folder."""
    program = f"import sys; sys.path.insert(0, {folder!r})\n{_PROGRAM}"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield LimitedProcess(process)
        process.kill()
