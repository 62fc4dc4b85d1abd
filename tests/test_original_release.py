"""The original release: imported without changing a bit, written back, and refused when it is damaged."""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.verification import verify
from rnnzoo.generation.kinds.digit_images import DigitImages, load_images
from rnnzoo.generation.kinds.smnist import rotated_tiles, tile_sources
from rnnzoo.generation.original.arrays import StoredArray
from rnnzoo.generation.original.exporting import export_zoo
from rnnzoo.generation.original.format import pixels_of, released_pixel_values
from rnnzoo.generation.original.image_recognition import recognise_images
from rnnzoo.generation.original.importing import import_release
from rnnzoo.generation.original.release import open_release
from rnnzoo.kinds.smnist import DigitTasks
from rnnzoo.zoo.zoo import Zoo, load

REFERENCES = ("formal_languages_original", "smnist_original")


@pytest.fixture(scope="module")
def released_languages(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small zoo of ours in the authors' format."""
    folder = tmp_path_factory.mktemp("released") / "languages"
    export_zoo(zoo, folder)
    return folder


@pytest.fixture(scope="module")
def released_digits(digit_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released-digits") / "digits"
    export_zoo(digit_zoo, folder)
    return folder


@pytest.mark.parametrize("name", REFERENCES)
def test_the_original_release_is_sound_and_comes_back_bit_for_bit(
    name: str, reference_folder: Path, tmp_path: Path
) -> None:
    runner, source = CliRunner(), reference_folder / name
    result = runner.invoke(cli, ["import", str(source), "--out", str(tmp_path / "zoo")])
    assert result.exit_code == 0, result.output
    for check in verify(tmp_path / "zoo", every_trace=True):
        assert not check.problems, check
    result = runner.invoke(cli, ["export", str(tmp_path / "zoo"), "--original", str(tmp_path / "back")])
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in source.iterdir())
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == names
    assert filecmp.cmpfiles(source, tmp_path / "back", names, shallow=False) == (names, [], [])


def test_imported_languages_keep_what_is_known(reference_folder: Path, tmp_path: Path) -> None:
    source = reference_folder / "formal_languages_original"
    import_release(source, tmp_path / "zoo")
    zoo = load(tmp_path / "zoo")
    ordered = zoo[np.lexsort((zoo["step"], zoo["model_id"]))]
    correct = np.load(source / "num_step_correct.npy")[:, 2]
    assert np.array_equal(np.round(1000 * ordered["accuracy_counts"]), correct)
    assert np.array_equal(ordered["weights"], np.load(source / "parameters.npy"))
    assert np.abs(zoo.at_step(20_000)["train_loss"] - 0.047).max() < 0.01
    assert zoo.at_step(20_000)["accuracy"].min() > 0.95
    assert (zoo["accuracy"] <= zoo["finished"]).all()
    provenance = zoo.manifest.provenance
    assert provenance["source"] == "imported"
    assert provenance["release"] == source.name
    assert provenance["updates_ahead"] == 1
    assert "s + 1 updates" in " ".join((tmp_path / "zoo" / "README.md").read_text().split())
    assert {"train", "validation", "ood_test"} == set(zoo.manifest.splits)


def test_with_mnist_at_hand_images_and_classes_are_recognised(
    reference_folder: Path, mnist_folder: Path, tmp_path: Path
) -> None:
    images = load_images(DigitTasks(), str(mnist_folder))
    import_release(reference_folder / "smnist_original", tmp_path / "zoo", images)
    zoo = load(tmp_path / "zoo")
    for model in zoo[::5]:
        shown = rotated_tiles(images.images[model["image_indices"]], tile_sources(model.task))
        assert np.array_equal(shown, model["tiles"])
    trained = zoo.at_step(20_000)
    assert (trained["log_probs"][:, :, -1].argmax(axis=-1) == trained["labels"]).mean() > 0.93


def test_without_mnist_nothing_is_said_of_images_and_classes(reference_folder: Path, tmp_path: Path) -> None:
    import_release(reference_folder / "smnist_original", tmp_path / "zoo")
    zoo = load(tmp_path / "zoo")
    assert {"tiles", "logits", "log_probs"} <= {column.name for column in zoo.columns}
    assert not {"labels", "image_indices"} & {column.name for column in zoo.columns}
    result = CliRunner().invoke(cli, ["show", str(tmp_path / "zoo"), "--plot", str(tmp_path / "plot.png")])
    assert result.exit_code == 0, result.output
    assert "from the original release smnist_original" in " ".join(result.output.split())
    assert (tmp_path / "plot.png").is_file()


def test_a_zoo_of_languages_survives_the_round_trip(zoo: Zoo, released_languages: Path, tmp_path: Path) -> None:
    import_release(released_languages, tmp_path / "zoo")
    back = load(tmp_path / "zoo")
    assert back.network == zoo.network
    ours, theirs = (rows[np.lexsort((rows["step"], rows["model_id"]))] for rows in (zoo, back))
    for name in ("task", "step", "weights", "sequences", "log_probs", "train_loss"):
        assert np.array_equal(ours[name], theirs[name]), name
    assert np.array_equal(theirs["run"], ours["model_id"])
    assert np.array_equal(ours.split_of(), theirs.split_of())


def test_a_zoo_of_digits_survives_the_round_trip(digit_zoo: Zoo, released_digits: Path, tmp_path: Path) -> None:
    import_release(released_digits, tmp_path / "zoo")
    back = load(tmp_path / "zoo")
    ours, theirs = (rows[np.lexsort((rows["step"], rows["model_id"]))] for rows in (digit_zoo, back))
    exact = ("task", "step", "weights", "tiles", "weight_decay", "eval_accuracy", "eval_loss", "generalization_gap")
    for name in exact:
        assert np.array_equal(ours[name], theirs[name]), name
    assert np.array_equal(theirs["logits"], ours["log_probs"])
    assert np.abs(theirs["log_probs"] - ours["log_probs"]).max() < 5e-3
    assert np.array_equal(ours.split_of(), theirs.split_of())
    for check in verify(tmp_path / "zoo", every_trace=True):
        assert not check.problems, check


def test_released_logits_must_be_what_the_weights_give(released_digits: Path, tmp_path: Path) -> None:
    """Weights with two gates swapped cannot pass for the network that was recorded."""
    folder = Path(shutil.copytree(released_digits, tmp_path / "swapped"))
    weights = np.load(folder / "parameters.npy")
    weights[:, : 64 * 16] = np.roll(weights[:, : 64 * 16], 32 * 16, axis=1)
    np.save(folder / "parameters.npy", weights)
    import_release(folder, tmp_path / "zoo")
    *others, traces = verify(tmp_path / "zoo", every_trace=True)
    assert not any(check.problems for check in others)
    assert len(traces.problems) == 18


def test_exported_arrays_are_the_authors_format(released_digits: Path, released_languages: Path) -> None:
    found = {path.stem: np.load(path) for path in released_digits.glob("*.npy")}
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "parameters": ("float32", (18, 15_178)),
        "sequences": ("float16", (18, 12, 50, 16)),
        "logits": ("float16", (18, 12, 50, 10)),
        "tasks": ("float64", (18, 1)),
        "num_step": ("int64", (18, 2)),
        "accuracy_losses": ("float64", (18, 4)),
    }
    assert found["num_step"][:4].tolist() == [[0, 0], [0, 10], [0, 30], [1, 0]]
    languages = {path.stem: np.load(path) for path in released_languages.glob("*.npy")}
    assert {name: (array.dtype.name, array.shape) for name, array in languages.items()} == {
        "parameters": ("float32", (18, 13_766)),
        "sequences": ("int16", (18, 12, 42)),
        "logits": ("float16", (18, 12, 41, 6)),
        "tasks": ("int64", (18, 4)),
        "num_step_correct": ("int64", (18, 3)),
    }
    assert json.loads((released_digits / "args.json").read_text())["rnn_hidden_size"] == 32


