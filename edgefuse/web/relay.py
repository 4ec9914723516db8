"""Sends the newest frame to all viewers, encoded once per frame and view, and only while there are viewers.

A viewer gets the newest part as soon as its connection has accepted the previous one; frames in between are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator
from concurrent.futures import Executor

from edgefuse.frames import FusedFrame
from edgefuse.telemetry.live import Live
from edgefuse.web.views import View, ViewRenderer

log = logging.getLogger(__name__)

BOUNDARY = "edgefuse"
_RETRY_S = 0.5


class Relay:
    """Encodes frames for all viewers. Lives in one event loop; `pool` has one thread, which draws."""

    def __init__(self, live: Live, renderer: ViewRenderer, pool: Executor, fps: float, quality: int) -> None:
        self._live, self._renderer, self._pool, self._interval_s, self._quality = live, renderer, pool, 1 / fps, quality
        self._viewers: dict[object, tuple[tuple[View, ...], asyncio.Event]] = {}
        self._count = 0  # of the frame in the parts
        self._parts: dict[View, bytes] = {}
        self._joined: dict[tuple[View, ...], bytes] = {}
        self._task: asyncio.Task[None] | None = None
        self._frame_ready = asyncio.Event()
        self._notified = False
        self._closing = False

    @property
    def viewers(self) -> int:
        """Number of connected viewers."""
        return len(self._viewers)

    async def stream(self, views: tuple[View, ...], disconnected: asyncio.Future[None]) -> AsyncGenerator[bytes, None]:
        """Yield the parts of a multipart/x-mixed-replace body, each with the newest frame's views at that time.

        Ends when the relay is closed or `disconnected` is done.
        """
        key, wake, seen = object(), asyncio.Event(), 0
        self._viewers[key] = views, wake
        disconnected.add_done_callback(lambda _: wake.set())
        try:
            self._start()
            while not self._closing and not disconnected.done():
                wake.clear()
                if self._count != seen and all(v in self._parts for v in views):
                    seen = self._count
                    if views not in self._joined:
                        self._joined[views] = b"".join(self._parts[v] for v in views)
                    yield self._joined[views]
                else:
                    await wake.wait()
        finally:
            del self._viewers[key]
            if not self._viewers:
                self._frame_ready.set()

    def close(self) -> None:
        """End every `stream`."""
        self._closing = True
        self._wake_all()
        self._frame_ready.set()

    def _start(self) -> None:
        """Start encoding. A new viewer sees the newest frame at once, even if the run stands still, but no frame older than that."""
        newest = self._live.newest
        if newest is None or newest[0] != self._count:
            self._parts, self._joined = {}, {}
        self._frame_ready.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._encode())

    async def _encode(self) -> None:
        """Encode while there are viewers, whatever fails."""
        while self._viewers and not self._closing:
            try:
                await self._encode_loop()
            except Exception as e:
                log.warning("the web page's pictures failed (%s: %s) and go on", type(e).__name__, e)
                await asyncio.sleep(_RETRY_S)

    async def _encode_loop(self) -> None:
        loop = asyncio.get_running_loop()

        def on_frame(_count: int, _fused: FusedFrame) -> None:
            # runs in the run's thread: one call into the loop, and only if the loop waits for it
            if not self._notified:
                self._notified = True
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._frame_ready.set)

        end = self._live.watch(on_frame)
        try:
            while self._viewers and not self._closing:
                begin = loop.time()
                self._frame_ready.clear()
                self._notified = False
                newest = self._live.newest
                views = {v for wanted, _ in self._viewers.values() for v in wanted}
                if newest is None or (newest[0] == self._count and views <= self._parts.keys()):
                    await self._frame_ready.wait()
                    continue
                await self._make(*newest, views)
                del newest
                await asyncio.sleep(max(0.0, begin + self._interval_s - loop.time()))
        finally:
            end()
            with contextlib.suppress(RuntimeError):
                self._pool.submit(self._renderer.forget)

    async def _make(self, count: int, fused: FusedFrame, views: set[View]) -> None:
        done = self._parts if count == self._count else {}
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._pool, self._made, count, fused, views - done.keys())
        except Exception as e:
            # the next frame may work
            log.warning("the web page can't show %s (%s: %s)", fused.name, type(e).__name__, e)
            made = {}
        self._count, self._parts, self._joined = count, {**done, **made}, {}
        self._wake_all()

    def _wake_all(self) -> None:
        for _, wake in self._viewers.values():
            wake.set()

    def _made(self, count: int, fused: FusedFrame, views: set[View]) -> dict[View, bytes]:
        spots = self._renderer.spots(fused, self._live.unit)
        facts = json.dumps({"frame": count, "name": fused.name, "map": fused.decided_map is not None, **spots})
        return {view: part(self._renderer.jpeg(fused, view, self._quality), str(view), facts) for view in views}


def part(jpeg: bytes, view: str, facts: str) -> bytes:
    """Return one part of the body, with the boundary before it."""
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-View: {view}\r\nX-Frame: {facts}\r\n\r\n"
    return head.encode("ascii") + jpeg + b"\r\n"
