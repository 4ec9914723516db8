"""Supported thermal cameras: the contents of their raw buffers, and the conversion of counts to degrees. See docs/reference/thermal.md.

A raw buffer has the shape that V4L2 or OpenCV gives it: flat bytes, uint8 (H, W, 2) of an unconverted YUYV format, or uint16 (H, W).
Only its bytes matter, little-endian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import FrameError, SettingsError
from edgefuse.frames import Radiometry, SensorState
from edgefuse.thermal import lepton
from edgefuse.thermal.lepton import LeptonTelemetry

KELVIN = -273.15
_TC001_HIGHEST = round((180 + 273.15) * 64)  # counts; its narrow range, -20 to 150 degrees C, ends below
_RAW14 = 16383  # largest count of a Lepton without TLinear; with TLinear at 0.01 K it corresponds to -109 degrees C


class Layout(NamedTuple):
    """A camera's frame format: size in pixels as V4L2 counts them, and the V4L2 fourcc without trailing blanks."""

    width: int
    height: int
    fourcc: str

    @property
    def nbytes(self) -> int:
        return self.width * self.height * 2


@dataclass(frozen=True, slots=True)
class Decoded:
    """Decoded buffer. counts: uint16 (H, W), or uint8 of an 8-bit camera; C-contiguous and owned. radiometry: for `Frame`.

    telemetry: a Lepton's, where it sends it.
    """

    counts: NDArray[np.uint16] | NDArray[np.uint8]
    radiometry: Radiometry
    telemetry: LeptonTelemetry | None = None


@dataclass(frozen=True, slots=True)
class Sensor:
    """A kind of thermal camera.

    name: as in settings. title: for people. usb_ids: vendor:product, lower case. layouts: formats with raw counts, the preferred one
    first; empty for a generic sensor, which accepts any size. shutter: whether it repeats a picture while it closes a shutter for its
    flat-field correction.
    """

    name: str
    title: str
    usb_ids: tuple[str, ...]
    layouts: tuple[Layout, ...]
    unpack: Callable[[str, NDArray[Any], tuple[int, int] | None], Decoded]
    shutter: bool = False

    def decode(self, raw: NDArray[Any], size: tuple[int, int] | None = None) -> Decoded:
        """Return the counts in a raw buffer.

        raw: uint8 or uint16, any shape. size: (width, height), needed only for a generic sensor's flat buffer. Raises FrameError (cause
        "layout") that states the expected size where the buffer has another.
        """
        if not self.layouts:
            return self.unpack(self.name, raw, size)
        buffer = _bytes(self.name, raw)
        for layout in self.layouts:
            if buffer.size == layout.nbytes:
                return self.unpack(self.name, buffer, layout[:2])
        wanted = " or ".join(f"{n.width}x{n.height} {n.fourcc} ({n.nbytes} bytes)" for n in self.layouts)
        got = f"{buffer.size} bytes ({raw.dtype} {raw.shape})"
        raise FrameError(self.name, "layout", f"{self.name} delivered {got}; expected unconverted {wanted}")


def get(name: str) -> Sensor:
    """Return the sensor `name`. Raises SettingsError that lists the names."""
    for sensor in SENSORS:
        if sensor.name == name:
            return sensor
    raise SettingsError(f"unknown thermal sensor '{name}'; choose from {', '.join(s.name for s in SENSORS)}")


def has_shutter(name: str) -> bool:
    """Return whether the sensor `name` has a shutter; False for an unknown one."""
    return any(s.name == name and s.shutter for s in SENSORS)


def identify(usb_id: str | None, width: int | None, height: int | None, fourcc: str | None) -> Sensor | None:
    """Return the sensor kind of a device, or None if unknown.

    usb_id: vendor:product in hex. width, height, fourcc: a format that it delivers; None where unknown. An id alone suffices (but
    0bda:5830 is also an ordinary webcam's, so check that the device lists the sensor's layouts), and so does a complete format,
    because no visible camera has these shapes.
    """
    wanted = None if fourcc is None else fourcc.strip().upper().replace("YUY2", "YUYV")
    usb = None if usb_id is None else usb_id.lower()
    known = any(usb in s.usb_ids for s in SENSORS)
    for sensor in SENSORS:
        fits = any(all(g in (None, n) for g, n in zip((width, height, wanted), layout, strict=True)) for layout in sensor.layouts)
        if fits and (usb in sensor.usb_ids if known else None not in (width, height, wanted)):
            return sensor
    return None


def _bytes(name: str, raw: NDArray[Any]) -> NDArray[np.uint8]:
    if raw.dtype not in (np.uint8, np.uint16):
        raise FrameError(name, "layout", f"{name} delivered {raw.dtype} {raw.shape}; expected uint8 or uint16")
    return np.ascontiguousarray(raw).reshape(-1).view(np.uint8)


def _words(buffer: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint16]:
    """Return `buffer` as uint16 (height, width), copied because the driver reuses its buffer."""
    return buffer.view("<u2").reshape(height, width).astype(np.uint16)


