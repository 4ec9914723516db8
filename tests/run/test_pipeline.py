"""Every pair read ends as fused or dropped, wherever a failure occurs."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest

from edgefuse.errors import FrameError, OutputError, SourceError
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.run.pipeline import Pipeline
from edgefuse.sinks.base import Sink
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.telemetry.report import Telemetry
from tests.support.waiting import signalled, until


class Pairs(Source):
    """`count` tiny pairs; those in `bad` are unreadable; at `breaks` the source itself fails."""

    def __init__(self, count: int | None, bad: tuple[int, ...] = (), breaks: int | None = None) -> None:
        self.info = SourceInfo("pairs", count, 25.0)
        self._bad, self._breaks, self.reads = bad, breaks, 0

    @classmethod
    def from_uri(cls, uri: Any) -> Self:
        return cls(3)

    def read(self) -> FramePair | None:
        k, self.reads = self.reads, self.reads + 1
        if k == self.info.pairs:
            return None
        if k == self._breaks:
            raise SourceError("the cable is out")
        if k in self._bad:
            raise FrameError(str(k), "unreadable", f"{k} is truncated")
        grey = np.full((2, 2), k % 256, np.uint8)
        return FramePair(Frame(grey, "visible", k, str(k)), Frame(grey, "infrared", k, str(k)), k)


class Halves:
    """A fuser without a network; pairs in `odd` differ in size."""

    def __init__(self, odd: tuple[int, ...] = ()) -> None:
        self._odd = odd

    def fuse(self, pair: FramePair) -> FusedFrame:
        if pair.index in self._odd:
            raise FrameError(pair.name, "size", "sizes differ")
        return FusedFrame(pair.visible.data // 2, pair, {"network": 1000})


class Kept(Sink):
    """Keeps frame names; fails at frame `full`."""

    def __init__(self, full: int | None = None, hook: Any = None) -> None:
        self.names: list[str] = []
        self._full, self._hook = full, hook

    @classmethod
    def from_uri(cls, uri: Any, fps: float) -> Self:
        return cls()

    def write(self, fused: FusedFrame) -> None:
        if self._full is not None and fused.pair.index >= self._full:
            raise OutputError("the disk is full")
        if self._hook:
            self._hook(fused)
        self.names.append(fused.name)


def _balanced(t: Telemetry, read: int) -> bool:
    return t.frames_fused + t.frames_dropped == read == t.report()["frames"]["in"]


def test_order_is_kept_and_nothing_is_lost() -> None:
    sink, telemetry = Kept(), Telemetry()
    Pipeline(Pairs(50), Halves(), [sink], telemetry).run()  # type: ignore[arg-type]
    assert sink.names == [str(k) for k in range(50)]
    assert _balanced(telemetry, 50)


def test_bad_frames_are_counted_by_cause_and_the_others_fused() -> None:
    sink, telemetry = Kept(), Telemetry()
    Pipeline(Pairs(10, bad=(0, 4)), Halves(odd=(7,)), [sink], telemetry).run()  # type: ignore[arg-type]
    assert sink.names == [str(k) for k in (1, 2, 3, 5, 6, 8, 9)]
    assert telemetry.dropped == {"unreadable": 2, "size": 1}
    assert _balanced(telemetry, 10)


def test_a_failing_sink_ends_the_run_and_every_pair_is_accounted_for() -> None:
    source, sink, telemetry = Pairs(None), Kept(full=5), Telemetry()
    with pytest.raises(OutputError, match="disk is full"):
        Pipeline(source, Halves(), [sink], telemetry).run()  # type: ignore[arg-type]
    assert sink.names == [str(k) for k in range(5)]
    assert telemetry.dropped.keys() == {"unwritten"}
    assert _balanced(telemetry, source.reads)


def test_pairs_read_before_a_source_failure_are_fused() -> None:
    sink, telemetry = Kept(), Telemetry()
    with pytest.raises(SourceError, match="cable"):
        Pipeline(Pairs(None, breaks=6), Halves(), [sink], telemetry).run()  # type: ignore[arg-type]
    assert _balanced(telemetry, 6)
    assert set(sink.names) <= {str(k) for k in range(6)}


def test_stop_fuses_pairs_already_read() -> None:
    source, telemetry = Pairs(None), Telemetry()
    sink = Kept(hook=lambda fused: fused.pair.index == 20 and pipeline.stop())
    pipeline = Pipeline(source, Halves(), [sink], telemetry)  # type: ignore[arg-type]
    pipeline.run()
    assert len(sink.names) >= 21
    assert _balanced(telemetry, source.reads)


def test_limit_counts_pairs_read() -> None:
    source, telemetry = Pairs(None, bad=(1,)), Telemetry()
    Pipeline(source, Halves(), [], telemetry, 4).run()  # type: ignore[arg-type]
    assert source.reads == 4
    assert telemetry.frames_fused == 3


def test_a_live_source_waits_for_no_sink_and_the_oldest_give_way() -> None:
    telemetry, begun = Telemetry(), threading.Event()

    class Live(Pairs):
        def read(self) -> FramePair | None:
            if self.reads == 1:
                signalled(begun, "the first frame to be written")
            return super().read()

    def slow(fused: FusedFrame) -> None:
        begun.set()
        if fused.pair.index == 0:
            until(lambda: sum(telemetry.dropped.values()) == 98, "98 dropped pairs")

    source, sink = Live(100), Kept(hook=slow)
    source.info = replace(source.info, live=True)
    Pipeline(source, Halves(), [sink], telemetry).run()  # type: ignore[arg-type]
    # all others arrived while the first was being written; the newest of them is next
    assert sink.names == ["0", "99"]
    assert set(telemetry.dropped) <= {"slow-sink", "overrun"}


def test_no_threads_are_left() -> None:
    before = threading.active_count()
    Pipeline(Pairs(5), Halves(), [Kept()], Telemetry()).run()  # type: ignore[arg-type]
    assert threading.active_count() == before


def test_the_queues_are_bounded() -> None:
    source, gate = Pairs(None), threading.Event()
    ahead: list[int] = []

    def slow(fused: FusedFrame) -> None:
        if fused.pair.index == 0:
            gate.wait(0.3)
        ahead.append(source.reads - fused.pair.index)

    Pipeline(source, Halves(), [Kept(hook=slow)], Telemetry(), 40).run()  # type: ignore[arg-type]
    assert max(ahead) <= 9


class Moments(Pairs):
    """A live source that is out of memory at some of its reads."""

    def __init__(self, count: int, out_of_memory: tuple[int, ...]) -> None:
        super().__init__(count)
        self.info = replace(self.info, live=True)
        self._out = out_of_memory

    def read(self) -> FramePair | None:
        if self.reads in self._out:
            self.reads += 1
            raise MemoryError
        return super().read()


class Counting(Telemetry):
    """Has no memory for the third frame."""

    def fused(self, frame: FusedFrame, write_ns: int) -> None:
        if frame.pair.index == 3:
            raise MemoryError
        super().fused(frame, write_ns)


def test_a_live_run_outlives_a_moment_without_memory_in_every_thread(caplog: pytest.LogCaptureFixture) -> None:
    def full(fused: FusedFrame) -> None:
        if fused.pair.index == 5:
            raise MemoryError

    seen: list[int] = []

    def on_frame() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise MemoryError

    sink = Kept(hook=full)
    Pipeline(Moments(8, (1, 4)), Halves(), [sink], Counting()).run(on_frame)  # type: ignore[arg-type]
    assert "7" in sink.names
    assert not {"1", "4", "5"} & set(sink.names)
    assert caplog.text.count("the run failed (MemoryError") == 1


def test_a_recorded_run_ends_without_memory() -> None:
    source = Moments(8, (1,))
    source.info = replace(source.info, live=False)
    with pytest.raises(MemoryError):
        Pipeline(source, Halves(), [Kept()], Telemetry()).run()  # type: ignore[arg-type]
