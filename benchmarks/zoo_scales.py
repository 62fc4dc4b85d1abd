"""How long each published zoo takes to build at each scale, and how large it is; for README's table of scales.

    python benchmarks/zoo_scales.py                 write benchmarks/results/zoo-scales.json, and print the table
    python benchmarks/zoo_scales.py --mnist PATH    with smnist's images from a folder of IDX files
    python benchmarks/zoo_scales.py --networks 256  with all networks of the scale small, and 256 of the scale paper
    python benchmarks/zoo_scales.py --document      render the result into README.md

Of the larger scales only a few networks are built, each in full, so many that all cores are busy; the rest is in
proportion, and the table says so. Builds go into a temporary folder that is removed.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import click
from checkout import ROOT, make_importable

make_importable()

from zoo_scales_table import ZOO_SCALES, render  # noqa: E402

from rnnzoo.environment import usable_cores, versions  # noqa: E402
from rnnzoo.generation.building.build import build  # noqa: E402
from rnnzoo.generation.kinds import published_recipes  # noqa: E402
from rnnzoo.generation.recipes import Recipe  # noqa: E402

RESULTS = Path(__file__).parent / "results"


def measure(recipe: Recipe, images: str, networks: int) -> dict:
    """Build the first networks of a zoo."""
    built = min(networks, recipe.models)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        manifest = build(recipe.override({"models": built}), Path(folder) / "zoo", "auto", source=images)
        seconds = time.perf_counter() - started
    click.echo(f"{recipe.zoo}: {built} of {recipe.models} networks in {seconds:.1f} s", err=True)
    return {
        "models": recipe.models,
        "built": built,
        "steps": recipe.protocol.steps,
        "snapshots": list(recipe.snapshots),
        "seconds": seconds,
        "bytes": manifest.size,
        "engine": manifest.provenance["engine"],
        "device": manifest.provenance["device"],
    }


@click.command()
@click.option("--mnist", "images", default="hub", show_default=True, help="Where smnist's images come from.")
@click.option("--networks", type=int, help="Networks to build of the larger scales; by default two per core.")
@click.option("--document", is_flag=True, help="Render the result into README.md and stop.")
def main(images: str, networks: int | None, document: bool) -> None:
    """Measure, write benchmarks/results/zoo-scales.json, print the table."""
    if document:
        ZOO_SCALES.rewrite(ROOT / "README.md", RESULTS)
        return
    zoos: dict[str, dict] = {}
    for zoo, scales in published_recipes().items():
        # The first build may compile.
        measure(scales["tiny"].override({"models": 1, "snapshots": (0, 1)}), images, 1)
        zoos[zoo] = {
            scale: measure(recipe, images, recipe.models if scale == "tiny" else networks or 2 * usable_cores())
            for scale, recipe in scales.items()
        }
    (engine,), (machine,) = (
        {part[key] for scales in zoos.values() for part in scales.values()} for key in ("engine", "device")
    )
    result = {
        "machine": machine,
        "engine": engine,
        "versions": versions(),
        "load_average": os.getloadavg()[2],
        "zoos": zoos,
    }
    (RESULTS / "zoo-scales.json").write_text(json.dumps(result, indent=1) + "\n")
    print(render(result))


if __name__ == "__main__":
    main()
