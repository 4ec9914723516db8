"""Tests of what attachments see of a run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgefuse.errors import EdgeFuseError
from edgefuse.events import Event
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.telemetry.live import Live
from tests.support.waiting import joined, signalled


def fused(k: int) -> FusedFrame:
    data = np.full((4, 6), k, np.uint8)
    return FusedFrame(data, FramePair(Frame(data, "visible", k, str(k)), Frame(data, "infrared", k, str(k)), k))


def test_the_newest_frame_replaces_the_previous_one_and_is_not_copied() -> None:
    live, seen = Live(dict), []
    assert live.newest is None
    end = live.watch(lambda count, frame: seen.append((count, frame.name)))
    frames = [fused(k) for k in range(3)]
    live.write(frames[0])
    live.write(frames[1])
    end()
    end()
    live.write(frames[2])
    assert live.newest == (3, frames[2])
    assert seen == [(1, "0"), (2, "1")]


def test_concurrent_report_requests_share_one_report_a_second() -> None:
    made: list[int] = []

    def report() -> Mapping[str, Any]:
        made.append(1)
        return {"n": len(made)}

    live = Live(report)
    threads = [threading.Thread(target=live.report) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        joined(t, "a thread that asks for a report")
    assert len(made) <= 2
    assert live.report()["n"] == len(made)


def test_reports_do_not_block_frames_and_may_read_the_newest_frame() -> None:
    begun, go = threading.Event(), threading.Event()

    def report() -> Mapping[str, Any]:
        begun.set()
        signalled(go, "the frame that was written")
        return {"newest": live.newest}

    live = Live(report)
    told: list[Mapping[str, Any]] = []
    thread = threading.Thread(target=lambda: told.append(live.report()))
    thread.start()
    signalled(begun, "the report to begin")
    live.write(fused(1))
    go.set()
    joined(thread, "the report")
    assert told[0]["newest"][0] == 1


def test_events_reach_the_log_and_all_listeners(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edgefuse")
    live, heard = Live(dict), []
    end = live.listen(heard.append)
    live.emit(Event("alarm", "stove", {"celsius": 91.5}))
    end()
    live.emit(Event("alarm", "stove"))
    assert [(e.kind, e.name, dict(e.facts)) for e in heard] == [("alarm", "stove", {"celsius": 91.5})]
    assert "alarm stove: celsius 91.5" in caplog.text


def test_commands_are_run_or_refused_by_name() -> None:
    live = Live(dict)
    live.register_command("snapshot", lambda given: {"path": given["name"]})
    assert live.commands == ("snapshot",)
    assert live.run_command("snapshot", {"name": "a.png"}) == {"path": "a.png"}
    with pytest.raises(EdgeFuseError, match="no command 'record'; available: snapshot"):
        live.run_command("record")


def test_a_watcher_that_raises_once_is_called_for_the_next_frame() -> None:
    live, seen = Live(dict), []

    def watcher(count: int, frame: FusedFrame) -> None:
        if count == 2:
            raise MemoryError
        seen.append(count)

    live.watch(watcher)
    for k in range(4):
        live.write(fused(k))
    assert (seen, live.faults) == ([1, 3, 4], 1)
