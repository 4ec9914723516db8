"""USB cameras without hardware: a UVC device in this process, plugged into the kernel's vhci_hcd, so that uvcvideo drives it.

The kernel's dummy_hcd knows no isochronous transfers, which its UVC gadget needs; over vhci_hcd (USB/IP) the device has a bulk endpoint.
Numbers are those of the USB Video Class 1.0, and of Documentation/usb/usbip_protocol.rst.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
_HIGH_SPEED, _DEVICE = 3, 0x10002
_SUBMIT, _UNLINK, _SUBMITTED, _UNLINKED = 1, 2, 3, 4
_PACKET = 512
_GUIDS = {"Y16": b"Y16 \0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71", "YUYV": b"YUY2\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"}


@dataclass(frozen=True)
class Model:
    """What a camera says of itself. usb: vendor and product. size: (width, height) with 16 bits a pixel."""

    usb: tuple[int, int]
    name: str
    fourcc: str
    size: tuple[int, int]
    fps: int

    @property
    def nbytes(self) -> int:
        return self.size[0] * self.size[1] * 2


PURETHERMAL = Model((0x1E4E, 0x0100), "PureThermal (fw:v1.3.0)", "Y16", (160, 120), 9)
TC001 = Model((0x0BDA, 0x5830), "USB Camera", "YUYV", (256, 384), 25)


def _descriptor(kind: int, data: bytes) -> bytes:
    return bytes((len(data) + 2, kind)) + data


def device_descriptor(model: Model) -> bytes:
    return _descriptor(1, struct.pack("<HBBBBHHHBBBB", 0x0200, 0xEF, 2, 1, 64, *model.usb, 0x0100, 1, 2, 0, 1))


def configuration(model: Model) -> bytes:
    """Return the configuration: a video function with a control and a streaming interface, and a bulk endpoint."""
    width, height = model.size
    interval = 10_000_000 // model.fps
    units = _descriptor(36, struct.pack("<BBHBBHHHB3x", 2, 1, 0x0201, 0, 0, 0, 0, 0, 3))  # a camera
    units += _descriptor(36, struct.pack("<BBHBBB", 3, 2, 0x0101, 0, 1, 0))  # its output over USB
    control = _descriptor(4, bytes((0, 0, 0, 14, 1, 0, 0)))
    control += _descriptor(36, struct.pack("<BHHIBB", 1, 0x0100, 13 + len(units), 48_000_000, 1, 1)) + units
    frame = struct.pack("<BBBHHIIIIBI", 5, 1, 0, width, height, 8, model.nbytes * 8 * model.fps, model.nbytes, interval, 1, interval)
    form = struct.pack("<BBB16sBBBBBB", 4, 1, 1, _GUIDS[model.fourcc], 16, 1, 0, 0, 0, 0)
    formats = _descriptor(36, form) + _descriptor(36, frame)
    header = struct.pack("<BBHBBBBBBBB", 1, 1, 14 + len(formats), 0x81, 0, 2, 0, 0, 0, 1, 0)
    stream = _descriptor(4, bytes((1, 0, 1, 14, 2, 0, 0))) + _descriptor(36, header) + formats
    stream += _descriptor(5, struct.pack("<BBHB", 0x81, 2, _PACKET, 0))
    body = _descriptor(11, bytes((0, 2, 14, 3, 0, 0))) + control + stream
    return _descriptor(2, struct.pack("<HBBBBB", 9 + len(body), 2, 1, 0, 0x80, 250)) + body


@dataclass
class UsbCamera:
    """A camera that can be plugged in and out. frame: returns the bytes of the n-th frame."""

    model: Model
    frame: Callable[[int], bytes]
    port: int
    sent: int = 0
    _ours: socket.socket | None = None
    _waiting: deque[tuple[int, int]] = field(default_factory=deque)  # sequence number and length of bulk transfers
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def plug_in(self) -> None:
        self._ours, theirs = socket.socketpair()
        self._waiting.clear()
        ours = self._ours
        for work in (self._serve, self._stream):
            threading.Thread(target=work, args=(ours,), daemon=True).start()
        (VHCI / "attach").write_text(f"{self.port} {theirs.fileno()} {_DEVICE + self.port} {_HIGH_SPEED}")
        theirs.close()

    def unplug(self) -> None:
        (VHCI / "detach").write_text(str(self.port))
        if self._ours is not None:
            self._ours.close()
            self._ours = None

    def _serve(self, link: socket.socket) -> None:
        try:
            while len(head := _read(link, 48)) == 48:
                command, number, _, direction, endpoint = struct.unpack(">5I", head[:20])
                if command == _UNLINK:
                    self._unlink(link, number, struct.unpack(">I", head[20:24])[0])
                    continue
                (length,) = struct.unpack(">i", head[24:28])
                data = _read(link, length) if direction == 0 else b""
                if endpoint:
                    with self._lock:
                        self._waiting.append((number, length))
                else:
                    answer = self._control(head[40:48])
                    self._answer(link, number, -32 if answer is None else 0, (answer or b"")[:length], direction, len(data))
        except OSError:
            pass

    def _unlink(self, link: socket.socket, number: int, target: int) -> None:
        with self._lock:
            pending = [one for one in self._waiting if one[0] == target]
            for one in pending:
                self._waiting.remove(one)
            link.sendall(struct.pack(">5Ii24x", _UNLINKED, number, 0, 0, 0, -104 if pending else 0))

    def _answer(self, link: socket.socket, number: int, status: int, data: bytes, direction: int, taken: int = 0) -> None:
        length = len(data) if direction else taken
        reply = struct.pack(">5Iiiiii8x", _SUBMITTED, number, 0, 0, 0, status, length, 0, 0, 0)
        with self._lock:
            link.sendall(reply + (data if direction else b""))

    def _control(self, setup: bytes) -> bytes | None:
        """Answer a request on endpoint 0; None is a stall."""
        kind, request, value, index, _ = struct.unpack("<BBHHH", setup)
        if kind == 0x80 and request == 6:
            texts = {0: b"\x09\x04", 1: "GroupGets".encode("utf-16-le"), 2: self.model.name.encode("utf-16-le")}
            known = {1: device_descriptor(self.model), 2: configuration(self.model), 3: _descriptor(3, texts.get(value & 255, b""))}
            return known.get(value >> 8)
        if kind == 0x80 and request == 0:
            return b"\0\0"
        if kind in (0x00, 0x01, 0x02):
            return b""
        if kind in (0x21, 0xA1) and index & 255 == 1 and value >> 8 in (1, 2):
            return self._negotiate(request)
        return None

    def _negotiate(self, request: int) -> bytes:
        """Answer a request of probe or commit: there is one format of one size and rate."""
        if request == 0x01:
            return b""
        if request == 0x86:
            return b"\x03"
        if request == 0x85:
            return struct.pack("<H", 26)
        interval = 10_000_000 // self.model.fps
        return struct.pack("<HBBIHHHHHII", 1, 1, 1, interval, 0, 0, 0, 0, 0, self.model.nbytes, self.model.nbytes + 2)

    def _stream(self, link: socket.socket) -> None:
        """Fill the host's transfers with frames: a header of two bytes, then the pixels, in as many transfers as they need."""
        rest, due = b"", time.monotonic()
        try:
            while self._ours is link:
                with self._lock:
                    if self._waiting and (rest or time.monotonic() >= due):
                        if not rest:
                            rest = bytes((2, 0x82 | self.sent & 1)) + self.frame(self.sent)
                            self.sent += 1
                            due = max(due + 1 / self.model.fps, time.monotonic())
                        number, length = self._waiting.popleft()
                        self._answer(link, number, 0, rest[:length], 1)
                        rest = rest[length:]
                        continue
                time.sleep(0.002)
        except OSError:
            pass


def _read(link: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := link.recv(length - len(data))):
        data += more
    return data
