"""Zoos by name, in this process: what the store mends, what is refused, what is recorded."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants, errors, file_download, utils
from loopback_hub import Hub

import rnnzoo
from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits
from rnnzoo.format import cache
from rnnzoo.format.manifest import canonical_sha256, read_manifest
from rnnzoo.hub.store import find_version, remove_versions, version_at, versions

NAME = "someone/zoo"


@pytest.fixture
def published(hub: Hub, built_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A Hub with a zoo of two versions, of which only the card differs, and this process as its client."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    # Where the template of addresses lies differs between versions of huggingface_hub.
    for module in (constants, file_download):
        template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setenv("RNNZOO_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    repository = hub.create(NAME, files_of(built_folder))
    repository.tags["v1"] = repository.branches["main"]
    repository.commit({"README.md": b"A better card."})
    return hub


@contextmanager
def offline() -> Iterator[None]:
    """As with HF_HUB_OFFLINE=1, which huggingface_hub asks for when it is imported or makes a session."""
    forget_sessions = getattr(utils, "reset_sessions", lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        forget_sessions()
        yield
    forget_sessions()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetched(hub: Hub) -> list[str]:
    """The files whose contents were asked for and sent from the repository itself."""
    return [request.path.partition("/resolve/")[2].partition("/")[2] for request in hub.seen("GET", "/resolve/")]


def test_a_zoo_is_loaded_by_name(published: Hub, built_folder: Path) -> None:
    zoo = rnnzoo.load(NAME)
    assert zoo.revision == published.repositories[NAME].branches["main"]
    assert zoo["weights"].tobytes() == rnnzoo.load(built_folder)["weights"].tobytes()
    assert files_of(zoo.folder) == published.repositories[NAME].files()
    assert rnnzoo.load(zoo.folder).revision == zoo.revision
    assert rnnzoo.load(built_folder).revision is None


def test_what_versions_share_is_fetched_and_kept_once(published: Hub) -> None:
    old = rnnzoo.load(NAME, revision="v1")
    before = len(published.seen("GET", "^/large/"))
    new = rnnzoo.load(NAME)
    assert len(published.seen("GET", "^/large/")) == before > 0
    shards = [file.path for file in new.manifest.files]
    assert all((old.folder / path).samefile(new.folder / path) for path in shards)
    size = sum((new.folder / path).stat().st_size for path in shards)
    assert remove_versions(NAME, "v1")[1] < size
    assert len(new["weights"]) == 18
    assert remove_versions(NAME)[1] > size


def altered_shard(folder: Path) -> Path:
    """The zoo's first shard, one of whose bits was flipped."""
    shard = min(folder.glob("data/*"))
    content = bytearray(shard.read_bytes())
    content[-9] ^= 1
    shard.write_bytes(content)
    return shard


def cut(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-9])


@pytest.mark.parametrize("damage", [lambda shard: altered_shard(shard.parent.parent), cut, Path.unlink])
def test_a_damaged_shard_is_fetched_again_when_it_is_read(
    published: Hub, built_folder: Path, damage: Callable[[Path], Any]
) -> None:
    zoo = rnnzoo.load(NAME)
    damage(min(zoo.folder.glob("data/*")))
    # The main branch has moved on; the commit that was loaded is what is fetched.
    published.repositories[NAME].commit(dict.fromkeys(files_of(built_folder)))
    assert zoo["weights"].tobytes() == rnnzoo.load(built_folder)["weights"].tobytes()
    assert files_of(zoo.folder) == published.repositories[NAME].files(zoo.revision)
    assert not list(zoo.folder.parent.glob(".*"))


def test_a_damaged_shard_that_cannot_be_fetched_says_what_mends_it(published: Hub, built_folder: Path) -> None:
    zoo = rnnzoo.load(NAME)
    shard = altered_shard(zoo.folder)
    with offline(), pytest.raises(RnnzooError, match=rf"{shard} is damaged.*HF_HUB_OFFLINE is set") as caught:
        zoo["weights"]
    command = str(caught.value).partition("`rnnzoo ")[2].partition("`")[0].split()
    assert "\n" not in str(caught.value)
    assert CliRunner().invoke(cli, command).exit_code == 0
    assert zoo["weights"].tobytes() == rnnzoo.load(built_folder)["weights"].tobytes()


def test_a_manifest_that_was_deleted_is_fetched_again(published: Hub) -> None:
    zoo = rnnzoo.load(NAME)
    (zoo.folder / "manifest.json").unlink()
    assert rnnzoo.load(NAME, revision=zoo.revision).manifest == zoo.manifest