def _lepton(name: str, buffer: NDArray[Any], size: tuple[int, int] | None) -> Decoded:
    assert size is not None
    rows = _words(buffer, size[1], size[0])
    height = 120 if size[0] == 160 else 60
    counts, telemetry, extra = rows[:height], None, size[1] - height
    if extra and (telemetry := lepton.parse(rows[height:])) is None and (first := lepton.parse(rows[:extra])) is not None:
        # a setting of the sensor puts its telemetry before the picture
        counts, telemetry = rows[extra:], first
    # without telemetry, only a range that raw counts never reach shows that these are temperatures
    unaided = 0.01 if np.median(counts[::8, ::8]) > _RAW14 else None
    scale = unaided if telemetry is None else telemetry.tlinear
    state: SensorState = "calibrating" if telemetry is not None and telemetry.calibrating else "normal"
    return Decoded(counts, Radiometry(name, scale, KELVIN, state), telemetry)


def _tc001(name: str, buffer: NDArray[Any], size: tuple[int, int] | None) -> Decoded:
    # the upper half is an 8-bit picture
    if _out_of_step(buffer):
        raise FrameError(name, "layout", f"{name}: the frame is out of step, picture and counts are shifted; it is left out")
    counts = _words(buffer[buffer.size // 2 :], 192, 256)
    beyond = (counts > _TC001_HIGHEST) & (counts < 65535)
    # in its wide range the camera has another conversion, which its makers don't publish
    return Decoded(counts, Radiometry(name, None if beyond.any() else 1 / 64, KELVIN))


def _out_of_step(buffer: NDArray[np.uint8]) -> bool:
    """Return whether a picture's grey YUYV words, whose every second byte is 128, lie among a TC001's counts or the other way round.

    Two bytes a word, so words of picture read as counts are 239 to 243 degrees C.
    """
    picture, counts = buffer[: buffer.size // 2], buffer[buffer.size // 2 :]
    neutral = picture[1::2] == 128
    share = np.count_nonzero(neutral) / neutral.size
    if share > 0.5 and share < 1:
        # counts at the picture's beginning or end
        ends = neutral[:8], neutral[-8:]
        if any(not end.any() for end in ends):
            return True
    if share < 0.5 and np.count_nonzero(picture[0::2] == 128) > 0.9 * neutral.size:
        return True  # by an odd number of bytes
    high = counts[1::2].reshape(192, 256) == 128
    return bool(high[[0, -1], :8].all(axis=1)[0] or high[-1, -8:].all() or np.count_nonzero(high.mean(axis=1) > 0.98))


def _tc002c(name: str, buffer: NDArray[Any], size: tuple[int, int] | None) -> Decoded:
    # 96 rows of 512 hold the sensor's 192 rows of 256; an 8-bit picture and the camera's own data follow
    counts = _words(buffer[: 192 * 256 * 2], 192, 256)
    return Decoded(counts, Radiometry(name, 1 / 16, KELVIN))


def _generic_8(name: str, raw: NDArray[Any], size: tuple[int, int] | None) -> Decoded:
    if raw.dtype == np.uint8 and raw.ndim == 3 and raw.shape[2] == 3:
        import cv2

        return Decoded(cv2.cvtColor(raw, cv2.COLOR_BGR2GRAY), Radiometry(name))
    if raw.dtype == np.uint8 and raw.ndim == 3 and raw.shape[2] == 2:
        raw = raw[:, :, 0]  # luma comes first in YUYV
    elif raw.dtype == np.uint8 and raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[:, :, 0]
    elif raw.dtype == np.uint8 and size is not None and raw.size == size[0] * size[1]:
        raw = raw.reshape(size[1], size[0])
    if raw.dtype != np.uint8 or raw.ndim != 2:
        raise FrameError(name, "layout", f"{name} got {raw.dtype} {raw.shape}; expected uint8 (H, W), YUYV (H, W, 2) or BGR (H, W, 3)")
    return Decoded(np.array(raw, order="C"), Radiometry(name))


def _generic_16(name: str, raw: NDArray[Any], size: tuple[int, int] | None) -> Decoded:
    buffer = _bytes(name, raw)
    if size is None:
        words = raw.dtype == np.uint16
        if (raw.ndim == 2 and words) or (raw.ndim == 3 and raw.shape[2] == (1 if words else 2)):
            size = (raw.shape[1], raw.shape[0])
    if size is None or buffer.size != size[0] * size[1] * 2:
        wanted = "uint16 (H, W) or uint8 (H, W, 2)" if size is None else f"{size[0]}x{size[1]} of 16 bits ({size[0] * size[1] * 2} bytes)"
        raise FrameError(name, "layout", f"{name} got {raw.dtype} {raw.shape}, {buffer.size} bytes; expected {wanted}")
    return Decoded(_words(buffer, size[1], size[0]), Radiometry(name))


SENSORS = (
    Sensor(
        "lepton", "PureThermal with a FLIR Lepton", ("1e4e:0100",),
        (Layout(160, 122, "Y16"), Layout(160, 120, "Y16"), Layout(80, 63, "Y16"), Layout(80, 60, "Y16")), _lepton, True,
    ),
    Sensor("tc001", "Topdon TC001, InfiRay P2 Pro or a relative", ("0bda:5830", "0bda:5840"), (Layout(256, 384, "YUYV"),), _tc001, True),
    Sensor("tc002c-duo", "Topdon TC002C Duo", ("2bdf:0102",), (Layout(512, 484, "YUYV"),), _tc002c, True),
    Sensor("generic-16", "any camera of 16-bit counts", (), (), _generic_16),
    Sensor("generic-8", "any camera of 8-bit counts", (), (), _generic_8),
)  # fmt: skip
