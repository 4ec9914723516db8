"""What a run has beside its sinks: the web page, MQTT, alarms, recordings, streams. Each stands on `Live` and on its own settings table.

A kind is a class made as `Kind(table, live, info)`. What is wrong with its settings, or an extra that is missing, it raises there as an
EdgeFuseError. From then on nothing that happens to it ends a run: it tries again by itself, and says so (`Live.emit`, `report`).
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
        """JSON values, units in the keys; at once, from any thread."""

    def close(self) -> None:
        """End threads, watchers and listeners, finish what is open; within 5 s; safe to call twice."""


class Attachments:
    """Those that a run's tables ask for."""

    def __init__(self, tables: Mapping[str, Any], live: Live, info: Info) -> None:
        """Opens them in their order; closes what is open before it raises."""
        self._live, self._info = live, info
        self._open: dict[str, tuple[Any, Attachment]] = {}
        try:
            for name, table in tables.items():
                self._add(name, table)
        except BaseException:
            self.close()
            raise

    def _add(self, name: str, table: Any) -> None:
        if name in KINDS:
            self._open[name] = table, registry.loaded(KINDS[name])(table, self._live, self._info)

    def exchange(self, tables: Mapping[str, Any], info: Info) -> None:
        """Close those whose table changed or is gone, all of them where the source changed, and open what `tables` asks for. Where one
        can't be opened, those of before are, and EdgeFuseError is raised."""
        before, info_before = {name: table for name, (table, _) in self._open.items()}, self._info
        try:
            self._move(tables, info)
        except EdgeFuseError:
            self._move(before, info_before)
            raise

    def _move(self, tables: Mapping[str, Any], info: Info) -> None:
        same = replace(info, model=self._info.model) == self._info
        self._info = info
        for name in reversed(list(self._open)):
            if not same or self._open[name][0] != tables.get(name):
                self._close(name, self._open.pop(name)[1])
        for name, table in tables.items():
            if name not in self._open:
                self._add(name, table)

    def report(self) -> dict[str, Any]:
        """Each one's report under its table's name."""
        return {name: _reported(one) for name, (_, one) in list(self._open.items())}

    def close(self) -> None:
        """Close all, in the reverse order; they can still report. A fault of one keeps none of the others open, and is logged."""
        for name, (_, one) in reversed(list(self._open.items())):
            self._close(name, one)

    def _close(self, name: str, one: Attachment) -> None:
        try:
            one.close()
        except Exception as e:
            log.warning("%s: closing failed (%s: %s)", name, type(e).__name__, e)


def _reported(one: Attachment) -> dict[str, Any]:
    try:
        return one.report()
    except Exception as e:
        # its fault is no reason for the run to have no report
        log.exception("a report failed")
        return {"error": f"{type(e).__name__}: {e}"}
