"""Attachments of a run besides its sinks: web page, MQTT, alarms, recordings, streams. Each uses `Live` and its own settings table.

An attachment is made as `Kind(table, live, info)` and raises EdgeFuseError there for invalid settings or a missing extra. Later faults
never end the run: it retries by itself and reports them (`Live.emit`, `report`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, cast

from edgefuse import registry
from edgefuse.events import Facts
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.report_types import AttachmentsReport
from edgefuse.util.backoff import Backoff

log = logging.getLogger(__name__)

# a settings table's name -> what opens it; imported where the table is asked for
KINDS = registry.BUILT_IN["edgefuse.attachments"]


class Attachment(Protocol):
    @staticmethod
    def check(table: Any) -> None:
        """Check the table without opening or making anything. Raises EdgeFuseError as `__init__`, which calls it."""

    def __init__(self, table: Any, live: Live, info: Info) -> None: ...

    def report(self) -> Facts:
        """Return JSON values with units in the keys. Must return at once; called from any thread."""

    def outputs(self) -> Mapping[str, OutputState]:
        """Return the state of each of its outputs, by a name for people. Must return at once; called from any thread."""

    def close(self) -> None:
        """End threads, watchers and listeners and finish open files within 5 s; safe to call twice."""


def check(tables: Mapping[str, Any]) -> None:
    """Check the attachments' tables without opening or making anything. Raises EdgeFuseError."""
    for name, table in tables.items():
        if name in KINDS:
            registry.loaded(KINDS[name]).check(table)


class Attachments:
    """The attachments for a run's settings tables."""

    def __init__(self, tables: Mapping[str, Any], live: Live, info: Info) -> None:
        """Opens them in order; on an error closes those already open and raises it."""
        self._live, self._info = live, info
        self._open: dict[str, tuple[Any, Attachment]] = {}
        self._missing: dict[str, tuple[Any, str]] = {}  # name -> table and error of those that could not be opened again
        self._lock = threading.RLock()  # of opening and closing
        self._closed, self._backoff = False, Backoff()
        try:
            for name, table in tables.items():
                self._open_one(name, table)
        except BaseException:
            self.close()
            raise

    def _open_one(self, name: str, table: Any) -> None:
        if name in KINDS:
            self._open[name] = table, registry.loaded(KINDS[name])(table, self._live, self._info)

    def exchange(self, tables: Mapping[str, Any], info: Info) -> None:
        """Apply new tables: close attachments whose table changed (all where the source changed), and open those of `tables`.

        On an error the previous ones are reopened, now or as soon as that is possible (`revive`), and it is raised.
        """
        with self._lock:
            before, info_before = {name: table for name, (table, _) in (*self._open.items(), *self._missing.items())}, self._info
            try:
                self._missing = {}
                self._update(tables, info)
            except Exception:
                self._update(before, info_before, must_open=False)
                raise

    def revive(self) -> None:
        """Open the attachments that could not be reopened after a failed `exchange`, with back-off."""
        with self._lock:
            if self._missing and not self._backoff.left_s and not self._closed:
                for name, (table, _) in list(self._missing.items()):
                    self._try_open(name, table)

    def _try_open(self, name: str, table: Any) -> None:
        try:
            self._open_one(name, table)
        except Exception as e:
            if name not in self._missing:
                log.warning("[%s] can't be opened again (%s); it is tried until it can", name, e)
            self._missing[name] = table, str(e)
            self._backoff.failed()
        else:
            self._missing.pop(name, None)

    def _update(self, tables: Mapping[str, Any], info: Info, must_open: bool = True) -> None:
        same = replace(info, model=self._info.model) == self._info
        self._info = info
        for name in reversed(list(self._open)):
            if not same or self._open[name][0] != tables.get(name):
                self._close_one(name, self._open.pop(name)[1])
        for name, table in tables.items():
            if name not in self._open:
                if must_open:
                    self._open_one(name, table)
                else:
                    self._try_open(name, table)

    def outputs(self) -> dict[str, OutputState]:
        """Return the states of all attachments' outputs."""
        states: dict[str, OutputState] = {}
        for _, attachment in list(self._open.values()):
            states |= attachment.outputs()
        return states | {name: OutputState(True, False, why=error) for name, (_, error) in list(self._missing.items())}

    def report(self) -> AttachmentsReport:
        """Return each attachment's report under its table's name."""
        # the tables' names decide the kinds of report
        return cast(AttachmentsReport, {name: _safe_report(attachment) for name, (_, attachment) in list(self._open.items())})

    def close(self) -> None:
        """Close all in reverse order; they can still report. Errors are logged, and the others still closed."""
        self._closed = True
        with self._lock:
            for name, (_, attachment) in reversed(list(self._open.items())):
                self._close_one(name, attachment)

    def _close_one(self, name: str, attachment: Attachment) -> None:
        try:
            attachment.close()
        except Exception as e:
            log.warning("%s: closing failed (%s: %s)", name, type(e).__name__, e)


def _safe_report(attachment: Attachment) -> Facts:
    try:
        return attachment.report()
    except Exception as e:
        # a failing attachment must not prevent the run's report
        log.exception("a report failed")
        return {"error": f"{type(e).__name__}: {e}"}
