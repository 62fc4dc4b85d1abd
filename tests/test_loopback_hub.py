"""The tests' own Hub answers huggingface_hub and datasets as the real one does, and fails as it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from loopback_hub import READER, STRANGER, WRITER, Hub

from rnnzoo.format.manifest import read_manifest

pytestmark = pytest.mark.slow

PUBLISH = """
import sys
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, errors
api, folder = HfApi(), sys.argv[1]
assert api.whoami()["name"] == "rnnzoo"
api.create_repo("rnnzoo/zoo", repo_type="dataset")
first = api.repo_info("rnnzoo/zoo", repo_type="dataset").sha
api.upload_folder(repo_id="rnnzoo/zoo", folder_path=folder, repo_type="dataset")
api.create_tag("rnnzoo/zoo", tag="v1", repo_type="dataset")
whole = api.repo_info("rnnzoo/zoo", repo_type="dataset").sha
operations = [CommitOperationAdd("notes.txt", b"a"), CommitOperationDelete("README.md")]
try:
    api.create_commit("rnnzoo/zoo", operations, commit_message="Late", repo_type="dataset", parent_commit=first)
except errors.HfHubHTTPError as error:
    assert error.response.status_code == 412
api.create_branch("rnnzoo/zoo", branch="next", repo_type="dataset")
made = api.create_commit(
    "rnnzoo/zoo", operations, commit_message="Next", repo_type="dataset", revision="next", parent_commit=whole
)
refs = api.list_repo_refs("rnnzoo/zoo", repo_type="dataset")
assert {branch.name: branch.target_commit for branch in refs.branches} == {"main": whole, "next": made.oid}
assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", whole)]
print(whole)
"""

READ = """
import sys
from pathlib import Path
from datasets import load_dataset
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
whole = sys.argv[1]
(listed,) = HfApi().list_datasets(author="rnnzoo", search="zoo", filter="model-zoo")
assert (listed.id, listed.sha, listed.private) == ("rnnzoo/zoo", whole, False)
assert not list(HfApi().list_datasets(author="rnnzoo", search="other"))
folder = Path(snapshot_download("rnnzoo/zoo", repo_type="dataset", revision="v1"))
assert folder.name == whole
assert not (Path(snapshot_download("rnnzoo/zoo", repo_type="dataset", revision="next")) / "README.md").exists()
files = HfFileSystem().glob("datasets/rnnzoo/zoo@v1/data/*.h5")
assert sorted(path.rpartition("/")[2] for path in files) == sorted(path.name for path in folder.glob("data/*"))
with HfFileSystem().open(files[0]) as file:
    file.seek(-10, 2)
    assert file.read() == (folder / "data" / files[0].rpartition("/")[2]).read_bytes()[-10:]
rows = load_dataset("rnnzoo/zoo", "labels", split="train")
assert next(iter(load_dataset("rnnzoo/zoo", split="train", streaming=True)))["model_id"] == rows[0]["model_id"]
print(rows.num_rows)
"""


def test_the_libraries_publish_and_read_through_it(hub: Hub, built_folder: Path, tmp_path: Path) -> None:
    published = hub.python(PUBLISH, built_folder, home=tmp_path / "writer", token=WRITER)
    assert published.returncode == 0, published.stderr
    files = {str(path.relative_to(built_folder)): path.read_bytes() for path in built_folder.rglob("*.*")}
    assert hub.repositories["rnnzoo/zoo"].files("v1") == files
    assert hub.repositories["rnnzoo/zoo"].files("next").keys() == {*files, "notes.txt"} - {"README.md"}
    size = sum(len(content) for path, content in files.items() if path.endswith((".h5", ".parquet")))
    assert sum(request.received for request in hub.seen("PUT")) == size
    read = hub.python(READ, published.stdout.strip(), home=tmp_path / "reader")
    assert read.returncode == 0, read.stderr
    assert int(read.stdout) == read_manifest(built_folder).splits["train"]["rows"]


DOWNLOAD = """
from huggingface_hub import errors, hf_hub_download
try:
    print(open(hf_hub_download("rnnzoo/zoo", "data.h5", repo_type="dataset"), "rb").read())
except errors.LocalEntryNotFoundError as error:
    print(error.__cause__.response.status_code)
except errors.RepositoryNotFoundError as error:
    print("not found", error.response.status_code)
"""


def test_faults_are_those_it_is_told_to_have(hub: Hub, tmp_path: Path) -> None:
    hub.create("rnnzoo/zoo", {"data.h5": b"0123456789"})

    def downloaded(home: str, token: str | None = None) -> str:
        return hub.python(DOWNLOAD, home=tmp_path / home, token=token).stdout.strip()

    hub.fail("GET", r"^/large/.*/data\.h5", wrong_byte=4)
    assert downloaded("altered") == "b'0123556789'"
    hub.fail("GET", r"^/large/.*/data\.h5", cut=3)
    assert downloaded("cut") == "b'0123456789'"
    assert [request.sent for request in hub.seen("GET", r"^/large/")] == [10, 3, 10]
    hub.fail("HEAD", "resolve", status=403)
    assert downloaded("refused") == "403"
    hub.repositories["rnnzoo/zoo"].private = True
    assert downloaded("anonymous") == "not found 401"
    assert downloaded("stranger", STRANGER) == "not found 404"
    assert downloaded("reader", READER) == "b'0123456789'"


def test_an_upload_is_cut_and_its_client_killed(hub: Hub, tmp_path: Path) -> None:
    hub.create("rnnzoo/zoo")
    (tmp_path / "data.h5").write_bytes(bytes(1_000_000))
    uploading = "HfApi().upload_folder(repo_id='rnnzoo/zoo', folder_path='.', repo_type='dataset')"
    program = f"from huggingface_hub import HfApi; {uploading}"
    client: list[subprocess.Popen[bytes]] = []
    hub.fail("PUT", "large", cut=1000, meanwhile=lambda: os.kill(client[0].pid, signal.SIGKILL))
    environment = hub.environment(tmp_path / "home", WRITER)
    client.append(subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environment))
    assert client[0].wait() == -signal.SIGKILL
    assert [request.received for request in hub.seen("PUT")] == [1000]
    assert not hub.repositories["rnnzoo/zoo"].files()
