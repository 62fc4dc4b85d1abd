"""A Hub of dataset repositories on 127.0.0.1, and the faults it can be told to have.

It speaks what huggingface_hub and datasets ask of https://huggingface.co, with the same status codes and headers.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_repositories import Commit, Repository, StoredFile, described_folder, is_large, listing

WRITER, READER, STRANGER = "hf_writer", "hf_reader", "hf_stranger"
"""Tokens: of the account rnnzoo, to write and to read only, and of the account someone."""
PIECE_BYTES = 2**16


@dataclass(frozen=True)
class Account:
    name: str
    writes: bool = True


@dataclass
class Fault:
    """What goes wrong with requests of a method whose path a regular expression finds.

    Attributes:
        times: with how many of them.
        status: answered in place of data, with a page for people.
        error: X-Error-Code of that answer.
        cut: the connection ends after so many bytes of what is uploaded, or of the answer to a GET.
        wrong_byte: position of a byte of the answer that is altered.
        meanwhile: what happens once the request, or as much of it as is read, has come.
    """

    method: str
    path: str
    times: float = 1
    status: int = 0
    error: str = ""
    cut: int | None = None
    wrong_byte: int | None = None
    meanwhile: Callable[[], object] = lambda: None


@dataclass
class Request:
    """One that came; bytes of the bodies received and sent."""

    method: str
    path: str
    received: int = 0
    sent: int = 0
    status: int = 0


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Hub:
    """What the server holds and has seen.

    Attributes:
        address: of the server, for HF_ENDPOINT.
        store: another address, to which it sends clients for large files.
        repositories: by name.
        large: contents that were uploaded, by SHA-256.
        requests: all that came, in order.
        accounts: by token.
    """

    def __init__(self) -> None:
        self.address = self.store = ""
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.accounts = {WRITER: Account("rnnzoo"), READER: Account("rnnzoo", False), STRANGER: Account("someone")}
        self.lock = threading.RLock()
        self._faults: list[Fault] = []

    def create(self, name: str, files: dict[str, bytes] | None = None, private: bool = False) -> Repository:
        """A repository with files in it."""
        repository = self.repositories[name] = Repository(name, private)
        if files:
            repository.commit(files)
        return repository

    def fail(self, method: str, path: str, **fault: Any) -> Fault:
        """Let requests fail; the arguments are those of `Fault`."""
        self._faults.append(Fault(method, path, **fault))
        return self._faults[-1]

    def heal(self) -> None:
        """No further faults."""
        self._faults.clear()

    def fault(self, method: str, path: str) -> Fault:
        """What goes wrong with a request; an empty fault if nothing does."""
        with self.lock:
            for fault in self._faults:
                if fault.method == method and fault.times > 0 and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return Fault(method, path)

    def seen(self, method: str, path: str = "") -> list[Request]:
        """Requests of a method whose path a regular expression finds."""
        return [request for request in self.requests if request.method == method and re.search(path, request.path)]

    def environment(self, home: Path, token: str | None = None, **more: str) -> dict[str, str]:
        """Of a client that has nothing but this Hub, and an empty home folder."""
        home.mkdir(parents=True, exist_ok=True)
        kept = {
            name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if name in os.environ
        }
        return {
            **kept,
            "HOME": str(home),
            "HF_HOME": str(home / "huggingface"),
            "HF_ENDPOINT": self.address,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "RNNZOO_HOME": str(home / "store"),
            "RNNZOO_CACHE": str(home / "decoded"),
            **({"HF_TOKEN": token} if token else {}),
            **more,
        }

    def rnnzoo(
        self, *arguments: str | Path, home: Path, token: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """The command line, run in the home folder of a client."""
        return self.python("from rnnzoo.cli.main import main; main()", *arguments, home=home, token=token, **more)

    def python(
        self, program: str, *arguments: str | Path, home: Path, token: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """A Python program, run in the home folder of a client."""
        environment = self.environment(home, token, **more)
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=home, env=environment)


@contextmanager
def loopback_hub() -> Iterator[Hub]:
    """A Hub of its own, with no repositories yet."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with _serving(handler) as hub.address, _serving(handler) as hub.store:
        yield hub


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer at a free port; gives the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class Refused(Exception):
    """The Hub's answer to what it does not do."""

    def __init__(self, status: int, error: str, message: str) -> None:
        self.status, self.error, self.message = status, error, message


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})


