"""`--camera visible=CAMERA --camera infrared=CAMERA`: two live cameras, paired by capture time (docs/how-to/cameras.md).

As a URI: `cameras:visible=picamera2:0,infrared=v4l2:1e4e:0100?max-skew=150&fresh=yes`, with a camera's own ? and , escaped as %3F and
%2C; `cameras` alone detects the cameras.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from edgefuse import cameras
from edgefuse.cameras import AUTO_CAMERAS
from edgefuse.cameras.camera_thread import GONE, CameraThread, Patience
from edgefuse.cameras.frame_ledger import TrackedFrame
from edgefuse.cameras.pairing import DEFAULT_SKEW_MS, Match, Pairing
from edgefuse.errors import CameraError, SettingsError, SourceError
from edgefuse.events import Facts
from edgefuse.frames import Frame, FramePair, Modality
from edgefuse.sources.base import Source, SourceInfo, SourceReport
from edgefuse.util.latency import Latency
from edgefuse.util.uri import Uri, choice, real

_log = logging.getLogger(__name__)
_MODALITIES: tuple[Modality, Modality] = ("visible", "infrared")
_START_S = 45.0  # a network camera may take 30 s until its first key frame
_FIRST_FRAMES = 6  # frames of each camera, to measure its rate
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class PairingOptions:
    """Options of the pairing of frames.

    max_skew_ms: longest time between a pair's two captures. delay_ms: how much later infrared frames are stamped than visible ones of the
    same moment. fresh: use no frame twice. pass_through: while a camera is gone, deliver the other's frames alone.
    """

    max_skew_ms: float = DEFAULT_SKEW_MS
    delay_ms: float = 0.0
    fresh: bool = False
    pass_through: bool = False


class CamerasSource(Source):
    """Pairs of raw frames in each camera's own size, without end. `read` is for one thread; `stop` and `settle` for any."""

    OPTIONS = ("max-skew", "delay", "fresh", "pass-through")

    def __init__(self, specs: Sequence[str], options: PairingOptions | None = None, patience: Patience | None = None) -> None:
        """specs: one visible= and one infrared=, or only `auto`. Waits for the first frames.

        Raises SettingsError for specs that are not a pair, SourceError and CameraError where a camera gives no frames (with
        `pass_through`:
        where both give none).
        """
        self._options = options or PairingOptions()
        if list(specs) == [AUTO_CAMERAS]:
            specs = _detect()
        opened = _pair(specs)
        _refuse_same_device(opened)
        self._wake = threading.Event()
        self.threads: dict[Modality, CameraThread] = {
            m: CameraThread(opened[m], self._wake.set, patience, round(self._options.delay_ms * 1e6) if m == "infrared" else 0)
            for m in _MODALITIES
        }
        self._pairing: Pairing[TrackedFrame] = Pairing(round(self._options.max_skew_ms * 1e6), self._options.fresh)
        self._stopped = False
        self._index = 0
        self._unsettled: dict[int, tuple[TrackedFrame, ...]] = {}
        self._lock = threading.Lock()
        self._skew, self._age = Latency(), Latency()
        self._reused, self._single = 0, 0
        self._gone: set[Modality] = set()
        for thread in self.threads.values():
            thread.start()
        try:
            self._await_first_frames()
        except BaseException:
            self.close()
            raise
        for thread in self.threads.values():
            thread.announce()
        rates = [fps for f in self.threads.values() if (fps := f.fps)]
        fps = (min if self._options.fresh else max)(rates, default=25.0)
        self.info = SourceInfo(",".join(f"{m}={f.camera.label}" for m, f in self.threads.items()), None, fps, live=True)

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        flag = choice("yes", "no")
        options = PairingOptions(
            uri.option("max-skew", DEFAULT_SKEW_MS, real(0, 60000)), uri.option("delay", 0.0, real(-60000, 60000)),
            uri.option("fresh", "no", flag) == "yes", uri.option("pass-through", "no", flag) == "yes",
        )  # fmt: skip
        return cls(uri.targets or (AUTO_CAMERAS,), options)

    @property
    def sizes(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """(width, height) of the visible and the infrared frames; None for a camera without a frame yet."""
        shapes = [f.frame_format[0] if f.frame_format else None for f in self.threads.values()]
        visible, infrared = ((s[1], s[0]) if s else None for s in shapes)
        return visible, infrared

    def read(self) -> FramePair | None:
        """Return the next pair; None after `stop`. `time_ns` are monotonic."""
        while not self._stopped:
            self._wake.clear()
            self._gather()
            if (match := self._pairing.take()) is not None:
                return self._make_pair(match)
            self._wake.wait(_POLL_S)
        return None

    def stop(self) -> None:
        self._stopped = True

    def listen(self, on_change: Callable[[str, Facts], None]) -> None:
        for modality, thread in self.threads.items():
            thread.on_change = partial(on_change, modality)

    def settle(self, pair: FramePair, cause: str | None) -> None:
        with self._lock:
            tickets = self._unsettled.pop(pair.index, ())
        for tracked in tickets:
            tracked.settle(cause)

    def close(self) -> None:
        """Stop both cameras and drop all unsettled frames; call it after the pipeline has ended."""
        self._stopped = True
        for thread in self.threads.values():
            thread.stop()
        for thread in self.threads.values():
            thread.close()
        self._pairing.clear("stopped")
        with self._lock:
            left, self._unsettled = list(self._unsettled.values()), {}
        for tickets in left:
            for tracked in tickets:
                tracked.settle("stopped")

    def report(self) -> SourceReport:
        return {
            "cameras": {m: f.report() for m, f in self.threads.items()},
            "pairing": {
                "max_skew_ms": self._options.max_skew_ms,
                "delay_ms": self._options.delay_ms,
                "pairs": self._index,
                "held": self._reused,
                "alone": self._single,
                "fresh_skew_ms": self._skew.summary_ms(),
                "held_age_ms": self._age.summary_ms(),
            },
        }

    def _await_first_frames(self) -> None:
        """Wait until each camera's rate is known, dropping its frames ("start")."""
        deadline = time.monotonic() + _START_S
        counts = dict.fromkeys(_MODALITIES, 0)
        while not all(counts[m] >= _FIRST_FRAMES or self._gave_up(m) for m in _MODALITIES):
            if time.monotonic() > deadline:
                slow = next(m for m in _MODALITIES if counts[m] < _FIRST_FRAMES)
                raise SourceError(f"{slow} camera {self.threads[slow].camera.label}: too few frames in {_START_S:g} s; check it alone")
            self._wake.wait(_POLL_S)
            self._wake.clear()
            for m, thread in self.threads.items():
                for tracked in thread.take():
                    counts[m] += 1
                    tracked.settle("start")

    def _gave_up(self, modality: Modality) -> bool:
        """Whether the camera has failed while the other one suffices. Raises the camera's error where it does not."""
        error, other = self.threads[modality].error, self.threads["infrared" if modality == "visible" else "visible"]
        if error is not None and (not self._options.pass_through or other.error is not None):
            raise error
        return error is not None

    def _gather(self) -> None:
        for modality, thread in self.threads.items():
            gone = thread.watch() in GONE
            for tracked in thread.take():
                self._pairing.add(modality, tracked.frame.time_ns, tracked)
            if gone and modality not in self._gone:
                self._pairing.forget(modality)
            (self._gone.add if gone else self._gone.discard)(modality)
        # a late camera counts as gone once its last frame is too old to be reused
        away = self._gone | {m for m, f in self.threads.items() if f.state == "held" and f.idle_s * 1e3 > self._options.max_skew_ms}
        self._pairing.set_absent(next(iter(away)) if self._options.pass_through and len(away) == 1 else None)

    def _make_pair(self, match: Match[TrackedFrame]) -> FramePair:
        index = self._index
        self._index += 1
        tickets = tuple(t for t in (match.visible, match.infrared) if t is not None)
        missing: Modality | None = "visible" if match.visible is None else "infrared" if match.infrared is None else None
        if missing is not None:
            self._single += 1
        elif match.held is not None:
            self._reused += 1
            self._age.add(abs(match.skew_ns))
        else:
            self._skew.add(abs(match.skew_ns))
        with self._lock:
            self._unsettled[index] = tickets
        seen = {m: t.frame for m, t in (("visible", match.visible), ("infrared", match.infrared)) if t is not None}
        visible, infrared = (seen.get(m) or self._blank(m, tickets[0].frame) for m in _MODALITIES)
        # a reused frame stays the same object, so that a recorder can recognise it; the pair takes the visible frame's name
        return FramePair(replace(visible, name=f"camera_{index:06d}"), infrared, index, missing)

    def _blank(self, modality: Modality, other: Frame) -> Frame:
        """Return a frame of zeros in the camera's format, or in the other camera's where this one never gave a frame."""
        shape, dtype = self.threads[modality].frame_format or (other.data.shape, other.data.dtype)
        return Frame(np.zeros(shape, dtype), modality, other.time_ns, other.name)


def _pair(specs: Sequence[str]) -> dict[Modality, cameras.Camera]:
    made: dict[Modality, cameras.Camera] = {}
    for spec in specs:
        camera = cameras.camera(spec)
        if camera.modality in made:
            raise SettingsError(
                f"two {camera.modality} cameras ({made[camera.modality].label}, {camera.label}); give one visible= and one infrared="
            )
        made[camera.modality] = camera
    for m in _MODALITIES:
        if m not in made:
            raise SettingsError(f"no {m} camera; add --camera {m}=CAMERA, or give --camera alone to find a pair")
    return made


def check(specs: Sequence[str]) -> None:
    """Check the cameras' specs without opening one. Raises SettingsError as `CamerasSource`."""
    if list(specs) != [AUTO_CAMERAS]:
        _refuse_same_device(_pair(specs))


def _refuse_same_device(opened: dict[Modality, cameras.Camera]) -> None:
    identities = []
    for camera in opened.values():
        # a missing camera raises when it is opened
        with contextlib.suppress(CameraError):
            identities.append(camera.identity())
    if len(identities) == 2 and identities[0] == identities[1]:
        raise SettingsError(f"{opened['visible'].label} and {opened['infrared'].label} are the same camera; a pair needs two")


def _detect() -> tuple[str, str]:
    from edgefuse.cameras.find import attached, pair

    specs = pair(attached())
    _log.warning("detected cameras: %s %s", *(f"--camera {spec}" for spec in specs))
    return specs
