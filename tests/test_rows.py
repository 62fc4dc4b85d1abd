"""Rows as notebooks use them: tables, tensors, networks run with their states."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rnnzoo
from rnnzoo.errors import UsageError
from rnnzoo.zoo.zoo import Zoo


def row_lists(rows: int = 18) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(-rows, rows - 1), min_size=1, max_size=20)


@given(rows=row_lists())
def test_stacked_tensors_are_state_dicts_and_make_the_weights_again(zoo: Zoo, rows: list[int]) -> None:
    part = zoo[rows]
    tensors = part.tensors()
    state = zoo[rows[0]].to_torch().state_dict()
    assert tensors.keys() == state.keys()
    for name, values in tensors.items():
        assert values.dtype == np.float32
        assert values.shape == (len(rows), *state[name].shape)
        assert np.array_equal(values[0], state[name].numpy())
        assert np.array_equal(values[-1], zoo[rows[-1]].tensors()[name])
    by_layout = {p.name: tensors[zoo.network.state_name(p.name)] for p in zoo.network.parameters()}
    assert np.array_equal(zoo.network.flatten(by_layout), part["weights"])


def test_torch_calls_networks_on_stacked_tensors(zoo: Zoo) -> None:
    tokens = torch.tensor([[4, 0, 1]])
    stacked = {name: torch.from_numpy(values) for name, values in zoo.tensors().items()}
    network = zoo[0].to_torch()
    for row in (0, 17):
        own = {name: values[row] for name, values in stacked.items()}
        answers = torch.func.functional_call(network, own, (tokens,)).detach().numpy()
        np.testing.assert_allclose(answers, zoo[row].run(tokens), atol=1e-5)


@pytest.mark.parametrize("name", ["sample/formal-languages", "sample/smnist"])
def test_states_are_those_of_pytorchs_lstm(name: str) -> None:
    part = rnnzoo.load(name)[[1, 20, 7]]
    inputs = part.recorded_inputs()[:, :2]
    log_probs, hidden, cell = part.run(inputs, models_at_once=2, states=True)
    assert np.array_equal(log_probs, part.run(inputs, models_at_once=2))
    positions, network = inputs.shape[2], part.network
    assert hidden.shape == cell.shape == (3, 2, positions, network.layers, network.hidden_size)
    assert hidden.dtype == cell.dtype == np.float32
    for row, model in enumerate(part):
        vectors = torch.from_numpy(inputs[row])
        if not vectors.is_floating_point():
            vectors = torch.nn.functional.one_hot(vectors.long(), network.input_size).float()
        lstm, state = model.to_torch().lstm, None
        for position in range(positions):
            with torch.no_grad():
                _, state = lstm(vectors[:, position : position + 1], state)
            assert state is not None
            for ours, theirs in zip((hidden, cell), state, strict=True):
                np.testing.assert_allclose(ours[row, :, position], theirs.transpose(0, 1), rtol=1e-4, atol=1e-4)


def test_one_network_answers_as_among_others(zoo: Zoo) -> None:
    tokens = [[4, 0, 0, 1], [4, 1, 2, 3]]
    alone, together = zoo[5].run(tokens), zoo.run(tokens)
    assert alone.shape == (2, 4, 6)
    assert np.array_equal(alone, together[5])
    activations = zoo[5].run(tokens, states=True)
    assert isinstance(activations, rnnzoo.Activations)
    assert activations.hidden.shape == activations.cell.shape == (2, 4, 2, 32)
    assert np.array_equal(activations.log_probs, alone)
    with pytest.raises(UsageError, match="vocabulary"):
        zoo[5].run([[9]], states=True)


@given(rows=row_lists())
def test_labels_are_a_table_of_pandas(zoo: Zoo, rows: list[int]) -> None:
    part = zoo[rows]
    frame = part.to_pandas()
    labels = [column.name for column in zoo.columns if not column.trace and column.name != "weights"]
    assert list(frame.columns) == [*labels, "split"]
    assert frame["accuracy"].dtype == np.float32
    for name in ("model_id", "step", "accuracy", "diverged"):
        assert np.array_equal(frame[name].to_numpy(), part[name])
    assert [model.task for model in part] == frame["task"].tolist()
    assert frame["split"].tolist() == part.split_of().tolist()


@pytest.mark.parametrize("name", ["sample/formal-languages", "sample/smnist"])
def test_labels_are_those_of_the_published_table(name: str) -> None:
    zoo = rnnzoo.load(name)
    frame, published = zoo.to_pandas(), pandas.read_parquet(zoo.folder / "labels.parquet")
    assert list(frame.columns) == list(published.columns)
    for column in frame:
        if column == "task" and name == "sample/formal-languages":
            assert frame[column].tolist() == [tuple(task) for task in published[column]]
        else:
            assert frame[column].dtype == published[column].dtype
            assert frame[column].tolist() == published[column].tolist()


def test_tables_can_be_grouped_by_task(zoo: Zoo) -> None:
    sizes = zoo.to_pandas().groupby("task").size()
    assert sizes.sum() == len(zoo)
    assert isinstance(zoo[:0].to_pandas(), pandas.DataFrame)
    assert zoo[:0].to_pandas().empty


class Cells(HTMLParser):
    """The rows of tables as lists of text, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.lines: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.lines.append([])

    def handle_data(self, data: str) -> None:
        if data.strip() and self.lines:
            self.lines[-1].append(data.strip())


def test_notebooks_show_counts_and_means(zoo: Zoo) -> None:
    cells = Cells(zoo._repr_html_())
    assert ["networks of split", "at step 0", "at step 20", "at step 50"] in cells.lines
    count = zoo.manifest.splits["train"]["models"]
    assert ["train", *[str(count)] * 3] in cells.lines
    at_20 = zoo.at_step(20)
    (line,) = (line for line in cells.lines if line[0] == "20")
    assert line[1] == f"{at_20['accuracy'].mean():.3f}"
    assert "log_probs" in [line[0] for line in cells.lines]
    assert ["train"] in Cells(zoo[:0]._repr_html_()).lines


def test_what_notebooks_show_is_escaped(built_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "<img src=x>").symlink_to(built_folder)
    shown = rnnzoo.load(tmp_path / "<img src=x>")._repr_html_()
    assert "img" not in Cells(shown).tags
    assert "&lt;img src=x&gt;" in shown


def test_keys_are_completed(zoo: Zoo) -> None:
    names = [column.name for column in zoo.columns]
    assert zoo._ipython_key_completions_() == zoo[0]._ipython_key_completions_() == names
