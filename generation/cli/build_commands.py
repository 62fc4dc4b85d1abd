"""`rnnzoo build`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnzoo.cli.assignments import assignment
from rnnzoo.errors import UsageError
from rnnzoo.generation.cli.crew_options import crew_options, find_crew
from rnnzoo.generation.cli.kind_options import RecipeCommand

if TYPE_CHECKING:
    from rnnzoo.generation.build_request import BuildRequest
    from rnnzoo.generation.building.crews import Crew


def _steps(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(step.replace("_", "")) for step in value.split(","))
    except ValueError as error:
        raise click.BadParameter("give step numbers with commas between them, for example 0,100,500") from error


@click.command("build", cls=RecipeCommand)
@click.argument("zoo")
@click.option("--scale", default="paper", show_default=True, help="Size of the zoo: tiny, small, paper.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write; by default zoos/ZOO-SCALE.")
@click.option("--models", type=int, help="Number of networks.")
@click.option("--steps", type=int, help="Optimizer updates per network; must be a snapshot step.")
@click.option("--snapshots", callback=_steps, help="Steps to record, for example 0,100,500; training ends at the last.")
@click.option("--seed", type=int, help="Zoo seed: decides tasks, initial weights and batches.")
@click.option("--hidden-size", type=int, help="Units per LSTM layer.")
@click.option("--layers", type=int, help="LSTM layers.")
@click.option("--batch-size", type=int, help="Examples per update.")
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE",
              help="Any other field of the recipe, such as tasks.largest_n=7; --dry-run shows them.")  # fmt: skip
@click.option("--engine", default="auto", show_default=True,
              help="What trains: auto (the fastest here), cuda, numba, reference.")  # fmt: skip
@crew_options
@click.option("--yes", is_flag=True, help="Begin even if it takes more than an hour, without asking.")
@click.option(
    "--dry-run", is_flag=True, help="Print the recipe, what would be written and how long that takes, and stop."
)
def build_command(
    zoo: str,
    scale: str,
    out: Path | None,
    models: int | None,
    steps: int | None,
    snapshots: tuple[int, ...] | None,
    seed: int | None,
    hidden_size: int | None,
    layers: int | None,
    batch_size: int | None,
    assignments: tuple[str, ...],
    engine: str,
    gpus: int | None,
    workers: int | None,
    ray: str | None,
    units: str | None,
    yes: bool,
    dry_run: bool,
    **kind_options: Any,
) -> None:
    """Train a zoo and write it as shards that `datasets` loads.

    ZOO is a recipe (see `rnnzoo list`). Before it begins, a build says how long it will take on this machine. A build
    that was stopped goes on where it was when the same command is given again.

    \b
    Examples:
      rnnzoo build formal-languages --scale tiny
      rnnzoo build smnist --scale tiny --mnist sample
      rnnzoo build formal-languages --gpus 4
      rnnzoo build formal-languages --ray auto --gpus 64 --out /shared/zoo
      rnnzoo build formal-languages --models 100 --steps 5000 --seed 7 --out zoos/mine
    """
    from rnnzoo.generation.build_request import request_build

    options = {
        "models": models,
        "steps": steps,
        "snapshots": snapshots,
        "seed": seed,
        "hidden_size": hidden_size,
        "layers": layers,
        "batch_size": batch_size,
    }
    fields = dict(assignment(text, "tasks.largest_n=7") for text in assignments)
    request = request_build(zoo, scale, out, kind_options | options, fields, engine, gpus)
    crew = partial(find_crew, gpus, workers, ray, units)
    if dry_run:
        _print_plan(request, crew)
    else:
        _build(request, crew(), yes)


def _build(request: BuildRequest, crew: Crew, yes: bool) -> None:
    from rnnzoo.terminal.display import say

    folder = request.folder
    try:
        manifest = request.carry_out(crew, agreed=yes)
    except KeyboardInterrupt:
        say(f"Stopped. Finished models are kept in {folder}; give the same command again to go on.", error=True)
        raise
    seconds = manifest.provenance.get("seconds", {})
    spent = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    say(f"{folder}: {manifest.recipe['models']} models, {manifest.rows} rows, {manifest.size / 1e6:.1f} MB ({spent})")


def _print_plan(request: BuildRequest, crew: Callable[[], Crew]) -> None:
    import json

    from rnnzoo.generation.building.estimate import estimate_build, largest_size, session_on_made_up_data
    from rnnzoo.terminal.display import say

    recipe, folder = request.recipe, request.folder
    say(json.dumps(json.loads(recipe.canonical_json), indent=2))
    say(f"recipe hash {recipe.hash}")
    say(f"would write {recipe.rows} rows, at most {largest_size(recipe) / 1e6:.1f} MB, to {folder}")
    try:
        session = session_on_made_up_data(recipe, folder, request.engine)
        estimate = estimate_build(session, crew(), recipe.models, request.smaller())
    except UsageError as error:
        say(f"no time estimate: {error}")
    else:
        say("\n".join(estimate.lines))
