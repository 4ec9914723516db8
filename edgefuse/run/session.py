"""The parts of a run: opened by its settings, and exchanged while it runs where those change.

What did not change stays as it is: cameras above all, which take seconds to come back. An exchange that can't be made leaves the run as it
was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import fields
from types import TracebackType
from typing import Any, Self

import edgefuse
from edgefuse.errors import EdgeFuseError, OutputError
from edgefuse.events import Event
from edgefuse.fusion.fuser import Fuser
from edgefuse.run import build
from edgefuse.run.attachments import Attachments
from edgefuse.run.build import Calibrated, Output
from edgefuse.run.pipeline import Pipeline
from edgefuse.settings import RunSettings, Settings
from edgefuse.sinks import Sink
from edgefuse.sinks.guard import GuardedSink
from edgefuse.sources import Source
from edgefuse.sources.recorded import RecordedSource
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.report import Telemetry
from edgefuse.util.backoff import Backoff
from edgefuse.util.uri import safe

log = logging.getLogger(__name__)

_POLL_S = 0.05
_SOURCE = ("source", "camera", "max_skew", "delay", "fresh", "pass_through")
_FUSER = ("model", "runtime", "precision", "threads", "colour", "sharpness", "targets", "steady", "agc")


class RunSession:
    """Source, fuser, sinks and attachments of one run: `run` it, then `close` it. `exchange` is for one other thread; `stop` and `report`
    for any."""

    def __init__(self, given: Settings) -> None:
        """Opens everything. Raises EdgeFuseError, with nothing left open."""
        self.settings, self.telemetry = given, Telemetry()
        self.reloads = {"applied": 0, "refused": 0}
        s = given.run
        with ExitStack() as undo:
            self._calibration = Calibrated.of(s)
            self.live = Live(self.report)
            self.source = undo.enter_context(self._open_source(s, self._calibration))
            build.check_outputs(s, build.inputs(s, self.source))
            self._sinks = self._open_sinks(s, undo)
            self.fuser = undo.enter_context(build.fuser(s, self._calibration.made, self.source.info.sequence))
            self._tap = undo.enter_context(build.tapped(self.source, s, self.live.emit))
            # those that are opened first may ask for a report while the others are opened
            info = self._info(s, self.fuser)
            self._attachments = Attachments({}, self.live, info)
            undo.callback(self._attachments.close)
            self._attachments.exchange(given.tables, info)
            self._pipeline = Pipeline(self._tap, self.fuser, self._all(self._sinks), self.telemetry, s.frames)
            undo.pop_all()

    def run(self, on_frame: Callable[[], None]) -> None:
        """To the source's end, the limit or `stop`. Raises as `Pipeline.run`."""
        self._pipeline.run(on_frame)

    def stop(self) -> None:
        """End it soon. For signal handlers, too."""
        self._pipeline.stop()

    def close(self) -> list[EdgeFuseError]:
        """Finish and close everything; what went wrong with the outputs. Safe to call twice."""
        failures = []
        outputs: list[Sink | Source] = [*self._sinks.values(), self._tap]
        for output in outputs:
            try:
                output.close()
            except EdgeFuseError as e:
                failures.append(e)
        self.source.close()
        self._attachments.close()
        self.fuser.close()
        return failures

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def report(self) -> dict[str, Any]:
        """Everything there is to tell of the run so far: JSON values, units in the keys."""
        s, sinks, fuser, tap = self.settings.run, self._sinks, self.fuser, self._tap
        report: dict[str, Any] = {"edgefuse": edgefuse.__version__, "source": self._name(s), "model": model_facts(fuser)}
        if self.source.info.layout:
            report["layout"] = self.source.info.layout
        report |= self.telemetry.report()
        report["bytes"]["written"] = sum(sink.bytes_written for sink in sinks.values())
        report["calibration"] = s.calibration
        report["outputs"] = [p for p in (s.save, s.record, s.record_raw, *s.sink) if p]
        report["sinks"] = {sink.name: sink.report() for sink in sinks.values()}
        report["reloads"] = dict(self.reloads)
        return report | tap.report() | self._attachments.report()

    def _name(self, s: RunSettings) -> str:
        return self.source.info.uri if s.camera else s.source

    def _info(self, s: RunSettings, fuser: Fuser) -> Info:
        info = self.source.info
        return Info(safe(self._name(s)), info.fps, info.pairs is None, model_facts(fuser), build.inputs(s, self.source))

    def _open_source(self, s: RunSettings, calibration: Calibrated) -> Source:
        source = build.source(s, calibration.made)
        source.listen(lambda camera, facts: self.live.emit(Event("camera", camera, facts)))
        return source

    def _all(self, sinks: dict[Output, GuardedSink]) -> list[Sink]:
        return [*sinks.values(), self.live]

    def _open_sinks(self, s: RunSettings, undo: ExitStack, kept: dict[Output, GuardedSink] | None = None) -> dict[Output, GuardedSink]:
        """Those that `s` asks for; of `kept` where there is such a one."""
        sinks = {}
        for output in build.outputs(s):
            if kept is not None and output in kept:
                sinks[output] = kept[output]
            else:
                made = build.sink(output, self.source.info.fps)
                keep_going = build.keep_going(s, self.source)
                sinks[output] = undo.enter_context(GuardedSink(safe(output.target), made, keep_going, self.live.emit))
        return sinks

    def exchange(self, new: Settings) -> list[str]:
        """Go on with `new` from the next frame on; what changed, as keys of the settings file. Raises EdgeFuseError where that can't be:
        the run goes on as it was."""
        s, calibration = new.run, Calibrated.of(new.run)
        changed = _changed(self.settings, new) + (["run.calibration"] if calibration != self._calibration else [])
        moves = _any(changed, _SOURCE)
        parks = moves or _any(changed, ("record_raw",))
        with ExitStack() as undo:
            build.check_outputs(s, () if moves else build.inputs(s, self.source))
            sinks = self._open_sinks(s, undo, self._sinks)
            fuser, tap = self.fuser, self._tap
            sequence = self.source.info.sequence or bool(s.camera)
            if moves or _any(changed, (*_FUSER, "calibration")):
                if not moves:
                    build.check_sizes(calibration.made, self.source)
                fuser = undo.enter_context(build.fuser(s, calibration.made, sequence))
            if parks and not moves:
                tap = self._tapped(self.source, s)
                undo.callback(_finish, tap)
            if parks:
                self._pipeline.park(stop=moves and self.source.info.live)
                undo.callback(lambda: self._pipeline.go_on(self._tap))
                if self._pipeline.stopping:
                    raise EdgeFuseError("the run is ending")
            if moves:
                self._move(s, calibration)
                undo.callback(self._move_back)
                build.check_outputs(s, build.inputs(s, self.source))
                if self.source.info.sequence != sequence:
                    fuser = undo.enter_context(build.fuser(s, calibration.made, self.source.info.sequence))
                tap = self._tap
            self._attachments.exchange(new.tables, self._info(s, fuser))
            undo.pop_all()
        # from here on nothing can go wrong
        self._pipeline.exchange(fuser, self._all(sinks))
        self._pipeline.limit = s.frames
        (old, self.fuser), (gone, self._sinks) = (self.fuser, fuser), (self._sinks, sinks)
        (before, self._tap), self.settings, self._calibration = (self._tap, tap), new, calibration
        if parks:
            self._pipeline.go_on(tap)
        for guard in sinks.values():
            guard.keep_going = build.keep_going(s, self.source)
        for output, guard in gone.items():
            if output not in sinks:
                self._let_go(guard.name, guard.close)
        if before is not tap:
            self._let_go("the raw recording", lambda: _finish(before))
        if old is not fuser:
            old.close()
        return changed

    def _tapped(self, source: Source, s: RunSettings) -> Source:
        return build.tapped(source, s, self.live.emit, anew=True)

    def _move(self, s: RunSettings, calibration: Calibrated) -> None:
        """While the pipeline is parked: to another source. The old one is closed first where it may hold what the new one needs; where
        the new one can't be opened, the old one is opened again."""
        live = self.source.info.live
        if live:
            self._let_go("the source", self._tap.close)
        try:
            with ExitStack() as undo:
                source = undo.enter_context(self._open_source(s, calibration))
                tap = self._tapped(source, s)
                undo.pop_all()
        except EdgeFuseError:
            if live:
                self._come_back()
            raise
        if not live:
            self._let_go("the source", self._tap.close)
        self.source, self._tap = source, tap

    def _move_back(self) -> None:
        self._let_go("the source", self._tap.close)
        self._come_back()

    def _come_back(self) -> None:
        """Open the source of the settings that hold, however long it takes."""
        s, backoff = self.settings.run, Backoff()
        while not self._pipeline.stopping:
            try:
                self.source = self._tap = self._open_source(s, self._calibration)
                self._tap = self._tapped(self.source, s)
                return
            except OutputError as e:
                log.warning("the raw recording can't go on: %s", e)
                return
            except EdgeFuseError as e:
                log.warning("the source before can't be opened again, it is tried on: %s", e)
                backoff.failed()
            while backoff.left_s and not self._pipeline.stopping:
                time.sleep(_POLL_S)

    def _let_go(self, name: str, close: Callable[[], object]) -> None:
        try:
            close()
        except EdgeFuseError as e:
            self.live.emit(Event("sink", name, {"state": "not finished", "error": str(e)}))


def _finish(tap: Source) -> None:
    if isinstance(tap, RecordedSource):
        tap.finish()


def _any(changed: Iterable[str], names: Iterable[str]) -> bool:
    return not {f"run.{name}" for name in names}.isdisjoint(changed)


def _changed(old: Settings, new: Settings) -> list[str]:
    keys = [f"run.{f.name}" for f in fields(RunSettings) if getattr(old.run, f.name) != getattr(new.run, f.name)]
    return keys + [table for table in sorted({*old.tables, *new.tables}) if old.tables.get(table) != new.tables.get(table)]


def model_facts(fuser: Fuser) -> dict[str, Any]:
    """What runs a model, for a report."""
    choice = fuser.choice
    return {
        "name": fuser.card.name,
        "runtime": choice.name,
        "version": choice.version,
        "precision": choice.precision,
        "threads": choice.threads,
        "why": choice.why,
    }
