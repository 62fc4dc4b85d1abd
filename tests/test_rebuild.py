from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from test_verification import accept

from rnnzoo.cli.main import cli
from rnnzoo.environment import device_kinds
from rnnzoo.errors import UsageError
from rnnzoo.format.manifest import canonical_sha256, read_manifest
from rnnzoo.generation.building.rebuild import LAST_JUDGED_STEP, RELATIVE_TOLERANCE, rebuild
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.recipes import Recipe
from rnnzoo.zoo.zoo import load


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rebuild", *arguments])


def alter(folder: Path, column: str, model: int, step: int) -> None:
    """Change one bit of one value under a checksum that fits, which only training again can tell."""
    for path in (folder / "data").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            for row in np.flatnonzero((file["model_id"][...] == model) & (file["step"][...] == step)):
                value = np.array(file[column][row])
                value.reshape(-1).view(np.uint8)[0] ^= 1
                file[column][row] = value
    accept(folder)


def change_provenance(folder: Path, **fields: object) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    data.pop("manifest_sha256")
    data["provenance"] |= fields
    (folder / "manifest.json").write_text(json.dumps({**data, "manifest_sha256": canonical_sha256(data)}))


def test_a_model_comes_out_the_same_bit_for_bit(built_folder: Path, small_recipe: Recipe) -> None:
    rebuilt = rebuild(built_folder, 4)
    assert rebuilt.engine.startswith("reference")
    assert rebuilt.departures == ()
    assert rebuilt.identical
    assert rebuilt.agrees
    expected = {(step, column.name) for step in small_recipe.snapshots for column in load(built_folder).columns}
    assert {(d.step, d.column) for d in rebuilt.differences} == expected


def test_digits_too(digit_folder: Path) -> None:
    """The sample of images is found without being named, as the recipe is for it."""
    rebuilt = rebuild(digit_folder, 2)
    assert rebuilt.identical


@pytest.mark.slow
@pytest.mark.parametrize("column", ["weights", "sequences", "train_loss"])
def test_one_bit_is_seen(copied_folder: Path, column: str) -> None:
    assert rebuild(copied_folder, 3).agrees
    alter(copied_folder, column, 3, 20)
    rebuilt = rebuild(copied_folder, 3)
    assert not rebuilt.agrees
    assert [(d.step, d.column) for d in rebuilt.differences if not d.identical] == [(20, column)]
    assert rebuild(copied_folder, 2).agrees
    result = command(str(copied_folder), "--model", "3")
    assert result.exit_code == 1
    assert "It differs" in result.output


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("numba"), reason="numba is not installed")
def test_another_engine_agrees_within_the_stated_tolerance(built_folder: Path) -> None:
    rebuilt = rebuild(built_folder, 1, "numba")
    assert rebuilt.departures == ("the zoo was trained by the reference engine, not numba",)
    assert not rebuilt.identical
    assert rebuilt.agrees
    judged = [d.largest for d in rebuilt.differences if d.column == "weights" and d.step <= LAST_JUDGED_STEP]
    assert len(judged) == 2
    assert max(judged) <= RELATIVE_TOLERANCE
    result = command(str(built_folder), "--model", "1", "--engine", "numba")
    assert result.exit_code == 0
    assert "the model agrees" in " ".join(result.output.split())


def test_another_model_does_not_agree_even_where_bits_may_differ(copied_folder: Path) -> None:
    change_provenance(copied_folder, device="another processor, 64 cores")
    assert rebuild(copied_folder, 0).agrees
    alter(copied_folder, "task", 0, 0)
    rebuilt = rebuild(copied_folder, 0)
    assert rebuilt.departures[0].startswith("the zoo was trained on another processor, 64 cores")
    assert not rebuilt.agrees


def test_other_versions_are_a_reason_for_other_bits(copied_folder: Path) -> None:
    versions = read_manifest(copied_folder).provenance["versions"]
    change_provenance(copied_folder, versions={**versions, "torch": "1.0", "h5py": "1.0"})
    assert len(rebuild(copied_folder, 0).departures) == 1


def test_cores_and_threads_are_no_kind_of_device() -> None:
    assert device_kinds("AMD EPYC, 2 cores, 1 thread; AMD EPYC, 64 cores, 8 threads") == {"AMD EPYC"}
    assert device_kinds("NVIDIA H100; NVIDIA A100") == {"NVIDIA H100", "NVIDIA A100"}


def test_what_cannot_be_rebuilt(built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ReferenceEngine, "train")
    for model in (-1, 6):
        with pytest.raises(UsageError, match=f"no model {model}: its models are numbered 0 to 5"):
            rebuild(built_folder, model)
    with pytest.raises(UsageError, match="is no zoo"):
        rebuild(tmp_path, 0)
    with pytest.raises(UsageError, match="There is no engine 'abacus'"):
        rebuild(built_folder, 0, "abacus")
    assert isinstance(command(str(tmp_path), "--model", "0").exception, UsageError)


def test_an_imported_zoo_has_no_recipe_to_train_by(digit_folder: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    original = tmp_path / "original"
    assert runner.invoke(cli, ["export", str(digit_folder), "--original", str(original)]).exit_code == 0
    assert runner.invoke(cli, ["import", str(original), "--out", str(tmp_path / "zoo")]).exit_code == 0
    with pytest.raises(UsageError, match="was imported from the original release"):
        rebuild(tmp_path / "zoo", 0)
    for arguments in (["rebuild", "--model", "0"], ["extend", "--models", "9"]):
        result = runner.invoke(cli, [*arguments, str(tmp_path / "zoo")])
        assert "was imported" in str(result.exception)


def test_the_command_shows_a_table(built_folder: Path) -> None:
    result = command(str(built_folder), "--model", "5")
    assert result.exit_code == 0, result.output
    assert "step 50" in result.output
    assert "All columns are identical bit for bit." in result.output
