"""Thread for one camera that opens it, reads it, and reopens it after failures. Only the newest frames are kept."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from edgefuse.cameras.base import Camera
from edgefuse.cameras.frame_ledger import FrameLedger, TrackedFrame
from edgefuse.errors import CameraError, FrameError, InputError
from edgefuse.events import Facts
from edgefuse.frames import Frame, SensorState
from edgefuse.thermal.ffc import FROZEN_S, StallWatch, can_stall
from edgefuse.util.backoff import Backoff
from edgefuse.util.restarting_thread import FaultLog, Worker

State = Literal["starting", "live", "held", "calibrating", "frozen", "lost", "retrying"]
GONE: frozenset[State] = frozenset({"starting", "frozen", "lost", "retrying"})  # states in which a camera gives no frames to fuse

_log = logging.getLogger(__name__)
_QUEUE_LENGTH = 4  # frames waiting for the pairing, which takes them at once
_RATE_WINDOW = 30  # frames
_HISTORY = 50  # state changes in the report; all are counted
_POLL_S = 0.5
# longer than FFmpeg's timeout, because a thread that returns from C++ during Python's shutdown would abort the process
_JOIN_TIMEOUT_S = 6.0


class StateChange(TypedDict):
    """A change of a camera's state. after_s: seconds since the thread began."""

    state: str
    after_s: float
    note: str


