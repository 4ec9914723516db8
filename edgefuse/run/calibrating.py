"""Calibrates the cameras of a run from its page, as `edgefuse calibrate --camera` does, and saves the result on confirmation."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgefuse.calibration import registration
from edgefuse.calibration.registration import Calibration
from edgefuse.errors import CalibrationError, EdgeFuseError, SettingsError
from edgefuse.events import Facts
from edgefuse.frames import FramePair, FusedFrame
from edgefuse.run.editing import Editor
from edgefuse.run.session import RunSession
from edgefuse.settings import Settings
from edgefuse.util import files
from edgefuse.util.restarting_thread import FaultLog
from edgefuse.util.uri import expand

log = logging.getLogger(__name__)

_PAIRS = 8  # as `edgefuse calibrate` takes; more change little
_APART_S = 0.25  # between two pairs, so that a moving scene shows more than one position
_PATIENCE_S = 60.0  # for all pairs
_DISTANCES_M = 0.01, 1e6


@dataclass(frozen=True, slots=True)
class _Result:
    """A reliable calibration, its edges over the first pair's visible frame as PNG, and facts for the page."""

    calibration: Calibration
    png: bytes
    facts: Facts


class Calibrator:
    """Registers the commands `calibrate` (start, save or discard) and `calibration`, its state. Safe from any thread."""

    def __init__(self, running: RunSession, editor: Editor) -> None:
        self._running, self._editor, self._lock = running, editor, threading.Lock()
        self._state, self._why = "none", ""
        self._pairs: list[FramePair] = []
        self._taken_at = self._begun_at = 0.0
        self._distance: float | None = None
        self._result: _Result | None = None
        self._faults = FaultLog(log, "a calibration")
        self._end = running.live.watch(self._on_frame)
        running.live.register_command("calibrate", self._do)
        running.live.register_command("calibration", self._report)

    def _report(self, given: Facts) -> Facts:
        """Return state and result, or with {"picture": True} {"png": bytes}. state: none, collecting, estimating, failed or done."""
        with self._lock:
            if self._state == "collecting" and time.monotonic() - self._begun_at > _PATIENCE_S:
                count, self._pairs = len(self._pairs), []
                self._fail(f"only {count} of {_PAIRS} pairs with new frames of both cameras came in {_PATIENCE_S:g} s")
            if given.get("picture"):
                return {"png": self._result.png if self._result else b""}
            facts = dict(self._result.facts) if self._result else {}
            return {"state": self._state, "why": self._why, "pairs": len(self._pairs), "wanted": _PAIRS, **facts}

    def _fail(self, why: str) -> None:
        self._state, self._why, self._result = "failed", why, None

    def _do(self, given: Facts) -> Facts:
        what = given.get("do")
        if what == "start":
            self._start(given.get("distance_m"))
        elif what == "save":
            return self._save()
        elif what == "discard":
            with self._lock:
                self._state, self._why, self._result, self._pairs = "none", "", None, []
        else:
            raise SettingsError("calibrate: expected start, save or discard")
        return self._report({})

    def _start(self, distance: object) -> None:
        least, most = _DISTANCES_M
        if distance is not None and not (isinstance(distance, int | float) and least <= distance <= most):
            raise SettingsError(f"distance_m: expected a number from {least:g} to {most:g}")
        with self._lock:
            if self._state in ("collecting", "estimating"):
                raise EdgeFuseError("a calibration is being made already; wait for it")
            self._state, self._why, self._result, self._pairs = "collecting", "", None, []
            self._distance, self._begun_at, self._taken_at = distance, time.monotonic(), 0.0

    def _on_frame(self, _: int, fused: FusedFrame) -> None:
        """Take a pair where the last one was long enough ago; runs in the writer's thread."""
        if self._state != "collecting":
            return
        pair, now = fused.pair, time.monotonic()
        with self._lock:
            if self._state != "collecting" or now - self._taken_at < _APART_S or not self._usable(pair):
                return
            self._pairs.append(pair)
            self._taken_at = now
            if len(self._pairs) < _PAIRS:
                return
            self._state, pairs = "estimating", self._pairs
        # not in this thread, which writes the frames
        try:
            threading.Thread(target=self._estimate, args=(pairs,), name="edgefuse-calibrate", daemon=True).start()
        except (RuntimeError, MemoryError) as e:
            with self._lock:
                self._pairs = []
                self._fail(f"no thread could be started ({e}); try again")

    def _usable(self, pair: FramePair) -> bool:
        """Whether both frames are new, and the sensor's shutter open."""
        law = pair.infrared.radiometry
        if pair.missing is not None or (law is not None and law.state != "normal"):
            return False
        last = self._pairs[-1] if self._pairs else None
        return last is None or (pair.infrared.time_ns != last.infrared.time_ns and pair.visible.time_ns != last.visible.time_ns)

    def _estimate(self, pairs: list[FramePair]) -> None:
        why, result = "", None
        try:
            result = self._made(pairs)
        except EdgeFuseError as e:
            why = str(e)
        except Exception as e:  # the run goes on, whatever fails here
            self._faults.note(e)
            why = f"{type(e).__name__}: {e}"
        with self._lock:
            self._pairs = []
            if self._state != "estimating":
                return  # discarded meanwhile
            if result is None:
                self._fail(why)
            else:
                self._state, self._result = "done", result

    def _made(self, pairs: list[FramePair]) -> _Result:
        """Make a calibration. Raises CalibrationError where it is not reliable."""
        from edgefuse.calibration import result
        from edgefuse.calibration.automatic import estimate
        from edgefuse.calibration.views import digests, views

        used = self._running.calibration
        lenses = (used.visible_lens, used.infrared_lens) if used else (None, None)
        fit = estimate(views(pairs, *lenses))
        if fit.doubt is not None:
            raise CalibrationError(f"no reliable calibration: {fit.doubt}; show both cameras a scene with edges, warm and cold")
        made = Calibration(
            homography=fit.homography, visible_size=pairs[0].visible.size, infrared_size=pairs[0].infrared.size, method="automatic",
            error_px=fit.error_px, made=datetime.date.today(), distance_m=self._distance, images=digests(pairs), visible_lens=lenses[0],
            infrared_lens=lenses[1],
        )  # fmt: skip
        facts = {
            "error_px": round(fit.error_px, 2), "halves_px": round(fit.halves_px, 2), "agreement": round(fit.agreement, 2),
            "placed": result.placed(made), "visible_size": made.visible_size, "file": str(self._place()), "replaces": used is not None,
        }  # fmt: skip
        return _Result(made, bytes(result.picture(made, pairs[0])), facts)

    def _place(self) -> Path:
        """Return the path to save to: the calibration's in use, or a new one beside the settings file."""
        used = self._running.settings.run.calibration
        return expand(used) if used else files.unused(self._editor.path.with_name("calibration.toml"))

    def _save(self) -> Facts:
        """Write the calibration file, name it in the settings where none is, and request a reload. Raises EdgeFuseError."""
        with self._lock:
            result = self._result
        if result is None:
            raise EdgeFuseError("there is no calibration to save; make one first")
        path = self._place()
        registration.save(result.calibration, path)
        if self._running.settings.run.calibration is None:
            try:
                self._editor.set({("run", "calibration"): str(path)})
            except EdgeFuseError:
                # nothing names the file, so it would only stay in the way
                path.unlink(missing_ok=True)
                raise
        self._running.live.run_command("reload")
        with self._lock:
            self._state, self._why, self._result = "none", "", None
        return {"saved": str(path)}


def register_changes(running: RunSession, file: Path | None, reread: Callable[[], Settings] | None) -> None:
    """Register the commands that change a run's settings file and calibration, where it has a file that can be read again."""
    if file is not None and reread is not None:
        Calibrator(running, Editor(running, file.absolute(), reread))
