"""The page of --click over real HTTP: served only to clients on this machine that know its URL."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest

from edgefuse.calibration import points
from edgefuse.calibration.clicks import collect
from edgefuse.calibration.views import views
from edgefuse.errors import OutputError
from tests.calibration.scenes import street
from tests.support.waiting import signalled

PAIRS = [[10, 10, 10, 10], [300, 12, 300, 12], [290, 220, 290, 220], [15, 230, 15, 230], [150, 100, 151, 100]]


class Page:
    """The page, served in a thread; `result` holds what `collect` returned."""

    def __init__(self) -> None:
        self.result: list[np.ndarray] = []
        self._ready = threading.Event()
        view = views([street(2)])[0]

        def serve() -> None:
            self.result.append(collect(view, lambda p: points.fit(p, (320, 240), (320, 240)), self._announced))

        self.thread = threading.Thread(target=serve)
        self.thread.start()
        signalled(self._ready, "the page's address")

    def _announced(self, address: str) -> None:
        self.address = urlsplit(address)
        self._ready.set()

    def ask(self, method: str, path: str, body: bytes | None = None, host: str | None = None) -> tuple[int, bytes]:
        assert self.address.port is not None
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=20)
        connection.request(method, path, body, {"Host": host} if host else {})
        answer = connection.getresponse()
        result = answer.status, answer.read()
        connection.close()
        return result

    def post(self, what: str, value: object) -> tuple[int, bytes]:
        return self.ask("POST", f"{self.address.path}{what}", json.dumps(value).encode())


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page()
    yield made
    if made.thread.is_alive() and not made.result:
        made.post("done", PAIRS)
    made.thread.join(20)
    assert not made.thread.is_alive()


def test_points_are_judged_and_saved(page: Page) -> None:
    assert page.address.hostname == "127.0.0.1"
    code, text = page.ask("GET", page.address.path)
    assert code == 200
    assert text.count(b"data:image/png;base64,") == 2
    assert b"@VISIBLE@" not in text
    # nothing is loaded from other servers
    assert b"http://" not in text
    assert b"https://" not in text
    fit = json.loads(page.post("fit", PAIRS)[1])
    assert fit["error_px"] < 1
    assert len(fit["residuals_px"]) == 5
    assert "4 is the fewest" in json.loads(page.post("fit", PAIRS[:2])[1])["problem"]
    # an invalid save leaves the page open
    assert "4 is the fewest" in json.loads(page.post("done", [])[1])["problem"]
    assert page.result == []
    assert page.post("done", PAIRS)[0] == 200
    page.thread.join(20)
    assert np.array_equal(page.result[0], PAIRS)


def test_requests_without_the_secret_or_from_other_hosts_are_refused(page: Page) -> None:
    path = page.address.path
    for wrong in ("/", "/favicon.ico", path[:-2] + "/", "/../../etc/passwd", path + "../../../../etc/passwd", path + "page.html"):
        assert page.ask("GET", wrong)[0] == 404
    # DNS rebinding: another page whose name resolves to this address
    assert page.ask("GET", path, host="evil.example:80")[0] == 404
    assert page.ask("POST", path + "done", json.dumps(PAIRS).encode(), host="evil.example:80")[0] == 404
    assert page.ask("POST", path + "other", b"[]")[0] == 404


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"[1]", b"[[1,2,3]]", b'[[1,2,3,"4"]]', b"[[1,2,3,1e9]]", b"[[1,2,3,NaN]]", b"\xff", b"[" * 60000]
)
def test_invalid_point_lists_are_refused(page: Page, body: bytes) -> None:
    assert page.ask("POST", f"{page.address.path}done", body)[0] == 400
    assert page.result == []


def test_a_too_long_request_is_not_read(page: Page) -> None:
    assert page.address.port is not None
    connection = http.client.HTTPConnection("127.0.0.1", page.address.port, timeout=20)
    connection.putrequest("POST", f"{page.address.path}done")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_a_port_in_use_is_an_error(page: Page) -> None:
    view = views([street(2)])[0]
    with pytest.raises(OutputError, match=rf"cannot serve on 127\.0\.0\.1:{page.address.port}: .*--port"):
        collect(view, lambda p: points.fit(p, (320, 240), (320, 240)), print, page.address.port or 0)
