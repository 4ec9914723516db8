"""Points clicked on a page that this machine alone can open, for as long as it takes.

Bound to 127.0.0.1; every address begins with a secret that is made anew each time, and requests for another host are refused, so that
no other page in the browser reaches it. What a request names is never a file.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

import numpy as np

from edgefuse.calibration.points import Fit
from edgefuse.calibration.registration import Array
from edgefuse.calibration.views import Floats, View
from edgefuse.errors import CalibrationError, OutputError
from edgefuse.util.images import encode

_LARGEST = 1 << 16  # bytes of a request
_MOST = 200  # points
_NOTHING = b"there is no such page; open the address that edgefuse calibrate printed\n"


def collect(view: View, fit: Callable[[Array], Fit], announce: Callable[[str], None], port: int = 0) -> Array:
    """Serve the page until its points are saved; returns them, float64 (N, 4), visible x, y and infrared x, y.

    fit: what is asked with every new point; its CalibrationError is shown on the page. announce: is told the page's address. port: 0
    for any that is free. Raises OutputError where the port is taken.
    """
    secret = secrets.token_urlsafe(16)
    page = _page(view)
    try:
        server = _Server(port, secret, page, fit)
    except OSError as e:
        raise OutputError(f"cannot serve on 127.0.0.1:{port}: {e.strerror}; choose another --port") from None
    with server:
        announce(f"http://127.0.0.1:{server.server_port}/{secret}/")
        server.serve_forever(poll_interval=0.1)
    assert server.points is not None
    return server.points


def _page(view: View) -> bytes:
    text = files("edgefuse.calibration").joinpath("page.html").read_text("utf-8")
    for name, picture in (("@VISIBLE@", view.visible), ("@INFRARED@", view.infrared)):
        text = text.replace(name, "data:image/png;base64," + base64.b64encode(encode(_clear(picture), ".png")).decode())
    return text.encode()


def _clear(picture: Floats) -> np.ndarray:
    """In full contrast: faint infrared has points, too."""
    low, high = np.percentile(picture, (0.5, 99.5))
    return np.clip((picture - low) * np.float32(255 / max(high - low, 8)), 0, 255).astype(np.uint8)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, secret: str, page: bytes, fit: Callable[[Array], Fit]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.secret, self.page, self.fit = secret, page, fit
        self.points: Array | None = None


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30

    def do_GET(self) -> None:
        what = self._allowed()
        if what == "":
            self._send(200, "text/html; charset=utf-8", self.server.page)
        elif what is not None:
            self._send(404, "text/plain", _NOTHING)

    def do_POST(self) -> None:
        what = self._allowed()
        if what is None:
            return
        if what not in ("fit", "done"):
            self._send(404, "text/plain", _NOTHING)
            return
        try:
            points = self._points()
            found = self.server.fit(points)
        except CalibrationError as e:
            self._json({"problem": str(e)})
            return
        except ValueError as e:
            self._send(400, "text/plain", f"{e}\n".encode())
            return
        self._json(
            {
                "error_px": found.error_px,
                "residuals_px": found.residuals_px.tolist(),
                "left_out": np.flatnonzero(~found.used).tolist(),
            }
        )
        if what == "done":
            self.server.points = points
            # from this handler's own thread: the one that serves has to return to hear of it
            self.server.shutdown()

    def _points(self) -> Array:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= _LARGEST):
            raise ValueError("expected a short JSON list")
        try:
            points = json.loads(self.rfile.read(int(length)))
        except RecursionError:
            raise ValueError("expected a flat JSON list") from None
        ok = isinstance(points, list) and len(points) <= _MOST and all(isinstance(p, list) and len(p) == 4 for p in points)
        if not ok or not all(type(v) in (int, float) and abs(v) < 1e6 for p in points for v in p):
            raise ValueError("expected a list of four numbers a pair")
        return np.array(points, np.float64).reshape(-1, 4)

    def _allowed(self) -> str | None:
        """What follows the secret in the path; None where that or the host is wrong, after saying so."""
        host, _, rest = self.headers.get("Host", ""), *self.path.partition(f"/{self.server.secret}/")[::2]
        known = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}
        if self.path.startswith(f"/{self.server.secret}/") and host in known:
            return rest
        self._send(404, "text/plain", _NOTHING)
        return None

    def _json(self, value: Any) -> None:
        self._send(200, "application/json", json.dumps(value).encode())

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header(
            "Content-Security-Policy",
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'",
        )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """The terminal belongs to the command."""