def test_a_version_that_was_removed_while_it_is_read_does_not_come_back_in_part(published: Hub, tmp_path: Path) -> None:
    zoo = rnnzoo.load(NAME)
    remove_versions(NAME)
    with pytest.raises(RnnzooError, match="is missing, though the manifest lists it"):
        zoo["weights"]
    assert not list((tmp_path / "store").rglob("*.h5"))


@pytest.mark.parametrize("path", ["README.md", "manifest.json"])
def test_texts_beyond_any_size_are_not_fetched(published: Hub, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JSON_BYTES", 10**6)
    published.repositories[NAME].commit({path: bytes(10**6 + 1)})
    with pytest.raises(RnnzooError, match=rf"its {path} is larger than 1,000,000 bytes"):
        rnnzoo.load(NAME)
    assert path not in fetched(published)
    assert not versions()


def test_a_record_of_revisions_that_is_damaged_is_one_sentence(published: Hub) -> None:
    record = rnnzoo.pull(NAME).parent / "revisions.json"
    record.write_text('{"main": "../../elsewhere"}')
    with pytest.raises(RnnzooError, match=f"{record} is damaged.*delete it") as caught:
        rnnzoo.load(NAME)
    assert "\n" not in str(caught.value)
    record.unlink()
    assert rnnzoo.load(NAME).revision == published.repositories[NAME].branches["main"]


def test_a_store_that_can_only_be_read_serves_what_it_has(
    published: Hub, built_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rnnzoo.pull(NAME)
    published.repositories[NAME].branches["also"] = folder.name

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert rnnzoo.load(NAME, revision="also").folder == folder
    with pytest.raises(RnnzooError, match="name a folder you may write to by RNNZOO_HOME"):
        rnnzoo.load(NAME, revision="v1")


def test_pull_mends_a_manifest_as_well(published: Hub) -> None:
    folder = rnnzoo.pull(NAME)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(RnnzooError, match="restore it by pulling"):
        rnnzoo.load(NAME)
    assert rnnzoo.pull(NAME) == folder
    assert files_of(folder) == published.repositories[NAME].files()


def test_a_folder_laid_out_like_the_store_elsewhere_asks_nothing_of_the_hub(published: Hub, tmp_path: Path) -> None:
    """A stranger's folder must not choose what is fetched."""
    folder = rnnzoo.pull(NAME)
    copied = Path(shutil.copytree(folder, tmp_path / "strange" / NAME / folder.name))
    altered_shard(copied)
    asked = len(published.requests)
    zoo = rnnzoo.load(copied)
    assert zoo.revision is None
    with pytest.raises(RnnzooError, match="is damaged or altered"):
        zoo["weights"]
    assert len(published.requests) == asked


def hostile(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    """Change a manifest, under a checksum that fits."""

    def apply(files: dict[str, bytes]) -> None:
        data = json.loads(files["manifest.json"])
        del data["manifest_sha256"]
        change(data)
        files["manifest.json"] = json.dumps({**data, "manifest_sha256": canonical_sha256(data)}).encode()

    return apply


def first_file(**fields: Any) -> Callable[[dict[str, bytes]], None]:
    return hostile(lambda data: data["files"][0].update(fields))


def without_shard(files: dict[str, bytes]) -> None:
    del files[min(path for path in files if path.startswith("data/"))]


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda files: files.clear(), "no whole zoo of rnnzoo: manifest.json is missing"),
        (without_shard, r"no whole zoo of rnnzoo: data/\S+ is missing"),
        (lambda files: files.update({"manifest.json": b"<html>"}), "cannot be used as it is on the Hub"),
        (first_file(path="../../outside.h5"), "cannot be used as it is on the Hub.*path"),
        (first_file(path="/etc/passwd"), "cannot be used as it is on the Hub.*path"),
        (first_file(size=10**18), "cannot be used as it is on the Hub.*size"),
        (first_file(size=10**9), "1,000,000,000"),
        (hostile(lambda data: data.update(schema_version=3)), "field schema_version is 3"),
    ],
)
def test_what_is_no_sound_zoo_is_refused_before_its_data_is_fetched(
    published: Hub, built_folder: Path, alter: Callable[[dict[str, bytes]], None], said: str, tmp_path: Path
) -> None:
    files = files_of(built_folder)
    alter(files)
    published.create("someone/strange", files)
    with pytest.raises(RnnzooError, match=said) as caught:
        rnnzoo.load("someone/strange")
    assert "\n" not in str(caught.value)
    assert "--out" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not published.seen("GET", "^/large/")
    assert not versions()
    assert not (tmp_path / "store" / "someone" / "strange").exists()


