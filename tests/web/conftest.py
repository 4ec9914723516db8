"""Fixtures: a page served on loopback for a run whose frames come from the test, and a real Chromium that opens it."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefuse
from edgefuse.frames import Frame, FramePair, FusedFrame, Radiometry
from edgefuse.settings.web import WebSettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.report import Telemetry
from tests.support.waiting import joined

DEADLINE_S = 30.0
TOKEN = "correct-horse-battery"


class Served:
    """A served page. `live` is its run; `get` and `ask` send requests."""

    def __init__(self, **settings: Any) -> None:
        from edgefuse.web import Web

        model = {"name": "none", "runtime": "none", "version": "0", "precision": "fp32", "threads": 1, "why": "a test's"}
        self.facts: dict[str, Any] = {"edgefuse": edgefuse.__version__, "source": "test", "model": model, **Telemetry().report()}
        self.live = Live(lambda: self.facts)
        self.web = Web(WebSettings(**{"listen": "127.0.0.1:0", **settings}), self.live, Info("test", 25.0, True, {}))
        self.port = int(self.web.url.rsplit(":", 1)[1].strip("/"))
        self.address = "127.0.0.1", self.port
        self._feeding = threading.Event()
        self._feeder: threading.Thread | None = None

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
        """Send a request and return the unread response, which the caller closes. Header names are given with underscores."""
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_S)
        # the response owns the socket from here on
        connection.request(method, path, body, {"Connection": "close"} | {n.replace("_", "-"): v for n, v in headers.items()})
        return connection.getresponse()

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        answer = self.ask("GET", path, **headers)
        with answer:
            return answer.status, answer.read()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[1])

    def feed(self, frames: list[FusedFrame]) -> None:
        """Write the frames again and again in a thread until `close`."""

        def run() -> None:
            k = 0
            while not self._feeding.wait(0.01):
                self.live.write(frames[k % len(frames)])
                k += 1

        self._feeder = threading.Thread(target=run)
        self._feeder.start()

    def close(self) -> None:
        self._feeding.set()
        if self._feeder is not None:
            joined(self._feeder, "the feeder of frames")
        self.web.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """`serve(**settings)` makes a page that is closed when the test ends."""
    made: list[Served] = []

    def make(**settings: Any) -> Served:
        made.append(Served(**settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def frames() -> list[FusedFrame]:
    """Four fused frames of the demo scene, 96 x 80, with raw infrared in degrees Celsius."""
    with edgefuse.open_source("demo?size=96x80&frames=4&scene=day&depth=16") as source, edgefuse.load("blend-classic") as fuser:
        return [fuser.fuse(pair) for _ in range(4) if (pair := source.read()) is not None]


def raw_pair(counts: np.ndarray[Any, Any], visible: np.ndarray[Any, Any], law: Radiometry | None = None) -> FramePair:
    return FramePair(Frame(visible, "visible", 1, "a"), Frame(counts, "infrared", 1, "a", law), 0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, from the system or from playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if path is None and not Path(p.chromium.executable_path).exists():
            pytest.skip("no Chromium: apt install chromium, or playwright install chromium")
        chromium = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Any]]:
    """`tab(url, **context)` opens a page and checks that it logs no errors."""
    contexts, troubles = [], []

    def make(url: str, **context: Any) -> Any:
        contexts.append(browser.new_context(**context))
        made = contexts[-1].new_page()
        made.set_default_timeout(DEADLINE_S * 1000)
        made.on("pageerror", lambda e: troubles.append(str(e)))
        made.on("console", lambda m: troubles.append(m.text) if m.type == "error" and "Failed to load resource" not in m.text else None)
        made.goto(url)
        return made

    yield make
    for context in contexts:
        context.close()
    assert not troubles


@pytest.fixture(scope="session")
def plain() -> FusedFrame:
    """A frame with fused green, visible blue, and infrared from black to a hot spot of 40 degrees C at (width / 4, height / 2)."""
    counts = np.full((96, 128), 29315, np.uint16)
    counts[48, 32] = 31315
    counts[10, 120] = 27315
    visible, green = np.zeros((96, 128, 3), np.uint8), np.zeros((96, 128, 3), np.uint8)
    visible[..., 0], green[..., 1] = 255, 255
    return FusedFrame(
        green, raw_pair(counts, visible, Radiometry("test", 0.01, -273.15)), {"blend": 2_000_000}, np.ones((12, 16), np.float32), 8
    )
