"""`rnnzoo rebuild` and `rnnzoo extend`: from a finished zoo's recipe, one model again or more models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnzoo.cli.revision_option import revision_option
from rnnzoo.generation.cli.crew_options import crew_options, find_crew
from rnnzoo.generation.cli.kind_options import KindCommand, source_and_fields

if TYPE_CHECKING:
    from rnnzoo.generation.building.rebuild import Rebuilt


@click.command("rebuild", cls=KindCommand)
@click.argument("zoo", type=click.Path(path_type=Path))
@click.option("--model", type=int, required=True, help="Number of the model (its model_id).")
@click.option("--engine", default="auto", show_default=True,
              help="What trains: auto (the engine that trained the zoo, if it can be used here), cuda, numba, "
              "reference.")  # fmt: skip
@click.pass_context
def rebuild_command(context: click.Context, zoo: Path, model: int, engine: str, **kind_options: Any) -> None:
    """Train one model of ZOO, a folder, again from its manifest alone, and compare every column of every snapshot.

    On the engine, kind of device and versions of libraries that trained the zoo, all bits must be equal. Elsewhere
    rounding differs and training amplifies it, so only the weights of the first steps are judged, within a tolerance,
    and later differences are shown. The exit code is 1 if the model is not the same.

    \b
    Examples:
      rnnzoo rebuild zoos/formal-languages-tiny --model 7
      rnnzoo rebuild zoos/smnist-tiny --model 0 --mnist sample --engine reference
    """
    from rnnzoo.generation.building.rebuild import rebuild, trained_recipe
    from rnnzoo.terminal.progress_display import ProgressDisplay

    recipe = trained_recipe(zoo)[1]
    source, _ = source_and_fields(recipe.zoo, kind_options)
    steps = recipe.protocol.steps
    with ProgressDisplay(f"training model {model}", transient=True) as display:
        display.start()
        rebuilt = rebuild(zoo, model, engine, source, lambda done, loss: display.advance(done, max(steps, 1)))
    _show(rebuilt, zoo, model)
    context.exit(0 if rebuilt.agrees else 1)


def _show(rebuilt: Rebuilt, zoo: Path, model: int) -> None:
    from rich.table import Table

    from rnnzoo.generation.building.rebuild import LAST_JUDGED_STEP, RELATIVE_TOLERANCE
    from rnnzoo.terminal.display import TerminalConsole, say

    steps = sorted({difference.step for difference in rebuilt.differences})
    table = Table("column", *(f"step {step}" for step in steps), title=f"model {model} of {zoo}: largest difference")
    for column in dict.fromkeys(difference.column for difference in rebuilt.differences):
        found = [difference for difference in rebuilt.differences if difference.column == column]
        table.add_row(column, *("identical" if d.identical else f"{d.largest:.1e}" for d in found))
    TerminalConsole().table(table)
    say(f"trained by {rebuilt.engine}")
    if rebuilt.identical:
        say("All columns are identical bit for bit.")
    elif not rebuilt.departures:
        say("It differs, though engine, device and versions are those that trained the zoo.")
    else:
        verdict = "agrees" if rebuilt.agrees else "does NOT agree"
        say(
            f"Bits may differ, for {'; '.join(rebuilt.departures)}. Judged are the weights up to step "
            f"{LAST_JUDGED_STEP}, within a distance of {RELATIVE_TOLERANCE} of their norm (before rounding errors have "
            f"grown), and the model's task: the model {verdict}."
        )


@click.command("extend", cls=KindCommand)
@click.argument("zoo", type=click.Path(path_type=Path))
@click.option("--models", type=int, required=True, help="How many models the zoo shall have, those it has included.")
@click.option("--out", type=click.Path(path_type=Path),
              help="A new folder for the larger zoo; by default it takes ZOO's place once it is whole.")  # fmt: skip
@revision_option
@crew_options
def extend_command(
    zoo: Path,
    models: int,
    out: Path | None,
    gpus: int | None,
    workers: int | None,
    ray: str | None,
    units: str | None,
    revision: str | None,
    **kind_options: Any,
) -> None:
    """Add models to ZOO, a folder or, with --out, a name on the Hub. Its models are kept, not trained again.

    The result is, file by file, the zoo that `rnnzoo build` makes of so many models. Splits are decided from the
    tasks of all models, so a task may move to another split. ZOO stays as it is until the larger one is whole; an
    extension that was stopped goes on when the same command is given again. It takes the engine, kind of device and
    versions of libraries that trained ZOO.

    \b
    Examples:
      rnnzoo extend zoos/formal-languages-tiny --models 32
      rnnzoo extend zoos/formal-languages-paper --models 2000 --gpus 4 --out zoos/larger
    """
    crew = find_crew(gpus, workers, ray, units)
    from rnnzoo.generation.building.extend import extend, folder_of_extension
    from rnnzoo.generation.building.plan import progress_log
    from rnnzoo.generation.building.rebuild import trained_recipe
    from rnnzoo.generation.building.reporter import TerminalReporter
    from rnnzoo.hub.names import resolve
    from rnnzoo.terminal.display import say

    folder = resolve(zoo, revision) if out is not None and not zoo.exists() else zoo
    source = None
    if any(value is not None for value in kind_options.values()):
        source, _ = source_and_fields(trained_recipe(folder)[1].zoo, kind_options)
    try:
        with TerminalReporter(progress_log(folder_of_extension(folder, models, out))) as reporter:
            manifest = extend(folder, models, out, reporter, source, crew)
    except KeyboardInterrupt:
        say(f"Stopped; {zoo} is as it was. Give the same command again to go on.", error=True)
        raise
    say(f"{out or zoo}: {manifest.recipe['models']} models, {manifest.rows} rows, {manifest.size / 1e6:.1f} MB")
