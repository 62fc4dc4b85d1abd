"""Where and with what something was made, for manifests and results."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from rnnzoo.version import __version__

LIBRARIES = ("numpy", "torch", "h5py", "numba", "triton")


def versions() -> dict[str, str]:
    """Versions of Python, rnnzoo and the libraries that decide the numbers."""
    found = {"rnnzoo": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """Commit of the checkout rnnzoo runs from, with "+changes" if files differ from it; None if installed."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if "rnnzoo/__init__.py" not in git("ls-files", "--full-name", "__init__.py"):
            return None
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def processor_name() -> str:
    """Model name of this machine's processor and its number of usable cores."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{name}, {usable_cores()} cores"


def usable_cores() -> int:
    """Cores of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def numeric_versions(found: Mapping[str, str]) -> dict[str, str]:
    """Those of `versions` that decide the bits of a zoo."""
    return {name: version for name, version in found.items() if name in ("rnnzoo", "numpy", "torch", "numba", "triton")}


def device_kinds(device: str) -> set[str]:
    """The kinds of device in a manifest's `device`, without the numbers of cores and threads, which change no bits."""
    return {re.sub(r", \d+ (cores?|threads?)", "", one) for one in device.split("; ")}
