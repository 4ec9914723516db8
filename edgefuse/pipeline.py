"""Source -> fuse -> sinks: three threads joined by bounded queues, so that reading and writing hide behind the network.

Recorded sources wait and lose nothing; live ones wait for nobody, and the oldest pair gives way to the newest ("overrun" where the
network is late, "slow-sink" where writing is). Every pair read ends as fused or dropped, and drops are counted by cause.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from edgefuse.errors import FrameError
from edgefuse.frames import FramePair, FusedFrame
from edgefuse.fusion.fuser import Fuser
from edgefuse.sinks.base import Sink
from edgefuse.sources.base import Source
from edgefuse.telemetry import Telemetry

T = TypeVar("T")

_AHEAD = 2  # pairs and fused frames in wait: enough to hide a slow read, few enough for 1 GB of memory
_AHEAD_LIVE = 1  # each one in wait is a frame's time of delay


class Pipeline:
    """One run. `stop` (from any thread or signal handler) ends it after the frames already read."""

    def __init__(self, source: Source, fuser: Fuser, sinks: Sequence[Sink], telemetry: Telemetry) -> None:
        self._source, self._fuser, self._sinks, self._telemetry = source, fuser, sinks, telemetry
        ahead = _AHEAD_LIVE if source.info.live else _AHEAD
        self._pairs: queue.Queue[FramePair | FrameError | None] = queue.Queue(ahead)
        self._frames: queue.Queue[FusedFrame | None] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._failures: list[BaseException] = []

    def stop(self) -> None:
        self._source.stop()
        self._stop.set()

    def run(self, limit: int | None = None, on_frame: Callable[[], None] | None = None) -> None:
        """Run to the source's end, to `limit` pairs or to `stop`; `on_frame` is called after each pair in the caller's thread.

        Raises what a source, the fuser or a sink raised, after the queues have drained; FrameErrors are counted instead.
        """
        reader = threading.Thread(target=self._read, args=(limit,), name="edgefuse-read", daemon=True)
        writer = threading.Thread(target=self._write, name="edgefuse-write", daemon=True)
        reader.start()
        writer.start()
        try:
            while (item := self._pairs.get()) is not None:
                self._fuse(item)
                del item  # a pair held while waiting for the next is memory for nothing; so below
                if on_frame:
                    on_frame()
        finally:
            self.stop()
            self._frames.put(None)
            writer.join()
        if self._failures:
            raise self._failures[0]

    def _read(self, limit: int | None) -> None:
        count = 0
        try:
            while not self._stop.is_set() and (limit is None or count < limit):
                begin = time.perf_counter_ns()
                item: FramePair | FrameError | None
                try:
                    item = self._source.read()
                except FrameError as e:
                    item = e
                if item is None:
                    break
                count += 1
                if isinstance(item, FramePair):
                    self._telemetry.read(item.nbytes, time.perf_counter_ns() - begin)
                    if item.missing != "infrared":
                        self._telemetry.infrared(item.infrared)
                if old := self._hand_on(self._pairs, item):
                    self._drop(old, "overrun", "newer frames came before its turn")
                del item, old
        except BaseException as e:
            self._failures.append(e)
        finally:
            self._pairs.put(None)

    def _fuse(self, item: FramePair | FrameError) -> None:
        if isinstance(item, FrameError):
            self._telemetry.lost(item)
            return
        if self._failures:
            # a sink failed: what was read meanwhile is lost, and counted
            self._drop(item, "unwritten", "the run had failed")
            return
        try:
            fused = self._fuser.fuse(item)
        except FrameError as e:
            self._telemetry.lost(e)
            self._source.settle(item, e.cause)
        else:
            if old := self._hand_on(self._frames, fused):
                self._drop(old.pair, "slow-sink", "it was fused, but newer frames came before it could be written")

    def _hand_on(self, line: queue.Queue[T | None], item: T) -> T | None:
        """Put `item` into `line`. A live source's reader and fuser don't wait for room: the oldest item, returned, makes it."""
        if not self._source.info.live:
            line.put(item)
            return None
        oldest = None
        while True:
            try:
                line.put_nowait(item)
                return oldest
            except queue.Full:
                # one thread puts, so at most one item has to go
                with contextlib.suppress(queue.Empty):
                    oldest = line.get_nowait()

    def _drop(self, item: FramePair | FrameError, cause: str, why: str) -> None:
        if isinstance(item, FrameError):
            self._telemetry.lost(item)
            return
        self._telemetry.lost(FrameError(item.name, cause, f"{item.name} was dropped: {why}"))
        self._source.settle(item, cause)

    def _write(self) -> None:
        while (fused := self._frames.get()) is not None:
            if self._failures:
                self._drop(fused.pair, "unwritten", "it was fused but not written, as the run had failed")
                continue
            begin = time.perf_counter_ns()
            try:
                for sink in self._sinks:
                    sink.write(fused)
            except BaseException as e:
                self._failures.append(e)
                self.stop()
                self._drop(fused.pair, "unwritten", f"it was fused but not written: {e}")
            else:
                self._telemetry.fused(fused, time.perf_counter_ns() - begin)
                self._source.settle(fused.pair, None)
            del fused
