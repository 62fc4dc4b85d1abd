from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_faults import Collector
from test_rebuild import change_provenance

from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.format.manifest import read_manifest
from rnnzoo.format.verification import verify
from rnnzoo.generation.building import extend as extend_module
from rnnzoo.generation.building.build import build
from rnnzoo.generation.building.crews import WorkerProcesses
from rnnzoo.generation.building.extend import extend
from rnnzoo.generation.building.plan import Plan
from rnnzoo.generation.engines.reference import ReferenceEngine
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.recipes import Recipe
from rnnzoo.hub.store import Version
from rnnzoo.jobs.processes import cpu_environments
from rnnzoo.zoo.summary import provenance_text
from rnnzoo.zoo.zoo import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(small_recipe: Recipe) -> Recipe:
    return small_recipe.override({"models": 5, "snapshots": (0, 4), "rollouts.evaluated": 8, "rollouts.recorded": 3})


@pytest.fixture(scope="module")
def direct(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every data file of a direct build of nine models."""
    out = tmp_path_factory.mktemp("direct") / "zoo"
    build(recipe.override({"models": 9}), out, "reference")
    return data_of(out)


@pytest.fixture
def five(recipe: Recipe, tmp_path: Path) -> Path:
    build(recipe, tmp_path / "zoo", "reference")
    return tmp_path / "zoo"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The models that are trained from here on."""
    models: list[int] = []
    original = ReferenceEngine.train

    def train(self, population, progress):
        models.extend(population.model_ids.tolist())
        return original(self, population, progress)

    monkeypatch.setattr(ReferenceEngine, "train", train)
    return models


def data_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "data").iterdir()}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_extended_zoo_is_the_direct_one_file_by_file(
    five: Path, direct: dict[str, bytes], trained: list[int], tmp_path: Path
) -> None:
    """Splits included, which depend on the tasks of all models; the smaller zoo is not touched."""
    before = everything(five)
    manifest = extend(five, 9, tmp_path / "nine")
    assert trained == [5, 6, 7, 8]
    assert data_of(tmp_path / "nine") == direct
    assert manifest.provenance["kept_models"] == 5
    assert manifest.provenance["seconds"]["training"] > read_manifest(five).provenance["seconds"]["training"]
    assert everything(five) == before
    assert [p for check in verify(tmp_path / "nine", every_trace=True) for p in check.problems] == []


