"""List of Video4Linux devices with their USB ids and modes, queried without opening a stream.

Numbers and layouts are those of linux/videodev2.h, equal on 32- and 64-bit machines.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.text_files import first_line, glob_sorted

Ioctl = Callable[[int, int, bytearray], object]

_QUERYCAP, _ENUM_FMT, _ENUM_FRAMESIZES, _ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
_VIDEO_CAPTURE, _VIDEO_CAPTURE_MPLANE, _DEVICE_CAPS = 0x1, 0x1000, 0x80000000
_BUFFER_CAPTURE, _BUFFER_CAPTURE_MPLANE = 1, 9
_DISCRETE = 1
_MAX_ENTRIES = 64  # limit per list, for drivers that never report its end


@dataclass(frozen=True, slots=True)
class Mode:
    """A capture mode. fourcc: pixel format. width, height: the largest where any size works. fps: the highest; None if unknown."""

    fourcc: str
    width: int
    height: int
    fps: float | None

    def __str__(self) -> str:
        return f"{self.fourcc} {self.width}x{self.height}" + ("" if self.fps is None else f" {self.fps:.4g} FPS")


@dataclass(frozen=True, slots=True)
class Device:
    """A video device. path: /dev/videoN. usb: vendor:product in lower-case hex; None for another bus or a hidden /sys.

    error: errno of a failed query; then only `path`, `name` and `usb` are known.
    """

    path: str
    name: str
    usb: str | None
    driver: str = ""
    bus: str = ""
    captures: bool = False
    modes: tuple[Mode, ...] = ()
    error: int | None = None


def devices(root: Path = Path("/"), ioctl: Ioctl = fcntl.ioctl) -> list[Device]:
    """Return all video devices in /sys and /dev, by number. `ioctl` fills its third argument as the kernel does."""
    names = {p.name for p in [*glob_sorted(root, "sys/class/video4linux/video*"), *glob_sorted(root, "dev/video*")] if p.name[5:].isdigit()}
    return [_device(root, name, ioctl) for name in sorted(names, key=lambda n: int(n[5:]))]


def usb_ids(root: Path = Path("/")) -> list[str]:
    """Return vendor:product of all USB devices; empty where /sys is hidden."""
    return [usb for folder in glob_sorted(root, "sys/bus/usb/devices/*") if (usb := _usb_id(folder))]


def _usb_id(folder: Path) -> str | None:
    vendor, product = first_line(folder / "idVendor"), first_line(folder / "idProduct")
    return f"{vendor}:{product}".lower() if vendor and product else None


def _usb_of(folder: Path) -> str | None:
    # a video device belongs to an interface of a USB device
    real = Path(os.path.realpath(folder))
    return next((usb for p in (real, *list(real.parents)[:6]) if (usb := _usb_id(p))), None)


def _device(root: Path, name: str, ioctl: Ioctl) -> Device:
    folder = root / "sys/class/video4linux" / name
    path, name_in_sys, usb = f"/dev/{name}", first_line(folder / "name"), _usb_of(folder / "device")
    try:
        handle = os.open(root / "dev" / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        return Device(path, name_in_sys or name, usb, error=e.errno or errno.EIO)
    try:
        capability = bytearray(104)
        ioctl(handle, _QUERYCAP, capability)
        driver, card, bus = (_text(capability[a:b]) for a, b in ((0, 16), (16, 48), (48, 80)))
        whole, own = struct.unpack_from("=II", capability, 84)
        can = own if whole & _DEVICE_CAPS else whole
        if not can & (_VIDEO_CAPTURE | _VIDEO_CAPTURE_MPLANE):
            return Device(path, card or name_in_sys or name, usb, driver, bus)
        modes = _modes(handle, _BUFFER_CAPTURE if can & _VIDEO_CAPTURE else _BUFFER_CAPTURE_MPLANE, ioctl)
        return Device(path, card or name_in_sys or name, usb, driver, bus, True, tuple(modes))
    except OSError as e:
        return Device(path, name_in_sys or name, usb, error=e.errno or errno.EIO)
    finally:
        os.close(handle)


def _text(raw: bytearray) -> str:
    return bytes(raw).partition(b"\0")[0].decode("utf-8", "replace").strip()


def _listed(handle: int, request: int, size: int, ask: Callable[[bytearray], None], ioctl: Ioctl) -> Iterator[bytearray]:
    """Yield an enumeration's entries until the driver reports its end."""
    for index in range(_MAX_ENTRIES):
        answer = bytearray(size)
        struct.pack_into("=I", answer, 0, index)
        ask(answer)
        try:
            ioctl(handle, request, answer)
        except OSError:
            return
        yield answer


def _modes(handle: int, buffer: int, ioctl: Ioctl) -> Iterator[Mode]:
    for form in _listed(handle, _ENUM_FMT, 64, lambda a: struct.pack_into("=I", a, 4, buffer), ioctl):
        fourcc = struct.unpack_from("=I", form, 44)[0]
        sizes = _listed(handle, _ENUM_FRAMESIZES, 44, lambda a, f=fourcc: struct.pack_into("=I", a, 4, f), ioctl)  # type: ignore[misc]
        for size in sizes:
            kind, *numbers = struct.unpack_from("=7I", size, 8)
            # discrete: width, height; else a range: minimum and maximum width, step, minimum and maximum height, step
            width, height = (numbers[0], numbers[1]) if kind == _DISCRETE else (numbers[1], numbers[4])
            name = fourcc.to_bytes(4, "little").decode("ascii", "replace").strip()
            yield Mode(name, width, height, _highest_fps(handle, fourcc, width, height, ioctl))
            if kind != _DISCRETE:
                break


def _highest_fps(handle: int, fourcc: int, width: int, height: int, ioctl: Ioctl) -> float | None:
    rates = []
    for answer in _listed(handle, _ENUM_FRAMEINTERVALS, 52, lambda a: struct.pack_into("=III", a, 4, fourcc, width, height), ioctl):
        kind, seconds, parts = struct.unpack_from("=III", answer, 16)
        if seconds:
            rates.append(parts / seconds)
        if kind != _DISCRETE:
            break  # for a range, the first is the shortest interval
    return max(rates, default=None)
