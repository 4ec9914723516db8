"""A run's components, opened from its settings and replaced while it runs when those change.

Unchanged components stay open, above all cameras, which take seconds to restart. If a change fails, the run continues as before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import fields, replace
from functools import partial
from types import TracebackType
from typing import Self, cast

import edgefuse
from edgefuse.calibration.registration import Calibration
from edgefuse.errors import EdgeFuseError, OutputError
from edgefuse.events import Event, Facts
from edgefuse.fusion.fuser import Fuser
from edgefuse.run import build, validate
from edgefuse.run.attachments import Attachments
from edgefuse.run.build import LoadedCalibration, Output
from edgefuse.run.output_supervisor import Supervisor
from edgefuse.run.pipeline import Pipeline
from edgefuse.settings import RunSettings, Settings
from edgefuse.settings.thermal import ThermalSettings
from edgefuse.sinks import Sink
from edgefuse.sinks.guard import GuardedSink
from edgefuse.sources import Source
from edgefuse.sources.record_raw import RecordedSource
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.people import people_marks
from edgefuse.telemetry.report import Telemetry
from edgefuse.telemetry.report_types import ModelFacts, Report
from edgefuse.thermal.emission_correction import Corrected
from edgefuse.util.backoff import Backoff
from edgefuse.util.uri import safe

log = logging.getLogger(__name__)

_POLL_S = 0.05
_SOURCE = ("source", "camera", "max_skew", "delay", "fresh", "pass_through")
_FUSER = ("model", "runtime", "precision", "threads", "colour", "sharpness", "targets", "steady", "agc", "infrared_polarity")


class RunSession:
    """Source, fuser, sinks and attachments of one run: call `run`, then `close`.

    `exchange` may be called from one other thread; `stop` and `report` from any.
    """

    def __init__(self, given: Settings) -> None:
        """Opens everything. Raises EdgeFuseError, with nothing left open."""
        self.settings, self.telemetry = given, Telemetry()
        self.reloads = {"applied": 0, "refused": 0}
        self._changing = threading.Lock()  # held while settings are exchanged, or the view is
        s = given.run
        validate.check_parts(given)
        with ExitStack() as undo:
            self._calibration = LoadedCalibration.from_settings(s)
            self.live = Live(self.report)
            self._people = partial(people_marks, live=self.live)
            self.live.calibration, self.live.polarity = self._calibration.calibration, s.infrared_polarity
            self.live.register_command("view", self._choose_view)
            self.source = undo.enter_context(self._open_source(s, self._calibration))
            build.check_outputs(s, build.inputs(s, self.source))
            build.check_regions(given.tables, self.source)
            self._sinks = self._open_sinks(s, undo)
            self.fuser = undo.enter_context(build.fuser(s, self._calibration.calibration, self.source.info.sequence))
            self.fuser.display = build.display(given, self._calibration.calibration, self.source.info.live, self._people)
            self._recorded = undo.enter_context(build.with_raw_recording(self.source, s, self.live.emit))
            # attachments opened early may request a report while later ones are opened
            info = self._info(s, self.fuser)
            self._attachments = Attachments({}, self.live, info)
            undo.callback(self._attachments.close)
            self._supervisor = Supervisor(self._outputs, self._attachments.revive, self.live)
            self._attachments.exchange(validate.placed(given), info)
            self._pipeline = Pipeline(self._recorded, self.fuser, self._all_sinks(self._sinks), self.telemetry, s.frames)
            self._apply_thermal(given)
            self._supervisor.start()
            undo.pop_all()

    @property
    def calibration(self) -> Calibration | None:
        """The calibration in use, if any."""
        return self._calibration.calibration

    def run(self, on_frame: Callable[[], None]) -> None:
        """Run until the source's end, the limit or `stop`. Raises as `Pipeline.run`."""
        self._pipeline.run(on_frame)

    def stop(self) -> None:
        """End the run soon. Callable from signal handlers."""
        self._pipeline.stop()

    def close(self) -> list[EdgeFuseError]:
        """Finish and close everything. Returns the outputs' errors. Safe to call twice."""
        failures = []
        self._supervisor.close()
        outputs: list[Sink | Source] = [*self._sinks.values(), self._recorded, self.source]
        for close in (*(output.close for output in outputs), self._attachments.close, self.fuser.close):
            try:
                close()
            except EdgeFuseError as e:
                failures.append(e)
            except Exception as e:  # the others are closed, whatever fails
                log.exception("closing failed")
                failures.append(EdgeFuseError(f"closing failed ({type(e).__name__}: {e})"))
        return failures

    def _outputs(self) -> dict[str, OutputState]:
        """Return the state of every output now."""
        raw = {self._recorded.name: self._recorded.state} if isinstance(self._recorded, RecordedSource) else {}
        return {sink.name: sink.state for sink in self._sinks.values()} | raw | self._attachments.outputs()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def report(self) -> Report:
        """Return the run's full report so far: JSON values, units in the keys."""
        s, sinks, fuser, recorded = self.settings.run, self._sinks, self.fuser, self._recorded
        report = cast(Report, {
            "edgefuse": edgefuse.__version__, "source": safe(self._name(s)), "model": model_facts(fuser),
            "layout": self.source.info.layout, **self.telemetry.report(),
        })  # fmt: skip
        if not report["layout"]:
            del report["layout"]
        report["bytes"]["written"] = sum(sink.bytes_written for sink in sinks.values())
        report["calibration"], report["view"] = s.calibration, s.view
        report["outputs"] = [safe(p) for p in (s.save, s.record, s.record_raw, *s.sink) if p]
        report["sinks"] = {sink.name: sink.report() for sink in sinks.values()}
        report["reloads"] = dict(self.reloads)
        report["output_states"] = self._supervisor.report()
        return {**report, **recorded.report(), **self._attachments.report()}

    def _name(self, s: RunSettings) -> str:
        return self.source.info.uri if s.camera else s.source

    def _info(self, s: RunSettings, fuser: Fuser) -> Info:
        info = self.source.info
        return Info(safe(self._name(s)), info.fps, info.pairs is None, model_facts(fuser), build.inputs(s, self.source))

    def _open_source(self, s: RunSettings, calibration: LoadedCalibration) -> Source:
        source = build.source(s, calibration.calibration)
        source.listen(lambda camera, facts: self.live.emit(Event("camera", camera, facts)))
        return source

    def _all_sinks(self, sinks: dict[Output, GuardedSink]) -> list[Sink]:
        return [*sinks.values(), self.live]

    def _open_sinks(self, s: RunSettings, undo: ExitStack, kept: dict[Output, GuardedSink] | None = None) -> dict[Output, GuardedSink]:
        """Open the sinks of `s`, reusing those of `kept` that are the same."""
        sinks = {}
        for output in build.outputs(s):
            if kept is not None and output in kept:
                sinks[output] = kept[output]
            else:
                made = build.sink(output, self.source.info.fps)
                keep_going = build.keep_going(s, self.source)
                sinks[output] = undo.enter_context(GuardedSink(safe(output.target), made, keep_going, self.live.emit))
        return sinks

    def _choose_view(self, given: Facts) -> Facts:
        """Show the view `given["view"]` from the next frame on, until a reload. Raises SettingsError for an unknown one."""
        with self._changing:
            chosen = replace(self.settings, run=replace(self.settings.run, view=str(given.get("view"))))
            self.fuser.display = build.display(chosen, self._calibration.calibration, self.source.info.live, self._people)
            self.settings = chosen
        self.live.emit(Event("view", chosen.run.view, {"state": "shown"}))
        return {"view": chosen.run.view}

    def exchange(self, new: Settings) -> list[str]:
        """Apply new settings from the next frame on. Returns the changed keys of the settings file.

        Raises EdgeFuseError where that fails; the run then continues as before.
        """
        with self._changing:
            return self._exchange(new)

    def _exchange(self, new: Settings) -> list[str]:
        validate.check_parts(new)
        s, calibration = new.run, LoadedCalibration.from_settings(new.run)
        changed = _changed(self.settings, new) + (["run.calibration"] if calibration != self._calibration else [])
        source_changes = _any(changed, _SOURCE)
        pauses = source_changes or _any(changed, ("record_raw",))
        with ExitStack() as undo:
            build.check_outputs(s, () if source_changes else build.inputs(s, self.source))
            sinks = self._open_sinks(s, undo, self._sinks)
            fuser, recorded = self.fuser, self._recorded
            sequence = self.source.info.sequence or bool(s.camera)
            if source_changes or _any(changed, (*_FUSER, "calibration")):
                if not source_changes:
                    build.check_sizes(calibration.calibration, self.source)
                fuser = undo.enter_context(build.fuser(s, calibration.calibration, sequence))
            if pauses and not source_changes:
                recorded = self._with_recording(self.source, s)
                undo.callback(_finish, recorded)
            if pauses:
                self._pipeline.pause(stop=source_changes and self.source.info.live)
                undo.callback(lambda: self._pipeline.resume(self._recorded))
                if self._pipeline.stopping:
                    raise EdgeFuseError("the run is ending")
            if source_changes:
                self._switch_source(s, calibration)
                undo.callback(self._switch_back)
                build.check_outputs(s, build.inputs(s, self.source))
                if self.source.info.sequence != sequence:
                    fuser = undo.enter_context(build.fuser(s, calibration.calibration, self.source.info.sequence))
                recorded = self._recorded
            build.check_regions(new.tables, self.source)
            display = build.display(new, calibration.calibration, self.source.info.live, self._people)
            self._attachments.exchange(validate.placed(new), self._info(s, fuser))
            undo.pop_all()
        # nothing below can fail
        fuser.display = display
        self.live.calibration, self.live.polarity = calibration.calibration, s.infrared_polarity
        self._pipeline.exchange(fuser, self._all_sinks(sinks))
        self._pipeline.limit = s.frames
        self._apply_thermal(new)
        (old, self.fuser), (old_sinks, self._sinks) = (self.fuser, fuser), (self._sinks, sinks)
        (before, self._recorded), self.settings, self._calibration = (self._recorded, recorded), new, calibration
        if pauses:
            self._pipeline.resume(recorded)
        for guard in sinks.values():
            guard.keep_going = build.keep_going(s, self.source)
        for output, guard in old_sinks.items():
            if output not in sinks:
                self._close_output(guard.name, guard.close)
        if before is not recorded:
            self._close_output("the raw recording", lambda: _finish(before))
        if old is not fuser:
            old.close()
        return changed

    def _apply_thermal(self, given: Settings) -> None:
        """Use the table [thermal] from the next frame on."""
        thermal = _thermal(given)
        self._pipeline.adjust = Corrected(thermal.conditions)
        self.telemetry.thermal.unit = self.live.unit = thermal.unit

    def _with_recording(self, source: Source, s: RunSettings) -> Source:
        return build.with_raw_recording(source, s, self.live.emit, new_name=True)

    def _switch_source(self, s: RunSettings, calibration: LoadedCalibration) -> None:
        """Switch to another source while the pipeline is paused.

        A live source is closed first, because it may hold a device that the new one needs; if the new one cannot be opened, it is
        reopened.
        """
        live = self.source.info.live
        if live:
            self._close_output("the source", self._recorded.close)
        try:
            with ExitStack() as undo:
                source = undo.enter_context(self._open_source(s, calibration))
                recorded = self._with_recording(source, s)
                undo.pop_all()
        except Exception:
            if live:
                self._reopen_source()
            raise
        if not live:
            self._close_output("the source", self._recorded.close)
        self.source, self._recorded = source, recorded

    def _switch_back(self) -> None:
        self._close_output("the source", self._recorded.close)
        self._reopen_source()

    def _reopen_source(self) -> None:
        """Reopen the source of the current settings, retrying without limit."""
        s, backoff = self.settings.run, Backoff()
        while not self._pipeline.stopping:
            try:
                self.source = self._recorded = self._open_source(s, self._calibration)
                self._recorded = self._with_recording(self.source, s)
                return
            except OutputError as e:
                log.warning("the raw recording cannot continue: %s", e)
                return
            except Exception as e:
                log.warning("the previous source cannot be reopened yet: %s", e)
                backoff.failed()
            while backoff.left_s and not self._pipeline.stopping:
                time.sleep(_POLL_S)

    def _close_output(self, name: str, close: Callable[[], object]) -> None:
        try:
            close()
        except Exception as e:  # what replaces it is in use already
            self.live.emit(Event("sink", name, {"state": "not finished", "error": str(e)}))


def _thermal(given: Settings) -> ThermalSettings:
    table: ThermalSettings = given.tables.get("thermal") or ThermalSettings()
    return table


def _finish(recorded: Source) -> None:
    if isinstance(recorded, RecordedSource):
        recorded.finish()


def _any(changed: Iterable[str], names: Iterable[str]) -> bool:
    return not {f"run.{name}" for name in names}.isdisjoint(changed)


def _changed(old: Settings, new: Settings) -> list[str]:
    keys = [f"run.{f.name}" for f in fields(RunSettings) if getattr(old.run, f.name) != getattr(new.run, f.name)]
    return keys + [table for table in sorted({*old.tables, *new.tables}) if old.tables.get(table) != new.tables.get(table)]


def model_facts(fuser: Fuser) -> ModelFacts:
    """Return the facts about a fuser's model and runtime for a report."""
    choice = fuser.choice
    return {
        "name": fuser.card.name,
        "runtime": choice.name,
        "version": choice.version,
        "precision": choice.precision,
        "threads": choice.threads,
        "why": choice.why,
    }
