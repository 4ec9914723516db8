"""Streaming from a Video4Linux2 device through fcntl and mmap, with the structures of linux/videodev2.h.

`edgefuse.cameras.v4l2_devices` lists devices.

Why not a library: OpenCV gives neither kernel timestamps nor unconverted YUYV and Y16 buffers on all kernels, linuxpy is GPL, and
pyv4l2 is unmaintained. Structures use the machine's own `long`, so that 32-bit ARM gets the layouts that its kernel expects.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_U8, _U32 = ctypes.c_uint8, ctypes.c_uint32
_CAPTURE, _MMAP = 1, 1
_FLAG_ERROR, _CLOCK_MASK, _CLOCK_MONOTONIC = 0x40, 0xE000, 0x2000
_BUFFERS = 4


class _PixelFormat(ctypes.Structure):
    _fields_ = [(n, _U32) for n in ("width", "height", "pixelformat", "field", "bytesperline", "sizeimage", "colorspace", "priv",
                                    "flags", "ycbcr_enc", "quantization", "xfer_func")]  # fmt: skip


class _FormatUnion(ctypes.Union):
    # members with pointers determine the union's alignment
    _fields_ = [("pix", _PixelFormat), ("raw", ctypes.c_ulong * (200 // ctypes.sizeof(ctypes.c_ulong)))]


class _Format(ctypes.Structure):
    _fields_ = [("type", _U32), ("fmt", _FormatUnion)]


class _Interval(ctypes.Structure):
    _fields_ = [("numerator", _U32), ("denominator", _U32)]


class _CaptureParameters(ctypes.Structure):
    _fields_ = [("capability", _U32), ("capturemode", _U32), ("interval", _Interval), ("rest", _U32 * 46)]


class _StreamParameters(ctypes.Structure):
    _fields_ = [("type", _U32), ("capture", _CaptureParameters)]


class _RequestBuffers(ctypes.Structure):
    _fields_ = [("count", _U32), ("type", _U32), ("memory", _U32), ("capabilities", _U32), ("flags", _U8), ("reserved", _U8 * 3)]


class _Place(ctypes.Union):
    _fields_ = [("offset", _U32), ("userptr", ctypes.c_ulong)]


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("index", _U32), ("type", _U32), ("bytesused", _U32), ("flags", _U32), ("field", _U32), ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long), ("timecode", _U32 * 4), ("sequence", _U32), ("memory", _U32), ("m", _Place), ("length", _U32),
        ("reserved2", _U32), ("request_fd", _U32),
    ]  # fmt: skip


def _code(direction: int, number: int, structure: Any) -> int:
    return direction << 30 | ctypes.sizeof(structure) << 16 | ord("V") << 8 | number


_WRITE, _READ, _BOTH = 1, 2, 3
_S_FMT = _code(_BOTH, 5, _Format)
_REQBUFS = _code(_BOTH, 8, _RequestBuffers)
_QUERYBUF, _QBUF, _DQBUF = (_code(_BOTH, n, _Buffer) for n in (9, 15, 17))
_STREAMON, _STREAMOFF = (_code(_WRITE, n, ctypes.c_int) for n in (18, 19))
_G_PARM, _S_PARM = (_code(_BOTH, n, _StreamParameters) for n in (21, 22))


@dataclass(frozen=True, slots=True)
class Raw:
    """A captured buffer. data: uint8 (N,), copied. time_ns: monotonic. sequence: the driver's frame counter. damaged: the driver's flag."""

    data: NDArray[np.uint8]
    time_ns: int
    sequence: int
    damaged: bool


class Stream:
    """An open video device. Every method raises the kernel's OSError."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._maps: list[mmap.mmap] = []
        self._streaming = False

    def configure(self, fourcc: str, size: tuple[int, int], fps: float | None) -> tuple[str, tuple[int, int], int, float | None]:
        """Request a format. Returns what the driver chose: fourcc, (width, height), bytes per line, and the rate if known."""
        wanted = _Format(type=_CAPTURE)
        pix = wanted.fmt.pix
        pix.width, pix.height, pix.pixelformat = *size, int.from_bytes(fourcc.ljust(4).encode("latin-1"), "little")
        pix.field = 1  # progressive
        self._call(_S_FMT, wanted)
        given = pix.pixelformat.to_bytes(4, "little").decode("latin-1").rstrip()
        return given, (pix.width, pix.height), pix.bytesperline, self._rate(fps)

    def _rate(self, fps: float | None) -> float | None:
        parameters = _StreamParameters(type=_CAPTURE)
        try:
            if fps is not None:
                parameters.capture.interval.numerator, parameters.capture.interval.denominator = 1000, round(fps * 1000)
                self._call(_S_PARM, parameters)
            else:
                self._call(_G_PARM, parameters)
        except OSError:
            return None  # a driver may not support it
        interval = parameters.capture.interval
        return interval.denominator / interval.numerator if interval.numerator and interval.denominator else None

    def start(self) -> None:
        request = _RequestBuffers(count=_BUFFERS, type=_CAPTURE, memory=_MMAP)
        self._call(_REQBUFS, request)
        for index in range(request.count):
            buffer = _Buffer(index=index, type=_CAPTURE, memory=_MMAP)
            self._call(_QUERYBUF, buffer)
            self._maps.append(mmap.mmap(self._fd, buffer.length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=buffer.m.offset))
            self._call(_QBUF, buffer)
        self._call(_STREAMON, ctypes.c_int(_CAPTURE))
        self._streaming = True

    def read(self, timeout_s: float) -> Raw | None:
        """Return the next buffer, None at the timeout."""
        ready, _, failed = select.select([self._fd], [], [self._fd], timeout_s)
        if not ready and not failed:
            return None
        buffer = _Buffer(type=_CAPTURE, memory=_MMAP)
        try:
            self._call(_DQBUF, buffer)
        except BlockingIOError:
            return None
        arrival = time.monotonic_ns()
        data = np.frombuffer(self._maps[buffer.index], np.uint8, buffer.bytesused).copy()
        stamped = buffer.flags & _CLOCK_MASK == _CLOCK_MONOTONIC and (buffer.seconds or buffer.microseconds)
        # a capture time after the arrival would be a driver's error
        time_ns = min(buffer.seconds * 10**9 + buffer.microseconds * 1000, arrival) if stamped else arrival
        raw = Raw(data, time_ns, buffer.sequence, bool(buffer.flags & _FLAG_ERROR))
        self._call(_QBUF, buffer)
        return raw

    def close(self) -> None:
        if self._fd < 0:
            return
        try:
            if self._streaming:
                self._call(_STREAMOFF, ctypes.c_int(_CAPTURE))
        except OSError:
            pass  # the device is gone already
        finally:
            for m in self._maps:
                m.close()
            os.close(self._fd)
            self._fd, self._maps, self._streaming = -1, [], False

    def _call(self, code: int, argument: Any) -> None:
        while True:
            try:
                fcntl.ioctl(self._fd, code, argument, True)
                return
            except InterruptedError:
                continue
