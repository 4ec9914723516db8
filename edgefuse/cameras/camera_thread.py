"""One camera, kept alive: a thread that opens it, reads it, and opens it again when it fails. Only the newest frames are kept."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgefuse.cameras.base import Camera
from edgefuse.cameras.frame_ledger import FrameLedger, TrackedFrame
from edgefuse.errors import CameraError, FrameError, InputError
from edgefuse.frames import Frame, SensorState
from edgefuse.thermal.ffc import FROZEN_S, StallWatch
from edgefuse.util.backoff import Backoff

State = Literal["starting", "live", "held", "calibrating", "frozen", "lost", "retrying"]
GONE: frozenset[State] = frozenset({"starting", "frozen", "lost", "retrying"})  # states in which a camera gives nothing to fuse

_log = logging.getLogger(__name__)
_KEEP = 4  # frames in wait for the pairing, which comes for them at once
_RATE_OVER = 30  # frames
_HISTORY = 50  # state changes in the report; all are counted
_POLL_S = 0.5
_END_S = 6.0  # longer than FFmpeg waits for a stream: a thread that comes back from C++ while Python ends would abort it


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. late: without a frame, and the last one is said to be held. silent: without one, and the camera is opened again.
    frozen: of one and the same picture, likewise. first_retry, doubled to last_retry: between attempts. steady: of good frames, and
    the waiting starts over. wrong: this many unusable frames in a row, and the camera is opened again."""

    late: float = 0.5
    silent: float = 5.0
    frozen: float = FROZEN_S
    first_retry: float = 0.5
    last_retry: float = 30.0
    steady: float = 10.0
    wrong: int = 30


