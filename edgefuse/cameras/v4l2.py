"""`v4l2:VENDOR:PRODUCT` or `v4l2:/dev/videoN`, `?size=160x120&format=Y16&fps=9&sensor=NAME`: a USB camera through the kernel.

A known thermal camera (edgefuse.thermal.supported_cameras) is set to its raw counts; any other camera to a picture format.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgefuse.cameras.base import Camera
from edgefuse.cameras.buffers import COUNTS, PICTURES, picture, unpadded
from edgefuse.cameras.v4l2_devices import Device, Mode, devices
from edgefuse.cameras.v4l2_stream import Raw, Stream
from edgefuse.errors import CameraError, FrameError, SettingsError
from edgefuse.frames import Frame, Modality
from edgefuse.thermal import supported_cameras
from edgefuse.util.uri import Uri, real, size

_DEFAULT_SIZE = (640, 480)
_ERRORS = {
    errno.EACCES: ("denied", "no permission; add yourself to the group video (sudo usermod -aG video $USER) and log in again"),
    errno.EPERM: ("denied", "no permission; add yourself to the group video (sudo usermod -aG video $USER) and log in again"),
    errno.EBUSY: ("busy", "another program uses it; fuser -v {path} shows which"),
    errno.ENOENT: ("missing", "no such device; edgefuse run --camera lists those attached"),
    errno.ENODEV: ("gone", "it was unplugged"),
    errno.ENXIO: ("gone", "it was unplugged"),
    errno.ENOSPC: ("busy", "not enough USB bandwidth; use a smaller size or another port"),
    errno.ENOTTY: ("missing", "it is not a camera"),
    errno.EINVAL: ("format", "it does not support that mode; try another size= or format="),
}


class V4l2Camera(Camera):
    """Frames as BGR uint8 (H, W, 3), grey uint8 (H, W), or a sensor's counts uint16 (H, W), with the kernel's timestamps."""

    OPTIONS = ("size", "format", "fps", "sensor")

    def __init__(
        self, target: str, label: str, modality: Modality, size: tuple[int, int] | None = None, fourcc: str | None = None,
        fps: float | None = None, sensor: supported_cameras.Sensor | None = None,
    ) -> None:  # fmt: skip
        """target: a USB id VENDOR:PRODUCT, or a device path. Parameters that are None are chosen from what the device offers."""
        self.modality, self.label = modality, label
        self._target, self._size, self._fourcc, self._wanted_fps = target, size, fourcc, fps
        self._asked_sensor = self._sensor = sensor
        self._stream: Stream | None = None
        self._make: Callable[[NDArray[np.uint8]], NDArray[Any]] = lambda data: data
        self._sequence: int | None = None

    @classmethod
    def from_uri(cls, uri: Uri, modality: Modality) -> Self:
        target = uri.targets[0] if len(uri.targets) == 1 else ""
        if re.fullmatch(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}", target):
            target = target.lower()
        elif not target.startswith("/"):
            raise SettingsError(
                f"{uri.text}: expected a USB id VENDOR:PRODUCT in hex (lsusb shows them), such as v4l2:1e4e:0100, or v4l2:/dev/videoN"
            )
        sensor = supported_cameras.get(uri.options["sensor"]) if "sensor" in uri.options else None
        if sensor is not None and modality == "visible":
            raise SettingsError(f"{uri.text}: a visible camera has no thermal sensor; leave out sensor=")
        return cls(
            target, uri.text, modality, uri.option("size", None, size), uri.option("format", None, _fourcc),
            uri.option("fps", None, real(0.1, 1000)), sensor,
        )  # fmt: skip

    def identity(self) -> str:
        """Return the device's path, /dev/videoN."""
        return self._find_device().path

    def open(self) -> None:
        self.close()
        device = self._find_device()
        if device.error is not None:
            raise self._error(OSError(device.error, os.strerror(device.error)), device.path)
        try:
            stream = Stream(Path(device.path))
        except OSError as e:
            raise self._error(e, device.path) from None
        try:
            self._start(stream, device)
        except OSError as e:
            stream.close()
            raise self._error(e, device.path) from None
        except CameraError:
            stream.close()
            raise
        self._stream, self._sequence = stream, None

    def read(self, timeout_s: float) -> Frame | None:
        assert self._stream is not None
        try:
            raw = self._stream.read(timeout_s)
        except OSError as e:
            cause = "gone" if e.errno in (errno.ENODEV, errno.ENXIO, errno.EBADF) else "broken"
            raise CameraError(cause, f"{self.label}: {'it was unplugged' if cause == 'gone' else e.strerror}") from None
        if raw is None:
            return None
        if self._sequence is not None and raw.sequence > self._sequence + 1:
            self.missed += raw.sequence - self._sequence - 1
        self._sequence = raw.sequence
        return self._frame(raw)

    def _frame(self, raw: Raw) -> Frame:
        if raw.damaged:
            raise FrameError(self.modality, "garbage", f"{self.label}: the driver says that a frame is damaged")
        try:
            data = self._make(raw.data)
        except ValueError as e:
            raise FrameError(self.modality, "garbage", f"{self.label}: a frame {e}") from None
        if self._sensor is None:
            return Frame(data, self.modality, raw.time_ns, "")
        decoded = self._sensor.decode(data)
        return Frame(decoded.counts, self.modality, raw.time_ns, "", decoded.radiometry)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _find_device(self) -> Device:
        """Return the device of the target. Raises CameraError: missing, ambiguous."""
        there = devices()
        if self._target.startswith("/"):
            path = os.path.realpath(self._target)
            for device in there:
                if device.path == path:
                    return device
            raise CameraError("missing", f"{self.label}: no such video device (attached: {_names(there)}); check its cable")
        matching = [d for d in there if d.usb == self._target and (d.captures or d.error is not None)]
        if not matching:
            raise CameraError("missing", f"{self.label}: no such USB camera (attached: {_names(there)}); check its cable")
        if len(matching) > 1:
            paths = ", ".join(d.path for d in matching)
            raise CameraError("ambiguous", f"{self.label}: several are attached ({paths}); give v4l2:/dev/v4l/by-path/... of one")
        return matching[0]

    def _start(self, stream: Stream, device: Device) -> None:
        if not device.captures:
            raise CameraError("format", f"{self.label}: {device.path} gives no video; the camera may have another device")
        modes = device.modes
        self._sensor = self._asked_sensor or (sensor_of(device) if self.modality == "infrared" else None)
        fourcc, wanted = choose(modes, self._sensor, self._fourcc, self._size, self.modality, self.label)
        if self._asked_sensor is None and self._sensor and (fourcc, wanted) not in [(n.fourcc, n[:2]) for n in self._sensor.layouts]:
            self._sensor = None
        given, size, line, self.fps = stream.configure(fourcc, wanted, self._wanted_fps)
        if (given, size) != (fourcc, wanted):
            raise CameraError(
                "format",
                f"{self.label} gives {size[0]}x{size[1]} {given}, not {wanted[0]}x{wanted[1]} {fourcc}; it offers {offered_modes(modes)}",
            )
        if self._sensor is None and fourcc in COUNTS:
            self._sensor = supported_cameras.get("generic-16")
        self.raw = fourcc in COUNTS or (self._sensor is not None and bool(self._sensor.layouts))
        make = unpadded if self._sensor is not None and fourcc != "MJPG" else picture
        self._make = lambda data: make(data, size, fourcc, line)
        stream.start()

    def _error(self, e: OSError, path: str) -> CameraError:
        cause, words = _ERRORS.get(e.errno or 0, ("broken", e.strerror or str(e)))
        return CameraError(cause, f"{self.label}: {path}: {words.format(path=path)}")


