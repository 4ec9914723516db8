"""A failing sink is set aside, its lost frames are counted, and it is retried."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgefuse.errors import OutputError
from edgefuse.events import Event
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.sinks.base import Sink
from edgefuse.sinks.folder import FolderSink
from edgefuse.sinks.guard import GuardedSink
from edgefuse.sinks.video import VideoSink
from edgefuse.util import backoff, files


def fused(k: int) -> FusedFrame:
    data = np.full((16, 16), k, np.uint8)
    return FusedFrame(data, FramePair(Frame(data, "visible", k, str(k)), Frame(data, "infrared", k, str(k)), k))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(backoff.time, "monotonic", lambda: now[0])
    return now


class Shaky(Sink):
    def __init__(self) -> None:
        self.broken, self.said = False, []

    def write(self, fused: FusedFrame) -> None:
        self.said.append("write")
        if self.broken:
            raise OutputError("the disk is full")

    def resume(self) -> None:
        self.said.append("resume")

    def close(self) -> None:
        self.said.append("close")


def test_retries_back_off_up_to_three_seconds(clock: list[float]) -> None:
    shaky, events = Shaky(), []
    sink = GuardedSink("shaky", shaky, True, events.append)
    sink.write(fused(0))
    shaky.broken = True
    attempts = []
    for _ in range(400):
        before = len(shaky.said)
        sink.write(fused(1))
        if len(shaky.said) > before:
            attempts.append(clock[0])
        clock[0] += 0.125
    gaps = [b - a for a, b in itertools.pairwise(attempts)]
    assert gaps[:4] == [0.5, 1.0, 2.0, 3.0]
    assert set(gaps[4:]) == {3.0}
    assert sink.report() == {"state": "set aside", "written": 1, "lost": 400, "faults": 1, "error": "the disk is full"}
    shaky.broken = False
    clock[0] += 5
    sink.write(fused(2))
    assert sink.report() == {"state": "written", "written": 2, "lost": 400, "faults": 1}
    assert [(e.kind, e.name, e.facts["state"]) for e in events] == [("sink", "shaky", "set aside"), ("sink", "shaky", "back")]
    assert shaky.said[:3] == ["write", "write", "close"]
    assert shaky.said[-2:] == ["resume", "write"]


def test_without_keep_going_errors_are_raised() -> None:
    shaky = Shaky()
    shaky.broken = True
    with pytest.raises(OutputError, match="disk is full"):
        GuardedSink("shaky", shaky, False, lambda _: None).write(fused(0))


def test_a_removed_folder_is_recreated(tmp_path: Path, clock: list[float]) -> None:
    folder = tmp_path / "out"
    sink = GuardedSink("out", FolderSink(folder), True, lambda _: None)
    sink.write(fused(0))
    shutil.rmtree(folder)
    sink.write(fused(1))
    clock[0] += 1
    sink.write(fused(2))
    assert [p.name for p in folder.iterdir()] == ["2.png"]
    assert sink.report()["lost"] == 1


def test_a_failed_video_keeps_its_first_part(tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    path, events = tmp_path / "a.mp4", []
    sink = GuardedSink("a", VideoSink(path, 25.0), True, events.append)
    for k in range(3):
        sink.write(fused(k))

    def full(*_: Any) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as m:
        m.setattr(files, "check_space", full)
        sink.write(fused(3))
    clock[0] += 1
    for k in range(4, 8):
        sink.write(fused(k))
    sink.close()
    assert [cv2.VideoCapture(str(tmp_path / n)).get(cv2.CAP_PROP_FRAME_COUNT) for n in ("a.mp4", "a-1.mp4")] == [3, 4]
    assert sink.bytes_written == sum(p.stat().st_size for p in tmp_path.iterdir())
    assert [e.facts["state"] for e in events] == ["set aside", "back"]
    assert isinstance(events[0], Event)
