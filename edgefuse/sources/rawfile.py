"""File format of `--record-raw` and `replay:`: captured pairs, lossless. docs/reference/raw.md describes it.

Each chunk is written by one call, so a killed process leaves a file that plays up to its last complete chunk. The reader checks every
length, type and checksum before use, and a frame takes no more memory than `LARGEST` allows.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import FrameError, OutputError, SourceError
from edgefuse.frames import Frame, FramePair, Modality, Radiometry, SensorState
from edgefuse.util.files import output_error

MAGIC = b"\x89EFR\r\n\x1a\n"
VERSION = 1
LARGEST = 1 << 27  # bytes of one frame's pixels, uncompressed
_SIDE = 16384  # largest side of a frame, in pixels
_HEADER = 1 << 16  # largest JSON header, in bytes
_CHUNK = LARGEST + _HEADER + 4  # largest payload, in bytes
_TAIL = 256  # upper limit of the TAIL chunk's size, in bytes

Packing = Literal["gradient", "none"]


class RawWriter:
    """Writes one file. Not thread-safe."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        """head: JSON metadata, read back as `RawReader.head`. Overwrites `path`. Raises OutputError if it can't be written."""
        self.path, self.bytes_written, self.bytes_raw, self.pairs = path, 0, 0, 0
        self._last: dict[Modality, Frame] = {}
        try:
            # unbuffered: written data survives a crash of this process
            self._file: BinaryIO | None = open(path, "wb", buffering=0)  # noqa: SIM115
        except OSError as e:
            raise output_error(path, e) from None
        self._append(MAGIC)
        self._chunk(b"HEAD", _json({"version": VERSION, **head}))

    def write(self, pair: FramePair, pack: bool = True) -> None:
        """Append a pair; a frame repeated from the last pair is not written again. pack: compress, which takes time."""
        for frame in (pair.visible, pair.infrared):
            if self._last.get(frame.modality) is not frame:
                self._chunk(b"FRAM", _encode_frame(frame, pack))
                self._last[frame.modality] = frame
                self.bytes_raw += frame.data.nbytes
        self._chunk(b"PAIR", _json({"index": pair.index, "missing": pair.missing}))
        self.pairs += 1

    def sync(self) -> None:
        """Flush the written data to disk (fsync). Raises OutputError."""
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as e:
                raise output_error(self.path, e) from None

    def close(self, dropped: int = 0) -> None:
        """Finish the file; safe to call twice. dropped: pairs that were captured but not written."""
        if self._file is not None:
            self._chunk(b"TAIL", _json({"pairs": self.pairs, "dropped": dropped}))
            self._file.close()
            self._file = None

    def _chunk(self, kind: bytes, payload: bytes) -> None:
        self._append(b"".join((struct.pack("<I", len(payload)), kind, payload, struct.pack("<I", zlib.crc32(kind + payload)))))

    def _append(self, data: bytes) -> None:
        if self._file is None:
            raise OutputError(f"cannot write {self.path}: it is closed")
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as e:
            file, self._file = self._file, None
            with contextlib.suppress(OSError), contextlib.closing(file):
                # remove the incomplete chunk
                os.ftruncate(file.fileno(), self.bytes_written)
            raise output_error(self.path, e) from None
        self.bytes_written += len(data)


