"""Recordings on the page: their list, and each finished one to play or to download.

A name from outside is only compared with the names in the list, which the recording makes; it never becomes a path.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from edgefuse.errors import EdgeFuseError
from edgefuse.telemetry.live import KeptFile, Live
from edgefuse.web.posted import disconnected
from edgefuse.web.ranges import Version
from edgefuse.web.refusal import refusal

_LISTED = 50  # recordings listed where nothing else is asked for
_MOST_LISTED = 5000
_CHUNK = 65536  # bytes; a client gets connection.WRITE_S for each
_TYPES = {"mp4": "video/mp4", "png": "image/png", "efr": "application/octet-stream"}

T = TypeVar("T")


class Recordings:
    """Routes of the recordings. All coroutines run in one event loop; files are read in threads."""

    def __init__(self, live: Live, most: int, count_sent: Callable[[int], None]) -> None:
        """most: largest number of files sent at once. count_sent: is told of bytes sent."""
        self._live, self._most, self._count_sent = live, most, count_sent
        self._pool = ThreadPoolExecutor(2, "edgefuse-web-files")
        self._open = 0

    def routes(self) -> list[BaseRoute]:
        return [Route("/recordings.json", self._list, methods=["GET"]), Route("/recordings/{name}", self._send, methods=["GET"])]

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _list(self, request: Request) -> Response:
        count = request.query_params.get("count", str(_LISTED))
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= _MOST_LISTED):
            return PlainTextResponse(f"count: expected a number from 1 to {_MOST_LISTED}\n", 400)
        library = self._live.library
        if library is None:
            return JSONResponse({"kept": False, "count": 0, "bytes": 0, "recordings": []})
        try:
            kept = await self._run(library.kept)
        except EdgeFuseError as e:
            return refusal(e, 500)
        listed = [_facts(one) for one in kept[: int(count)]]
        return JSONResponse({"kept": True, "count": len(kept), "bytes": sum(one.nbytes for one in kept), "recordings": listed})

    async def _send(self, request: Request) -> Response:
        name, library = request.path_params["name"], self._live.library
        if self._open >= self._most:
            return PlainTextResponse("too many recordings are sent at once\n", 503, {"Retry-After": "5"})
        self._open += 1
        file, answer = None, None
        try:
            file = await self._run(library.open_kept, name) if library is not None else None
            answer = PlainTextResponse("no such recording\n", 404) if file is None else self._answer(request, name, file)
        except OSError as e:
            return PlainTextResponse(f"the recording can't be read: {e.strerror}\n", 500)
        except EdgeFuseError as e:
            return refusal(e, 500)
        finally:
            # a part that is sent keeps the place and the file
            if not isinstance(answer, _FileResponse):
                self.done(file)
        return answer

    def _answer(self, request: Request, name: str, file: BinaryIO) -> Response:
        version = Version.of(os.fstat(file.fileno()))
        headers = {"Accept-Ranges": "bytes", "ETag": version.etag, "Last-Modified": version.modified}
        headers["Content-Disposition"] = f'{"attachment" if "download" in request.query_params else "inline"}; filename="{name}"'
        begin, end, code = 0, version.size, 200
        try:
            asked = version.asked(request.headers) if request.method == "GET" else None
        except IndexError:
            return PlainTextResponse(
                "the range lies behind the end\n", 416, {"Content-Range": f"bytes */{version.size}", "Accept-Ranges": "bytes"}
            )
        if asked is not None:
            (begin, end), code = asked, 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{version.size}"
        headers["Content-Length"] = str(end - begin)
        kind = _TYPES[name.rpartition(".")[2]]
        if request.method == "HEAD":
            return Response(None, code, headers, kind)
        return _FileResponse(self, file, (begin, end), code, headers, kind)

    def done(self, file: BinaryIO | None) -> None:
        """Give back a place, and close its file."""
        self._open -= 1
        if file is not None:
            file.close()

    async def send(self, send: Send, file: BinaryIO, part: tuple[int, int], disconnected: asyncio.Future[None]) -> None:
        """Send a part of a file, from its first byte to before its last, as the body of a response; ends where the client has gone."""
        begin, end = part
        while begin < end and not disconnected.done():
            data: bytes = await self._run(os.pread, file.fileno(), min(_CHUNK, end - begin), begin)
            if not data:
                # the connection breaks, so that the client notices
                raise OSError("a recording has become shorter while it was sent")
            begin += len(data)
            await send({"type": "http.response.body", "body": data, "more_body": begin < end})
            self._count_sent(len(data))
        if part[0] == part[1]:
            await send({"type": "http.response.body", "body": b""})

    async def _run(self, do: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, do, *args)


class _FileResponse(Response):
    """A part of an open file, read as fast as the client takes it. Closes the file."""

    def __init__(
        self, owner: Recordings, file: BinaryIO, part: tuple[int, int], code: int, headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(None, code, headers, media_type)
        self._owner, self._file, self._part = owner, file, part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._owner.send(send, self._file, self._part, gone)
        finally:
            gone.cancel()
            self._owner.done(self._file)


def _facts(one: KeptFile) -> dict[str, object]:
    return {"name": one.name, "bytes": one.nbytes, "begin_s": one.begin_s, "open": one.open}
