"""Attachments of a run besides its sinks: web page, MQTT, alarms, recordings, streams. Each uses `Live` and its own settings table.

An attachment is made as `Kind(table, live, info)` and raises EdgeFuseError there for invalid settings or a missing extra. Later faults
never end the run: it retries by itself and reports them (`Live.emit`, `report`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from edgefuse import registry
from edgefuse.errors import EdgeFuseError
from edgefuse.telemetry.live import Info, Live

log = logging.getLogger(__name__)

# a settings table's name -> what opens it; imported where the table is asked for
KINDS = registry.BUILT_IN["edgefuse.attachments"]


class Attachment(Protocol):
    def __init__(self, table: Any, live: Live, info: Info) -> None: ...

    def report(self) -> dict[str, Any]:
        """Return JSON values with units in the keys. Must return at once; called from any thread."""

    def close(self) -> None:
        """End threads, watchers and listeners and finish open files within 5 s; safe to call twice."""


class Attachments:
    """The attachments for a run's settings tables."""

    def __init__(self, tables: Mapping[str, Any], live: Live, info: Info) -> None:
        """Opens them in order; on an error closes those already open and raises it."""
        self._live, self._info = live, info
        self._open: dict[str, tuple[Any, Attachment]] = {}
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

        On an error the previous ones are reopened, and EdgeFuseError is raised.
        """
        before, info_before = {name: table for name, (table, _) in self._open.items()}, self._info
        try:
            self._update(tables, info)
        except EdgeFuseError:
            self._update(before, info_before)
            raise

    def _update(self, tables: Mapping[str, Any], info: Info) -> None:
        same = replace(info, model=self._info.model) == self._info
        self._info = info
        for name in reversed(list(self._open)):
            if not same or self._open[name][0] != tables.get(name):
                self._close_one(name, self._open.pop(name)[1])
        for name, table in tables.items():
            if name not in self._open:
                self._open_one(name, table)

    def report(self) -> dict[str, Any]:
        """Return each attachment's report under its table's name."""
        return {name: _safe_report(attachment) for name, (_, attachment) in list(self._open.items())}

    def close(self) -> None:
        """Close all in reverse order; they can still report. Errors are logged, and the others still closed."""
        for name, (_, attachment) in reversed(list(self._open.items())):
            self._close_one(name, attachment)

    def _close_one(self, name: str, attachment: Attachment) -> None:
        try:
            attachment.close()
        except Exception as e:
            log.warning("%s: closing failed (%s: %s)", name, type(e).__name__, e)


def _safe_report(attachment: Attachment) -> dict[str, Any]:
    try:
        return attachment.report()
    except Exception as e:
        # a failing attachment must not prevent the run's report
        log.exception("a report failed")
        return {"error": f"{type(e).__name__}: {e}"}