def test_an_extension_of_a_published_zoo_says_which_version_it_was(
    five: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a further extension of it; the version itself is never replaced."""
    monkeypatch.setenv("RNNZOO_HOME", str(tmp_path / "store"))
    version = Version("someone/zoo", "0123456789abcdef" * 2 + "01234567")
    version.folder.parent.mkdir(parents=True)
    five.rename(version.folder)
    with pytest.raises(UsageError, match="stays as it is: give an --out"):
        extend(version.folder, 6)
    said = CliRunner().invoke(
        cli,
        ["extend", version.name, "--revision", version.commit, "--models", "6", "--out", str(tmp_path / "six")],
    )
    assert said.exit_code == 0, said.output
    extend(tmp_path / "six", 7)
    manifest = read_manifest(tmp_path / "six")
    assert manifest.recipe["models"] == 7
    assert manifest.provenance["extended_from"] == {"folder": version.name, "revision": version.commit}
    assert f"extended from someone/zoo at revision {version.commit}" in provenance_text(load(tmp_path / "six"))


def test_in_place_by_any_crew_and_more_than_once(
    five: Path, direct: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnzoo.generation.building.plan.MODELS_PER_UNIT", 2)
    assert extend(five, 6, crew=WorkerProcesses(cpu_environments(2))).recipe["models"] == 6
    result = CliRunner().invoke(cli, ["extend", str(five), "--models", "9"])
    assert result.exit_code == 0, result.output
    assert "9 models, 18 rows" in result.output
    assert data_of(five) == direct
    assert [path.name for path in tmp_path.iterdir()] == ["zoo"]
    reporter = Collector()
    extend(five, 9, reporter=reporter)
    assert reporter.messages == [f"{five} already has 9 models; nothing to do."]


def test_an_interrupted_extension_goes_on(
    five: Path, direct: dict[str, bytes], trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnzoo.generation.building.plan.MODELS_PER_UNIT", 2)
    before = everything(five)
    original = ReferenceEngine.train

    def stop_at_seven(self, population, progress):
        if 7 in population.model_ids:
            raise KeyboardInterrupt
        return original(self, population, progress)

    with monkeypatch.context() as patch:
        patch.setattr(ReferenceEngine, "train", stop_at_seven)
        with pytest.raises(KeyboardInterrupt):
            extend(five, 9)
    assert everything(five) == before
    assert trained == [5, 6]
    extend(five, 9)
    assert trained == [5, 6, 7, 8]
    assert data_of(five) == direct


@pytest.mark.parametrize("renames", [0, 1])
def test_stopped_while_it_takes_the_place(
    five: Path,
    direct: dict[str, bytes],
    trained: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    renames: int,
) -> None:
    original, done = Path.rename, []

    def stop(self, target):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(1)
        return original(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        with pytest.raises(KeyboardInterrupt):
            extend(five, 9)
    assert five.exists() == (renames == 0)
    extend(five, 9)
    assert trained == [5, 6, 7, 8]
    assert data_of(five) == direct
    assert [path.name for path in tmp_path.iterdir()] == ["zoo"]


def test_images_of_digits(digit_folder: Path, digit_recipe: Recipe, tmp_path: Path) -> None:
    extend(digit_folder, 7, tmp_path / "extended")
    build(digit_recipe.override({"models": 7}), tmp_path / "direct", "reference", source="sample")
    assert data_of(tmp_path / "extended") == data_of(tmp_path / "direct")


def test_what_cannot_be_extended(five: Path, tmp_path: Path, trained: list[int]) -> None:
    with pytest.raises(UsageError, match="has 5 models: give a larger number with --models, not 4"):
        extend(five, 4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="no zoo; they are left untouched"):
        extend(five, 9, tmp_path / "full")
    change_provenance(five, device="another processor")
    with pytest.raises(UsageError, match="cannot be extended here: the zoo was trained on another processor, not"):
        extend(five, 9)
    change_provenance(five, engine="abacus")
    with pytest.raises(UsageError, match="There is no engine 'abacus'"):
        extend(five, 9)
    assert trained == []
    assert {path.name for path in tmp_path.iterdir()} == {"zoo", "full"}


def test_a_damaged_zoo_is_not_extended(five: Path) -> None:
    shard = next((five / "data").iterdir())
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RnnzooError, match="is not what was built"):
        extend(five, 9)


def test_the_smaller_zoo_is_copied_once(five: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnzoo.generation.building.plan.MODELS_PER_UNIT", 2)
    written: list[int] = []
    original = extend_module._write_unit

    def write(zoo, order, recipe, unit, path):
        written.append(unit.start)
        if written == [0, 2]:
            raise KeyboardInterrupt
        original(zoo, order, recipe, unit, path)

    monkeypatch.setattr(extend_module, "_write_unit", write)
    with pytest.raises(KeyboardInterrupt):
        extend(five, 9)
    extend(five, 9)
    assert written == [0, 2, 2, 4]


@given(st.integers(1, 40), st.integers(0, 200), st.integers(1, 60))
def test_units_never_mix_old_and_new_models(size: int, kept: int, more: int) -> None:
    plan = Plan(
        find_recipe("formal-languages", "tiny").override({"models": kept + more}), "reference", "hub", size, kept
    )
    assert [model for unit in plan.units for model in unit.model_ids] == list(range(kept + more))
    assert all(unit.stop <= kept or unit.start >= kept for unit in plan.units)
    assert all(0 < len(unit.model_ids) <= size for unit in plan.units)
    assert Plan.from_json(plan.as_json()) == plan


def test_help_teaches() -> None:
    for name in ("extend", "rebuild"):
        assert "Examples:" in CliRunner().invoke(cli, [name, "--help"]).output
