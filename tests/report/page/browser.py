"""Headless Chromium through chromedriver, by the WebDriver protocol (https://www.w3.org/TR/webdriver2/): real clicks and keys, without a library.

`python tests/report/page/browser.py REPORT.html PICTURE.png WIDTH HEIGHT` takes a picture of the top of a page.
"""

import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
MISSING = "" if CHROMIUM and CHROMEDRIVER else "no chromium with chromedriver on this machine (Debian: apt-get install chromium chromium-driver)"
KEYS = {
    "Enter": "\ue007",
    "Tab": "\ue004",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
    "End": "\ue010",
    "Home": "\ue011",
}
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PATIENCE_S = 30.0


class Browser:
    """One window."""

    def __init__(self, address: str, session: str) -> None:
        self._root = f"{address}/session/{session}"

    def open(self, file: Path, fragment: str = "") -> None:
        """Loads a page and forgets what the console said before."""
        self._post("url", url=f"{file.as_uri()}{fragment}")

    def run(self, script: str, *values: object) -> Any:
        """What a function body returns; `arguments` holds the values."""
        return self._post("execute/sync", script=script, args=list(values))

    def click(self, selector: str, *, right: int = 0, down: int = 0) -> None:
        """A real click on the middle of an element, or so many pixels beside it."""
        element = self._post("element", using="css selector", value=selector)
        self.run("arguments[0].scrollIntoView({ block: 'center' })", element)
        move = {"type": "pointerMove", "duration": 0, "origin": element, "x": right, "y": down}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._post("actions", actions=[{"type": "pointer", "id": "mouse", "actions": [move, *press]}])

    def keys(self, *keys: str) -> None:
        """Presses keys, by name or as characters, one after the other."""
        signs = [KEYS.get(key, key) for key in keys]
        strokes = [{"type": kind, "value": sign} for sign in signs for kind in ("keyDown", "keyUp")]
        self._post("actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    def text(self, selector: str) -> str:
        """The text of an element as a reader sees it."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def wait(self, script: str) -> None:
        """Until a function body returns something true.

        Raises:
            TimeoutError: it did not.
        """
        end = time.monotonic() + PATIENCE_S
        while not self.run(script):
            if time.monotonic() > end:
                raise TimeoutError(script)
            time.sleep(0.02)

    @contextmanager
    def inside(self, selector: str) -> Iterator[None]:
        """Everything is asked of a frame of the page."""
        self._post("frame", id=self._post("element", using="css selector", value=selector))
        try:
            yield
        finally:
            self._post("frame", id=None)

    def complaints(self) -> list[str]:
        """Warnings and errors on the console."""
        return [entry["message"] for entry in self._post("se/log", type="browser") if entry["level"] in ("WARNING", "SEVERE")]

    def emulate(self, **features: str) -> None:
        """Media features such as `prefers_color_scheme="dark"`."""
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._post("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": media})

    def resize(self, width: int, height: int) -> None:
        """Sets the size of the window."""
        self._post("window/rect", width=width, height=height)

    def picture(self, file: Path) -> None:
        """Writes what is in the window as PNG."""
        file.write_bytes(base64.b64decode(_request(f"{self._root}/screenshot")))

    def print(self, file: Path) -> None:
        """Writes the page as PDF."""
        file.write_bytes(base64.b64decode(self._post("print", background=True)))

    def close(self) -> None:
        """Ends the window."""
        _request(self._root, method="DELETE")

    def _post(self, command: str, **body: object) -> Any:
        return _request(f"{self._root}/{command}", body)


def _request(address: str, body: dict[str, object] | None = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]


@contextmanager
def opened(folder: Path) -> Iterator[Browser]:
    """A window of a browser of its own, whose profile and messages are kept in the folder."""
    assert CHROMIUM is not None
    assert CHROMEDRIVER is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # --no-sandbox: containers give no user namespaces; the pages are our own.
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1440,1000",
        f"--user-data-dir={folder / 'profile'}",
    ]
    wanted = {"browserName": "chrome", "goog:chromeOptions": {"binary": CHROMIUM, "args": options}, "goog:loggingPrefs": {"browser": "ALL"}}
    with (folder / "chromedriver.log").open("wb") as log:
        driver = subprocess.Popen([CHROMEDRIVER, f"--port={port}"], stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/status")
            browser = Browser(address, _request(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"])
            try:
                yield browser
            finally:
                browser.close()
        finally:
            driver.terminate()
            driver.wait(10)


def _wait_for(address: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if _request(address)["ready"]:
                return
        except (URLError, ConnectionError):
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def main(report: Path, picture: Path, width: int, height: int) -> None:
    """Takes a picture of the top of a page, in few colours."""
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as browser:
        browser.resize(width, height)
        browser.open(report.resolve())
        browser.wait("return document.readyState === 'complete'")
        browser.picture(picture)
    Image.open(picture).convert("RGB").quantize(255).save(picture, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
