"""Fragmented MP4 as FFmpeg writes it (ISO/IEC 14496-12): the head, then fragments, each `moof` and `mdat`, that stand for themselves.

A file of a head and any run of fragments that begins with a key frame plays. So recordings are cut, kept in memory and mended here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefuse.errors import EdgeFuseError
from edgefuse.ffmpeg.encoders import TIMESCALE

_LARGEST = 1 << 28  # bytes of a box
_NOT_SYNC = 1 << 16  # in a sample's flags: no key frame


@dataclass(frozen=True, slots=True)
class Fragment:
    """data: `moof` and `mdat`. start, end: in 1/60000 s since FFmpeg's first frame. frames: in it. key: begins with a key frame."""

    data: bytes
    start: int
    end: int
    frames: int
    key: bool

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / TIMESCALE

    def moved(self, by: int) -> bytes:
        """`data`, to be shown `by` earlier."""
        at, size, version = _time_at(self.data)
        return self.data[:at] + (self.start - by).to_bytes(size, "big") + self.data[at + size :] if version is not None else self.data


class Splitter:
    """FFmpeg's output, as it comes, into a head and fragments."""

    def __init__(self) -> None:
        self.head = b""
        self._rest, self._moof = b"", b""

    def feed(self, data: bytes) -> Iterator[Fragment]:
        """The fragments that `data` completes. Raises EdgeFuseError for what is no MP4."""
        self._rest += data
        while (box := _box(self._rest)) is not None:
            kind, size = box
            if not size or size > _LARGEST:
                raise EdgeFuseError("FFmpeg wrote no MP4")
            if len(self._rest) < size:
                return
            whole, self._rest = self._rest[:size], self._rest[size:]
            if kind in (b"ftyp", b"moov"):
                self.head += whole
            elif kind == b"moof":
                self._moof = whole
            elif kind == b"mdat" and self._moof:
                yield fragment(self._moof, whole)
                self._moof = b""


def fragment(moof: bytes, mdat: bytes) -> Fragment:
    """Raises EdgeFuseError where `moof` is none of FFmpeg's."""
    try:
        (traf,) = (b for k, b in _boxes(moof[8:]) if k == b"traf")
        parts = dict(_boxes(traf))
        default_duration, default_flags = _track(parts[b"tfhd"])
        duration, frames, flags = _run(parts[b"trun"], default_duration, default_flags)
        version, time = parts[b"tfdt"][0], parts[b"tfdt"][4:]
        start = int.from_bytes(time[: 8 if version else 4], "big")
    except (ValueError, KeyError, IndexError, struct.error):
        raise EdgeFuseError("a fragment that can't be read") from None
    return Fragment(moof + mdat, start, start + duration, frames, not flags & _NOT_SYNC)


@dataclass(frozen=True, slots=True)
class Whole:
    """What can be played of a file. nbytes: up to where; 0 for nothing."""

    nbytes: int
    frames: int


def whole(path: Path) -> Whole:
    """How much of a file that was being written is sound: a head, and fragments up to the first that is not all there. Raises OSError."""
    frames = 0
    good = at = 0
    moof = b""
    with path.open("rb") as file:
        size = path.stat().st_size
        while box := _box(file.read(16)):
            kind, length = box
            if length < 8 or at + length > size or kind not in (b"ftyp", b"moov", b"moof", b"mdat"):
                break
            file.seek(at)
            if kind == b"moof" and length < _LARGEST:
                moof = file.read(length)
            elif kind == b"mdat":
                try:
                    frames += fragment(moof, b"").frames
                except EdgeFuseError:
                    break
                good, moof = at + length, b""
            at += length
            file.seek(at)
    return Whole(good if frames else 0, frames)


def _box(data: bytes) -> tuple[bytes, int] | None:
    """(type, bytes) of the box that begins here; None where that can't be seen yet."""
    if len(data) < 8:
        return None
    size, kind = struct.unpack_from(">I4s", data)
    if size != 1:
        return kind, size if size >= 8 else 0
    return (kind, int.from_bytes(data[8:16], "big")) if len(data) >= 16 else None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of the boxes side by side in `data`."""
    while box := _box(data):
        kind, size = box
        if not 8 <= size <= len(data):
            raise ValueError("a box of a wrong size")
        yield kind, data[8:size]
        data = data[size:]


def _track(tfhd: bytes) -> tuple[int, int]:
    """A sample's default duration and flags."""
    flags = int.from_bytes(tfhd[1:4], "big")
    at, found = 8, {}
    for bit, size in ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4)):
        if flags & bit:
            found[bit] = int.from_bytes(tfhd[at : at + size], "big")
            at += size
    return found.get(0x8, 0), found.get(0x20, 0)


def _run(trun: bytes, duration: int, flags: int) -> tuple[int, int, int]:
    """(duration of all, how many samples, flags of the first)."""
    has = int.from_bytes(trun[1:4], "big")
    count = int.from_bytes(trun[4:8], "big")
    at = 8 + 4 * bool(has & 0x1)
    first = None
    if has & 0x4:
        first, at = int.from_bytes(trun[at : at + 4], "big"), at + 4
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if has & bit]
    if len(trun) != at + 4 * len(fields) * count or not count:
        raise ValueError("a run of a wrong length")
    table = [dict(zip(fields, row, strict=True)) for row in struct.iter_unpack(f">{len(fields)}I", trun[at:])] if fields else []
    total = sum(row.get(0x100, duration) for row in table) if table else duration * count
    if first is None:
        first = table[0].get(0x400, flags) if table else flags
    return total, count, first


def _time_at(data: bytes) -> tuple[int, int, int | None]:
    """Where the fragment's time stands, in how many bytes, and its box's version; None where there is none."""
    at = data.find(b"tfdt", 0, int.from_bytes(data[:4], "big"))
    if at < 0:
        return 0, 0, None
    return at + 8, 8 if data[at + 4] else 4, data[at + 4]
