from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import rnnzoo
from rnnzoo.errors import UsageError
from rnnzoo.format import cache, mapped_shard, shards
from rnnzoo.format.trace_check import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE
from rnnzoo.zoo.zoo import Zoo


def test_columns_have_the_schemas_dtypes_and_shapes(zoo: Zoo) -> None:
    assert len(zoo) == 18
    for column in zoo.columns:
        values = zoo[column.name]
        assert values.dtype == np.dtype(column.dtype)
        assert values.shape == (18, *column.shape)


def test_every_model_reproduces_its_log_probs(zoo: Zoo) -> None:
    for model in zoo:
        with torch.no_grad():
            again = model.to_torch()(torch.from_numpy(model["sequences"][:, :-1])).numpy()
        stored = model["log_probs"].astype(np.float32)
        assert (np.abs(again - stored) <= ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(stored)).all()


def test_many_models_at_once_equal_one_at_a_time(zoo: Zoo) -> None:
    tokens = np.array([[4, 0, 0, 1], [4, 1, 2, 3]])
    together = zoo.run(tokens, models_at_once=4)
    assert together.shape == (18, 2, 4, 6)
    for row in (0, 7, 17):
        alone = zoo[row].to_torch()(torch.from_numpy(tokens)).detach().numpy()
        np.testing.assert_allclose(together[row], alone, atol=1e-5)
    own = zoo.run(zoo["sequences"][:, :, :-1])
    np.testing.assert_allclose(own, zoo["log_probs"].astype(np.float32), atol=0.05)


def test_run_names_inputs_that_do_not_fit(zoo: Zoo) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        zoo.run(np.zeros(5, dtype=np.int64))
    with pytest.raises(UsageError, match="3 networks"):
        zoo.run(np.zeros((3, 1, 5), dtype=np.int64))
    with pytest.raises(UsageError, match="0 rows"):
        zoo[:0].run([[4, 0]])
    with pytest.raises(UsageError, match="models_at_once"):
        zoo.run([[4, 0]], models_at_once=0)


@pytest.mark.parametrize("inputs", [[[4, 6]], [[4, -1]], [[4, 255]], np.full((18, 1, 2), 6, np.uint8)])
def test_tokens_outside_the_vocabulary_are_refused(zoo: Zoo, inputs) -> None:
    with pytest.raises(UsageError, match=r"vocabulary.*0\.\.5"):
        zoo.run(inputs)
    with pytest.raises(UsageError, match=r"vocabulary.*0\.\.5"):
        zoo[0].to_torch()(torch.as_tensor(inputs)[..., -1, :])


@pytest.mark.parametrize(
    "inputs",
    [[], [[]], np.zeros((0, 5), int), np.zeros((2, 0), int), np.zeros((0, 5, 6)), "abcd", None, [[4, 0], [4]],
     [[True]], [[4.0, 0.0]], np.zeros((1, 5, 7)), 4, [["a"]], [[1j]]],
)  # fmt: skip
def test_empty_and_foreign_inputs_get_one_clear_error(zoo: Zoo, inputs) -> None:
    with pytest.raises(UsageError, match=r"Inputs .* give integer tokens"):
        zoo.run(inputs)


def test_floats_of_any_precision_run(zoo: Zoo) -> None:
    one_hot = np.eye(6)[[[4, 0, 1]]]
    assert np.array_equal(zoo.run(one_hot), zoo.run([[4, 0, 1]]))


def test_splits_partition_the_rows(zoo: Zoo, built_folder: Path) -> None:
    parts = [zoo.split(name) for name in ("train", "validation", "ood_test")]
    assert sum(map(len, parts)) == len(zoo)
    assert set.intersection(*(set(part["model_id"].tolist()) for part in parts)) == set()
    assert rnnzoo.load(built_folder, split="validation")["model_id"].tolist() == parts[1]["model_id"].tolist()
    assert zoo.split("train")[0].split == "train"


def test_filters_keep_what_they_say(zoo: Zoo) -> None:
    assert set(zoo.at_step(20)["step"].tolist()) == {20}
    low, high = np.quantile(zoo["train_loss"], [0.2, 0.8])
    kept = zoo.filter(train_loss=(low, high))["train_loss"]
    assert len(kept) == ((zoo["train_loss"] >= low) & (zoo["train_loss"] <= high)).sum()
    task = zoo[0].task
    assert {model.task for model in zoo.filter(task=task)} == {task}
    assert len(zoo.filter(task=task, step=0)) == 1
    assert len(zoo.filter(model_id=3)) == 3
    assert len(zoo[zoo["step"] == 0]) == 6
    assert zoo[[5, 2]]["model_id"].tolist() == zoo["model_id"][[5, 2]].tolist()
    assert zoo[-1].step == 50