def change(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        np.save(folder / name, change(np.load(folder / name)))

    return damage


def put(index: tuple, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def changed(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return changed


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-10])


def write(name: str, text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_text(text)

    return damage


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (remove("logits.npy"), "logits.npy is missing"),
        (remove("accuracy_losses.npy"), "accuracy_losses.npy is missing"),
        (change("sequences.npy", lambda a: a[:-1]), "same number of rows"),
        (change("logits.npy", lambda a: a[:, :11]), "logits.npy holds float16 rows of shape (11, 50, 10)"),
        (change("logits.npy", lambda a: a.astype(np.float32)), "logits.npy holds float32"),
        (change("parameters.npy", lambda a: a[:, :-1]), "15177 parameters per row"),
        (change("parameters.npy", lambda a: a[:, :-1]), "formal-languages has 13766 and smnist 15178"),
        (cut("sequences.npy"), "sequences.npy is damaged or truncated"),
        (write("tasks.npy", "no array"), "tasks.npy is damaged or truncated"),
        (change("sequences.npy", lambda a: a[:, :, :49]), "logits.npy holds"),
        (change("sequences.npy", put((7, 3, 20, 5), 0.77)), "sequences.npy: in rows 0 to 17, a value is not a pixel"),
        (change("sequences.npy", put((7, 3, 0, 5), 1.0)), "does not begin with an all-zero tile"),
        (change("num_step.npy", put((1, 1), 99)), "does not list every run with the same steps"),
        (change("num_step.npy", put((4, 0), 7)), "does not list every run with the same steps"),
        (change("tasks.npy", put((5, 0), 12.5)), "more than one task"),
        (change("accuracy_losses.npy", put((5, 3), 0.5)), "more than one weight decay"),
        (write("args.json", "{"), "args.json is damaged"),
        (write("args.json", '{"tile_size": 7}'), "tile_size is 7"),
        (write("args.json", '{"rnn_hidden_size": "big"}'), "rnn_hidden_size"),
    ],
)
def test_damaged_smnist_is_named_and_nothing_is_written(
    damage: Callable[[Path], None], named: str, released_digits: Path, tmp_path: Path
) -> None:
    _assert_refused(damage, named, released_digits, tmp_path)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (remove("tasks.npy"), "tasks.npy is missing"),
        (remove("num_step_correct.npy"), "no folder of the original release"),
        (change("sequences.npy", put((0, 0, 5), 6)), "tokens beyond 0..5"),
        (change("tasks.npy", put((slice(0, 3), 1), 3)), "offsets -3 to 2"),
        (change("num_step_correct.npy", put((0, 2), 1001)), "beyond 0..1000"),
        (write("args.json", '{"num_tokens": 3}'), "num_tokens is 3"),
    ],
)
def test_damaged_languages_are_named_and_nothing_is_written(
    damage: Callable[[Path], None], named: str, released_languages: Path, tmp_path: Path
) -> None:
    _assert_refused(damage, named, released_languages, tmp_path)


