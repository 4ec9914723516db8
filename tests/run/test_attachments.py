"""Attachments of a run: opened for its settings tables, notified of events, closed with the run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from edgefuse.errors import SettingsError
from edgefuse.events import Event
from edgefuse.run import attachments
from edgefuse.run.attachments import Attachments
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.outputs import OutputState
from tests.support.waiting import until

INFO = Info("demo", 25.0, True, {"name": "m"})


@dataclass(frozen=True)
class Table:
    word: str = "hello"


class Ear:
    """Records the events that it receives."""

    closed: list[str] = []  # noqa: RUF012

    def __init__(self, table: Any, live: Live, info: Info) -> None:
        if table.word == "bad":
            raise SettingsError("ear.word = 'bad': expected a better one")
        self._word, self.heard = table.word, []
        self._end = live.listen(self.heard.append)

    def report(self) -> dict[str, Any]:
        return {"word": self._word, "heard": len(self.heard)}

    def outputs(self) -> dict[str, OutputState]:
        return {self._word: OutputState(True, True)}

    def close(self) -> None:
        self._end()
        Ear.closed.append(self._word)
        if self._word == "stubborn":
            raise RuntimeError("I won't")


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("edgefuse_test_ear")
    module.Ear = Ear  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("ear", "other"):
        monkeypatch.setitem(attachments.KINDS, name, "edgefuse_test_ear:Ear")
    monkeypatch.setattr(Ear, "closed", [])


def test_tables_open_attachments_that_report_under_their_names() -> None:
    live = Live(dict)
    made = Attachments({"ear": Table(), "no-kind": Table()}, live, INFO)
    live.emit(Event("alarm", "stove"))
    assert made.report() == {"ear": {"word": "hello", "heard": 1}}
    made.close()
    live.emit(Event("alarm", "stove"))
    assert made.report() == {"ear": {"word": "hello", "heard": 1}}
    assert Ear.closed == ["hello"]


def test_a_failed_attachment_closes_the_previous_ones() -> None:
    with pytest.raises(SettingsError, match="a better one"):
        Attachments({"ear": Table(), "other": Table("bad")}, Live(dict), INFO)
    assert Ear.closed == ["hello"]


def test_a_failed_close_does_not_keep_others_open(caplog: pytest.LogCaptureFixture) -> None:
    Attachments({"ear": Table(), "other": Table("stubborn")}, Live(dict), INFO).close()
    assert Ear.closed == ["stubborn", "hello"]
    assert "other: closing failed (RuntimeError: I won't)" in caplog.text


def test_what_cannot_be_reopened_after_a_failed_exchange_comes_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Attachments({"ear": Table("first")}, Live(dict), INFO)
    moment, init = [True], Ear.__init__

    def scarce(self: Ear, table: Any, live: Live, info: Info) -> None:
        if moment[0]:
            raise OSError(24, "Too many open files")
        init(self, table, live, info)

    monkeypatch.setattr(Ear, "__init__", scarce)
    with pytest.raises(OSError, match="Too many open files"):
        made.exchange({"ear": Table("second")}, INFO)
    made.revive()
    assert made.report() == {}
    state = made.outputs()["ear"]
    assert (state.wanted, state.works) == (True, False)
    assert "Too many open files" in state.why
    moment[0] = False
    until(lambda: made.revive() or made.report(), "the attachment to be open again")
    assert made.report()["ear"]["word"] == "first"
    assert made.outputs()["first"].works
    made.close()
