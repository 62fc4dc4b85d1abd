"""What the tests' own Hub answers: the routes of https://huggingface.co for dataset repositories."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from hub_repositories import Commit, Repository, StoredFile, described_folder, is_large, listing

if TYPE_CHECKING:
    from loopback_hub import Hub


@dataclass(frozen=True)
class Account:
    name: str
    writes: bool = True


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The Hub's answer to what it does not do."""

    def __init__(self, status: int, error: str, message: str) -> None:
        self.status, self.error, self.message = status, error, message


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})


def refusal(status: int, error: str, message: str) -> Answer:
    answer = _json({"error": message}, status)
    answer.headers |= {"X-Error-Message": message} | ({"X-Error-Code": error} if error else {})
    return answer


@dataclass
class Call:
    """A request as the functions below see it."""

    hub: Hub
    account: Account | None
    headers: dict[str, str]
    query: dict[str, list[str]]
    body: bytes

    def visible(self, repository: Repository) -> bool:
        namespace = repository.name.partition("/")[0]
        return not repository.private or (self.account is not None and self.account.name == namespace)

    def repository(self, name: str) -> Repository:
        repository = self.hub.repositories.get(name)
        if repository is None or not self.visible(repository):
            raise Refused(404 if self.account else 401, "RepoNotFound", "Repository not found")
        return repository

    def commit(self, name: str, revision: str) -> Commit:
        commit = self.repository(name).resolve(revision or "main")
        if commit is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def check_rights(self, namespace: str) -> None:
        if self.account is None:
            raise Refused(401, "", "Invalid username or password.")
        if not self.account.writes:
            raise Refused(403, "", "You must use a write token to do this")
        if self.account.name != namespace:
            raise Refused(403, "", f'You don\'t have the rights to write to the namespace "{namespace}"')

    def writable(self, name: str) -> Repository:
        repository = self.repository(name)
        self.check_rights(name.partition("/")[0])
        return repository


def _whoami(call: Call) -> Answer:
    if call.account is None:
        raise Refused(401, "", "Invalid username or password.")
    role = "write" if call.account.writes else "read"
    return _json({"type": "user", "name": call.account.name, "orgs": [], "auth": {"accessToken": {"role": role}}})


def _create(call: Call) -> Answer:
    asked = json.loads(call.body)
    namespace = asked.get("organization") or (call.account.name if call.account else "")
    call.check_rights(namespace)
    name = f"{namespace}/{asked['name']}"
    address = f"{call.hub.address}/datasets/{name}"
    if name in call.hub.repositories:
        return _json({"error": "You already created this dataset repo", "url": address}, 409)
    call.hub.create(name, private=asked.get("private") or asked.get("visibility") == "private")
    return _json({"url": address, "name": name})


def _datasets(call: Call) -> Answer:
    author, limit = call.query.get("author", [""])[0], int(call.query.get("limit", ["10000"])[0])
    searched, tags = call.query.get("search", []), set(call.query.get("filter", []))
    found = [
        repository.described(repository.commits[repository.branches["main"]])
        for name, repository in sorted(call.hub.repositories.items())
        if call.visible(repository)
        and name.partition("/")[0] == (author or name.partition("/")[0])
        and all(word.lower() in name.lower() for word in searched)
    ]
    return _json([shown for shown in found if tags <= set(shown["tags"])][:limit])


def _info(call: Call, name: str, revision: str) -> Answer:
    return _json(call.repository(name).described(call.commit(name, revision)))


def _refs(call: Call, name: str) -> Answer:
    repository = call.repository(name)

    def shown(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit} for name, commit in names.items()]

    return _json(
        {"branches": shown("heads", repository.branches), "tags": shown("tags", repository.tags), "converts": []}
    )


def _tree(call: Call, name: str, revision: str, folder: str) -> Answer:
    recursive = call.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    found = list(listing(call.commit(name, revision), folder, recursive))
    if not found and folder:
        raise Refused(404, "EntryNotFound", f"{folder} does not exist on {revision}")
    return _json(found)


def _paths(call: Call, name: str, revision: str) -> Answer:
    commit = call.commit(name, revision)
    as_json = call.body.startswith(b"{")
    paths = json.loads(call.body)["paths"] if as_json else parse_qs(call.body.decode()).get("paths", [])
    shown = []
    for path in paths:
        if path in commit.files:
            shown.append(commit.files[path].described(path, commit))
        elif any(file.startswith(f"{path.rstrip('/')}/") for file in commit.files):
            shown.append(described_folder(path))
    return _json(shown)


def _upload_modes(call: Call, name: str, revision: str) -> Answer:
    call.writable(name)
    commit = call.commit(name, revision)
    shown = []
    for asked in json.loads(call.body)["files"]:
        path, there = asked["path"], commit.files.get(asked["path"])
        mode = "lfs" if is_large(path, asked["size"]) else "regular"
        shown.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": there and there.etag})
    return _json({"files": shown, "commitOid": commit.name})


def _large_batch(call: Call, name: str) -> Answer:
    call.writable(name)
    shown = []
    for asked in json.loads(call.body)["objects"]:
        shown.append({"oid": asked["oid"], "size": asked["size"]})
        if asked["oid"] not in call.hub.large:
            shown[-1]["actions"] = {"upload": {"href": f"{call.hub.store}/large/{asked['oid']}", "header": {}}}
    return _json({"transfer": "basic", "objects": shown})


