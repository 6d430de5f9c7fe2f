"""A headless Chromium, driven by its DevTools protocol: what a person would see of a page."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 60.0
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"),
)


class Page:
    """A page of a browser. Waits for things to be there, never for a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._calls = 0

    def resize(self, width: int, height: int) -> None:
        """Look at the page through a window of this size, in pixels."""
        look = {"deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, **look)

    def open(self, url: str) -> None:
        """Go to `url`."""
        self._call("Page.navigate", url=url)

    def text(self) -> str:
        """What is to be read on the page now."""
        return self.value("document.body ? document.body.innerText : ''")

    def wait_for(self, *texts: str) -> str:
        """The page's text, once all of `texts` are in it."""
        deadline = time.monotonic() + PATIENCE_S
        while missing := [each for each in texts if each not in (shown := self.text())]:
            assert time.monotonic() < deadline, f"not on the page: {missing}\n{shown}"
            time.sleep(0.1)
        return shown

    def click(self, text: str) -> None:
        """Click on what says just `text`."""
        found = self.value(
            f"""(() => {{
              const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
              while (texts.nextNode()) {{
                if (texts.currentNode.data.trim() === {json.dumps(text)}) {{
                  texts.currentNode.parentElement.click();
                  return true;
                }}
              }}
              return false;
            }})()"""
        )
        assert found, f"nothing says {text!r}"

    def wait_for_pictures(self, count: int, beginning: str) -> None:
        """Return once so many images whose source begins so are shown."""
        script = f"""[...document.images].filter(each => each.complete && each.naturalWidth > 0
          && each.src.startsWith({json.dumps(beginning)})).length"""
        deadline = time.monotonic() + PATIENCE_S
        while (shown := self.value(script)) != count:
            assert time.monotonic() < deadline, f"{shown} of {count} pictures are shown"
            time.sleep(0.1)

    def value(self, script: str) -> Any:
        """What a JavaScript expression gives on the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The page as a PNG."""
        shot = self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters}
        self._connection.send(json.dumps(call))
        while (answer := json.loads(self._connection.recv(PATIENCE_S))).get("id") != self._calls:
            pass  # events
        assert "result" in answer, answer
        return answer["result"]


@contextmanager
def browser(home: Path) -> Iterator[Page]:
    """An empty page of a browser that keeps its files in `home`. Skips where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium here: scripts/install-servers installs it")
    process = subprocess.Popen(
        [program, *_ARGUMENTS, f"--user-data-dir={home}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with connect(_page_of(process, home), max_size=None) as connection:
            page = Page(connection)
            page.resize(1400, 4000)  # lists show what is in view
            yield page
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _page_of(process: subprocess.Popen[bytes], home: Path) -> str:
    """The address of the browser's page, once it listens."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None and time.monotonic() < deadline, "the browser did not start"
        try:
            port = (home / "DevToolsActivePort").read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [each for each in json.load(answer) if each["type"] == "page"]
            return pages[0]["webSocketDebuggerUrl"]
        except (OSError, IndexError):
            time.sleep(0.1)