def _assert_refused(damage: Callable[[Path], None], named: str, released: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "copy"))
    damage(folder)
    with pytest.raises(RnnzooError) as caught:
        import_release(folder, tmp_path / "zoo")
    assert named in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_runs_need_not_be_numbered_apart(released_digits: Path, tmp_path: Path) -> None:
    """Two releases joined number their runs twice; models stay apart, and export gives the numbers back."""
    folder = tmp_path / "joined"
    folder.mkdir()
    for path in released_digits.glob("*.npy"):
        np.save(folder / path.name, np.concatenate([np.load(path)[9:]] * 2))
    import_release(folder, tmp_path / "zoo")
    zoo = load(tmp_path / "zoo")
    assert len(np.unique(zoo["model_id"])) == 6
    assert sorted(np.unique(zoo["run"])) == [3, 4, 5]
    export_zoo(zoo, tmp_path / "back")
    for path in folder.iterdir():
        assert filecmp.cmp(path, tmp_path / "back" / path.name, shallow=False)


def test_folders_in_use_are_left_alone(digit_zoo: Zoo, released_digits: Path, tmp_path: Path) -> None:
    import_release(released_digits, tmp_path / "zoo")
    before = (tmp_path / "zoo" / "manifest.json").read_bytes()
    import_release(released_digits, tmp_path / "zoo")
    assert (tmp_path / "zoo" / "manifest.json").read_bytes() == before
    elsewhere = Path(shutil.copytree(released_digits, tmp_path / "elsewhere"))
    import_release(elsewhere, tmp_path / "zoo")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    with pytest.raises(UsageError, match="left untouched"):
        import_release(released_digits, tmp_path / "mine")
    with pytest.raises(UsageError, match="left untouched"):
        export_zoo(digit_zoo, tmp_path / "mine")
    with pytest.raises(UsageError, match="is no folder"):
        import_release(tmp_path / "nowhere", tmp_path / "other")
    assert (tmp_path / "mine" / "notes").read_text() == "keep"


def test_a_failed_import_leaves_nothing(released_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnnzoo.generation.original.importing.write_card", full)
    with pytest.raises(RnnzooError, match="disk is full"):
        import_release(released_digits, tmp_path / "zoo")
    assert list(tmp_path.iterdir()) == []


def test_every_pixel_is_inverted_exactly() -> None:
    values = np.random.default_rng(0).permutation(np.resize(np.arange(256), 2 * 49 * 16)).reshape(2, 49, 16)
    sequences = np.zeros((2, 50, 16), dtype=np.float16)
    sequences[:, 1:] = released_pixel_values()[values]
    assert np.array_equal(pixels_of(sequences), values)


def test_images_are_recognised_at_any_angle(sample_images: DigitImages) -> None:
    indices = np.array([[3, 4999], [17, 2500]])
    for angle in (0.0, 33.3, 90.0, 281.5):
        tiles = rotated_tiles(sample_images.images[indices], tile_sources(angle))
        tiles[1, 1, 24, 0] ^= 255
        assert recognise_images(sample_images.images, angle, tiles).tolist() == [[3, 4999], [17, -1]]


def test_alien_images_stop_the_import(released_digits: Path, sample_images: DigitImages, tmp_path: Path) -> None:
    import_release(released_digits, tmp_path / "zoo", sample_images, released_losses=True)
    assert np.array_equal(load(tmp_path / "zoo")["labels"].shape, (18, 12))
    others = DigitImages(sample_images.images[::-1][:100], sample_images.labels[::-1][:100], "others")
    with pytest.raises(RnnzooError, match="Import without --mnist"):
        import_release(released_digits, tmp_path / "other", others, released_losses=True)
    assert not (tmp_path / "other").exists()


def test_large_arrays_stay_on_disk(released_digits: Path) -> None:
    arrays = open_release(released_digits).arrays
    for name in ("parameters", "sequences", "logits"):
        assert isinstance(arrays[name], StoredArray)
        assert not isinstance(arrays[name][2:4].base, np.memmap), "rows must not keep the file mapped"
    assert np.array_equal(arrays["logits"][2:4], np.load(released_digits / "logits.npy")[2:4])