def bare(kind: type[Exception]) -> Exception:
    """An error of the Hub without the HTTP response that its constructor asks for."""
    return kind.__new__(kind)


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
        (json.JSONDecodeError, 1, "look at HF_ENDPOINT"),
    ],
)
def test_each_failure_is_one_sentence_with_its_remedy(
    kind: type[Exception], code: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise bare(kind)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(HfApi, "dataset_info", fail)
    with pytest.raises(RnnzooError, match=said) as caught:
        rnnzoo.load(NAME, revision="v9")
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)
    assert "--out" not in str(caught.value)


def test_without_the_hub_what_is_here_is_taken_and_named(published: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    old = rnnzoo.load(NAME, revision="v1")
    with offline():
        assert rnnzoo.load(NAME, revision=old.revision).folder == old.folder
        assert capsys.readouterr().err == ""
        # The main branch was never fetched: the last that was is better than none.
        for revision in ("v1", None):
            assert rnnzoo.load(NAME, revision=revision).folder == old.folder
            told = capsys.readouterr().err
            assert f"v1, commit {old.revision}: HF_HUB_OFFLINE is set." in told
        with pytest.raises(RnnzooError, match=rf"HF_HUB_OFFLINE is set.*Here is {old.revision[:12]} \(v1\)"):
            rnnzoo.load(NAME, revision="v2")


def test_commands_take_a_revision_and_say_it(published: Hub, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, arguments, env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.output

    old, new = published.repositories[NAME].tags["v1"], published.repositories[NAME].branches["main"]
    assert f"{NAME} at revision {old}\n" in run("show", NAME, "--revision", "v1")
    assert f"{old} is sound" in run("verify", NAME, "--revision", old)
    assert f"{NAME} at revision {new}\n" in run("show", NAME)
    run("export", NAME, "--revision", "v1", "--original", str(tmp_path / "original"))
    told = run("list")
    assert all(name in told for name in (f"{old[:12]} (v1)", f"{new[:12]} (main)"))
    published.create("someone/other", {"README.md": b"No zoo."})
    published.repositories[NAME].commit({"README.md": b"---\ntags: [rnnzoo]\n---\nAnother card."})
    told = run("list", "--remote", "--namespace", "someone")
    assert NAME in told
    assert "someone/other" not in told
    assert "Nothing of nobody" in run("list", "--remote", "--namespace", "nobody")


def test_a_commit_that_is_here_asks_nothing(published: Hub) -> None:
    commit = rnnzoo.load(NAME).revision
    asked = len(published.requests)
    assert rnnzoo.load(NAME, revision=commit).revision == commit
    assert len(published.requests) == asked


def test_a_folder_here_has_no_revisions(built_folder: Path) -> None:
    for name in (str(built_folder), "sample/smnist"):
        with pytest.raises(UsageError, match="leave out --revision v1"):
            rnnzoo.load(name, revision="v1")


def test_a_folder_that_is_no_zoo_is_not_built_into(tmp_path: Path) -> None:
    for folder in (Path("/etc"), tmp_path):
        with pytest.raises(UsageError, match=r"no manifest\.json") as caught:
            rnnzoo.load(folder)
        assert "--out" not in str(caught.value)


def test_remove_frees_what_was_fetched_and_decoded(published: Hub, tmp_path: Path) -> None:
    zoo = rnnzoo.load(NAME)
    zoo["log_probs"]
    checksums = [file.sha256 for file in read_manifest(zoo.folder).files]
    decoded, stored = cache.size_of_columns(checksums), sum(map(len, files_of(zoo.folder).values()))
    assert decoded > 0
    told = CliRunner().invoke(cli, ["remove", NAME, "--revision", zoo.revision[:8]])
    assert f"{(decoded + stored) / 1e6:,.1f} MB are free again" in told.output
    assert cache.size_of_columns(checksums) == 0
    assert not list((tmp_path / "store").rglob("*.h5"))


@pytest.mark.parametrize("name", ["nobody/zoo", "../zoos", "zoos/mine/..", "/tmp"])
def test_remove_touches_nothing_outside_the_store(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNZOO_HOME", str(tmp_path / "store"))
    kept = tmp_path / "zoos" / ".mine.partial"
    kept.mkdir(parents=True)
    (tmp_path / "store").mkdir()
    with pytest.raises(UsageError):
        remove_versions(name)
    assert kept.exists()


def test_a_revision_is_found_by_name_or_by_the_beginning_of_a_commit(published: Hub) -> None:
    new, old = rnnzoo.load(NAME), rnnzoo.load(NAME, revision="v1")
    assert [version.described for version in versions()] == [f"{old.revision[:12]} (v1)", f"{new.revision[:12]} (main)"]
    for revision in ("v1", old.revision, old.revision[:7]):
        found = find_version(NAME, revision)
        assert found is not None
        assert found == version_at(old.folder)
    assert find_version(NAME, old.revision[:6]) is None
    assert find_version(NAME, "v2") is None
