"""Hooks with real programs that succeed, take too long, or do not exist."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefuse.alarms.hook import Call, Hooks, check_program
from edgefuse.errors import SettingsError
from tests.support.waiting import until

FACTS = {"alarm": "stove", "state": "raised", "celsius": 91.5, "zone": "8x8+0+0"}


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    made = Hooks()
    yield made
    made.close()


def shell(script: str, timeout_s: float = 30.0) -> Call:
    return Call(("/bin/sh", "-c", script), timeout_s, FACTS)


def test_a_hook_gets_the_facts_as_json_and_in_variables(hooks: Hooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    script = 'cat > "$0/json"; echo "$EDGEFUSE_ALARM $EDGEFUSE_STATE $EDGEFUSE_CELSIUS $NOTIFY_SOCKET." > "$0/variables"'
    hooks.call(Call(("/bin/sh", "-c", script, str(tmp_path)), 30.0, FACTS))
    until(lambda: hooks.done, "the hook to be done")
    assert json.loads((tmp_path / "json").read_text()) == FACTS
    assert (tmp_path / "variables").read_text() == "stove raised 91.5 .\n"
    assert hooks.report() == {"done": 1, "failed": 0, "lost": 0, "waiting": 0}


def test_hooks_run_in_order_one_at_a_time(hooks: Hooks, tmp_path: Path) -> None:
    # mkdir fails while the previous hook still runs
    for k in range(5):
        hooks.call(shell(f"mkdir {tmp_path}/at-it && echo {k} >> {tmp_path}/order && sleep 0.02 && rmdir {tmp_path}/at-it"))
    until(lambda: hooks.done + hooks.failed == 5, "five hooks to end")
    assert hooks.failed == 0
    assert (tmp_path / "order").read_text().split() == ["0", "1", "2", "3", "4"]


def test_failures_are_counted(hooks: Hooks) -> None:
    hooks.call(shell("exit 3"))
    hooks.call(Call(("/nonexistent/hook",), 1.0, FACTS))
    hooks.call(shell("exec 0<&-; exit 0"))  # a hook that does not read its input
    until(lambda: hooks.done + hooks.failed == 3, "three hooks to end")
    assert (hooks.done, hooks.failed) == (1, 2)


def test_a_hook_beyond_its_time_limit_is_killed_with_its_children(hooks: Hooks, tmp_path: Path) -> None:
    hooks.call(shell(f"sleep 600 & echo $! > {tmp_path}/pid; wait", timeout_s=3.0))
    until(lambda: hooks.failed, "the hook to be killed")
    child = int((tmp_path / "pid").read_text())

    def gone() -> bool:
        # an orphan may stay a zombie where no init process reaps it
        try:
            return "\nState:\tZ" in Path(f"/proc/{child}/status").read_text()
        except OSError:
            return True

    until(gone, "the end of the hook's child")


def test_hooks_beyond_the_queue_are_counted_and_closing_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefuse.alarms.hook._CLOSING_S", 0.5)
    hooks = Hooks()
    begin = time.monotonic()
    for _ in range(40):
        hooks.call(shell("sleep 600", timeout_s=600.0))
    assert hooks.lost >= 40 - 17
    hooks.close()
    hooks.close()
    # before one of them would have ended by itself
    assert time.monotonic() - begin < 600
    report = hooks.report()
    assert report["done"] == 0
    assert report["lost"] + report["failed"] == 40


def test_a_missing_program_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match=r"alarm\.x\.hook: no program 'nowhere'"):
        check_program(["nowhere", "arg"], "alarm.x.hook")
    check_program([], "alarm.x.hook")
    check_program([os.path.realpath("/bin/sh")], "alarm.x.hook")
