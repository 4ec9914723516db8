"""Pipeline of a run: source -> fuser -> sinks, in three threads joined by bounded queues.

Recorded sources wait and lose nothing. Live ones never wait; the newest pair replaces the oldest ("overrun" where fusion is late,
"slow-sink" where writing is). Every pair read ends as fused or dropped, and drops are counted by cause.

Fuser, sinks and source can be replaced between two frames while it runs.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from edgefuse.errors import EdgeFuseError, FrameError
from edgefuse.frames import FramePair, FusedFrame
from edgefuse.fusion.fuser import Fuser
from edgefuse.sinks.base import Sink
from edgefuse.sources.base import Source
from edgefuse.telemetry.report import Telemetry
from edgefuse.util.restarting_thread import FaultLog

log = logging.getLogger(__name__)

T = TypeVar("T")

_QUEUE_LENGTH = 2  # pairs and fused frames in the queues: enough to hide a slow read, few enough for 1 GB of memory
_QUEUE_LENGTH_LIVE = 1  # each queued frame adds a frame interval of latency
_POLL_S = 0.02  # poll interval while the source is replaced
_RETRY_S = 0.1  # until a source is read again after an unexpected error


class Pipeline:
    """One run. `stop` (from any thread or signal handler) ends it after the frames already read."""

    def __init__(self, source: Source, fuser: Fuser, sinks: Sequence[Sink], telemetry: Telemetry, limit: int | None = None) -> None:
        """limit: largest number of pairs to read; may be changed while it runs."""
        self._source, self._fuser, self._sinks, self._telemetry = source, fuser, sinks, telemetry
        self.limit = limit
        self.adjust: Callable[[FramePair], FramePair] = lambda pair: pair  # applied to every pair read; may be changed while it runs
        self._pairs: queue.Queue[FramePair | FrameError | None] = queue.Queue(_QUEUE_LENGTH)
        self._frames: queue.Queue[FusedFrame | None] = queue.Queue(_QUEUE_LENGTH)
        self._size_queues()
        self._fusing, self._writing = threading.Lock(), threading.Lock()
        self._exchange_lock = threading.Lock()  # held by a thread that waits to replace the fuser or sinks; the frame loop yields to it
        self._pause_requested, self._paused, self._ended = False, False, threading.Event()
        self._stop = False  # set by a signal handler, so it takes no lock
        self._failures: list[BaseException] = []
        self._faults = FaultLog(log, "the run")

    def _size_queues(self) -> None:
        self._pairs.maxsize = self._frames.maxsize = _QUEUE_LENGTH_LIVE if self._source.info.live else _QUEUE_LENGTH

    def stop(self) -> None:
        """End the run soon. Callable from any thread or signal handler."""
        self._stop = True
        self._source.stop()

    @property
    def stopping(self) -> bool:
        """Whether the run was stopped or has ended."""
        return self._stop or self._ended.is_set()

    def exchange(self, fuser: Fuser, sinks: Sequence[Sink]) -> None:
        """Use another fuser and other sinks from the next frame on; called from another thread. On return the old ones are unused."""
        with self._exchange_lock, self._fusing:
            self._fuser = fuser
        with self._exchange_lock, self._writing:
            self._sinks = sinks

    def pause(self, stop: bool) -> None:
        """Stop reading until `resume`; called from another thread. Returns when all pairs read are written or dropped, or the run has
        ended.

        stop: stop the source too, because it will not be read again.
        """
        self._pause_requested = True
        if stop:
            self._source.stop()
        while not (self._paused or self._ended.is_set()):
            self._ended.wait(_POLL_S)

    def resume(self, source: Source) -> None:
        """Continue after `pause`, reading from `source`."""
        self._source = source
        self._size_queues()
        self._pause_requested = False
        while self._paused and not self._ended.is_set():
            self._ended.wait(_POLL_S)
        if self._stop:
            source.stop()

    def run(self, on_frame: Callable[[], None] | None = None) -> None:
        """Run until the source's end, `limit` pairs or `stop`; `on_frame` is called after each pair in the caller's thread.

        Raises the error of a source, the fuser or a sink after the queues have drained; FrameErrors are only counted.
        """
        reader = threading.Thread(target=self._read, name="edgefuse-read", daemon=True)
        writer = threading.Thread(target=self._write, name="edgefuse-write", daemon=True)
        reader.start()
        writer.start()
        try:
            while (item := self._pairs.get()) is not None:
                with self._exchange_lock:
                    pass
                with self._fusing:
                    self._fuse(item)
                self._pairs.task_done()
                del item  # free the pair's memory while waiting for the next; likewise below
                if on_frame:
                    try:
                        on_frame()
                    except Exception as e:  # its output may be gone, say
                        if not self._goes_on(e):
                            raise
        finally:
            self._ended.set()
            self.stop()
            self._frames.put(None)
            writer.join()
        if self._failures:
            raise self._failures[0]

    def _wait_paused(self) -> None:
        self._pairs.join()
        self._frames.join()
        self._paused = True
        while self._pause_requested and not self._stop:
            self._ended.wait(_POLL_S)
        self._paused = False

    def _read(self) -> None:
        count = 0
        try:
            while not self._stop and (self.limit is None or count < self.limit):
                if self._pause_requested:
                    self._wait_paused()
                    continue
                try:
                    if not self._read_one():
                        if self._pause_requested:
                            continue
                        break
                except Exception as e:
                    if not self._goes_on(e):
                        raise
                    self._ended.wait(_RETRY_S)
                    continue
                count += 1
        except BaseException as e:
            self._failures.append(e)
        finally:
            self._pairs.put(None)

    def _read_one(self) -> bool:
        """Read a pair and queue it. Returns False at the source's end."""
        begin = time.perf_counter_ns()
        item: FramePair | FrameError | None
        try:
            item = self._source.read()
        except FrameError as e:
            item = e
        if item is None:
            return False
        if isinstance(item, FramePair):
            try:
                item = self.adjust(item)
                self._telemetry.read(item.nbytes, time.perf_counter_ns() - begin)
                if item.missing != "infrared":
                    self._telemetry.infrared(item.infrared)
            except Exception as e:
                if not self._goes_on(e):
                    raise
                self._drop(item, "failed", f"it can't be read ({type(e).__name__}: {e})")
                return True
        if old := self._enqueue(self._pairs, item):
            self._drop(old, "overrun", "newer frames came before it could be fused")
        return True

    def _goes_on(self, error: Exception) -> bool:
        """Whether the run goes on after this error, which is logged and counted then.

        A live run outlives a moment without memory, say, but not what a source or a sink reports as its end. If the moment lasts, the
        watchdog, which frames written feed, restarts the service.
        """
        if not self._source.info.live or isinstance(error, EdgeFuseError):
            return False
        self._faults.note(error)
        return True

    def _fuse(self, item: FramePair | FrameError) -> None:
        try:
            self._fuse_one(item)
        except Exception as e:
            # a pair that could not even be counted
            if not self._goes_on(e):
                raise

    def _fuse_one(self, item: FramePair | FrameError) -> None:
        if isinstance(item, FrameError):
            self._telemetry.lost(item)
            return
        if self._failures:
            # a sink failed: pairs read since then are lost, and counted
            self._drop(item, "unwritten", "the run has failed")
            return
        try:
            fused = self._fuser.fuse(item)
        except FrameError as e:
            self._telemetry.lost(e)
            self._source.settle(item, e.cause)
        except Exception as e:
            if not self._source.info.live:
                raise
            self._faults.note(e)
            self._drop(item, "failed", f"it can't be fused ({type(e).__name__}: {e})")
        else:
            if old := self._enqueue(self._frames, fused):
                self._drop(old.pair, "slow-sink", "newer fused frames came before it could be written")

    def _enqueue(self, target: queue.Queue[T | None], item: T) -> T | None:
        """Put an item into a queue. For a live source never wait: the oldest item is removed and returned instead."""
        if not self._source.info.live:
            target.put(item)
            return None
        oldest = None
        while True:
            try:
                target.put_nowait(item)
                return oldest
            except queue.Full:
                # this thread is the only producer, so at most one item has to go
                with contextlib.suppress(queue.Empty):
                    oldest = target.get_nowait()
                    target.task_done()

    def _drop(self, item: FramePair | FrameError, cause: str, why: str) -> None:
        if isinstance(item, FrameError):
            self._telemetry.lost(item)
            return
        self._telemetry.lost(FrameError(item.name, cause, f"{item.name} was dropped: {why}"))
        self._source.settle(item, cause)

    def _write(self) -> None:
        while (fused := self._frames.get()) is not None:
            with self._exchange_lock:
                pass
            try:
                with self._writing:
                    self._write_frame(fused)
            except Exception as e:
                # what follows the sinks: counting it, and settling with the cameras
                if not self._goes_on(e):
                    self._failures.append(e)
                    self.stop()
            self._frames.task_done()
            del fused

    def _write_frame(self, fused: FusedFrame) -> None:
        if self._failures:
            self._drop(fused.pair, "unwritten", "it was fused but not written, because the run has failed")
            return
        begin = time.perf_counter_ns()
        try:
            for sink in self._sinks:
                sink.write(fused)
        except BaseException as e:
            if not (isinstance(e, Exception) and not isinstance(e, OSError) and self._goes_on(e)):
                self._failures.append(e)
                self.stop()
            self._drop(fused.pair, "unwritten", f"it was fused but not written: {e}")
        else:
            self._telemetry.fused(fused, time.perf_counter_ns() - begin)
            self._source.settle(fused.pair, None)
