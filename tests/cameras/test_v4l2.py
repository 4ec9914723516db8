"""USB cameras without devices: selection by id, requested formats, and dumps of every layout through the real decoder.

tests/cameras/test_vivid.py uses real devices.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from edgefuse.cameras import camera, v4l2_stream
from edgefuse.cameras.buffers import picture, unpadded
from edgefuse.cameras.find import attached, pair
from edgefuse.cameras.v4l2 import choose
from edgefuse.cameras.v4l2_devices import Device, Mode
from edgefuse.cameras.v4l2_stream import Raw
from edgefuse.errors import CameraError, FrameError, SourceError
from edgefuse.frames import Frame
from edgefuse.thermal import supported_cameras

LEPTON = Device("/dev/video2", "PureThermal 3", "1e4e:0100", "uvcvideo", "usb-1", True,
                (Mode("Y16", 160, 120, 9.0), Mode("Y16", 160, 122, 9.0), Mode("UYVY", 160, 120, 9.0)))  # fmt: skip
TC001 = Device("/dev/video4", "USB Camera", "0bda:5830", "uvcvideo", "usb-2", True,
               (Mode("YUYV", 256, 192, 25.0), Mode("YUYV", 256, 384, 25.0)))  # fmt: skip
WEBCAM = Device("/dev/video0", "C270", "046d:0825", "uvcvideo", "usb-3", True,
                (Mode("YUYV", 640, 480, 30.0), Mode("YUYV", 1280, 720, 10.0), Mode("MJPG", 1280, 720, 30.0)))  # fmt: skip
METADATA = Device("/dev/video1", "C270", "046d:0825", "uvcvideo", "usb-3", False)
CODEC = Device("/dev/video10", "bcm2835-codec-decode", None, "bcm2835-codec", "platform", True)


class Stream:
    """A device that accepts every request and returns `raws` when read."""

    raws: ClassVar[list[Any]] = []
    fails: int | None = None
    gives: tuple[str, tuple[int, int]] | None = None
    asked: ClassVar[list[tuple[str, tuple[int, int]]]] = []

    def __init__(self, path: Any) -> None:
        if Stream.fails:
            raise OSError(Stream.fails, "x")

    def configure(self, fourcc: str, size: tuple[int, int], fps: float | None) -> tuple[str, tuple[int, int], int, float | None]:
        Stream.asked.append((fourcc, size))
        given = Stream.gives or (fourcc, size)
        return *given, given[1][0] * 2, fps or 9.0

    def start(self) -> None:
        pass

    def read(self, timeout_s: float) -> Raw | None:
        raw = Stream.raws.pop(0)
        if isinstance(raw, OSError):
            raise raw
        return raw

    def close(self) -> None:
        pass


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    """The attached devices."""
    attached = [WEBCAM, METADATA, LEPTON, TC001, CODEC]
    for module in ("v4l2", "find"):
        monkeypatch.setattr(f"edgefuse.cameras.{module}.devices", lambda: attached)
    monkeypatch.setattr("edgefuse.cameras.v4l2.Stream", Stream)
    for name, value in (("raws", []), ("fails", None), ("gives", None), ("asked", [])):
        monkeypatch.setattr(Stream, name, value)
    return attached


def read(spec: str, *buffers: Any) -> list[Frame]:
    """Return the frames made from buffers: bytes, or a Raw."""
    Stream.raws = [b if isinstance(b, Raw) else Raw(np.frombuffer(b, np.uint8), k, k, False) for k, b in enumerate(buffers)]
    one = camera(spec)
    one.open()
    got = [one.read(1) for _ in buffers]
    assert all(f is not None for f in got)
    return got  # type: ignore[return-value]


@pytest.mark.usefixtures("there")
def test_every_sensors_layout_gives_counts() -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(27000, 33000, (120, 160), np.uint16)
    (frame,) = read("infrared=v4l2:1e4e:0100?size=160x120", counts.astype("<u2").tobytes())
    np.testing.assert_array_equal(frame.data, counts)
    assert frame.radiometry is not None
    assert (frame.radiometry.sensor, frame.radiometry.scale) == ("lepton", 0.01)
    # invalid telemetry rows are removed
    rows = np.concatenate([counts, np.zeros((2, 160), np.uint16)])
    (frame,) = read("infrared=v4l2:1E4E:0100", rows.astype("<u2").tobytes())
    assert Stream.asked[-1] == ("Y16", (160, 122))
    np.testing.assert_array_equal(frame.data, counts)
    halves = rng.integers(0, 2**14, (384, 256), np.uint16)
    (frame,) = read("infrared=v4l2:0bda:5830", halves.astype("<u2").tobytes())
    assert Stream.asked[-1] == ("YUYV", (256, 384))
    np.testing.assert_array_equal(frame.data, halves[192:])
    assert frame.radiometry is not None
    assert (frame.radiometry.sensor, frame.radiometry.scale) == ("tc001", 1 / 64)


@pytest.mark.usefixtures("there")
def test_a_known_sensors_picture_format_on_request() -> None:
    (frame,) = read("infrared=v4l2:0bda:5830?size=256x192", bytes(range(256)) * 384)
    assert frame.data.shape == (192, 256, 3)
    assert frame.radiometry is None


@pytest.mark.usefixtures("there")
def test_damaged_buffers_are_reported_one_by_one() -> None:
    whole = Raw(np.zeros(160 * 122 * 2, np.uint8), 10, 0, False)
    damaged = Raw(whole.data, 20, 1, True)
    short = Raw(whole.data[:100], 30, 2, False)
    Stream.raws = [whole, damaged, short, Raw(whole.data, 40, 7, False), OSError(errno.ENODEV, "No such device")]
    one = camera("infrared=v4l2:1e4e:0100")
    one.open()
    assert one.read(1) is not None
    for words in ("the driver says that a frame is damaged", "a frame has 100 bytes of 39040"):
        with pytest.raises(FrameError, match=words) as caught:
            one.read(1)
        assert caught.value.cause == "garbage"
    assert one.read(1) is not None
    assert one.missed == 4
    with pytest.raises(CameraError, match="it was unplugged") as gone:
        one.read(1)
    assert gone.value.cause == "gone"


def test_errors_at_the_start(there: list[Device], monkeypatch: pytest.MonkeyPatch) -> None:
    def cause(spec: str) -> tuple[str, str]:
        with pytest.raises(CameraError) as caught:
            camera(spec).open()
        return caught.value.cause, str(caught.value)

    kind, message = cause("infrared=v4l2:dead:beef")
    assert kind == "missing"
    assert "attached: 046d:0825 (C270), 1e4e:0100 (PureThermal 3), 0bda:5830 (USB Camera), /dev/video10" in message
    assert cause("visible=v4l2:/dev/video9")[0] == "missing"
    assert cause("visible=v4l2:/dev/video1")[0] == "format"
    kind, message = cause("visible=v4l2:046d:0825?size=640x480&format=GREY")
    assert (kind, "it offers 640x480 YUYV, 1280x720 YUYV, 1280x720 MJPG" in message) == ("format", True)
    monkeypatch.setattr(Stream, "gives", ("YUYV", (320, 240)))
    assert "gives 320x240 YUYV, not 640x480 YUYV" in cause("visible=v4l2:046d:0825")[1]
    for code, kind, words in (
        (errno.EBUSY, "busy", "another program uses it; fuser -v /dev/video0"),
        (errno.EACCES, "denied", "sudo usermod -aG video $USER"),
        (errno.EIO, "broken", "x"),
    ):
        monkeypatch.setattr(Stream, "fails", code)
        got = cause("visible=v4l2:046d:0825")
        assert (got[0], words in got[1]) == (kind, True)
    there.append(Device("/dev/video6", "C270", "046d:0825", "uvcvideo", "usb-4", True, WEBCAM.modes))
    assert cause("visible=v4l2:046d:0825")[0] == "ambiguous"
    there[:] = [Device("/dev/video0", "C270", "046d:0825", error=errno.EACCES)]
    assert cause("visible=v4l2:046d:0825")[0] == "denied"


@pytest.mark.parametrize(
    ("device", "sensor", "fourcc", "size", "modality", "chosen"),
    [
        (WEBCAM, None, None, None, "visible", ("YUYV", (640, 480))),
        (WEBCAM, None, None, (1280, 720), "visible", ("YUYV", (1280, 720))),
        (WEBCAM, None, "MJPG", None, "visible", ("MJPG", (1280, 720))),
        (WEBCAM, None, "YUYV", (800, 600), "visible", ("YUYV", (800, 600))),
        (LEPTON, "lepton", None, None, "infrared", ("Y16", (160, 122))),
        (LEPTON, "lepton", None, (160, 120), "infrared", ("Y16", (160, 120))),
        (LEPTON, "lepton", "UYVY", None, "infrared", ("UYVY", (160, 120))),
        (LEPTON, None, None, None, "visible", ("UYVY", (160, 120))),
        (TC001, "tc001", None, None, "infrared", ("YUYV", (256, 384))),
    ],
)
def test_the_requested_format(device: Device, sensor: str | None, fourcc: Any, size: Any, modality: Any, chosen: Any) -> None:
    assert choose(device.modes, supported_cameras.get(sensor) if sensor else None, fourcc, size, modality, "it") == chosen


def test_the_only_attached_pair_is_detected(there: list[Device]) -> None:
    there.remove(TC001)
    assert pair(attached()) == ("visible=v4l2:046d:0825", "infrared=v4l2:1e4e:0100")


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ([WEBCAM, LEPTON, TC001], r"found a visible camera and 2 known thermal cameras \(attached: v4l2:046d:0825 \(C270\), "),
        ([WEBCAM], "found a visible camera and no known thermal camera"),
        ([], r"found no visible camera and no known thermal camera \(attached: none\); choose with --camera visible=CAMERA"),
        ([WEBCAM, Device("/dev/video8", "C270", "046d:0825", captures=True, modes=WEBCAM.modes), LEPTON], "v4l2:/dev/video8"),
    ],
)
def test_no_pair_or_several_cameras_are_listed(there: list[Device], left: Sequence[Device], words: str) -> None:
    there[:] = left
    with pytest.raises(SourceError, match=words):
        pair(attached())


def test_structures_have_the_kernels_sizes() -> None:
    """Sizes as in linux/videodev2.h with an 8-byte long. The ioctl number contains the size, so the kernel checks it too."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        pytest.skip("sizes are for a 64-bit machine")
    sizes = {"_Format": 208, "_RequestBuffers": 20, "_Buffer": 88, "_StreamParameters": 204, "_PixelFormat": 48}
    assert {name: ctypes.sizeof(getattr(v4l2_stream, name)) for name in sizes} == sizes
    assert (v4l2_stream._S_FMT, v4l2_stream._DQBUF) == (0xC0D05605, 0xC0585611)
    assert v4l2_stream._STREAMON == 0x40045612


