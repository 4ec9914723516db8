"""A disk whose writes and flushes are recorded, and what a power cut at any moment leaves of it.

The disk is a loop device over a file that this program serves by FUSE, so the system's own file systems write to it. What was written
before a flush is there after a power cut; of what was written since then, each write may be there, missing or torn, as in a drive's cache.
Needs root, /dev/fuse and loop devices.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512  # bytes that a drive writes completely or not at all
_FILE, _ROOT = 2, 1  # node numbers
_MAX_WRITE = 1 << 17
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _STATFS, _RELEASE, _FSYNC = 1, 2, 3, 4, 14, 15, 16, 17, 18, 20
_FLUSH, _INIT, _OPENDIR, _RELEASEDIR, _BATCH_FORGET = 25, 26, 27, 29, 42
_NO_ANSWER = (_FORGET, _BATCH_FORGET)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that were written at an offset; a flush has none."""

    at: int
    data: bytes

    @property
    def flush(self) -> bool:
        return not self.data


@dataclass
class Recording:
    """What was done to a disk. marks: names of moments, each the number of events before it."""

    events: list[Write] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        self.marks[name] = len(self.events)

    def durable(self, end: int) -> int:
        """Return the number of events that a power cut after `end` events can't touch."""
        return next((k + 1 for k in range(end - 1, -1, -1) if self.events[k].flush), 0)


class Server:
    """Serves one file, `disk`, below the folder `where`, from the file `image`; records its writes and flushes while `recording` is set."""

    def __init__(self, where: Path, image: Path) -> None:
        self.path, self._where = where / "disk", where
        self.recording: Recording | None = None
        self._size = image.stat().st_size
        self._image = os.open(image, os.O_RDWR)
        self._fuse = os.open("/dev/fuse", os.O_RDWR)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self._fuse},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"recorded", os.fsencode(where), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), f"can't mount FUSE at {where}")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        unmount(self._where)
        self._thread.join(60)
        os.close(self._fuse)
        os.close(self._image)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._fuse, _MAX_WRITE + 4096)
            except OSError as e:
                if e.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return  # it was unmounted
            _, operation, number, node = struct.unpack_from("<IIQQ", request)
            if operation in _NO_ANSWER:
                continue
            try:
                answer, error = self._answer(operation, node, request[40:]), 0
            except OSError as e:
                answer, error = b"", -(e.errno or errno.EIO)
            with contextlib.suppress(OSError):
                os.write(self._fuse, struct.pack("<IiQ", 16 + len(answer), error, number) + answer)

    def _answer(self, operation: int, node: int, body: bytes) -> bytes:
        if operation == _INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 1 << 17, 1 << 5, 16, 12, _MAX_WRITE, 1, 0, 0, 0, *[0] * 7)
        if operation == _LOOKUP:
            if body.rstrip(b"\0") != b"disk":
                raise OSError(errno.ENOENT, "no such file")
            return struct.pack("<QQQQII", _FILE, 0, 3600, 3600, 0, 0) + self._attributes(_FILE)
        if operation in (_GETATTR, _SETATTR):
            return struct.pack("<QII", 3600, 0, 0) + self._attributes(node)
        if operation in (_OPEN, _OPENDIR):
            return struct.pack("<QII", 0, 0, 0)
        if operation == _READ:
            _, at, size = struct.unpack_from("<QQI", body)
            return os.pread(self._image, size, at)
        if operation == _WRITE:
            _, at, size = struct.unpack_from("<QQI", body)
            data = body[40 : 40 + size]
            os.pwrite(self._image, data, at)
            if self.recording is not None:
                self.recording.events.append(Write(at, data))
            return struct.pack("<II", size, 0)
        if operation == _FSYNC:
            if self.recording is not None:
                self.recording.events.append(Write(0, b""))
            return b""
        if operation in (_FLUSH, _RELEASE, _RELEASEDIR):
            return b""
        if operation == _STATFS:
            return struct.pack("<QQQQQIII", 1 << 20, 1 << 20, 1 << 20, 10, 10, 4096, 255, 4096) + bytes(28)
        raise OSError(errno.ENOSYS, "not served")

    def _attributes(self, node: int) -> bytes:
        mode, size = (0o40755, 0) if node == _ROOT else (0o100600, self._size)
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, -(-size // 512), 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


@contextlib.contextmanager
def mounted(disk: Path, where: Path, kind: str, *options: str) -> Iterator[Path]:
    """Mount the disk or image `disk` at the folder `where`."""
    where.mkdir(exist_ok=True)
    command = ["mount", "-t", kind, "-o", ",".join(("loop", *options)), str(disk), str(where)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    try:
        yield where
    finally:
        unmount(where)


def unmount(where: Path) -> None:
    """Unmount a folder, which a process that is just ending may still use."""
    end = time.monotonic() + 60
    while (done := subprocess.run(["umount", str(where)], check=False, capture_output=True, text=True)).returncode:
        if time.monotonic() > end:
            raise OSError(errno.EBUSY, done.stderr.strip())
        time.sleep(0.05)


def cut(image: int, recording: Recording, applied: int, end: int, rng: random.Random) -> None:
    """Write to the open file `image` what a power cut after `end` events leaves. applied: events that it holds already, all durable."""
    for event in recording.events[applied:end]:
        what = rng.random()
        if event.flush or what < 0.4:
            continue
        data = event.data
        if what < 0.55:
            # a torn write: each sector of it was written or not
            for k in range(0, len(data), SECTOR):
                if rng.random() < 0.5:
                    os.pwrite(image, data[k : k + SECTOR], event.at + k)
            continue
        os.pwrite(image, data, event.at)