class RawReader:
    """Reads one file sequentially."""

    def __init__(self, path: Path) -> None:
        """Raises SourceError if `path` is not such a file."""
        self.path, self.pairs_read = path, 0
        self._latest: dict[str, Frame] = {}
        self._at_end = False
        # opening a pipe would block
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
            raise SourceError(f"{path} is not a file; give one made by --record-raw")
        try:
            self._file = open(path, "rb")  # noqa: SIM115
            self._size = os.fstat(self._file.fileno()).st_size
            magic = self._file.read(len(MAGIC))
        except OSError as e:
            raise SourceError(f"cannot read {path}: {e.strerror}; give a file made by --record-raw") from None
        try:
            if magic != MAGIC:
                raise ValueError("is another kind of file")
            self._start = len(MAGIC)
            kind, payload = self._next() or (b"", b"")
            if kind != b"HEAD" or payload is None:
                raise ValueError("has no complete HEAD chunk")
            self.head = _mapping(payload)
            if self.head.get("version") != VERSION:
                raise ValueError(f"has version {self.head.get('version')!r}, this EdgeFuse reads {VERSION}")
            self.pairs = self._count()
            self._start = self._file.tell()
        except ValueError as e:
            self._file.close()
            raise SourceError(f"{path}: expected a file made by --record-raw, but it {e}") from None

    def read(self) -> FramePair | None:
        """Return the next pair, or None at the end.

        Raises FrameError for a pair with damaged frames (cause "unreadable"; reading can go on), and once with cause "ended" if the file is
        truncated.
        """
        while not self._at_end:
            try:
                chunk = self._next()
            except ValueError as e:
                raise self._ended(str(e)) from None
            if chunk is None:
                raise self._ended("was not finished")
            kind, payload = chunk
            if kind == b"TAIL" and payload is not None:
                self._at_end = True
            elif payload is None:
                # the damaged frame may be of either camera, so repeat neither
                self._latest.clear()
            elif kind == b"FRAM":
                self._take(payload)
            elif kind == b"PAIR":
                return self._pair(payload)
        return None

    def rewind(self) -> None:
        """Go back to the first pair."""
        self._file.seek(self._start)
        self._latest.clear()
        self._at_end, self.pairs_read = False, 0

    def close(self) -> None:
        self._file.close()

    def _ended(self, why: str) -> FrameError:
        self._at_end = True
        return FrameError(self.path.stem, "ended", f"{self.path} {why}: it plays up to pair {self.pairs_read}")

    def _pair(self, payload: bytes) -> FramePair:
        self.pairs_read += 1
        name = f"{self.path.stem}_{self.pairs_read - 1:06d}"
        try:
            facts = _mapping(payload)
            index, missing = _integer(facts, "index", 0, 2**62), facts.get("missing")
            if missing not in (None, *get_args(Modality)):
                raise ValueError("has a wrong missing")
        except ValueError as e:
            raise FrameError(name, "unreadable", f"{self.path}: pair {self.pairs_read} {e}") from None
        if len(self._latest) < 2:
            raise FrameError(name, "unreadable", f"{self.path}: a frame of pair {self.pairs_read} is damaged")
        return FramePair(self._latest["visible"], self._latest["infrared"], index, missing)

    def _take(self, payload: bytes) -> None:
        try:
            frame = _decode_frame(payload)
        except ValueError:
            self._latest.clear()
        else:
            self._latest[frame.modality] = frame

    def _next(self) -> tuple[bytes, bytes | None] | None:
        """Return (type, payload) of the next chunk, with payload None if its checksum is wrong; None at the end of the file.

        Raises ValueError, with a message that continues the file's name, if no complete chunk follows.
        """
        at = self._file.tell()
        head = self._file.read(8)
        if not head:
            return None
        remaining = self._size - at - 12
        if len(head) < 8 or remaining < 0:
            raise ValueError("breaks off")
        length, kind = struct.unpack("<I4s", head)
        if not kind.isalpha() or length > _CHUNK:
            raise ValueError(f"is damaged at byte {at}")
        if length > remaining:
            raise ValueError("breaks off")
        body = self._file.read(length + 4)
        if len(body) < length + 4:
            raise ValueError("breaks off")
        payload = body[:-4]
        intact = zlib.crc32(payload, zlib.crc32(kind)) == struct.unpack("<I", body[-4:])[0]
        return kind, payload if intact else None

    def _count(self) -> int | None:
        """Return the number of pairs from the TAIL chunk; None if there is none."""
        here = self._file.tell()
        self._file.seek(max(here, self._size - _TAIL))
        end = self._file.read(_TAIL)
        self._file.seek(here)
        at = end.rfind(b"TAIL")
        if at < 4 or zlib.crc32(end[at:-4]) != struct.unpack("<I", end[-4:])[0]:
            return None
        return _integer(_mapping(end[at + 4 : -4]), "pairs", 0, 2**62)


def _encode_frame(frame: Frame, pack: bool) -> bytes:
    data = np.ascontiguousarray(frame.data)
    plain = data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
    packed = _deflate(data) if pack else plain
    packing: Packing = "gradient" if len(packed) < len(plain) else "none"
    header = _json({
        "modality": frame.modality, "time_ns": frame.time_ns, "name": frame.name,
        "width": frame.size[0], "height": frame.size[1], "channels": 3 if frame.colour else 1, "bits": data.itemsize * 8,
        "packing": packing, "radiometry": None if frame.radiometry is None else frame.radiometry.facts(),
    })  # fmt: skip
    if len(header) > _HEADER:
        raise OutputError(f"frame name {frame.name[:40]!r}... is too long to record")
    return struct.pack("<I", len(header)) + header + (packed if packing == "gradient" else plain)


