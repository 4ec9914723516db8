"""The recording wrapper (--record-raw) and the replay source."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

import edgefuse
from edgefuse.errors import FrameError, OutputError, SettingsError, SourceError
from edgefuse.frames import Frame, FramePair
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.sources.rawfile import RawWriter
from edgefuse.sources.record_raw import RecordedSource
from tests.sources.test_rawfile import same
from tests.support.waiting import signalled, until


class Few(Source):
    """Return `count` pairs, of which the one at `bad` is unreadable."""

    def __init__(self, count: int, bad: int = -1, live: bool = False) -> None:
        self.info = SourceInfo("few", count, 12.5, live=live)
        self._bad, self._next, self.closed = bad, 0, 0

    @classmethod
    def from_uri(cls, uri: Any) -> Self:
        return cls(1)

    def read(self) -> FramePair | None:
        k, self._next = self._next, self._next + 1
        if k >= (self.info.pairs or 0):
            return None
        if k == self._bad:
            raise FrameError(str(k), "unreadable", "x")
        data = np.full((4, 5), 1000 + k, np.uint16)
        return FramePair(Frame(data[:, :, None].repeat(3, 2), "visible", k, f"f{k}"), Frame(data, "infrared", k * 10**8, f"f{k}"), k)

    def close(self) -> None:
        self.closed += 1


def every(source: Source) -> Iterator[FramePair]:
    while (pair := source.read()) is not None:
        yield pair


def test_recording_and_replay_round_trip(tmp_path: Path, demo_pairs: list[FramePair]) -> None:
    path = tmp_path / "a.efr"
    with RecordedSource(edgefuse.open_source("demo?size=96x80&frames=4&scene=day&depth=16"), path) as source:
        read = list(every(source))
        source.close()
        facts = source.facts
    with edgefuse.open_source(f"replay:{path}") as again:
        assert (again.info.pairs, again.info.fps, again.info.sequence, again.info.paths) == (4, 25.0, True, (path,))
        back = list(every(again))
    assert len(back) == 4
    assert all(map(same, read, back))
    assert back[0].infrared.radiometry == edgefuse.frames.Radiometry("demo", 0.01, -273.15)
    assert (facts["pairs"], facts["dropped"], facts["bytes"]) == (4, 0, path.stat().st_size)
    assert facts["bytes_raw"] == sum(p.nbytes for p in read) > facts["bytes"]


def test_an_unreadable_pair_leaves_a_gap_in_the_index(tmp_path: Path) -> None:
    with RecordedSource(Few(4, bad=1), tmp_path / "a.efr") as source:
        source.read()
        with pytest.raises(FrameError):
            source.read()
        list(every(source))
    with edgefuse.open_source(f"replay:{tmp_path / 'a.efr'}") as again:
        assert [p.index for p in every(again)] == [0, 2, 3]


def test_a_live_source_is_not_blocked_and_lost_pairs_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    write = RawWriter.write
    packed: list[bool] = []

    def slow(self: RawWriter, pair: FramePair, pack: bool = True) -> None:
        signalled(gate, "all pairs to be read")
        packed.append(pack)
        write(self, pair, pack)

    monkeypatch.setattr(RawWriter, "write", slow)
    source = RecordedSource(Few(40, live=True), tmp_path / "a.efr")
    assert len(list(every(source))) == 40
    # none of them was written by then
    assert packed == []
    gate.set()
    source.close()
    facts = source.facts
    assert facts["dropped"] >= 30
    assert facts["pairs"] + facts["dropped"] == 40
    # with a long queue, compression is skipped to save time
    assert packed[0] is False
    assert packed[-1] is True
    with edgefuse.open_source(f"replay:{tmp_path / 'a.efr'}") as again:
        assert len(list(every(again))) == facts["pairs"]


def test_a_file_source_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = RawWriter.write
    monkeypatch.setattr(RawWriter, "write", lambda *a, **k: (time.sleep(0.01), write(*a, **k))[1])
    with RecordedSource(Few(30), tmp_path / "a.efr") as source:
        list(every(source))
    assert source.facts["pairs"] == 30
    assert source.facts["dropped"] == 0


def test_a_full_disk_ends_reading_and_the_file_is_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = RawWriter.write, []

    def full(self: RawWriter, pair: FramePair, pack: bool = True) -> None:
        calls.append(pair)
        if len(calls) > 3:
            raise OutputError("cannot write a.efr: the disk is full")
        write(self, pair, pack)

    monkeypatch.setattr(RawWriter, "write", full)
    inner = Few(10**6)
    source = RecordedSource(inner, tmp_path / "a.efr")
    with pytest.raises(OutputError, match="the disk is full"):
        list(every(source))
    with pytest.raises(OutputError, match="the disk is full"):
        source.close()
    source.close()
    assert inner.closed
    with edgefuse.open_source(f"replay:{tmp_path / 'a.efr'}") as again:
        assert [again.read().index for _ in range(3)] == [0, 1, 2]  # type: ignore[union-attr]
        assert again.read() is None


def test_a_wrong_extension_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"needs the extension \.efr"):
        RecordedSource(Few(1), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def five(tmp_path: Path) -> Path:
    with RecordedSource(Few(5), tmp_path / "five.efr") as source:
        list(every(source))
    return tmp_path / "five.efr"


def test_a_loop_continues_index_and_time(five: Path) -> None:
    with edgefuse.open_source(f"replay:{five}?loop=3") as source:
        assert source.info.pairs == 15
        pairs = list(every(source))
    assert [p.index for p in pairs] == list(range(15))
    assert [p.name for p in pairs] == [f"f{k % 5}" for k in range(15)]
    times = [p.visible.time_ns for p in pairs]
    assert times == sorted(set(times))
    assert [int(p.infrared.data[0, 0]) - 1000 for p in pairs] == [k % 5 for k in range(15)]


def test_an_endless_loop(five: Path) -> None:
    with edgefuse.open_source(f"replay:{five}?loop=0") as source:
        assert source.info.pairs is None
        assert [source.read().index for _ in range(23)] == list(range(23))  # type: ignore[union-attr]


def test_fps(five: Path) -> None:
    for option, fps in (("", 12.5), ("?fps=8.7", 8.7)):
        with edgefuse.open_source(f"replay:{five}{option}") as source:
            assert source.info.fps == fps


def test_an_empty_recording_ends_at_once(tmp_path: Path) -> None:
    RecordedSource(Few(0), tmp_path / "a.efr").close()
    with edgefuse.open_source(f"replay:{tmp_path / 'a.efr'}?loop=0") as source:
        assert source.read() is None


@pytest.mark.parametrize(
    ("uri", "words"),
    [("replay:", "replay:"), ("replay", "expected 1 path"), ("replay:a,b", "expected 1 path"),
     ("replay:a?speed=2", "known options: fps, loop"),
     ("replay:a.efr?loop=-1", "whole number"), ("replay:nothere.efr", "cannot read nothere.efr")],
)  # fmt: skip
def test_invalid_uris(uri: str, words: str) -> None:
    with pytest.raises((SettingsError, SourceError), match=words):
        edgefuse.open_source(uri)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.efr")
    with pytest.raises(SourceError, match=r"a\.efr is not a file; give one made by --record-raw"):
        edgefuse.open_source(f"replay:{tmp_path / 'a.efr'}")


def test_an_error_of_any_kind_does_not_end_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can be neither written nor closed for a moment is followed by another."""
    from edgefuse.util import backoff

    monkeypatch.setattr(backoff, "FIRST_S", 0.0)
    failing = [True]
    closed, written = RawWriter.close, RawWriter.write

    def close(self: RawWriter, dropped: int = 0) -> None:
        closed(self, dropped)
        if failing[0]:
            raise MemoryError

    def write(self: RawWriter, pair: FramePair, pack: bool = True) -> None:
        if failing[0]:
            raise MemoryError
        written(self, pair, pack)

    monkeypatch.setattr(RawWriter, "close", close)
    monkeypatch.setattr(RawWriter, "write", write)
    with RecordedSource(Few(1000, live=True), tmp_path / "a.efr", keep_going=True) as source:
        source.read()
        until(lambda: source.facts["dropped"], "the failure")
        failing[0] = False
        until(lambda: source.read() and source.facts["pairs"], "pairs in the next file")
        source.close()
