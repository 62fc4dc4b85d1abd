"""A headless Chromium over the WebDriver protocol, with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRIVER = Path("/usr/bin/chromedriver")
BROWSER = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
SECONDS = 120


class Browser:
    """One window.

    Attributes:
        url: where the driver serves this session.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, page: Path, width: int = 1200, height: int = 900) -> None:
        """Load a page from disk."""
        self._ask("window/rect", {"width": width, "height": height})
        self._ask("url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """Value that the body of a JavaScript function returns."""
        return self._ask("execute/sync", {"script": script, "args": list(arguments)})

    def point_at(self, selector: str, x: int = 0, y: int = 0) -> None:
        """Move the mouse onto an element, so many pixels right of and below its middle."""
        element = self._ask("element", {"using": "css selector", "value": selector})
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        move = {"type": "pointerMove", "duration": 0, "origin": element, "x": x, "y": y}
        self._ask("actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [move]}]})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Entries since the last call: "browser" for the console, "performance" for events such as requests."""
        return self._ask("se/log", {"type": kind})

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._ask("goog/cdp/execute", {"cmd": name, "params": parameters})

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        size = self.run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _ask(self, path: str, data: dict[str, Any]) -> Any:
        return ask(f"{self.url}/{path}", data)


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """A browser whose profile lives in an empty folder."""
    command = [str(DRIVER), "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        try:
            assert driver.stdout is not None
            port = next(
                found[1] for line in driver.stdout if (found := re.search(r"started successfully on port (\d+)", line))
            )
            options = {"binary": str(BROWSER), "args": [*FLAGS, f"--user-data-dir={folder}"]}
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            session = ask(f"http://127.0.0.1:{port}/session", {"capabilities": {"alwaysMatch": wanted}})
            url = f"http://127.0.0.1:{port}/session/{session['sessionId']}"
            try:
                yield Browser(url)
            finally:
                ask(url, None, "DELETE")
        finally:
            driver.terminate()


def ask(url: str, data: dict[str, Any] | None, method: str = "POST") -> Any:
    """The value of the driver's answer; whatever a proxy variable says, the driver is on this machine.

    Raises:
        AssertionError: the driver refuses, with its reason.
    """
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return json.loads(answer.read())["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.read().decode()[:2000]}") from error
