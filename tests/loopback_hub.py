"""A Hub of dataset repositories on 127.0.0.1, and the faults it can be told to have.

It speaks what huggingface_hub and datasets ask of https://huggingface.co, with the same status codes and headers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hub_answers import ROUTES, Account, Answer, Call, Refused, refusal
from hub_repositories import Repository

WRITER, READER, STRANGER = "hf_writer", "hf_reader", "hf_stranger"
"""Tokens: of the account rnnzoo, to write and to read only, and of the account someone."""
PIECE_BYTES = 2**16
_COMMAND_LINE = """
import time
from rnnzoo.cli.main import main
time.sleep = lambda seconds: None
main()
"""
"""huggingface_hub waits before it tries again."""


@dataclass
class Fault:
    """What goes wrong with requests of a method whose path a regular expression finds.

    Attributes:
        times: with how many of them.
        status: answered in place of data, with a page for people.
        error: X-Error-Code of that answer.
        cut: the connection ends after so many bytes of what is uploaded, or of the answer to a GET.
        wrong_byte: position of a byte of the answer that is altered.
        lost: what was asked for is done, but the connection ends before the answer.
        meanwhile: what happens once the request, or as much of it as is read, has come.
    """

    method: str
    path: str
    times: float = 1
    status: int = 0
    error: str = ""
    cut: int | None = None
    wrong_byte: int | None = None
    lost: bool = False
    meanwhile: Callable[[], object] = lambda: None


@dataclass
class Request:
    """One that came; bytes of the bodies received and sent."""

    method: str
    path: str
    received: int = 0
    sent: int = 0
    status: int = 0


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
        return self.python(_COMMAND_LINE, *arguments, home=home, token=token, **more)

    def python(
        self, program: str, *arguments: str | Path, home: Path, token: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """A Python program, run in the home folder of a client."""
        environment = self.environment(home, token, **more)
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=home, env=environment)

    def serve_this_process(self, patch: pytest.MonkeyPatch, home: Path, token: str | None = None) -> None:
        """Let this process be a client, which waits for nothing before it tries again."""
        from huggingface_hub import constants, file_download

        patch.setattr(constants, "ENDPOINT", self.address)
        for module in (constants, file_download):
            address = self.address + "/{repo_id}/resolve/{revision}/{filename}"
            patch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", address, raising=False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        patch.setenv("RNNZOO_HOME", str(home / "store"))
        patch.setattr("time.sleep", lambda seconds: None)
        if token:
            patch.setenv("HF_TOKEN", token)
        else:
            patch.delenv("HF_TOKEN", raising=False)


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


_PAGE = b"<!DOCTYPE html><html><title>Hub</title><h1>Service unavailable</h1><p>We are working on it.</html>"


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    # Else an answer waits 40 ms for its headers to be acknowledged.
    disable_nagle_algorithm = True

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
            answer = refusal(fault.status, fault.error, "") if fault.error else Answer(fault.status, _PAGE)
        else:
            answer = self._answer(url.path, parse_qs(url.query), body)
        if fault.lost:
            self.close_connection = True
            return
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
        for method, form, answer in ROUTES:
            found = re.fullmatch(form, path)
            if found and self.command in method.split():
                parts = [unquote(part or "") for part in found.groups()]
                try:
                    with self.hub.lock:
                        return answer(Call(self.hub, self._account(), dict(self.headers), query, body), *parts)
                except Refused as refused:
                    return refusal(refused.status, refused.error, refused.message)
        return refusal(404, "", f"Nothing is at {path}.")

    def _account(self) -> Account | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.accounts:
            raise Refused(401, "", "Invalid credentials in Authorization header")
        return self.hub.accounts.get(token)