def test_a_large_selection_reads_the_same_as_a_small_one(zoo: Zoo) -> None:
    everything = zoo["weights"]
    for rows in ([17, 0], [3, 3, 1], list(range(17, -1, -1)), [11]):
        assert np.array_equal(zoo[rows]["weights"], everything[rows])


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda zoo: zoo["accurracy"], "no column 'accurracy'"),
        (lambda zoo: zoo.at_step(7), "no snapshot at step 7: its steps are 0, 20, 50"),
        (lambda zoo: zoo.split("test"), "no split 'test'"),
        (lambda zoo: zoo.filter(accuracy=(1, 2, 3)), "pair"),
        (lambda zoo: zoo.filter(task=(1, 2)), "shape"),
        (lambda zoo: zoo.torch_dataset(["weigths"]), "no column 'weigths'"),
    ],
)
def test_wrong_names_are_named(zoo: Zoo, ask, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        ask(zoo)


def test_rows_outside_end_iteration(zoo: Zoo) -> None:
    with pytest.raises(IndexError):
        zoo[18]
    assert len(list(zoo)) == 18


@pytest.mark.parametrize("workers", [0, 2])
def test_the_torch_dataset_feeds_workers(zoo: Zoo, workers: int) -> None:
    zoo["weights"]
    loader = DataLoader(zoo.torch_dataset(["model_id", "step", "weights"]), batch_size=5, num_workers=workers)
    batches = list(loader)
    assert torch.equal(torch.cat([b["weights"] for b in batches]), torch.from_numpy(zoo["weights"]))
    assert torch.cat([b["step"] for b in batches]).tolist() == zoo["step"].tolist()


def test_a_zoo_survives_pickling(zoo: Zoo) -> None:
    zoo["weights"]
    again = pickle.loads(pickle.dumps(zoo.at_step(50)))
    assert np.array_equal(again["weights"], zoo.at_step(50)["weights"])


def test_unknown_zoos_say_what_is_here(built_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no zoo 'nowhere'"):
        rnnzoo.load("nowhere")
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        rnnzoo.load(tmp_path)
    (tmp_path / "zoos").mkdir()
    (tmp_path / "zoos" / "mine").symlink_to(built_folder)
    assert len(rnnzoo.load("mine")) == 18
    assert rnnzoo.list_zoos() == [Path("zoos/mine")]


def test_more_shards_than_open_files(built_folder: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards are closed and opened again as rows ask for them; what is read is the same, and each is checked once."""
    checked: list[str] = []
    original = mapped_shard.find_columns

    def find_columns(file, plan):
        checked.append(file.name)
        return original(file, plan)

    monkeypatch.setenv("RNNZOO_CACHE", str(built_folder.parent / "cache-of-few-files"))
    monkeypatch.setattr(shards, "MOST_OPEN_FILES", 1)
    monkeypatch.setattr(cache, "SETTLED_NANOSECONDS", 0)
    monkeypatch.setattr(mapped_shard, "find_columns", find_columns)
    shuffled = np.random.default_rng(0).permutation(len(zoo))
    again = rnnzoo.load(built_folder)
    for row in shuffled:
        assert again[int(row)].weights.tobytes() == zoo[int(row)].weights.tobytes()
    assert again[shuffled]["sequences"].tobytes() == zoo["sequences"][shuffled].tobytes()
    assert len(checked) == len(set(checked)) == 3


@pytest.mark.parametrize("key", [[[1, 2]], [0.5], "ab", [True, False], (1, 2), np.zeros((2, 2), dtype=int), None, True])
def test_keys_that_select_no_rows_are_refused(zoo: Zoo, key) -> None:
    with pytest.raises((IndexError, UsageError)):
        zoo[key]


def test_an_empty_selection_is_an_empty_zoo(zoo: Zoo) -> None:
    for empty in (zoo[[]], zoo[zoo["step"] < 0], zoo[3:3], zoo[np.array([], dtype=np.int64)]):
        assert len(empty) == 0
        assert empty["weights"].shape == (0, 13766)
        assert empty["accuracy"].shape == (0,)


def test_another_current_folder_does_not_matter(built_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built_folder.parent)
    zoo = rnnzoo.load(built_folder.name)
    monkeypatch.chdir("/")
    assert zoo["accuracy"].shape == (18,)