def _receive_large(call: Call, checksum: str) -> Answer:
    if sha256(call.body).hexdigest() != checksum:
        raise Refused(400, "", "The content does not have the checksum it was announced with.")
    call.hub.large[checksum] = call.body
    return Answer()


def _commit(call: Call, name: str, branch: str) -> Answer:
    repository = call.writable(name)
    if branch not in repository.branches:
        raise Refused(404, "RevisionNotFound", f"Invalid rev id: {branch}")
    before = repository.commits[repository.branches[branch]]
    changed: dict[str, bytes | StoredFile | None] = {}
    title = ""
    for line in call.body.splitlines():
        key, value = (operation := json.loads(line))["key"], operation["value"]
        if key == "header":
            title = value["summary"]
            if value.get("parentCommit", before.name) != before.name:
                raise Refused(412, "", "A commit has happened since. Please refresh and try again.")
        elif key == "file":
            changed[value["path"]] = StoredFile(base64.b64decode(value["content"]), False)
        elif key == "lfsFile":
            if value["oid"] not in call.hub.large:
                raise Refused(400, "", f"The large file {value['path']} was not uploaded.")
            changed[value["path"]] = StoredFile(call.hub.large[value["oid"]], True)
        elif key == "deletedFile":
            if value["path"] not in before.files:
                raise Refused(404, "EntryNotFound", "A file with this name doesn't exist")
            changed[value["path"]] = None
        elif key == "deletedFolder":
            changed |= {path: None for path in before.files if path.startswith(f"{value['path'].rstrip('/')}/")}
        else:
            raise Refused(400, "", f"There is no operation {key}.")
    made = repository.commit(changed, title, branch)
    return _json({"success": True, "commitOid": made, "commitUrl": f"{call.hub.address}/datasets/{name}/commit/{made}"})


def _branch(call: Call, name: str, branch: str) -> Answer:
    repository = call.writable(name)
    start = call.commit(name, json.loads(call.body or b"{}").get("startingPoint", "main"))
    if branch in repository.branches:
        raise Refused(409, "", "Reference already exists")
    repository.branches[branch] = start.name
    return _json({})


def _tag(call: Call, name: str, revision: str) -> Answer:
    repository, tag = call.writable(name), json.loads(call.body)["tag"]
    if tag in repository.tags:
        raise Refused(409, "", "Tag reference exists already")
    repository.tags[tag] = call.commit(name, revision).name
    return _json({})


def _resolve(call: Call, name: str, revision: str, path: str) -> Answer:
    commit = call.commit(name, revision)
    file = commit.files.get(path)
    if file is None:
        answer = refusal(404, "EntryNotFound", "Entry not found")
        answer.headers["X-Repo-Commit"] = commit.name
        return answer
    headers = {"X-Repo-Commit": commit.name, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
    if not file.large:
        return _ranged(call, file.content, headers)
    call.hub.large.setdefault(file.sha256, file.content)
    elsewhere = f"{call.hub.store}/large/{file.sha256}/{path}"
    linked = {"X-Linked-Size": str(len(file.content)), "X-Linked-ETag": headers["ETag"], "Location": elsewhere}
    return Answer(302, b"", headers | linked)


def _send_large(call: Call, checksum: str, path: str) -> Answer:
    return _ranged(call, call.hub.large[checksum], {"ETag": f'"{checksum}"', "Accept-Ranges": "bytes"})


def _ranged(call: Call, content: bytes, headers: dict[str, str]) -> Answer:
    """A file's content, or the range of it that was asked for."""
    headers["Content-Type"] = "application/octet-stream"
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", call.headers.get("range", "")))
    if not asked:
        return Answer(200, content, headers)
    size = len(content)
    start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
    stop = min(int(asked[2]) + 1, size) if asked[1] and asked[2] else size
    if start >= size:
        return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
    return Answer(206, content[start:stop], headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})


_NAME = "([^/]+/[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/api/whoami-v2", _whoami),
    ("POST", "/api/validate-yaml", lambda call: _json({"errors": [], "warnings": []})),
    ("POST", "/api/repos/create", _create),
    ("GET", "/api/datasets", _datasets),
    ("GET", f"/api/datasets/{_NAME}(?:/revision/([^/]+))?", _info),
    ("GET", f"/api/datasets/{_NAME}/refs", _refs),
    ("GET", f"/api/datasets/{_NAME}/tree/([^/]+)/?(.*)", _tree),
    ("POST", f"/api/datasets/{_NAME}/paths-info/([^/]+)", _paths),
    ("POST", f"/api/datasets/{_NAME}/preupload/([^/]+)", _upload_modes),
    ("POST", f"/api/datasets/{_NAME}/commit/([^/]+)", _commit),
    ("POST", f"/api/datasets/{_NAME}/branch/([^/]+)", _branch),
    ("POST", f"/api/datasets/{_NAME}/tag/([^/]+)", _tag),
    ("POST", rf"/datasets/{_NAME}\.git/info/lfs/objects/batch", _large_batch),
    ("PUT", "/large/([0-9a-f]{64})", _receive_large),
    ("GET HEAD", "/large/([0-9a-f]{64})/(.+)", _send_large),
    ("GET HEAD", f"/(?:api/)?datasets/{_NAME}/resolve/([^/]+)/(.+)", _resolve),
]
