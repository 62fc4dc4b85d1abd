"""What a user does with a folder from a stranger, and how a stranger edits a manifest so that its checksums fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnzoo.format.manifest import canonical_sha256, file_sha256


def load(folder: str) -> str:
    """Open a zoo and read from it."""
    import rnnzoo

    zoo = rnnzoo.load(folder)
    return f"{len(zoo)} {zoo['step'].sum()} {zoo[:2]['weights'].sum()}"


def verify(folder: str) -> str:
    """What the checks of a zoo find, in one line; a RnnzooError if it is not sound."""
    from rnnzoo.errors import RnnzooError
    from rnnzoo.format.verification import verify

    found = [problem for check in verify(Path(folder)) for problem in check.problems]
    if found:
        raise RnnzooError("; ".join(found))
    return "sound"


def load_encoder(folder: str) -> str:
    """Load a saved encoder; the sum of its weights."""
    import rnnzoo

    encoder = rnnzoo.load_encoder(folder)
    return f"{type(encoder).__name__} {sum(float(tensor.sum()) for tensor in encoder.state_dict().values())}"


def load_forged_encoder(folder: str) -> str:
    """Load a saved encoder whose checksums were made to fit."""
    forge_encoder(Path(folder))
    return load_encoder(folder)


def read_results(folder: str) -> str:
    """Read results; how many runs there are, and whose."""
    from rnnzoo.benchmark.results import read_results

    results = read_results(Path(folder))
    return f"{len(results.runs)} {results.kind} {results.seeds} {results.ranking()}"


def read_benchmark(folder: str) -> str:
    """Read the plan of a benchmark; the zoo it is on."""
    from rnnzoo.benchmark.matrix import read_plan

    return read_plan(Path(folder)).zoo


def begun_build(folder: str) -> str:
    """The units of the build begun in a folder."""
    from rnnzoo.generation.building.plan import read_plan

    return str(len(read_plan(Path(folder)).units))


def command(line: str) -> str:
    """What a command prints; a RnnzooError if it ends in one."""
    import click.testing

    from rnnzoo.cli.main import cli

    result = click.testing.CliRunner().invoke(cli, line.split(), env={"COLUMNS": "1000"})
    if result.exception is not None:
        raise result.exception
    return result.output


def forge(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest; its own checksum is made to fit, and so is that of its recipe where the recipe changed."""
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    recipe = canonical_sha256(data["recipe"])
    change(data)
    if isinstance(data.get("recipe"), dict) and canonical_sha256(data["recipe"]) != recipe:
        data["recipe_hash"] = canonical_sha256(data["recipe"])
    data.pop("manifest_sha256", None)
    path.write_text(json.dumps({**data, "manifest_sha256": canonical_sha256(data)}))


def forge_encoder(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda data: None) -> None:
    """Change what is said of a saved encoder; the checksums of this and of its weights are made to fit."""
    path = folder / "encoder.json"
    data = json.loads(path.read_text())
    change(data)
    data["weights_sha256"] = file_sha256(folder / "encoder.safetensors")
    data.pop("config_sha256")
    path.write_text(json.dumps({**data, "config_sha256": canonical_sha256(data)}))