class CameraThread:
    """`start`, then `take` frames as they come. `state` changes are told or else logged, and kept; `ledger` counts what came
    and what became of it.

    Frames keep the size and depth of the first one: one of another is dropped ("size").
    """

    def __init__(self, camera: Camera, came: Callable[[], None], patience: Patience | None = None, delay_ns: int = 0) -> None:
        """came: called from the feed's thread when there is something to take. delay_ns: subtracted from the frames' times."""
        self.camera, self.ledger = camera, FrameLedger()
        self.error: InputError | None = None
        self.changes = 0
        self.told: Callable[[Mapping[str, Any]], None] | None = None  # of each coming and going, once there is someone to tell
        self.faults: dict[str, int] = {}
        self._came, self._patience, self._delay_ns = came, patience or Patience(), delay_ns
        self._lock = threading.Lock()
        self._queue: deque[TrackedFrame] = deque()
        self._stop = threading.Event()
        self._state: State = "starting"
        self._born = time.monotonic()
        self._history: deque[dict[str, Any]] = deque(maxlen=_HISTORY)
        self._times: deque[int] = deque(maxlen=_RATE_OVER)
        self._format: tuple[Any, ...] | None = None
        self._last_frame = self._last_good = 0.0
        self._wrong = self._named = 0
        self._said, self._announced = "", False
        self._still = StallWatch(frozen_s=self._patience.frozen)
        self._opened = 0.0
        self._thread = threading.Thread(target=self._run, name=f"edgefuse-{camera.modality}", daemon=True)

    @property
    def state(self) -> State:
        return self._state

    @property
    def fps(self) -> float | None:
        """Frames a second by their capture times; the camera's own figure where it agrees. None before the second frame."""
        times = list(self._times)
        if len(times) < 2 or times[-1] <= times[0]:
            return None
        measured = (len(times) - 1) * 1e9 / (times[-1] - times[0])
        nominal = self.camera.fps
        return nominal if nominal and abs(nominal - measured) < 0.1 * nominal else measured

    @property
    def frame_format(self) -> tuple[Any, ...] | None:
        """(shape, dtype) of its frames; None before the first."""
        return self._format

    def start(self) -> None:
        self._thread.start()

    def announce(self) -> None:
        """From now on failures are logged; until then whoever started the feed tells them."""
        self._announced = True
        if self.error is not None:
            self._log(logging.WARNING, self._state, str(self.error))

    def take(self) -> list[TrackedFrame]:
        """The frames that came since, oldest first; the taker has hold of them."""
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
        return taken

    def watch(self) -> State:
        """The state now; called by whoever takes, as a thread that waits for a camera can't say that it waits."""
        if self._state == "live" and self.idle_s > max(self._patience.late, 3 / (self.fps or 30.0)):
            self._change("held", f"no new frame for {self.idle_s:.1f} s")
        return self._state

    @property
    def idle_s(self) -> float:
        """Seconds since the last frame came, or since the camera was opened."""
        return time.monotonic() - self._last_frame

    def stop(self) -> None:
        """End soon; `close` waits for it."""
        self._stop.set()

    def close(self, wait_s: float = _END_S) -> None:
        """Stop; what was not taken is dropped ("stopped"). A thread that hangs in a driver for longer is left to end with the process."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(wait_s)
        for ticket in self.take():
            ticket.settle("stopped")

    def report(self) -> dict[str, Any]:
        """For the run's report, units in the keys."""
        fps = self.fps
        return {
            "camera": self.camera.label,
            "state": self._state,
            "received": self.ledger.received,
            "fused": self.ledger.fused,
            "dropped": dict(self.ledger.dropped),
            "missed_by_driver": self.camera.missed,
            "fps": None if fps is None else round(fps, 3),
            "faults": dict(self.faults),
            "state_changes": self.changes,
            "last_state_changes": list(self._history),
        }

    def _run(self) -> None:
        backoff = Backoff(self._patience.first_retry, self._patience.last_retry)
        while not self._stop.is_set():
            begin = time.monotonic()
            self._last_good = 0.0
            try:
                self.camera.open()
                self._last_frame = self._opened = time.monotonic()
                self._wrong = 0
                self._read()
            except (CameraError, InputError) as e:
                self._fail(e)
            except Exception as e:
                # a library's own error ends one attempt, not the run
                self._fail(CameraError("broken", f"{self.camera.label}: {type(e).__name__}: {e}"))
            finally:
                self.camera.close()
            if self._stop.is_set():
                return
            if self._last_good - begin > self._patience.steady:
                backoff.reset()
            self._stop.wait(backoff.next_wait_s())
            if not self._stop.is_set() and self._state == "lost":
                self._change("retrying", "")

    def _fail(self, error: InputError) -> None:
        cause = error.cause if isinstance(error, CameraError) else "missing"
        again, self._said = str(error) == self._said, str(error)
        self.error = error
        self.faults[cause] = self.faults.get(cause, 0) + 1
        if self._state not in ("retrying", "frozen") or not again:
            self._change("retrying" if self._state == "retrying" else "frozen" if cause == "frozen" else "lost", str(error))
        self._came()

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                frame = self.camera.read(min(_POLL_S, self._patience.silent))
            except FrameError as e:
                self._last_frame = time.monotonic()
                self._unusable(e.cause, str(e))
                continue
            now = time.monotonic()
            if frame is None:
                if now - self._last_frame > self._patience.silent:
                    raise CameraError("silent", f"{self.camera.label} gave no frame for {self._patience.silent:g} s")
                continue
            self._last_frame = now
            self._take_in(frame, now)

    def _unusable(self, cause: str, message: str) -> None:
        self.ledger.lost(cause)
        if cause == "start":
            return
        self._wrong += 1
        if self._wrong >= self._patience.wrong:
            raise CameraError("format" if cause in ("size", "layout") else "broken", message)

    def _take_in(self, frame: Frame, now: float) -> None:
        kind = (frame.data.shape, frame.data.dtype)
        if self._format is None:
            self._format = kind
        if kind != self._format:
            shape = "x".join(map(str, (*frame.size, frame.data.dtype)))
            wanted = "x".join(map(str, (self._format[0][1], self._format[0][0], self._format[1])))
            self._unusable("size", f"{self.camera.label} now gives {shape}, not {wanted}; set it back, or run again")
            return
        self._wrong = 0
        still = self._stall(frame, now)
        if still == "frozen":
            self.ledger.lost("frozen")
            # a camera that was opened again must show another picture, for which it has some time
            if now - self._opened > self._patience.frozen:
                raise CameraError("frozen", f"{self.camera.label} gave one and the same picture for {self._patience.frozen:g} s")
            return
        self._times.append(frame.time_ns)
        self._last_good = now
        self._named += 1
        name = f"{frame.modality}_{self._named - 1:06d}"
        ticket = TrackedFrame(replace(frame, time_ns=frame.time_ns - self._delay_ns, name=name), self.ledger)
        with self._lock:
            self._queue.append(ticket)
            oldest = self._queue.popleft() if len(self._queue) > _KEEP else None
        if oldest is not None:
            oldest.settle("overrun")
        # only a thermal camera has a shutter to close
        state: State = "calibrating" if still == "calibrating" and frame.modality == "infrared" else "live"
        if self._state != state:
            self.error = None
            self._change(state, f"{frame.data.shape[1]}x{frame.data.shape[0]}" if state == "live" else "flat-field correction")
        self._came()

    def _stall(self, frame: Frame, now: float) -> SensorState:
        """Does the picture stand still? No sensor's noise repeats; a blank picture (a covered lens, a dark night) may."""
        # of a large one some rows will do
        rows = frame.data[:: 8 if frame.data.size > 65536 else 1]
        if rows.min() == rows.max():
            self._still = StallWatch(frozen_s=self._patience.frozen)
        return self._still.update(rows, round(now * 1e9), frame.radiometry.state if frame.radiometry else "normal")

    def _change(self, state: State, note: str) -> None:
        with self._lock:
            # the watcher may be late: a frame came meanwhile
            if state == "held" and self._state != "live":
                return
            # a frame that is late by a moment is no news to those outside
            news = state != "held" and (self._state, state) != ("held", "live")
            self._state = state
            self.changes += 1
            self._history.append({"state": state, "after_s": round(time.monotonic() - self._born, 3), "note": note})
        if self.told and news:
            self.told({"state": state, "camera": self.camera.label} | ({"note": note} if note else {}))
        elif self._announced or state == "live":
            self._log(logging.WARNING if state in ("lost", "frozen") else logging.INFO, state, note)

    def _log(self, level: int, state: State, note: str) -> None:
        _log.log(level, "%s camera %s: %s%s", self.camera.modality, self.camera.label, state, f" ({note})" if note else "")