def test_line_padding_is_removed() -> None:
    rows = np.arange(4 * 10, dtype=np.uint8).reshape(4, 10)
    np.testing.assert_array_equal(unpadded(rows.ravel(), (6, 4), "GREY", 10), rows[:, :6])
    # a driver may omit the last line's padding
    np.testing.assert_array_equal(unpadded(rows.ravel()[:36], (6, 4), "GREY", 10), rows[:, :6])
    assert unpadded(rows.ravel(), (4, 4), "Y16", 10).dtype == np.uint16
    with pytest.raises(ValueError, match="has 35 bytes of 40"):
        unpadded(rows.ravel()[:35], (6, 4), "GREY", 10)


def test_truncated_jpegs_are_refused() -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8), (9, 9), 5)
    data = cv2.imencode(".jpg", image)[1].ravel()
    padded = np.concatenate([data, np.zeros(7, np.uint8)])
    assert np.abs(picture(padded, (64, 48), "MJPG", 0).astype(int) - image).mean() < 5
    for wrong, words in ((data[:-400], "truncated"), (np.frombuffer(b"\xff\xd8" + b"?" * 50 + b"\xff\xd9", np.uint8), "readable")):
        with pytest.raises(ValueError, match=words):
            picture(wrong, (64, 48), "MJPG", 0)
    with pytest.raises(ValueError, match="is 64x48, not 32x24"):
        picture(data, (32, 24), "MJPG", 0)