def _decode_frame(payload: bytes) -> Frame:
    """Decode a FRAM payload. Raises ValueError for an invalid one."""
    if len(payload) < 4:
        raise ValueError("has no header")
    (length,) = struct.unpack_from("<I", payload)
    if length > min(_HEADER, len(payload) - 4):
        raise ValueError("has a header of a wrong length")
    header, body = _mapping(payload[4 : 4 + length]), memoryview(payload)[4 + length :]
    width, height = _integer(header, "width", 1, _SIDE), _integer(header, "height", 1, _SIDE)
    channels, bits = _integer(header, "channels", 1, 3), _integer(header, "bits", 8, 16)
    if channels == 2 or bits not in (8, 16) or width * height * channels * bits // 8 > LARGEST:
        raise ValueError("has an invalid size or pixel type")
    modality: Any = header.get("modality")
    name, packing = header.get("name"), header.get("packing")
    if modality not in get_args(Modality) or not isinstance(name, str) or "\0" in name or packing not in get_args(Packing):
        raise ValueError("has a wrong header")
    shape = (height, width) if channels == 1 else (height, width, 3)
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    data = _inflate(body, shape, dtype) if packing == "gradient" else _plain(body, shape, dtype)
    return Frame(data, modality, _integer(header, "time_ns", -(2**62), 2**62), name, _radiometry(header.get("radiometry")))


def _radiometry(raw: Any) -> Radiometry | None:
    if raw is None:
        return None
    if not isinstance(raw, dict) or raw.keys() != {"sensor", "scale", "offset", "state"}:
        raise ValueError("has a wrong radiometry")
    numbers = [raw["offset"], *([] if raw["scale"] is None else [raw["scale"]])]
    if not isinstance(raw["sensor"], str) or raw["state"] not in get_args(SensorState):
        raise ValueError("has a wrong radiometry")
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and abs(n) < 1e12 and math.isfinite(n) for n in numbers):
        raise ValueError("has a wrong radiometry")
    return Radiometry(raw["sensor"], None if raw["scale"] is None else float(raw["scale"]), float(raw["offset"]), raw["state"])


def _deflate(data: NDArray[Any]) -> bytes:
    """Compress by gradient prediction (left + upper - upper left, modulo the range) and DEFLATE of the residual.

    Smaller than PNG in a third of its time: benchmarks/thermal.py.
    """
    horizontal = data.copy()
    horizontal[:, 1:] -= data[:, :-1]
    residual = horizontal.copy()
    residual[1:] -= horizontal[:-1]
    if data.dtype == np.uint16:
        signed = residual.view(np.int16)
        # map signed residuals to small unsigned numbers (zigzag), then store low bytes before high bytes, most of which are 0
        folded = ((signed << 1) ^ (signed >> 15)).view(np.uint16)
        plain = (folded & 255).astype(np.uint8).tobytes() + (folded >> 8).astype(np.uint8).tobytes()
    else:
        plain = residual.tobytes()
    # run-length matching pays for the zero high bytes; for 8 bits it takes twice the time and saves a twentieth of the size
    coder = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_RLE if data.dtype == np.uint16 else zlib.Z_HUFFMAN_ONLY)
    return coder.compress(plain) + coder.flush()


def _inflate(body: memoryview, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    coder = zlib.decompressobj(-15)
    try:
        plain = coder.decompress(body, size + 1)
    except zlib.error as e:
        raise ValueError(f"can't be unpacked ({e})") from None
    residual = _plain(memoryview(plain), shape, np.dtype(np.uint8)) if dtype.itemsize == 1 else _unfolded(plain, shape, size)
    kind = np.uint8 if dtype.itemsize == 1 else np.uint16
    return np.cumsum(np.cumsum(residual, axis=0, dtype=kind), axis=1, dtype=kind)


def _unfolded(plain: bytes, shape: tuple[int, ...], size: int) -> NDArray[np.uint16]:
    if len(plain) != size:
        raise ValueError("has a wrong number of pixels")
    low, high = np.frombuffer(plain, np.uint8).reshape(2, -1).astype(np.uint16)
    folded = low | high << 8
    unfolded: NDArray[np.uint16] = (folded >> 1) ^ np.negative(folded & 1)
    return unfolded.reshape(shape)


def _plain(body: memoryview, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if len(body) != math.prod(shape) * dtype.itemsize:
        raise ValueError("has a wrong number of pixels")
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _mapping(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("has a header that is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("has a header that is not a JSON object")
    return value


def _integer(values: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"has a wrong {key}")
    return value
