"""Fragmented MP4 as FFmpeg writes it (ISO/IEC 14496-12): a header, then self-contained fragments of `moof` and `mdat`.

A header and any run of fragments that begins with a key frame is playable. Recordings are split, buffered and repaired on that basis.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefuse.errors import EdgeFuseError
from edgefuse.ffmpeg.encoders import TIMESCALE

_MAX_BOX_BYTES = 1 << 28  # bytes of a box
_NOT_SYNC = 1 << 16  # in a sample's flags: not a key frame


@dataclass(frozen=True, slots=True)
class Fragment:
    """One fragment. data: `moof` and `mdat`. start, end: in 1/60000 s since FFmpeg's first frame. frames: count. key: begins with a key
    frame."""

    data: bytes
    start: int
    end: int
    frames: int
    key: bool

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / TIMESCALE

    def shifted(self, by: int) -> bytes:
        """Return `data` with its time moved `by` units earlier."""
        at, size, version = _time_at(self.data)
        return self.data[:at] + (self.start - by).to_bytes(size, "big") + self.data[at + size :] if version is not None else self.data


class Splitter:
    """Splits FFmpeg's output into header and fragments as it arrives."""

    def __init__(self) -> None:
        self.header = b""
        self._unparsed, self._moof = b"", b""

    def feed(self, data: bytes) -> Iterator[Fragment]:
        """Yield the fragments that `data` completes. Raises EdgeFuseError for data that is not MP4."""
        self._unparsed += data
        while (box := _box(self._unparsed)) is not None:
            kind, size = box
            if not size or size > _MAX_BOX_BYTES:
                raise EdgeFuseError("FFmpeg's output is not MP4")
            if len(self._unparsed) < size:
                return
            box_data, self._unparsed = self._unparsed[:size], self._unparsed[size:]
            if kind in (b"ftyp", b"moov"):
                self.header += box_data
            elif kind == b"moof":
                self._moof = box_data
            elif kind == b"mdat" and self._moof:
                yield fragment(self._moof, box_data)
                self._moof = b""


def fragment(moof: bytes, mdat: bytes) -> Fragment:
    """Parse a fragment. Raises EdgeFuseError where `moof` is not as FFmpeg writes it."""
    try:
        (traf,) = (b for k, b in _boxes(moof[8:]) if k == b"traf")
        parts = dict(_boxes(traf))
        default_duration, default_flags = _parse_tfhd(parts[b"tfhd"])
        duration, frames, flags = _parse_trun(parts[b"trun"], default_duration, default_flags)
        version, time = parts[b"tfdt"][0], parts[b"tfdt"][4:]
        start = int.from_bytes(time[: 8 if version else 4], "big")
    except (ValueError, KeyError, IndexError, struct.error):
        raise EdgeFuseError("invalid MP4 fragment") from None
    return Fragment(moof + mdat, start, start + duration, frames, not flags & _NOT_SYNC)


@dataclass(frozen=True, slots=True)
class PlayablePart:
    """Playable part of a file. nbytes: its length from the file's start; 0 for none."""

    nbytes: int
    frames: int


def playable_part(path: Path) -> PlayablePart:
    """Return the part of an unfinished file that is intact: header and fragments up to the first incomplete one. Raises OSError."""
    frames = 0
    intact = at = 0
    moof = b""
    with path.open("rb") as file:
        size = path.stat().st_size
        while box := _box(file.read(16)):
            kind, length = box
            if length < 8 or at + length > size or kind not in (b"ftyp", b"moov", b"moof", b"mdat"):
                break
            file.seek(at)
            if kind == b"moof" and length < _MAX_BOX_BYTES:
                moof = file.read(length)
            elif kind == b"mdat":
                try:
                    frames += fragment(moof, b"").frames
                except EdgeFuseError:
                    break
                intact, moof = at + length, b""
            at += length
            file.seek(at)
    return PlayablePart(intact if frames else 0, frames)


def _box(data: bytes) -> tuple[bytes, int] | None:
    """Return (type, bytes) of the box at the start; None where too little data has arrived."""
    if len(data) < 8:
        return None
    size, kind = struct.unpack_from(">I4s", data)
    if size != 1:
        return kind, size if size >= 8 else 0
    return (kind, int.from_bytes(data[8:16], "big")) if len(data) >= 16 else None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, payload) of consecutive boxes in `data`."""
    while box := _box(data):
        kind, size = box
        if not 8 <= size <= len(data):
            raise ValueError("wrong box size")
        yield kind, data[8:size]
        data = data[size:]


def _parse_tfhd(tfhd: bytes) -> tuple[int, int]:
    """Return a sample's default duration and flags."""
    flags = int.from_bytes(tfhd[1:4], "big")
    at, fields = 8, {}
    for bit, size in ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4)):
        if flags & bit:
            fields[bit] = int.from_bytes(tfhd[at : at + size], "big")
            at += size
    return fields.get(0x8, 0), fields.get(0x20, 0)


def _parse_trun(trun: bytes, duration: int, flags: int) -> tuple[int, int, int]:
    """Return (total duration, sample count, flags of the first sample)."""
    has = int.from_bytes(trun[1:4], "big")
    count = int.from_bytes(trun[4:8], "big")
    at = 8 + 4 * bool(has & 0x1)
    first = None
    if has & 0x4:
        first, at = int.from_bytes(trun[at : at + 4], "big"), at + 4
    fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if has & bit]
    if len(trun) != at + 4 * len(fields) * count or not count:
        raise ValueError("wrong length of a run")
    table = [dict(zip(fields, row, strict=True)) for row in struct.iter_unpack(f">{len(fields)}I", trun[at:])] if fields else []
    total = sum(row.get(0x100, duration) for row in table) if table else duration * count
    if first is None:
        first = table[0].get(0x400, flags) if table else flags
    return total, count, first


def _time_at(data: bytes) -> tuple[int, int, int | None]:
    """Return position, length and box version of the fragment's decode time; version None where there is none."""
    at = data.find(b"tfdt", 0, int.from_bytes(data[:4], "big"))
    if at < 0:
        return 0, 0, None
    return at + 8, 8 if data[at + 4] else 4, data[at + 4]
