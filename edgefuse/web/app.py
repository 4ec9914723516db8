"""What can be asked for, path by path. No path names a file; bodies are read to a bound; what takes longer is done in another thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edgefuse.errors import EdgeFuseError, MissingDependencyError
from edgefuse.settings.web import WebSettings
from edgefuse.telemetry.live import Live
from edgefuse.web import address, page
from edgefuse.web.access import Gate
from edgefuse.web.relay import BOUNDARY, Relay
from edgefuse.web.state import State
from edgefuse.web.views import NAMES, Studio, View

log = logging.getLogger(__name__)

_LARGEST = 1024  # bytes of a request's body
_PICTURES = 4  # whole pictures waiting to be encoded
_ANSWER_S = 10.0  # for a command
_STATE_S = 0.9  # an answer is good for this long, however many ask


class Site:
    """The page and what it asks for, of one run. Its coroutines live in one event loop."""

    def __init__(self, settings: WebSettings, live: Live, state: State, port: int) -> None:
        self._s, self._live, self._state = settings, live, state
        # a thread that draws, one that makes reports, one that passes commands on: none keeps another waiting
        self._draw, self._ask, self._command = self._pools = [
            ThreadPoolExecutor(1, f"edgefuse-web-{n}") for n in ("draw", "ask", "command")
        ]
        self.studio = Studio()
        self.relay = Relay(live, self.studio, self._draw, settings.fps, settings.quality)
        self.sent_bytes = self.viewers_turned_away = 0
        self._pictures = 0
        self._told: tuple[float, bytes] = (-_STATE_S, b"")
        self._telling = asyncio.Lock()
        token = address.token(settings)
        self.app = Gate(self._routes(), address.names(settings), token, port, page.login())

    def _routes(self) -> Starlette:
        get: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._page, "/stream.mjpg": self._stream, "/picture.png": self._picture, "/state.json": self._state_json,
            "/history.json": self._history, "/report.json": self._report, "/healthz": self._health, "/metrics": self._metrics,
        }  # fmt: skip
        post = {"/record": self._record, "/login": self._login}
        routes = [Route(path, do, methods=["GET"]) for path, do in get.items()]
        routes += [Route(path, do, methods=["POST"]) for path, do in post.items()]
        made = Starlette(routes=routes, exception_handlers={404: _nothing, 405: _nothing, Exception: _fault})
        made.router.redirect_slashes = False
        return made

    async def watch(self) -> None:
        """Sample the run once a second, for as long as it lives."""
        while True:
            try:
                await self._in(self._ask, self._sample)
            except Exception as e:
                # as when it is being closed; the next second may be another matter
                log.debug("the web page has no sample (%s: %s)", type(e).__name__, e)
            await asyncio.sleep(1)

    def _sample(self) -> None:
        self._state.sample(self.sent_bytes)

    def close(self) -> None:
        self.relay.close()
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    async def _in(self, pool: ThreadPoolExecutor, do: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, do, *args)

    async def _page(self, _: Request) -> Response:
        return page.whole()

    async def _stream(self, request: Request) -> Response:
        try:
            views = tuple(dict.fromkeys(View.parse(text) for text in request.query_params.get("view", "fused").split(",", len(NAMES))))
        except ValueError as e:
            return PlainTextResponse(f"{e}\n", 400)
        if request.method == "HEAD":
            return Response(media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        # drawn as the run does it: which calibration that is may change with a reload
        report = await self._in(self._ask, self._live.report)
        await self._in(self._draw, self.studio.calibrate, report.get("calibration"))
        if self.relay.viewers >= self._s.clients:
            self.viewers_turned_away += 1
            return PlainTextResponse(
                f"{self._s.clients} are looking already; close one, or raise clients in [web]\n", 503, {"Retry-After": "5"}
            )
        return _Film(self, views)

    async def _picture(self, request: Request) -> Response:
        asked = request.query_params
        try:
            view, over = View.parse(asked.get("view", "fused")), View.parse(asked["over"]) if "over" in asked else None
            share = float(asked.get("share", "0"))
            if not 0 <= share <= 1:
                raise ValueError("share: expected a number from 0 to 1")
        except ValueError as e:
            return PlainTextResponse(f"{e}\n", 400)
        newest = self._live.newest
        if newest is None:
            return PlainTextResponse("no frame yet\n", 503, {"Retry-After": "1"})
        if self._pictures >= _PICTURES:
            return PlainTextResponse("too many pictures at once\n", 503, {"Retry-After": "1"})
        self._pictures += 1
        try:
            made = await self._in(self._draw, self.studio.png, newest[1], view, over, share)
        finally:
            self._pictures -= 1
        name = f"edgefuse-{view.name}-{time.strftime('%Y%m%d-%H%M%S')}.png"
        return Response(made, media_type="image/png", headers={"Content-Disposition": f'attachment; filename="{name}"'})

    async def _state_json(self, _: Request) -> Response:
        async with self._telling:
            if time.monotonic() - self._told[0] >= _STATE_S:
                self._told = time.monotonic(), await self._in(self._ask, self._tell)
        return Response(self._told[1], media_type="application/json")

    def _tell(self) -> bytes:
        viewers = {"viewers": self.relay.viewers, "viewers_most": self._s.clients, "fps_most": self._s.fps}
        return json.dumps(self._state.now() | viewers, default=str).encode()

    async def _history(self, _: Request) -> Response:
        return JSONResponse(self._state.history)

    async def _report(self, _: Request) -> Response:
        report = await self._in(self._ask, self._live.report)
        return Response(json.dumps(report, default=str), media_type="application/json")

    async def _health(self, _: Request) -> Response:
        health = self._state.health()
        return JSONResponse(health, 200 if health["ok"] else 503)

    async def _metrics(self, _: Request) -> Response:
        try:
            text = await self._in(self._ask, _exposition, self._live)
        except MissingDependencyError as e:
            return PlainTextResponse(f"{e}\n", 501)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _record(self, request: Request) -> Response:
        body = await _body(request)
        try:
            given = json.loads(body or b"")
        except (ValueError, RecursionError):
            given = None
        on = given.get("on") if isinstance(given, dict) and given.keys() == {"on"} else None
        # a form of another page can't send this type without asking first
        if request.headers.get("content-type") != "application/json" or not isinstance(on, bool):
            return PlainTextResponse('expected JSON: {"on": true} or {"on": false}\n', 400 if body is not None else 413)
        if "record" not in self._live.commands:
            return PlainTextResponse("recording is not set up; add a table [recording] to the settings\n", 409)
        try:
            answer: Mapping[str, Any] = await asyncio.wait_for(self._in(self._command, self._live.ask, "record", {"on": on}), _ANSWER_S)
        except EdgeFuseError as e:
            return PlainTextResponse(f"{e}\n", 409)
        except TimeoutError:
            return PlainTextResponse("no answer yet; look whether it is recording\n", 504)
        self._told = (-_STATE_S, b"")
        return Response(json.dumps(dict(answer), default=str), media_type="application/json")

    async def _login(self, request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return PlainTextResponse("too long\n", 413)
        try:
            given = parse_qs(body.decode("ascii", "replace"), max_num_fields=4).get("token", [""])[0]
        except ValueError:
            given = ""
        if await self.app.right(given):
            return self.app.welcome()
        return page.login(wrong=True)


class _Film(Response):
    """A body without end, of the newest pictures."""

    def __init__(self, site: Site, views: tuple[View, ...]) -> None:
        super().__init__(media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        del self.headers["content-length"]
        self._site, self._views = site, views

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_gone(receive))
        try:
            async with contextlib.aclosing(self._site.relay.look(self._views, gone)) as film:
                async for part in film:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    # returns once the network has taken all of it: the next picture is then the newest
                    await send({"type": "http.response.body", "body": b"", "more_body": True})
                    self._site.sent_bytes += len(part)
            await send({"type": "http.response.body", "body": f"--{BOUNDARY}--\r\n".encode()})
        finally:
            gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes | None:
    """The body; None where it is longer than any that is expected."""
    read = b""
    try:
        async for chunk in request.stream():
            read += chunk
            if len(read) > _LARGEST:
                return None
    except ClientDisconnect:
        return None
    return read


def _exposition(live: Live) -> bytes:
    # imported when first asked for: prometheus_client is an extra of its own
    return import_module("edgefuse.telemetry.prometheus").exposition(live)


async def _nothing(request: Request, error: Exception) -> Response:
    code = getattr(error, "status_code", 404)
    return PlainTextResponse("there is no such page\n" if code == 404 else "not this way\n", code, getattr(error, "headers", None))


async def _fault(request: Request, error: Exception) -> Response:
    log.warning("the web page failed to answer %s (%s: %s)", request.url.path, type(error).__name__, error)
    return PlainTextResponse("a fault of EdgeFuse's; its log has more\n", 500)
