"""Threads that go on after an error, whose errors are counted and logged once."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from edgefuse.errors import EdgeFuseError
from edgefuse.util import restarting_thread as worker_module
from edgefuse.util.restarting_thread import FaultLog, Worker
from tests.support.waiting import until

LOG = logging.getLogger("edgefuse.test")


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError(), ValueError("odd")])
def test_a_worker_that_raises_is_started_again_with_back_off(error: Exception) -> None:
    calls: list[float] = []

    def work() -> None:
        calls.append(time.monotonic())
        if len(calls) < 3:
            raise error

    faults = FaultLog(LOG, "a part")
    worker = Worker("edgefuse-test", work, faults)
    worker.start()
    until(lambda: not worker.alive, "the worker to finish its work")
    assert (len(calls), faults.count) == (3, 2)
    # 0.5 s, then 1 s
    assert calls[1] - calls[0] >= 0.5
    assert calls[2] - calls[1] >= 1.0


def test_an_ended_worker_is_not_started_again() -> None:
    begun = threading.Event()

    def work() -> None:
        begun.set()
        raise RuntimeError

    worker = Worker("edgefuse-test", work, FaultLog(LOG, "a part"))
    worker.start()
    until(begun.is_set, "the worker's start")
    worker.end()
    until(lambda: not worker.alive, "the worker's end")


def test_a_thread_that_the_system_refuses_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker("edgefuse-test", lambda: None, FaultLog(LOG, "a part"))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(EdgeFuseError, match="no thread could be started"):
        worker.start()
    worker.join(1)


def test_many_errors_are_counted_and_logged_once_in_ten_minutes(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(worker_module.time, "monotonic", lambda: now[0])
    faults = FaultLog(LOG, "a part")
    with caplog.at_level(logging.ERROR):
        for _ in range(50):
            faults.note(OSError(24, "Too many open files"))
        assert (faults.count, len(caplog.records)) == (50, 1)
        assert "a part failed (OSError: [Errno 24] Too many open files) and goes on; error 1" in caplog.text
        now[0] += 601
        faults.note(OSError(24, "Too many open files"))
    assert len(caplog.records) == 2
    assert "error 51" in caplog.text