def _refusal(status: int, error: str, message: str) -> Answer:
    answer = _json({"error": message}, status)
    answer.headers |= {"X-Error-Message": message} | ({"X-Error-Code": error} if error else {})
    return answer


_PAGE = b"<!DOCTYPE html><html><title>Hub</title><h1>Service unavailable</h1><p>We are working on it.</html>"


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        request = Request(self.command, self.path)
        self.hub.requests.append(request)
        fault = self.hub.fault(self.command, unquote(self.path))
        body = self._body(request, fault.cut if self.command != "GET" else None)
        fault.meanwhile()
        if body is None:
            self.close_connection = True
            return
        if fault.status:
            answer = _refusal(fault.status, fault.error, "") if fault.error else Answer(fault.status, _PAGE)
        else:
            answer = self._answer(url.path, parse_qs(url.query), body)
        if fault.wrong_byte is not None:
            place = fault.wrong_byte
            answer.body = answer.body[:place] + bytes([answer.body[place] ^ 1]) + answer.body[place + 1 :]
        self._send(request, answer, fault.cut if self.command == "GET" else None)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815

    def _body(self, request: Request, cut: int | None) -> bytes | None:
        """What was sent; None where the connection is cut."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = iter(lambda: int(self.rfile.readline().split(b";")[0], 16), None)
        else:
            length = int(self.headers.get("Content-Length") or 0)
            pieces = iter([*[PIECE_BYTES] * (length // PIECE_BYTES), length % PIECE_BYTES, 0])
        chunked, body = "Transfer-Encoding" in self.headers, bytearray()
        for size in pieces:
            if cut is not None and len(body) + size > cut:
                request.received += len(self.rfile.read(cut - len(body)))
                return None
            body += self.rfile.read(size)
            request.received += size
            if chunked:
                self.rfile.readline()
            if not size and chunked:
                break
        return bytes(body)

    def _send(self, request: Request, answer: Answer, cut: int | None) -> None:
        request.status = answer.status
        self.send_response(answer.status)
        answer.headers.setdefault("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = b"" if self.command == "HEAD" else answer.body
        if cut is not None:
            body, self.close_connection = body[:cut], True
        try:
            for start in range(0, len(body), PIECE_BYTES):
                piece = body[start : start + PIECE_BYTES]
                request.sent += len(piece)
                self.wfile.write(piece)
        except OSError:
            self.close_connection = True

    def _answer(self, path: str, query: dict[str, list[str]], body: bytes) -> Answer:
        for method, form, answer in _ROUTES:
            found = re.fullmatch(form, path)
            if found and self.command in method.split():
                parts = [unquote(part or "") for part in found.groups()]
                try:
                    with self.hub.lock:
                        return answer(_Call(self.hub, self._account(), dict(self.headers), query, body), *parts)
                except Refused as refused:
                    return _refusal(refused.status, refused.error, refused.message)
        return _refusal(404, "", f"Nothing is at {path}.")

    def _account(self) -> Account | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.accounts:
            raise Refused(401, "", "Invalid credentials in Authorization header")
        return self.hub.accounts.get(token)


@dataclass
class _Call:
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


def _whoami(call: _Call) -> Answer:
    if call.account is None:
        raise Refused(401, "", "Invalid username or password.")
    role = "write" if call.account.writes else "read"
    return _json({"type": "user", "name": call.account.name, "orgs": [], "auth": {"accessToken": {"role": role}}})


def _create(call: _Call) -> Answer:
    asked = json.loads(call.body)
    namespace = asked.get("organization") or (call.account.name if call.account else "")
    call.check_rights(namespace)
    name = f"{namespace}/{asked['name']}"
    address = f"{call.hub.address}/datasets/{name}"
    if name in call.hub.repositories:
        return _json({"error": "You already created this dataset repo", "url": address}, 409)
    call.hub.create(name, private=asked.get("private") or asked.get("visibility") == "private")
    return _json({"url": address, "name": name})


def _datasets(call: _Call) -> Answer:
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


def _info(call: _Call, name: str, revision: str) -> Answer:
    return _json(call.repository(name).described(call.commit(name, revision)))


def _refs(call: _Call, name: str) -> Answer:
    repository = call.repository(name)

    def shown(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit} for name, commit in names.items()]

    return _json(
        {"branches": shown("heads", repository.branches), "tags": shown("tags", repository.tags), "converts": []}
    )


def _tree(call: _Call, name: str, revision: str, folder: str) -> Answer:
    recursive = call.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    found = list(listing(call.commit(name, revision), folder, recursive))
    if not found and folder:
        raise Refused(404, "EntryNotFound", f"{folder} does not exist on {revision}")
    return _json(found)


def _paths(call: _Call, name: str, revision: str) -> Answer:
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


def _upload_modes(call: _Call, name: str, revision: str) -> Answer:
    call.writable(name)
    commit = call.commit(name, revision)
    shown = []
    for asked in json.loads(call.body)["files"]:
        path, there = asked["path"], commit.files.get(asked["path"])
        mode = "lfs" if is_large(path, asked["size"]) else "regular"
        shown.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": there and there.etag})
    return _json({"files": shown, "commitOid": commit.name})


def _large_batch(call: _Call, name: str) -> Answer:
    call.writable(name)
    shown = []
    for asked in json.loads(call.body)["objects"]:
        shown.append({"oid": asked["oid"], "size": asked["size"]})
        if asked["oid"] not in call.hub.large:
            shown[-1]["actions"] = {"upload": {"href": f"{call.hub.store}/large/{asked['oid']}", "header": {}}}
    return _json({"transfer": "basic", "objects": shown})


def _receive_large(call: _Call, checksum: str) -> Answer:
    if sha256(call.body).hexdigest() != checksum:
        raise Refused(400, "", "The content does not have the checksum it was announced with.")
    call.hub.large[checksum] = call.body
    return Answer()


def _commit(call: _Call, name: str, branch: str) -> Answer:
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


def _branch(call: _Call, name: str, branch: str) -> Answer:
    repository = call.writable(name)
    start = call.commit(name, json.loads(call.body or b"{}").get("startingPoint", "main"))
    if branch in repository.branches:
        raise Refused(409, "", "Reference already exists")
    repository.branches[branch] = start.name
    return _json({})


def _tag(call: _Call, name: str, revision: str) -> Answer:
    repository, tag = call.writable(name), json.loads(call.body)["tag"]
    if tag in repository.tags:
        raise Refused(409, "", "Tag reference exists already")
    repository.tags[tag] = call.commit(name, revision).name
    return _json({})


def _resolve(call: _Call, name: str, revision: str, path: str) -> Answer:
    commit = call.commit(name, revision)
    file = commit.files.get(path)
    if file is None:
        answer = _refusal(404, "EntryNotFound", "Entry not found")
        answer.headers["X-Repo-Commit"] = commit.name
        return answer
    headers = {"X-Repo-Commit": commit.name, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
    if not file.large:
        return _ranged(call, file.content, headers)
    call.hub.large.setdefault(file.sha256, file.content)
    elsewhere = f"{call.hub.store}/large/{file.sha256}/{path}"
    linked = {"X-Linked-Size": str(len(file.content)), "X-Linked-ETag": headers["ETag"], "Location": elsewhere}
    return Answer(302, b"", headers | linked)


def _send_large(call: _Call, checksum: str, path: str) -> Answer:
    return _ranged(call, call.hub.large[checksum], {"ETag": f'"{checksum}"', "Accept-Ranges": "bytes"})


def _ranged(call: _Call, content: bytes, headers: dict[str, str]) -> Answer:
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
_ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
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
