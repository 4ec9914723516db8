from __future__ import annotations

import errno
import struct
from pathlib import Path

from edgefuse.cameras.v4l2_devices import Mode, devices, usb_ids
from tests.board.trees import plant
from tests.doctor.trees import camera


class Kernel:
    """Answers ioctls as a driver does: linux/videodev2.h's structures, EINVAL past the end of a list."""

    def __init__(
        self, capabilities: int, formats: dict[bytes, list[tuple[int, ...]]], intervals: list[tuple[int, int]], endless: bool = False
    ):
        self.capabilities, self.formats, self.intervals, self.endless = capabilities, formats, intervals, endless

    def __call__(self, handle: int, request: int, data: bytearray) -> int:
        assert len(data) == request >> 16 & 0x3FFF  # the size encoded in the request number
        index = struct.unpack_from("=I", data)[0]
        match request:
            case 0x80685600:
                struct.pack_into(
                    "=16s32s32sIII", data, 0, b"uvcvideo", b"PureThermal (fw:v1.3.0)", b"usb-1.2", 0x60000, 0x84A00001, self.capabilities
                )
            case 0xC0405602:
                assert struct.unpack_from("=I", data, 4)[0] == (9 if self.capabilities & 0x1000 else 1)
                self._put(data, 44, [(int.from_bytes(f, "little"),) for f in self.formats], index, "=I")
            case 0xC02C564A:
                rows = self.formats[bytes(data[4:8])]
                self._put(data, 8, rows, index, f"={len(rows[0])}I")
            case 0xC034564B:
                self._put(data, 16, [(1, *i) for i in self.intervals], index, "=III")
            case _:
                raise AssertionError(hex(request))
        return 0

    def _put(self, data: bytearray, at: int, rows: list[tuple[int, ...]], index: int, form: str) -> None:
        if index >= len(rows) and not (self.endless and rows):
            raise OSError(errno.EINVAL, "Invalid argument")
        struct.pack_into(form, data, at, *rows[min(index, len(rows) - 1)])


def test_a_cameras_id_and_modes(tmp_path: Path) -> None:
    camera(tmp_path, 0, "1E4E:0100", "PureThermal")
    plant(tmp_path, {"dev/video0": ""})
    kernel = Kernel(0x04200001, {b"Y16 ": [(1, 160, 122), (1, 160, 120)], b"UYVY": [(1, 160, 120)]}, [(1, 9), (1, 5)])
    (device,) = devices(tmp_path, kernel)
    assert (device.path, device.name, device.usb, device.driver, device.bus) == (
        "/dev/video0", "PureThermal (fw:v1.3.0)", "1e4e:0100", "uvcvideo", "usb-1.2",
    )  # fmt: skip
    assert device.captures
    assert device.error is None
    assert device.modes == (Mode("Y16", 160, 122, 9.0), Mode("Y16", 160, 120, 9.0), Mode("UYVY", 160, 120, 9.0))
    assert str(device.modes[0]) == "Y16 160x122 9 FPS"
    assert usb_ids(tmp_path) == ["1e4e:0100"]


def test_a_metadata_node_of_a_camera_captures_nothing(tmp_path: Path) -> None:
    plant(tmp_path, {"dev/video1": ""})
    # its own capabilities count, not the whole device's
    assert not devices(tmp_path, Kernel(0x04A00000, {}, []))[0].captures


def test_a_size_range_is_one_mode(tmp_path: Path) -> None:
    plant(tmp_path, {"dev/video0": ""})
    kernel = Kernel(0x1000, {b"MJPG": [(3, 32, 1920, 2, 32, 1080, 2)]}, [])
    assert devices(tmp_path, kernel)[0].modes == (Mode("MJPG", 1920, 1080, None),)


def test_endless_lists_of_a_driver_are_limited(tmp_path: Path) -> None:
    plant(tmp_path, {"dev/video0": ""})
    listed = devices(tmp_path, Kernel(1, {b"YUYV": [(1, 640, 480)]}, [], endless=True))
    assert len(listed[0].modes) == 64 * 64


def test_devices_are_sorted_by_number_and_listed_without_sys(tmp_path: Path) -> None:
    plant(tmp_path, {"dev/video10": "", "dev/video2": "", "dev/videoX": ""})
    listed = devices(tmp_path)
    assert [d.path for d in listed] == ["/dev/video2", "/dev/video10"]
    # the real ioctl on a plain file
    assert {d.error for d in listed} == {errno.ENOTTY}
    assert {d.usb for d in listed} == {None}


def test_a_device_that_is_only_in_sys(tmp_path: Path) -> None:
    camera(tmp_path, 0, "0bda:5830", "USB Camera")
    (device,) = devices(tmp_path)
    assert (device.error, device.name, device.usb) == (errno.ENOENT, "USB Camera", "0bda:5830")


def test_no_devices(tmp_path: Path) -> None:
    assert devices(tmp_path) == []
    assert usb_ids(tmp_path) == []
