"""Zoos on the Hub, with stand-ins for what huggingface_hub does over the network."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

import rnnzoo
from rnnzoo.errors import RnnzooError, UsageError

NAME = "someone/zoo"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The published files; fetching puts them into a cache laid out as the Hub's, snapshots linking to blobs."""
    published, cache = Path(shutil.copytree(built_folder, tmp_path / "hub")), tmp_path / "cache"
    repository = cache / "datasets--someone--zoo"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    blobs.mkdir(parents=True)

    def fetch(name: str, path: str, revision: str = COMMIT, force_download: bool = False, **options: str) -> None:
        assert (name, revision) == (NAME, COMMIT)
        if force_download and constants.HF_HUB_OFFLINE:
            raise ValueError("Cannot pass 'force_download=True' when offline mode is enabled.")
        if not (published / path).is_file():
            raise bare(errors.EntryNotFoundError)
        blob, link = blobs / path.replace("/", "-"), snapshot / path
        if force_download or not blob.exists():
            shutil.copyfile(published / path, blob)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path(*[".."] * len(Path(path).parts), "..", "blobs", blob.name))

    def fetch_all(name: str, **options: str) -> str:
        for path in () if constants.HF_HUB_OFFLINE else published.rglob("*"):
            if path.is_file():
                fetch(name, str(path.relative_to(published)))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch_all)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    return published


def bare(kind: type[Exception]) -> Exception:
    """An error of the Hub without the HTTP response that its constructor asks for."""
    return kind.__new__(kind)


def test_a_zoo_is_loaded_from_the_cache(hub: Path, built_folder: Path) -> None:
    assert rnnzoo.load(NAME)["weights"].tobytes() == rnnzoo.load(built_folder)["weights"].tobytes()


def altered_shard(folder: Path) -> Path:
    """The zoo's shard, one of whose bits was flipped."""
    shard = next(folder.glob("data/*"))
    content = bytearray(shard.read_bytes())
    content[-9] ^= 1
    shard.resolve().write_bytes(content)
    return shard


def test_an_altered_shard_in_the_cache_is_fetched_again_when_it_is_read(hub: Path, built_folder: Path) -> None:
    zoo = rnnzoo.load(NAME)
    shard = altered_shard(zoo.folder)
    assert zoo["weights"].tobytes() == rnnzoo.load(built_folder)["weights"].tobytes()
    assert shard.is_symlink()


@pytest.mark.parametrize("damage", ["altered", "cut"])
def test_a_damaged_shard_that_cannot_be_fetched_again_says_what_to_delete(
    hub: Path, built_folder: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    shard = altered_shard(rnnzoo.load(NAME).folder)
    if damage == "cut":
        shard.resolve().write_bytes(shard.read_bytes()[:-9])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RnnzooError, match=rf"HF_HUB_OFFLINE is set.*: delete {shard.resolve()} and load") as caught:
        rnnzoo.load(NAME)["weights"]
    assert "\n" not in str(caught.value)
    shard.resolve().unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert rnnzoo.load(NAME)["weights"].tobytes() == rnnzoo.load(built_folder)["weights"].tobytes()


def test_a_shard_that_is_altered_on_the_hub_too_says_so(hub: Path) -> None:
    zoo = rnnzoo.load(NAME)
    altered_shard(hub)
    shard = altered_shard(zoo.folder)
    with pytest.raises(RnnzooError, match=rf"though it was fetched again: delete {shard.resolve()}"):
        zoo["weights"]


def test_a_folder_laid_out_like_the_cache_elsewhere_asks_nothing_of_the_hub(hub: Path, tmp_path: Path) -> None:
    """A stranger's folder must not choose what is fetched."""
    inside = rnnzoo.load(NAME).folder
    repository = Path(shutil.copytree(inside.parent.parent, tmp_path / "datasets--someone--zoo", symlinks=True))
    zoo = rnnzoo.load(repository / "snapshots" / COMMIT)
    altered_shard(zoo.folder)
    with pytest.raises(RnnzooError, match="is damaged or altered"):
        zoo["weights"]


@pytest.mark.parametrize("damage", ["cut", "missing", "link without blob"])
def test_a_damaged_shard_in_the_cache_is_fetched_again(
    hub: Path, built_folder: Path, tmp_path: Path, damage: str
) -> None:
    shard = next(rnnzoo.load(NAME).folder.glob("data/*"))
    whole = shard.read_bytes()
    if damage == "cut":
        shard.resolve().write_bytes(whole[:-9])
    elif damage == "missing":
        shard.unlink()
    else:
        shard.resolve().unlink()
    assert len(rnnzoo.load(NAME)["weights"]) == 18
    assert shard.read_bytes() == whole
    assert shard.is_symlink()


def test_a_shard_that_is_damaged_on_the_hub_says_so(hub: Path) -> None:
    shard = next(hub.glob("data/*"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(RnnzooError, match=r"data/.*copy on the Hub is damaged"):
        rnnzoo.load(NAME)


def test_a_repository_without_manifest_is_no_zoo(hub: Path) -> None:
    (hub / "manifest.json").unlink()
    with pytest.raises(UsageError, match="is no whole zoo") as caught:
        rnnzoo.load(NAME)
    assert "--out" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        (errors.RevisionNotFoundError, 2, "has no revision 'v9'"),
        (errors.GatedRepoError, 2, "accept its terms"),
        (errors.RepositoryNotFoundError, 2, "no dataset 'someone/zoo' on the Hub"),
        (errors.HFValidationError, 2, "no name that the Hub allows"),
        (errors.LocalEntryNotFoundError, 1, "Connect to the network"),
        (errors.HfHubHTTPError, 1, "Connect to the network"),
        *((base, 1, "Connect to the network") for base in errors.HfHubHTTPError.__bases__),
        (ConnectionError, 1, "Connect to the network"),
    ],
)
def test_each_failure_is_one_sentence_with_its_remedy(
    kind: type[Exception], code: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: str, **options: str) -> None:
        raise bare(kind)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(RnnzooError, match=said) as caught:
        rnnzoo.load(NAME, revision="v9")
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)
    assert "--out" not in str(caught.value)


def test_offline_by_choice_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """huggingface_hub itself refuses here, before any network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(RnnzooError, match="HF_HUB_OFFLINE is set"):
        rnnzoo.load(NAME)


def test_a_folder_that_is_no_zoo_is_not_built_into(tmp_path: Path) -> None:
    for folder in (Path("/etc"), tmp_path):
        with pytest.raises(UsageError, match=r"no manifest\.json") as caught:
            rnnzoo.load(folder)
        assert "--out" not in str(caught.value)
