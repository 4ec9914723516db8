"""Source -> fuse -> sinks: three threads joined by bounded queues, so that reading and writing hide behind the network.

Recorded sources wait and lose nothing; live ones wait for nobody, and the oldest pair gives way to the newest ("overrun" where the
network is late, "slow-sink" where writing is). Every pair read ends as fused or dropped, and drops are counted by cause.

Fuser, sinks and source can be exchanged while it runs, between two frames.
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
from edgefuse.telemetry.report import Telemetry

T = TypeVar("T")

_AHEAD = 2  # pairs and fused frames in wait: enough to hide a slow read, few enough for 1 GB of memory
_AHEAD_LIVE = 1  # each one in wait is a frame's time of delay
_POLL_S = 0.02  # while the source is exchanged


class Pipeline:
    """One run. `stop` (from any thread or signal handler) ends it after the frames already read."""

    def __init__(self, source: Source, fuser: Fuser, sinks: Sequence[Sink], telemetry: Telemetry, limit: int | None = None) -> None:
        """limit: pairs to read at most; may be set anew while it runs."""
        self._source, self._fuser, self._sinks, self._telemetry = source, fuser, sinks, telemetry
        self.limit = limit
        self._pairs: queue.Queue[FramePair | FrameError | None] = queue.Queue(_AHEAD)
        self._frames: queue.Queue[FusedFrame | None] = queue.Queue(_AHEAD)
        self._fit_queues()
        self._fusing, self._writing = threading.Lock(), threading.Lock()
        self._turn = threading.Lock()  # held by who waits to exchange them, so that the next frame gives way
        self._park, self._parked, self._ended = False, False, threading.Event()
        self._stop = False  # set by a signal handler, which must take no lock
        self._failures: list[BaseException] = []

    def _fit_queues(self) -> None:
        self._pairs.maxsize = self._frames.maxsize = _AHEAD_LIVE if self._source.info.live else _AHEAD

    def stop(self) -> None:
        self._stop = True
        self._source.stop()

    @property
    def stopping(self) -> bool:
        """Whether it was stopped, or has ended."""
        return self._stop or self._ended.is_set()

    def exchange(self, fuser: Fuser, sinks: Sequence[Sink]) -> None:
        """From another thread: go on with these from the next frame on. The old ones are nobody's any more when this returns."""
        with self._turn, self._fusing:
            self._fuser = fuser
        with self._turn, self._writing:
            self._sinks = sinks

    def park(self, stop: bool) -> None:
        """From another thread: read no more until `go_on`; returns when all that was read is written or dropped, or the run has ended.
        stop: the source is not to be read again, and is stopped."""
        self._park = True
        if stop:
            self._source.stop()
        while not (self._parked or self._ended.is_set()):
            self._ended.wait(_POLL_S)

    def go_on(self, source: Source) -> None:
        """After `park`: read on, from `source`."""
        self._source = source
        self._fit_queues()
        self._park = False
        while self._parked and not self._ended.is_set():
            self._ended.wait(_POLL_S)
        if self._stop:
            source.stop()

    def run(self, on_frame: Callable[[], None] | None = None) -> None:
        """Run to the source's end, to `limit` pairs or to `stop`; `on_frame` is called after each pair in the caller's thread.

        Raises what a source, the fuser or a sink raised, after the queues have drained; FrameErrors are counted instead.
        """
        reader = threading.Thread(target=self._read, name="edgefuse-read", daemon=True)
        writer = threading.Thread(target=self._write, name="edgefuse-write", daemon=True)
        reader.start()
        writer.start()
        try:
            while (item := self._pairs.get()) is not None:
                with self._turn:
                    pass
                with self._fusing:
                    self._fuse(item)
                self._pairs.task_done()
                del item  # a pair held while waiting for the next is memory for nothing; so below
                if on_frame:
                    on_frame()
        finally:
            self._ended.set()
            self.stop()
            self._frames.put(None)
            writer.join()
        if self._failures:
            raise self._failures[0]

    def _wait_parked(self) -> None:
        self._pairs.join()
        self._frames.join()
        self._parked = True
        while self._park and not self._stop:
            self._ended.wait(_POLL_S)
        self._parked = False

    def _read(self) -> None:
        count = 0
        try:
            while not self._stop and (self.limit is None or count < self.limit):
                if self._park:
                    self._wait_parked()
                    continue
                begin = time.perf_counter_ns()
                item: FramePair | FrameError | None
                try:
                    item = self._source.read()
                except FrameError as e:
                    item = e
                if item is None:
                    if self._park:
                        continue
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
                    line.task_done()

    def _drop(self, item: FramePair | FrameError, cause: str, why: str) -> None:
        if isinstance(item, FrameError):
            self._telemetry.lost(item)
            return
        self._telemetry.lost(FrameError(item.name, cause, f"{item.name} was dropped: {why}"))
        self._source.settle(item, cause)

    def _write(self) -> None:
        while (fused := self._frames.get()) is not None:
            with self._turn:
                pass
            with self._writing:
                self._put(fused)
            self._frames.task_done()
            del fused

    def _put(self, fused: FusedFrame) -> None:
        if self._failures:
            self._drop(fused.pair, "unwritten", "it was fused but not written, as the run had failed")
            return
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
