"""Page for clicking point pairs, served to this machine only, until the points are saved.

It is bound to 127.0.0.1, every URL begins with a new random secret, and requests for another host are refused, so that no other page
in the browser can reach it. No request names a file.
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
from edgefuse.calibration.views import View
from edgefuse.errors import CalibrationError, OutputError
from edgefuse.util.arrays import Float32Array
from edgefuse.util.images import encode

_MAX_BODY_BYTES = 1 << 16  # bytes of a request
_MAX_POINTS = 200  # points
_NOT_FOUND_TEXT = b"no such page; open the address that edgefuse calibrate printed\n"


def collect(view: View, fit: Callable[[Array], Fit], announce: Callable[[str], None], port: int = 0) -> Array:
    """Serve the page until its points are saved. Returns them as float64 (N, 4): visible x, y and infrared x, y.

    fit: called for every new set of points; its CalibrationError is shown on the page. announce: receives the page's URL. port: 0 for
    any free port. Raises OutputError where the port is in use.
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
        text = text.replace(name, "data:image/png;base64," + base64.b64encode(encode(_full_contrast(picture), ".png")).decode())
    return text.encode()


def _full_contrast(picture: Float32Array) -> np.ndarray:
    """Stretch the contrast, so that points are visible in faint infrared too."""
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
            self._send(404, "text/plain", _NOT_FOUND_TEXT)

    def do_POST(self) -> None:
        what = self._allowed()
        if what is None:
            return
        if what not in ("fit", "done"):
            self._send(404, "text/plain", _NOT_FOUND_TEXT)
            return
        try:
            points = self._points()
            result = self.server.fit(points)
        except CalibrationError as e:
            self._json({"problem": str(e)})
            return
        except ValueError as e:
            self._send(400, "text/plain", f"{e}\n".encode())
            return
        self._json(
            {
                "error_px": result.error_px,
                "residuals_px": result.residuals_px.tolist(),
                "left_out": np.flatnonzero(~result.used).tolist(),
            }
        )
        if what == "done":
            self.server.points = points
            # called in this handler's own thread, because shutdown() waits for the serving thread
            self.server.shutdown()

    def _points(self) -> Array:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= _MAX_BODY_BYTES):
            raise ValueError("expected a short JSON list")
        try:
            points = json.loads(self.rfile.read(int(length)))
        except RecursionError:
            raise ValueError("expected a flat JSON list") from None
        ok = isinstance(points, list) and len(points) <= _MAX_POINTS and all(isinstance(p, list) and len(p) == 4 for p in points)
        if not ok or not all(type(v) in (int, float) and abs(v) < 1e6 for p in points for v in p):
            raise ValueError("expected a list of four numbers a pair")
        return np.array(points, np.float64).reshape(-1, 4)

    def _allowed(self) -> str | None:
        """Return the path after the secret; None, after an error response, where secret or host is wrong."""
        host, _, rest = self.headers.get("Host", ""), *self.path.partition(f"/{self.server.secret}/")[::2]
        known = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}
        if self.path.startswith(f"/{self.server.secret}/") and host in known:
            return rest
        self._send(404, "text/plain", _NOT_FOUND_TEXT)
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
        """Log nothing, because the terminal belongs to the command."""
