from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edgefuse.doctor import Finding, Host, checks, examine
from tests.support.waiting import SECONDS


def test_they_run_side_by_side_and_come_in_order() -> None:
    barrier = threading.Barrier(3)

    def check(_: Host) -> list[Finding]:
        barrier.wait(SECONDS)
        return [Finding("x", "ok", threading.current_thread().name)]

    seen: list[int] = []
    findings = examine(Host(), dict.fromkeys(("c", "a", "b"), check), seen.append)
    assert [f.what for f in findings] == ["c", "a", "b"]
    assert seen == [1, 2, 3]


def test_one_that_hangs_or_fails_holds_nothing_up() -> None:
    never = threading.Event()

    def hangs(_: Host) -> list[Finding]:
        never.wait(SECONDS)
        return []

    def fails(_: Host) -> list[Finding]:
        raise ZeroDivisionError("oh")

    wanted = {"hangs": hangs, "fails": fails, "works": lambda _: [Finding("works", "ok", "yes")]}
    findings = examine(Host(), wanted, timeout_s=2)
    never.set()
    assert [(f.name, f.state) for f in findings] == [("hangs", "fail"), ("fails", "fail"), ("works", "ok")]
    assert findings[0].what.startswith("no answer in")
    assert "ZeroDivisionError: oh" in findings[1].what


def test_where_no_thread_can_be_made_they_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def no_memory(_: Host) -> list[Finding]:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    findings = examine(Host(), {"a": lambda _: [Finding("a", "ok", "yes")], "b": no_memory})
    assert [(f.state, f.what) for f in findings] == [("ok", "yes"), ("fail", "not checked: [Errno 12] Cannot allocate memory")]


def test_a_stop_is_an_interruption_even_of_what_runs_no_child() -> None:
    host, never, hung = Host(), threading.Event(), list[bool]()
    threading.Timer(0.2, host.stop).start()

    def hangs(_: Host) -> list[Finding]:
        never.wait(SECONDS)
        hung.append(True)
        return []

    with pytest.raises(KeyboardInterrupt):
        examine(host, {"hangs": hangs})
    # before the check has ended
    assert not hung
    never.set()


def test_an_empty_tree_has_no_check_that_fails_by_itself(tmp_path: Path) -> None:
    """With nothing in /proc, /sys, /etc and /dev and no commands, every check returns a result and none fails with an exception."""
    findings = examine(Host(tmp_path, folders=(tmp_path,)), checks())
    assert not [f for f in findings if "this check itself failed" in f.what]
    assert {f.name for f in findings} >= {"environment", "platform", "cameras", "processor", "memory", "disk", "clock", "service", "models"}
    assert {f.state for f in findings} <= {"ok", "warn"}
