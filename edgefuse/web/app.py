"""HTTP routes of the web page. No path becomes a file's, bodies have a size limit, and slow work runs in threads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TypeVar
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from edgefuse.errors import EdgeFuseError, MissingDependencyError
from edgefuse.events import Facts
from edgefuse.settings.web import WebSettings
from edgefuse.telemetry.live import Live
from edgefuse.util.printable import escaped
from edgefuse.web import address, page
from edgefuse.web.access import AccessControl
from edgefuse.web.connection_limits import ConnectionLimits
from edgefuse.web.edits import Edits, regions
from edgefuse.web.posted import body, disconnected, posted
from edgefuse.web.recordings import Recordings
from edgefuse.web.refusal import refusal
from edgefuse.web.relay import BOUNDARY, Relay
from edgefuse.web.state import State
from edgefuse.web.views import NAMES, View, ViewRenderer

log = logging.getLogger(__name__)

_MAX_PICTURES = 4  # full pictures waiting to be encoded
_COMMAND_TIMEOUT_S = 10.0  # seconds to wait for a command
_STATE_CACHE_S = 0.9  # seconds that a state answer is reused for all who request it

T = TypeVar("T")


class Site:
    """The page's routes for one run. All coroutines run in one event loop."""

    def __init__(self, settings: WebSettings, live: Live, state: State, port: int, limits: ConnectionLimits) -> None:
        self._s, self._live, self._state = settings, live, state
        # separate threads for drawing, reports and commands, so that none delays the others
        self._draw, self._ask, self._command = self._pools = [
            ThreadPoolExecutor(1, f"edgefuse-web-{n}") for n in ("draw", "ask", "command")
        ]
        self.renderer = ViewRenderer()
        self.relay = Relay(live, self.renderer, self._draw, settings.fps, settings.quality)
        self.sent_bytes = self.viewers_turned_away = 0
        self.recordings = Recordings(live, settings.clients, self._count_sent)
        self._pictures = 0
        self._cached_state: tuple[float, bytes] = (-_STATE_CACHE_S, b"")
        self._state_lock = asyncio.Lock()
        token = address.token(settings)
        self.app = AccessControl(self._routes(), address.host_names(settings), token, port, page.login(), limits)

    def _routes(self) -> Starlette:
        get: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._page, "/stream.mjpg": self._stream, "/picture.png": self._picture, "/state.json": self._state_json,
            "/history.json": self._history, "/report.json": self._report, "/healthz": self._health, "/metrics": self._metrics,
            "/moment.jpg": self._moment, "/regions.json": self._regions,
        }  # fmt: skip
        post = {"/record": self._record, "/view": self._choose_view, "/login": self._login}
        routes: list[BaseRoute] = [Route(path, do, methods=["GET"]) for path, do in get.items()]
        routes += [Route(path, do, methods=["POST"]) for path, do in post.items()]
        routes += [*self.recordings.routes(), *Edits(self._live, self._do).routes()]
        made = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found, Exception: _server_error})
        made.router.redirect_slashes = False
        return made

    async def watch(self) -> None:
        """Sample the run once a second until cancelled."""
        while True:
            try:
                await self._run_in(self._ask, self._sample)
                await self._draw_moments()
            except Exception as e:
                # the run may be closing; try again a second later
                log.debug("the web page could not sample the run (%s: %s)", type(e).__name__, e)
            await asyncio.sleep(1)

    def _sample(self) -> None:
        self._state.sample(self.sent_bytes)

    async def _draw_moments(self) -> None:
        """Draw the pictures of alarms that were raised since the last call."""
        if self._state.moments.waiting:
            report = await self._run_in(self._ask, self._live.report)
            await self._run_in(self._draw, self._state.moments.draw, self.renderer, report.get("calibration"))

    def _count_sent(self, nbytes: int) -> None:
        self.sent_bytes += nbytes

    def close(self) -> None:
        """End all streams and stop the threads."""
        self.relay.close()
        self.recordings.close()
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    async def _run_in(self, pool: ThreadPoolExecutor, do: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, do, *args)

    async def _page(self, _: Request) -> Response:
        return page.index()

    async def _stream(self, request: Request) -> Response:
        try:
            views = tuple(dict.fromkeys(View.parse(text) for text in request.query_params.get("view", "fused").split(",", len(NAMES))))
        except ValueError as e:
            return refusal(e, 400)
        if request.method == "HEAD":
            return Response(media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        # draw with the run's calibration, which may change with a reload
        report = await self._run_in(self._ask, self._live.report)
        await self._run_in(self._draw, self.renderer.calibrate, report.get("calibration"))
        if self.relay.viewers >= self._s.clients:
            self.viewers_turned_away += 1
            return PlainTextResponse(
                f"{self._s.clients} viewers are connected already; close one, or raise clients in [web]\n", 503, {"Retry-After": "5"}
            )
        return _MjpegStream(self, views)

    async def _picture(self, request: Request) -> Response:
        asked = request.query_params
        try:
            view, over = View.parse(asked.get("view", "fused")), View.parse(asked["over"]) if "over" in asked else None
            share = float(asked.get("share", "0"))
            if not 0 <= share <= 1:
                raise ValueError("share: expected a number from 0 to 1")
        except ValueError as e:
            return refusal(e, 400)
        newest = self._live.newest
        if newest is None:
            return PlainTextResponse("no frame yet\n", 503, {"Retry-After": "1"})
        if self._pictures >= _MAX_PICTURES:
            return PlainTextResponse("too many pictures requested at once\n", 503, {"Retry-After": "1"})
        self._pictures += 1
        try:
            made = await self._run_in(self._draw, self.renderer.png, newest[1], view, over, share)
        except ValueError as e:
            return refusal(e, 409)
        finally:
            self._pictures -= 1
        name = f"edgefuse-{view.name}-{time.strftime('%Y%m%d-%H%M%S')}.png"
        return Response(made, media_type="image/png", headers={"Content-Disposition": f'attachment; filename="{name}"'})

    async def _moment(self, request: Request) -> Response:
        asked = request.query_params.get("id", "")
        made = self._state.moments.jpeg(int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 10 else None
        if made is None:
            return PlainTextResponse("no such picture\n", 404)
        return Response(made, media_type="image/jpeg")

    async def _regions(self, _: Request) -> Response:
        return JSONResponse(await self._run_in(self._draw, regions, self._live, self.renderer))

    async def _state_json(self, _: Request) -> Response:
        async with self._state_lock:
            if time.monotonic() - self._cached_state[0] >= _STATE_CACHE_S:
                self._cached_state = time.monotonic(), await self._run_in(self._ask, self._state_bytes)
        return Response(self._cached_state[1], media_type="application/json")

    def _state_bytes(self) -> bytes:
        viewers = {"viewers": self.relay.viewers, "viewers_most": self._s.clients, "fps_most": self._s.fps}
        return json.dumps(self._state.now() | viewers, default=str).encode()

    async def _history(self, _: Request) -> Response:
        return JSONResponse(self._state.history)

    async def _report(self, _: Request) -> Response:
        report = await self._run_in(self._ask, self._live.report)
        return Response(json.dumps(escaped(report), default=str), media_type="application/json")

    async def _health(self, _: Request) -> Response:
        health = escaped(self._state.health())
        return JSONResponse(health, 200 if health["ok"] else 503)

    async def _metrics(self, _: Request) -> Response:
        try:
            text = await self._run_in(self._ask, _prometheus_text, self._live)
        except MissingDependencyError as e:
            return refusal(e, 501)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _record(self, request: Request) -> Response:
        on, status = await posted(request, "on", bool)
        if on is None:
            return PlainTextResponse('expected JSON: {"on": true} or {"on": false}\n', status)
        if "record" not in self._live.commands:
            return PlainTextResponse("recording is not set up; add a [recording] table to the settings\n", 409)
        return await self._do("record", {"on": on})

    async def _choose_view(self, request: Request) -> Response:
        name, status = await posted(request, "view", str)
        if name is None:
            return PlainTextResponse('expected JSON: {"view": NAME}\n', status)
        return await self._do("view", {"view": name})

    async def _do(self, command: str, arguments: Facts, within_s: float = _COMMAND_TIMEOUT_S) -> Response:
        """Run a command and return its answer, or after `within_s` seconds that there is none yet."""
        try:
            answer: Facts = await asyncio.wait_for(self._run_in(self._command, self._live.run_command, command, arguments), within_s)
        except EdgeFuseError as e:
            return refusal(e, 409)
        except TimeoutError:
            return PlainTextResponse("no answer yet; look at the page's state\n", 504)
        self._cached_state = (-_STATE_CACHE_S, b"")
        return Response(json.dumps(dict(answer), default=str), media_type="application/json")

    async def _login(self, request: Request) -> Response:
        given_body = await body(request)
        if given_body is None:
            return PlainTextResponse("request body too long\n", 413)
        try:
            given = parse_qs(given_body.decode("ascii", "replace"), max_num_fields=4).get("token", [""])[0]
        except ValueError:
            given = ""
        if await self.app.is_token(given, request.scope["client"]):
            return self.app.login_redirect()
        return page.login(wrong=True)


class _MjpegStream(Response):
    """An endless MJPEG response of the newest pictures."""

    def __init__(self, site: Site, views: tuple[View, ...]) -> None:
        super().__init__(media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        del self.headers["content-length"]
        self._site, self._views = site, views

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            async with contextlib.aclosing(self._site.relay.stream(self._views, gone)) as stream:
                async for part in stream:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    # returns once the network has accepted all of it, so that the next picture is the newest
                    await send({"type": "http.response.body", "body": b"", "more_body": True})
                    self._site.sent_bytes += len(part)
            await send({"type": "http.response.body", "body": f"--{BOUNDARY}--\r\n".encode()})
        finally:
            gone.cancel()


def _prometheus_text(live: Live) -> bytes:
    # imported on first use, because prometheus_client is a separate extra
    return import_module("edgefuse.telemetry.prometheus").exposition(live)


async def _not_found(request: Request, error: Exception) -> Response:
    code = getattr(error, "status_code", 404)
    return PlainTextResponse("no such page\n" if code == 404 else "method not allowed\n", code, getattr(error, "headers", None))


async def _server_error(request: Request, error: Exception) -> Response:
    log.warning("the web page failed to answer %s (%s: %s)", request.url.path, type(error).__name__, error)
    return PlainTextResponse("internal error; see EdgeFuse's log\n", 500)
