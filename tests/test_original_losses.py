"""Losses of the original release, measured again on its own split of the images."""

from __future__ import annotations

import filecmp
import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.verification import verify
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.kinds.digit_images import DigitImages
from rnnzoo.generation.kinds.smnist import rotated_tiles, split_images, tile_sources
from rnnzoo.generation.original.exporting import export_zoo
from rnnzoo.generation.original.format import released_pixel_values
from rnnzoo.generation.original.importing import import_release
from rnnzoo.generation.original.losses import released_parts
from rnnzoo.kinds.digits import network_inputs
from rnnzoo.networks.lstm import LSTMNetwork, run_logits
from rnnzoo.networks.network import Network
from rnnzoo.zoo.zoo import load

ANGLE, NETWORK = 33.0, Network(16, 8, 1, 10)
TRACED = released_parts()[0][[5, 4000, 40_000]]


@pytest.fixture(scope="module")
def images() -> DigitImages:
    """As many images as MNIST has, of noise."""
    random = np.random.default_rng(0)
    return DigitImages(
        random.integers(0, 256, (60_000, 784), np.uint8), random.integers(0, 10, 60_000).astype(np.uint8), "noise"
    )


def record(folder: Path, weights: np.ndarray, images: DigitImages, traced: np.ndarray) -> None:
    """Write the traces of networks [rows, P] on images."""
    tiles = rotated_tiles(images.images[traced], tile_sources(ANGLE))
    shown = np.broadcast_to(tiles, (len(weights), *tiles.shape))
    values = released_pixel_values()[shown]
    np.save(folder / "sequences.npy", np.concatenate([np.zeros_like(values[:, :, :1]), values], axis=2))
    with torch.no_grad():
        logits = run_logits(NETWORK, torch.from_numpy(weights), torch.from_numpy(network_inputs(shown)))
    np.save(folder / "logits.npy", logits.numpy().astype(np.float16))


@pytest.fixture(scope="module")
def measured(images: DigitImages) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two networks [2, P], and their accuracies and losses on the evaluation part by PyTorch alone."""
    weights = np.random.default_rng(1).uniform(-1, 1, (2, NETWORK.parameter_count)).astype(np.float32)
    evaluation = released_parts()[1]
    inputs = torch.from_numpy(network_inputs(rotated_tiles(images.images[evaluation], tile_sources(ANGLE))))
    labels = torch.from_numpy(images.labels[evaluation].astype(np.int64))
    with torch.no_grad():
        log_probs = torch.stack([LSTMNetwork.from_weights(NETWORK, network)(inputs) for network in weights])
    right = (log_probs[:, :, -1].argmax(dim=-1) == labels).double().mean(dim=1)
    loss = -log_probs.gather(3, labels[None, :, None, None].expand(2, -1, 50, 1)).mean(dim=(1, 2, 3))
    return weights, right.numpy(), loss.numpy()


@pytest.fixture(scope="module")
def released(measured: tuple, images: DigitImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of one run with two snapshots, whose losses are off."""
    folder = tmp_path_factory.mktemp("released")
    weights, accuracy, _ = measured
    record(folder, weights, images, TRACED)
    np.save(folder / "parameters.npy", weights)
    np.save(folder / "tasks.npy", np.full((2, 1), ANGLE))
    np.save(folder / "num_step.npy", np.array([[0, 0], [0, 100]]))
    np.save(folder / "accuracy_losses.npy", np.stack([accuracy, [9.0, 8.0], [7.0, 6.0], [0.1, 0.1]], axis=1))
    (folder / "args.json").write_text(json.dumps({"rnn_hidden_size": 8, "rnn_num_layers": 1}))
    return folder


@pytest.mark.slow
def test_losses_are_measured_again_and_the_released_ones_kept(
    released: Path, measured: tuple, images: DigitImages, tmp_path: Path
) -> None:
    import_release(released, tmp_path / "zoo", images)
    zoo = load(tmp_path / "zoo")
    assert np.allclose(zoo["eval_loss"], measured[2], atol=1e-5)
    assert np.allclose(zoo["generalization_gap"], zoo["eval_loss"] - zoo["train_loss"])
    assert np.abs(zoo["generalization_gap"]).max() < 0.1, "noise is as hard on either part"
    assert zoo["released_train_loss"].tolist() == [9.0, 8.0]
    assert zoo["released_eval_loss"].tolist() == [7.0, 6.0]
    for check in verify(tmp_path / "zoo", every_trace=True):
        assert not check.problems, check
    export_zoo(zoo, tmp_path / "back")
    names = sorted(path.name for path in released.iterdir())
    assert filecmp.cmpfiles(released, tmp_path / "back", names, shallow=False) == (names, [], [])


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False])
def test_how_long_measuring_takes_is_said_first(
    fast: bool, released: Path, images: DigitImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    if not fast:
        monkeypatch.setattr("rnnzoo.generation.original.losses.find_engine", lambda *_: (ReferenceEngine(), None))
    elif not find_spec("numba"):
        pytest.skip("numba is not installed")
    # Nothing is measured by the time that progress is first told.
    import_release(released, tmp_path / "zoo", images, lambda *_: said.append("progress"), message=said.append)
    estimate = r"Measuring losses again, 25,002 images for each of 2 rows: about .*--released-losses"
    assert ["slow reference engine" in said[0], bool(re.match(estimate, said[-2])), said[-1]] == [
        not fast,
        True,
        "progress",
    ]
    said.clear()
    import_release(released, tmp_path / "as-released", images, released_losses=True, message=said.append)
    assert not said


@pytest.mark.parametrize("with_images", [True, False])
def test_released_losses_stay_where_asked_or_without_images(
    with_images: bool, released: Path, images: DigitImages, tmp_path: Path
) -> None:
    import_release(released, tmp_path / "zoo", images if with_images else None, released_losses=True)
    zoo = load(tmp_path / "zoo")
    assert zoo["eval_loss"].tolist() == [7.0, 6.0]
    assert "released_eval_loss" not in [column.name for column in zoo.columns]
    assert "as released" in (tmp_path / "zoo" / "README.md").read_text()


@pytest.mark.slow
def test_models_of_another_split_or_weights_are_refused(
    released: Path, measured: tuple, images: DigitImages, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "released"))
    record(folder, measured[0], images, np.append(TRACED[:2], released_parts()[1][7]))
    with pytest.raises(RnnzooError, match=r"2 of 6 recorded images.*--released-losses"):
        import_release(folder, tmp_path / "zoo", images)
    record(folder, measured[0], images, TRACED)
    off = np.load(folder / "accuracy_losses.npy")
    off[1, 0] += 0.01
    np.save(folder / "accuracy_losses.npy", off)
    with pytest.raises(RnnzooError, match=r"differ by up to 0.01.*--released-losses"):
        import_release(folder, tmp_path / "zoo", images)
    few = DigitImages(images.images[:50_000], images.labels[:50_000], "few")
    with pytest.raises(UsageError, match=r"60,000 images.*50,000"):
        import_release(folder, tmp_path / "zoo", few)
    assert [path.name for path in tmp_path.iterdir()] == ["released"]


def test_the_released_split_is_what_the_documentation_says() -> None:
    training, evaluation = released_parts()
    assert (len(training), len(evaluation)) == (47_998, 12_002)
    assert len(np.intersect1d(training, split_images(60_000, 0.2)[1])) == 9_644
