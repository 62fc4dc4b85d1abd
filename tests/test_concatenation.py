"""Rows of several zoos joined: the same as those rows apart."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_work import made_once, shared_folder
from torch.utils.data import DataLoader

import rnnzoo
from rnnzoo.emulation.data import load_data
from rnnzoo.encoders import build_encoder
from rnnzoo.errors import UsageError
from rnnzoo.generation.building.build import build
from rnnzoo.generation.recipes import Recipe
from rnnzoo.zoo.zoo import Zoo


@pytest.fixture(scope="session")
def other_zoo(tmp_path_factory: pytest.TempPathFactory, small_recipe: Recipe) -> Zoo:
    """Of another seed, other snapshots and fewer models."""
    recipe = small_recipe.override({"models": 4, "seed": 1, "snapshots": (0, 10)})
    folder = shared_folder(tmp_path_factory) / "other"
    return rnnzoo.load(made_once(folder, lambda out: build(recipe, out, "reference")))


@given(data=st.data())
def test_joined_rows_are_those_of_the_zoos(zoo: Zoo, other_zoo: Zoo, data: st.DataObject) -> None:
    def some(of: Zoo) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(0, len(of) - 1), max_size=8)

    parts = [of[data.draw(some(of))] for of in data.draw(st.lists(st.sampled_from([zoo, other_zoo]), min_size=1))]
    joined = rnnzoo.concatenate(parts)
    assert len(joined) == sum(map(len, parts))
    for name in ("model_id", "task", "weights", "accuracy", "sequences"):
        assert joined[name].tobytes() == np.concatenate([part[name] for part in parts]).tobytes()
    assert joined.split_of().tolist() == [split for part in parts for split in part.split_of()]
    assert joined.zoo_of().tolist() == [number for number, part in enumerate(parts) for _ in range(len(part))]
    if len(joined):
        chosen = data.draw(st.lists(st.integers(0, len(joined) - 1), max_size=8))
        selected = joined[chosen]
        assert selected["weights"].tobytes() == joined["weights"][chosen].tobytes()
        assert selected["step"].tolist() == joined["step"][chosen].tolist()
        again = rnnzoo.concatenate([selected, parts[0]])
        assert again["weights"].tobytes() == np.concatenate([selected["weights"], parts[0]["weights"]]).tobytes()
        assert again.split_of().tolist() == [*selected.split_of(), *parts[0].split_of()]


def test_joined_rows_do_what_rows_do(zoo: Zoo, other_zoo: Zoo) -> None:
    joined = rnnzoo.concatenate([zoo, other_zoo])
    assert joined.snapshots == (0, 10, 20, 50)
    assert len(joined.at_step(0)) == 10
    assert len(joined.filter(model_id=3)) == 3 + 2
    assert len(joined.split("train")) == len(zoo.split("train")) + len(other_zoo.split("train"))
    assert joined[-1].step == 10
    tokens = [[4, 0, 1]]
    assert np.array_equal(joined.run(tokens), np.concatenate([zoo.run(tokens), other_zoo.run(tokens)]))
    assert joined.tensors()["lstm.weight_hh_l0"].shape == (26, 128, 32)
    labels = joined.to_pandas()
    assert labels["step"].tolist() == [*zoo["step"], *other_zoo["step"]]
    assert labels["zoo"].tolist() == [0] * len(zoo) + [1] * len(other_zoo)
    assert not labels.duplicated(["zoo", "model_id", "step"]).any()
    assert str(other_zoo.folder) in joined._repr_html_()
    assert {column.name: column.high for column in joined.columns}["model_id"] == 5
    batches = list(DataLoader(joined.torch_dataset(["step"]), batch_size=7))
    assert [step for batch in batches for step in batch["step"].tolist()] == joined["step"].tolist()
    copy = pickle.loads(pickle.dumps(joined[[20, 1]]))
    assert copy["weights"].tobytes() == joined[[20, 1]]["weights"].tobytes()


def test_joined_rows_are_embedded_unless_tasks_must_be_known(zoo: Zoo, other_zoo: Zoo) -> None:
    joined = rnnzoo.concatenate([zoo, other_zoo])
    context = load_data(zoo).context(16, 0)
    flat = build_encoder("flat", context)
    assert np.array_equal(flat.embed(joined)[: len(zoo)], flat.embed(zoo))
    with pytest.raises(UsageError, match="one by one"):
        build_encoder("labels", context).embed(joined)


def test_what_cannot_be_joined_is_named(zoo: Zoo, digit_zoo: Zoo, small_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to concatenate"):
        rnnzoo.concatenate([])
    with pytest.raises(UsageError, match="kinds formal-languages and smnist"):
        rnnzoo.concatenate([zoo, digit_zoo])
    for given_instead in ([zoo, "sample/smnist"], [zoo[0]], zoo["accuracy"]):
        with pytest.raises(UsageError, match=r"list of zoos that rnnzoo\.load gave"):
            rnnzoo.concatenate(given_instead)  # type: ignore[arg-type]
    few = {"models": 1, "snapshots": (0,)}
    for field, value, named in (
        ("network.hidden_size", 8, "networks of LSTM 2 x 32.*LSTM 2 x 8"),
        ("rollouts.recorded", 5, "column 'sequences'"),
    ):
        build(small_recipe.override({**few, field: value}), tmp_path / field, "reference")
        with pytest.raises(UsageError, match=named):
            rnnzoo.concatenate([zoo, rnnzoo.load(tmp_path / field)])