class CameraReport(TypedDict):
    """A camera's part of the run's report."""

    camera: str
    state: str
    received: int
    fused: int
    dropped: dict[str, int]
    missed_by_driver: int | None
    fps: float | None
    last_frame_s: float | None
    faults: dict[str, int]
    state_changes: int
    last_state_changes: list[StateChange]


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits in seconds.

    late: without a frame the state becomes "held". silent: without a frame the camera is reopened. frozen: likewise, with an unchanged
    picture. first_retry, doubled up to last_retry: wait between attempts. steady: good frames for this long reset the wait.
    wrong: this many unusable frames in a row (a count), and the camera is reopened.
    """

    late: float = 0.5
    silent: float = 5.0
    frozen: float = FROZEN_S
    first_retry: float = 0.5
    last_retry: float = 30.0
    steady: float = 10.0
    wrong: int = 30


class CameraThread:
    """Thread that reads one camera. Call `start`, then `take` frames as they arrive.

    `state` changes are passed to `on_change` or else logged, and kept for the report; `ledger` counts the frames and their outcome. All
    frames have the size and depth of the first; others are dropped ("size").
    """

    def __init__(self, camera: Camera, on_frame: Callable[[], None], patience: Patience | None = None, delay_ns: int = 0) -> None:
        """on_frame: called in this thread when there is something to take. delay_ns: subtracted from the frames' times."""
        self.camera, self.ledger = camera, FrameLedger()
        self.error: InputError | None = None
        self.changes = 0
        self.on_change: Callable[[Facts], None] | None = None  # receives state changes, if set
        self.faults: dict[str, int] = {}
        self._on_frame, self._patience, self._delay_ns = on_frame, patience or Patience(), delay_ns
        self._lock = threading.Lock()
        self._queue: deque[TrackedFrame] = deque()
        self._stop = threading.Event()
        self._state: State = "starting"
        self._started_at = time.monotonic()
        self._history: deque[StateChange] = deque(maxlen=_HISTORY)
        self._times: deque[int] = deque(maxlen=_RATE_WINDOW)
        self._format: tuple[Any, ...] | None = None
        self._last_frame = self._last_good = 0.0
        self._usable_at: float | None = None  # monotonic seconds of the last frame that was not dropped here
        self._unusable_in_row = self._frame_count = 0
        self._last_error, self._announced = "", False
        self._stall_watch = StallWatch(frozen_s=self._patience.frozen)
        self._opened = 0.0
        self._worker = Worker(f"edgefuse-{camera.modality}", self._run, FaultLog(_log, f"{camera.modality} camera {camera.label}"))

    @property
    def state(self) -> State:
        """Current state."""
        return self._state

    @property
    def fps(self) -> float | None:
        """Rate in Hz from capture times, or the nominal rate where it agrees; None before the second frame."""
        times = list(self._times)
        if len(times) < 2 or times[-1] <= times[0]:
            return None
        measured = (len(times) - 1) * 1e9 / (times[-1] - times[0])
        nominal = self.camera.fps
        return nominal if nominal and abs(nominal - measured) < 0.1 * nominal else measured

    @property
    def frame_format(self) -> tuple[Any, ...] | None:
        """(shape, dtype) of the frames; None before the first."""
        return self._format

    def start(self) -> None:
        """Start the thread. Raises EdgeFuseError where the system gives none."""
        self._worker.start()

    def announce(self) -> None:
        """Log failures from now on; until then the caller of `start` reports them."""
        self._announced = True
        if self.error is not None:
            self._log(logging.WARNING, self._state, str(self.error))

    def take(self) -> list[TrackedFrame]:
        """Return the new frames, oldest first; the caller becomes their holder."""
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
        return taken

    def watch(self) -> State:
        """Return the state, updated for a late frame; called by the consumer, because a blocked camera thread cannot do it."""
        if self._state == "live" and self.idle_s > max(self._patience.late, 3 / (self.fps or 30.0)):
            self._change("held", f"no new frame for {self.idle_s:.1f} s")
        return self._state

    @property
    def idle_s(self) -> float:
        """Seconds since the last frame, or since the camera was opened."""
        return time.monotonic() - self._last_frame

    def stop(self) -> None:
        """Ask the thread to end; `close` waits for it."""
        self._stop.set()
        self._worker.end()
        self.camera.interrupt()

    def close(self, wait_s: float = _JOIN_TIMEOUT_S) -> None:
        """Stop and drop frames that were not taken ("stopped"). A thread that hangs in a driver is abandoned after `wait_s`."""
        self.stop()
        self._worker.join(wait_s)
        for ticket in self.take():
            ticket.settle("stopped")

    def report(self) -> CameraReport:
        """Return this camera's part of the run's report."""
        fps = self.fps
        return {
            "camera": self.camera.label,
            "state": self._state,
            "received": self.ledger.received,
            "fused": self.ledger.fused,
            "dropped": dict(self.ledger.dropped),
            "missed_by_driver": self.camera.missed,
            "fps": None if fps is None else round(fps, 3),
            "last_frame_s": None if self._usable_at is None else round(time.monotonic() - self._usable_at, 1),  # seconds ago
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
                self._unusable_in_row = 0
                self._read()
            except (CameraError, InputError) as e:
                self._fail(e)
            except Exception as e:
                # an unexpected error of a library ends this attempt, not the run
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
        if self._stop.is_set():
            return  # a camera that was interrupted ends
        cause = error.cause if isinstance(error, CameraError) else "missing"
        again, self._last_error = str(error) == self._last_error, str(error)
        self.error = error
        self.faults[cause] = self.faults.get(cause, 0) + 1
        if self._state not in ("retrying", "frozen") or not again:
            self._change("retrying" if self._state == "retrying" else "frozen" if cause == "frozen" else "lost", str(error))
        self._on_frame()

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
            self._accept(frame, now)

    def _unusable(self, cause: str, message: str) -> None:
        self.ledger.lost(cause)
        if cause == "start":
            return
        self._unusable_in_row += 1
        if self._unusable_in_row >= self._patience.wrong:
            raise CameraError("format" if cause in ("size", "layout") else "broken", message)

    def _accept(self, frame: Frame, now: float) -> None:
        kind = (frame.data.shape, frame.data.dtype)
        if self._format is None:
            self._format = kind
        if kind != self._format:
            shape = "x".join(map(str, (*frame.size, frame.data.dtype)))
            wanted = "x".join(map(str, (self._format[0][1], self._format[0][0], self._format[1])))
            self._unusable("size", f"{self.camera.label} now gives {shape}, not {wanted}; restore the setting, or start a new run")
            return
        self._unusable_in_row = 0
        still = self._stall_state(frame, now)
        if still == "frozen":
            self.ledger.lost("frozen")
            # a reopened camera must show a new picture, for which it has some time
            if now - self._opened > self._patience.frozen:
                raise CameraError("frozen", f"{self.camera.label} gave the same picture for {self._patience.frozen:g} s")
            return
        self._times.append(frame.time_ns)
        self._last_good = self._usable_at = now
        self._frame_count += 1
        name = f"{frame.modality}_{self._frame_count - 1:06d}"
        ticket = TrackedFrame(replace(frame, time_ns=frame.time_ns - self._delay_ns, name=name), self.ledger)
        with self._lock:
            self._queue.append(ticket)
            oldest = self._queue.popleft() if len(self._queue) > _QUEUE_LENGTH else None
        if oldest is not None:
            oldest.settle("overrun")
        state: State = "calibrating" if still == "calibrating" else "live"
        if self._state != state:
            self.error = None
            self._change(state, f"{frame.data.shape[1]}x{frame.data.shape[0]}" if state == "live" else "flat-field correction")
        self._on_frame()

    def _stall_state(self, frame: Frame, now: float) -> SensorState:
        """Return whether the shutter is closed or the picture frozen. Only a sensor's own counts never repeat (`Camera.raw`)."""
        reported: SensorState = frame.radiometry.state if frame.radiometry else "normal"
        if not self.camera.raw:
            return reported
        # some rows of a large frame suffice
        rows = frame.data[:: 8 if frame.data.size > 65536 else 1]
        state = self._stall_watch.update(rows, round(now * 1e9), reported)
        return reported if state == "calibrating" and not can_stall(frame) else state

    def _change(self, state: State, note: str) -> None:
        with self._lock:
            # `watch` may run late: a frame came in the meantime
            if state == "held" and self._state != "live":
                return
            # "held" is too brief to report
            news = state != "held" and (self._state, state) != ("held", "live")
            self._state = state
            self.changes += 1
            self._history.append({"state": state, "after_s": round(time.monotonic() - self._started_at, 3), "note": note})
        if self.on_change and news:
            self.on_change({"state": state, "camera": self.camera.label} | ({"note": note} if note else {}))
        elif self._announced or state == "live":
            self._log(logging.WARNING if state in ("lost", "frozen") else logging.INFO, state, note)

    def _log(self, level: int, state: State, note: str) -> None:
        _log.log(level, "%s camera %s: %s%s", self.camera.modality, self.camera.label, state, f" ({note})" if note else "")
