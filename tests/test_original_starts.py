"""Rollouts whose start token the original release overwrote: restored on import, written back on export."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnzoo.errors import RnnzooError
from rnnzoo.format.verification import verify
from rnnzoo.generation.original.exporting import export_zoo
from rnnzoo.generation.original.importing import import_release
from rnnzoo.kinds.languages import END, START
from rnnzoo.networks.lstm import run
from rnnzoo.networks.network import Network
from rnnzoo.zoo.zoo import Zoo, load

ROWS, RECORDED = 18, 12


@pytest.fixture(scope="module")
def released(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small zoo of ours in the authors' format."""
    folder = tmp_path_factory.mktemp("released") / "languages"
    export_zoo(zoo, folder)
    return folder


def leave_unfinished(folder: Path, network: Network, unfinished: np.ndarray, overwritten: np.ndarray) -> np.ndarray:
    """Give some rollouts [rows, recorded] no end token, record them, then overwrite the start token of some of them.

    Returns:
        The sequences before that, int16 [rows, recorded, length].
    """
    sequences = np.load(folder / "sequences.npy")
    letters = np.random.default_rng(0).integers(0, END, sequences.shape)
    sequences[..., 1:] = np.where(unfinished[..., None], letters[..., 1:], sequences[..., 1:])
    weights, inputs = torch.from_numpy(np.load(folder / "parameters.npy")), torch.from_numpy(sequences[..., :-1])
    with torch.no_grad():
        np.save(folder / "logits.npy", run(network, weights, inputs.long()).numpy().astype(np.float16))
    stored = sequences.copy()
    stored[..., 0] = np.where(overwritten, END, START)
    np.save(folder / "sequences.npy", stored)
    return sequences


rollouts = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, RECORDED - 1), st.booleans()), max_size=12)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=rollouts)
def test_overwritten_starts_are_restored_and_written_back(chosen: list, zoo: Zoo, released: Path) -> None:
    unfinished, overwritten = np.zeros((2, ROWS, RECORDED), dtype=bool)
    for row, rollout, lost in chosen:
        unfinished[row, rollout] = True
        overwritten[row, rollout] |= lost
    with TemporaryDirectory() as name:
        folder = Path(shutil.copytree(released, Path(name) / "released"))
        recorded = leave_unfinished(folder, zoo.network, unfinished, overwritten)
        manifest = import_release(folder, Path(name) / "zoo")
        assert manifest.provenance["restored_starts"] == overwritten.sum()
        for check in verify(Path(name) / "zoo", every_trace=True):
            assert not check.problems, check
        imported = load(Path(name) / "zoo")
        ordered = imported[np.lexsort((imported["step"], imported["model_id"]))]
        assert np.array_equal(ordered["sequences"], recorded)
        assert np.allclose(ordered["finished"], (recorded[..., 1:] == END).any(axis=-1).mean(axis=1))
        if overwritten.any():
            assert np.array_equal(ordered["start_overwritten"], overwritten)
        export_zoo(imported, Path(name) / "back")
        names = sorted(path.name for path in folder.iterdir())
        assert filecmp.cmpfiles(folder, Path(name) / "back", names, shallow=False) == (names, [], [])


def test_datasets_reads_which_starts_were_restored(zoo: Zoo, released: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = Path(shutil.copytree(released, tmp_path / "released"))
    overwritten = np.ones((ROWS, RECORDED), dtype=bool)
    leave_unfinished(folder, zoo.network, overwritten, overwritten)
    import_release(folder, tmp_path / "zoo")
    rows = datasets.load_dataset(str(tmp_path / "zoo"), split="train", cache_dir=str(tmp_path / "cache"))
    assert np.array(rows["start_overwritten"][:]).all()
    assert (tmp_path / "zoo" / "README.md").read_text().count("216 recorded rollouts") == 1


def test_other_first_tokens_are_refused(released: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "released"))
    sequences = np.load(folder / "sequences.npy")
    sequences[3, 4, 0] = 2
    np.save(folder / "sequences.npy", sequences)
    with pytest.raises(RnnzooError, match=r"sequences\.npy.*begins with neither the start token 4 nor with 5"):
        import_release(folder, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_unseeded_runs_of_the_authors_are_taken(released: Path, tmp_path: Path) -> None:
    """Their code's default seed is -1, for none."""
    folder = Path(shutil.copytree(released, tmp_path / "released"))
    (folder / "args.json").write_text(json.dumps({"seed": -1}))
    assert import_release(folder, tmp_path / "zoo").recipe["seed"] == 0
