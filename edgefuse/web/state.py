"""State of the run for the page: a sample per second of the last minutes, events, warnings and health."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from edgefuse.board import Throttling, read_throttling
from edgefuse.board.state import temperature_c
from edgefuse.events import Event
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.report_types import Report
from edgefuse.util.printable import escaped
from edgefuse.web.alarm_moments import Moments, alarms

SAMPLES = 300  # seconds of history
_EVENTS = 30
_STATM = Path("/proc/self/statm")  # a constant, because a new Path per second interns strings that stay allocated for an hour
_THROTTLING_S = 30.0  # interval in seconds, because reading the firmware's bits may start a process
_STALLED_S = 5.0
_WARM_C = 80.0  # a Raspberry Pi 3B+ slows down at this temperature (its highest clock already at 60 degrees)
_REPORT_KEYS = (
    "frames",
    "dropped_by_cause",
    "source",
    "model",
    "edgefuse",
    "calibration",
    "view",
    "peak_resident_mb",
    "thermal",
    "recording",
    "alarm",
)
_CAMERA_KEYS = ("camera", "state", "fps", "last_frame_s", "received", "fused", "dropped", "missed_by_driver", "faults")


class Sample(TypedDict):
    """Figures of one second."""

    time_s: float
    fps: float | None
    latency_ms: float | None
    memory_mb: float
    temperature_c: float | None
    in_mb_s: float | None
    out_mb_s: float | None
    sent_mb_s: float


class Health(TypedDict):
    """Whether frames arrive (`moving`) and, besides, every wanted output works (`ok`); see `State.health`."""

    ok: bool
    frames: int
    still_s: float
    why: str
    failing: dict[str, str]
    moving: bool


class State:
    """Collects the run's state. Call `sample` once a second; the other methods are safe from any thread."""

    def __init__(self, live: Live, fps: float) -> None:
        """fps: the source's nominal rate, Hz."""
        self._live = live
        self._stalled_s = max(_STALLED_S, 3 / fps if fps > 0 else 0)
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._count, self._moved_at, self._sampled_at = 0, time.monotonic(), time.monotonic()
        self._sent = 0
        self._throttling, self._throttling_at = Throttling(), -_THROTTLING_S
        self.moments = Moments(live)
        self._stop = live.listen(self._on_event)

    def close(self) -> None:
        self._stop()
        self.moments.close()

    def _on_event(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)

    def sample(self, sent: int) -> None:
        """Record a sample. sent: bytes of pictures sent to viewers so far."""
        now, newest = time.monotonic(), self._live.newest
        temperature = temperature_c()
        if now - self._throttling_at >= _THROTTLING_S:
            self._throttling, self._throttling_at = read_throttling(), now
        with self._lock:
            elapsed = max(now - self._sampled_at, 1e-3)
            count = newest[0] if newest else 0
            # without the wait for the first frame
            fps = (count - self._count) / elapsed if newest and self._count else None
            self._note_count(count, now)
            fused = newest[1] if newest else None
            self._samples.append(
                {
                    "time_s": round(time.time(), 1),
                    "fps": _rounded(fps, 2),
                    "latency_ms": _rounded(sum(fused.stages_ns.values()) / 1e6 if fused else None, 2),
                    "memory_mb": round(resident_bytes() / 1e6, 1),
                    "temperature_c": _rounded(temperature, 1),
                    "in_mb_s": _rounded(fused.pair.nbytes * fps / 1e6 if fused and fps is not None else None, 2),
                    "out_mb_s": _rounded(fused.data.nbytes * fps / 1e6 if fused and fps is not None else None, 2),
                    "sent_mb_s": round((sent - self._sent) / elapsed / 1e6, 3),
                }
            )
            self._sampled_at, self._sent = now, sent

    def _note_count(self, count: int, now: float) -> None:
        if count != self._count:
            self._count, self._moved_at = count, now

    def health(self) -> Health:
        """Return ok, frames (count so far), still_s (seconds since the last new frame was noticed), why and failing.

        ok: frames arrive, and every output that is wanted has worked within 30 s. failing: name -> text of the outputs that have not.
        """
        newest, now = self._live.newest, time.monotonic()
        count = newest[0] if newest else 0
        with self._lock:
            # a frame since the last sample counts as well
            moved = count != self._count
            still_s = 0.0 if moved else now - self._moved_at
        moving, failing = count > 0 and still_s < self._stalled_s, dict(self._live.failing)
        still = "" if moving else "no frame yet" if count == 0 else f"no frame for {still_s:.0f} s"
        why = "; ".join(filter(None, (still, *failing.values())))
        return {
            "ok": moving and not failing,
            "frames": count,
            "still_s": round(still_s, 1),
            "why": why,
            "failing": failing,
            "moving": moving,
        }

    @property
    def history(self) -> list[Sample]:
        """The samples of the last SAMPLES seconds, oldest first."""
        with self._lock:
            return list(self._samples)

    def now(self) -> dict[str, object]:
        """Return all texts and figures of the page. Takes a moment, because it makes the report."""
        report, health = self._live.report(), self.health()
        with self._lock:
            sample = self._samples[-1] if self._samples else None
            events = list(self._events)
        cameras = {m: {key: c.get(key) for key in _CAMERA_KEYS} for m, c in report.get("cameras", {}).items()}
        newest = self._live.newest
        missing = newest[1].pair.missing if newest else None
        made: dict[str, object] = {
            "health": health,
            "sample": sample,
            "report": {key: part for key, part in report.items() if key in _REPORT_KEYS},
            "cameras": cameras,
            "alarms": alarms(report),
            "moments": self.moments.now(),
            "warnings": warnings(report, health, missing, self._throttling, sample),
            "events": [{"kind": e.kind, "name": e.name, "facts": dict(e.facts), "time_s": round(e.time_s, 1)} for e in reversed(events)],
            "commands": list(self._live.commands),
        }
        # names of files and texts of other machines may hold control characters
        return escaped(made)


def warnings(report: Report, health: Health, missing: str | None, throttling: Throttling, sample: Sample | None) -> list[str]:
    """Return the warnings for a person, most urgent first."""
    still = f"no frame for {health['still_s']:.0f} s: the picture is frozen" if health["frames"] else "waiting for the first frame"
    texts = [] if health["moving"] else [still]
    texts += health["failing"].values()
    if missing:
        texts.append(f"the {missing} camera gives no frames; the picture is the other camera's alone")
    for modality, camera in report.get("cameras", {}).items():
        if camera["state"] not in ("live", "held"):
            texts.append(f"{modality} camera: {camera['state']}")
    thermal = report.get("thermal")
    if thermal and thermal.get("state") not in (None, "normal") and "infrared" not in report.get("cameras", {}):
        texts.append(f"infrared camera: {thermal['state']}")
    # each attachment's report, under its table's name, has its own trouble text
    texts += [f"{name}: {part['trouble']}" for name, part in report.items() if isinstance(part, Mapping) and part.get("trouble")]
    if throttling.now:
        texts.append(f"the board is throttled: {', '.join(throttling.now)}")
    if sample and (sample["temperature_c"] or 0) >= _WARM_C:
        texts.append(f"the processor is at {sample['temperature_c']:.0f} °C")
    return texts


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def resident_bytes() -> int:
    """Return the process's resident memory in bytes."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)