def choose(
    modes: Sequence[Mode],
    sensor: supported_cameras.Sensor | None,
    fourcc: str | None,
    size: tuple[int, int] | None,
    modality: Modality,
    label: str,
) -> tuple[str, tuple[int, int]]:
    """Return the format and size to request: as given, the rest from what the device offers. Raises CameraError ("format")."""
    layouts = [(n.fourcc, n[:2]) for n in sensor.layouts] if sensor else []
    formats = (*COUNTS, *PICTURES) if modality == "infrared" else PICTURES
    near = sorted({(m.width, m.height) for m in modes}, key=lambda n: abs(n[0] * n[1] - _DEFAULT_SIZE[0] * _DEFAULT_SIZE[1]))
    usual = [(f, s) for f in formats for s in near]
    # the counts of a known sensor first; its pictures only if requested
    for f, s in [*layouts, *(usual if not layouts or fourcc or size else [])]:
        if fourcc in (None, f) and size in (None, s) and any((m.fourcc, m.width, m.height) == (f, *s) for m in modes):
            return f, s
    known = [f for f in formats if fourcc in (None, f) and any(m.fourcc == f for m in modes)]
    if size and known:
        # a device that accepts any size lists only its largest, so let the driver decide
        return known[0], size
    asked = f"{f'{size[0]}x{size[1]}' if size else 'a size'} {fourcc or 'in a format'} that is supported"
    raise CameraError("format", f"{label} does not offer {asked}; it offers {offered_modes(modes)}")


def offered_modes(modes: Sequence[Mode]) -> str:
    """Describe a device's modes in one line."""
    shown = [f"{m.width}x{m.height} {m.fourcc}" for m in modes]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "") or "nothing"


def sensor_of(device: Device) -> supported_cameras.Sensor | None:
    """Return the thermal sensor behind a device, or None if unknown."""
    identified = (supported_cameras.identify(device.usb, m.width, m.height, m.fourcc) for m in device.modes)
    return next((s for s in identified if s is not None), None)


def _names(there: Sequence[Device]) -> str:
    cameras = [d for d in there if d.captures or d.error is not None]
    return ", ".join(f"{d.usb or d.path} ({d.name})" for d in cameras) or "none"


def _fourcc(text: str) -> str:
    text = {"YUY2": "YUYV", "MJPEG": "MJPG", "GRAY": "GREY", "I420": "YU12"}.get(text.upper(), text.upper())
    if text not in (*COUNTS, *PICTURES):
        raise ValueError(f"expected one of {', '.join((*COUNTS, *PICTURES))}")
    return text
