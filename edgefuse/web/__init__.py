"""Web page of a run ([web], `edgefuse run --web`), served from its own thread and event loop, so that the run never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from edgefuse.errors import EdgeFuseError, MissingDependencyError
from edgefuse.events import Event
from edgefuse.settings.web import WebSettings
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.outputs import OutputState
from edgefuse.util.restarting_thread import FaultLog, Worker
from edgefuse.web import address
from edgefuse.web.connection_limits import ConnectionLimits

if TYPE_CHECKING:
    from edgefuse.telemetry.live import Info
    from edgefuse.web.acceptor import Acceptor
    from edgefuse.web.app import Site

log = logging.getLogger(__name__)

_RETRY_S = 2.0
_END_S = 4.0
# connections beyond two per viewer: page loads, Prometheus scrapes, and clients that wait for a refusal
_EXTRA_CONNECTIONS = 256


class Web:
    """Serves the page from construction until `close`.

    Raises SettingsError and MissingDependencyError. An address that cannot be bound is retried, and the error is in the report.
    """

    @staticmethod
    def check(settings: WebSettings) -> None:
        """Raises SettingsError for the address or the token, MissingDependencyError without a package."""
        address.split(settings.listen)
        address.token(settings)
        try:
            from edgefuse.web import app, connection  # noqa: F401
        except ModuleNotFoundError as e:
            raise MissingDependencyError(e.name or "uvicorn", "the web page", "'edgefuse[web]'") from e

    def __init__(self, settings: WebSettings, live: Live, info: Info) -> None:
        self.check(settings)
        host, self._port = address.split(settings.listen)
        self._secured = address.token(settings) is not None
        from edgefuse.web import acceptor, app, connection, state

        self._acceptor, self._app, self._connection = acceptor, app, connection
        self._s, self._live, self._host = settings, live, host
        self._state = state.State(live, info.fps)
        self._site: Site | None = None
        self._trouble, self._serving = "", False
        self._closing = threading.Event()
        self._faults = FaultLog(log, "the web page")
        self._sock = self._listen()
        self._worker = Worker("edgefuse-web", self._run, self._faults)
        try:
            self._worker.start()
        except EdgeFuseError:
            self._state.close()
            if self._sock is not None:
                self._sock.close()  # else the address would stay in use
            raise

    @property
    def url(self) -> str:
        """URL of the page; port 0 in the settings is replaced by the port in use."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}/"

    def report(self) -> dict[str, Any]:
        """Return the page's state and counters for the run's report."""
        site = self._site
        return {
            "url": self.url,
            "token": self._secured,
            "trouble": self._trouble,
            "viewers": site.relay.viewers if site else 0,
            "viewers_turned_away": site.viewers_turned_away if site else 0,
            "pictures_encoded": site.renderer.encoded if site else 0,
            "bytes_sent": site.sent_bytes if site else 0,
        }

    def outputs(self) -> dict[str, OutputState]:
        """Return whether the page is served."""
        works = self._worker.alive and not self._trouble and self._serving
        return {"web": OutputState(True, works, faults=self._faults.count, why=self._trouble)}

    def close(self) -> None:
        """Stop serving and wait up to _END_S for the thread."""
        self._closing.set()
        self._state.close()
        self._worker.end()
        self._worker.join(_END_S)

    def _listen(self) -> socket.socket | None:
        try:
            sock = self._connection.listen(self._host, self._port)
        except OSError as e:
            error = f"cannot serve on {self._s.listen}: {e.strerror}; trying again every {_RETRY_S:g} s"
            if error != self._trouble:
                self._trouble = error
                self._live.emit(Event("sink", "web", {"trouble": error}))
            return None
        self._port, self._trouble = sock.getsockname()[1], ""
        log.info("web page on %s%s", self.url, " (with the token)" if self._secured else "")
        return sock

    def _run(self) -> None:
        while not self._closing.is_set():
            sock, self._sock = self._sock, None
            if sock is not None:
                try:
                    with sock:
                        asyncio.run(self._serve(sock))
                except Exception as e:
                    self._faults.note(e)
                    self._trouble = f"failed ({type(e).__name__}: {e}); trying again every {_RETRY_S:g} s"
                    self._live.emit(Event("sink", "web", {"trouble": self._trouble}))
                finally:
                    self._serving = False
            if not self._closing.wait(_RETRY_S):
                self._sock = self._listen()

    async def _serve(self, sock: socket.socket) -> None:
        asyncio.get_running_loop().set_exception_handler(self._note)
        limits = ConnectionLimits(2 * self._s.clients + _EXTRA_CONNECTIONS)
        site = self._site = self._app.Site(self._s, self._live, self._state, self._port, limits)
        server = self._connection.server(site.app, limits)
        acceptor = self._acceptor.Acceptor(sock, lambda: self._connection.protocol(server), limits, site.app.credentials)
        watch = asyncio.create_task(site.watch())
        end = asyncio.create_task(self._end(site, server, acceptor))
        acceptor.start()
        self._serving = True
        try:
            await server.serve(sockets=[])
        finally:
            acceptor.close()
            site.close()
            for task in (watch, end):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count an error of the event loop, such as a connection that can't be accepted for lack of descriptors."""
        self._faults.note(context.get("exception") or RuntimeError(context.get("message", "unknown")))

    async def _end(self, site: Site, server: Any, acceptor: Acceptor) -> None:
        """End the MJPEG streams, which have no end of their own, before the server waits for them."""
        while not self._closing.is_set():
            await asyncio.sleep(0.1)
        acceptor.close()
        site.relay.close()
        server.should_exit = True
