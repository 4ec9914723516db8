"""Reads and encodes image files. A truncated or damaged file is an error, never a partial picture.

OpenCV's decoders return partial pictures of damaged files; frames fused from them would look valid and be wrong.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util import jpeg, tiff
from edgefuse.util.native_stderr import native_stderr

MAX_PIXELS = 1 << 26  # 64 megapixels: more than a camera of a Pi has; a file of a few kilobytes may declare a gigapixel
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp"})


def _png_fault(data: bytes) -> str | None:
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            return f"is damaged (checksum of its {kind.decode('ascii', 'replace')} chunk)"
        if kind == b"IEND":
            return None
        at = end
    return "is truncated"


def _jpeg_fault(data: bytes) -> str | None:
    return "is truncated" if jpeg.end(data) is None else None


def _tiff_fault(data: bytes) -> str | None:
    pages = [page for page in tiff.pages(data) if not page.extra]
    if len(pages) > 1:
        return f"holds {len(pages)} pages; a frame is one picture: split it (tiffsplit), or give its frames as a video"
    if pages and pages[0].bits > 8 and pages[0].samples == 2:
        return "holds two bands of more than 8 bits; keep the one with the counts (gdal_translate -b 1, or tiffcp with one sample)"
    return None


def _declared_fault(declared: int, data: bytes) -> str | None:
    return "is truncated" if declared > len(data) else None


def _size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) from a file's header; None for a format that is not read, or a damaged header."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(b"BM"):
            if struct.unpack_from("<I", data, 14)[0] == 12:
                return struct.unpack_from("<HH", data, 18)
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(data)
        if header := re.match(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s", data[:4096]):
            return int(header[1]), int(header[2])
    except struct.error:
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        kind = data[at + 1]
        if kind == 0xFF or kind == 0x01 or 0xD0 <= kind <= 0xD8:  # fill bytes and markers without a length
            at += 1 if kind == 0xFF else 2
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[:1] == b"I" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    found: dict[int, int] = {}
    for k in range(struct.unpack_from(order + "H", data, at)[0]):
        tag, kind = struct.unpack_from(order + "HH", data, at + 2 + 12 * k)
        if tag in (256, 257):
            found[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 2 + 12 * k + 8)[0]
    return (found[256], found[257]) if len(found) == 2 else None


def _fault(data: bytes) -> str | None:
    """Return what is wrong with a file's container structure, or None."""
    if not data:
        return "is empty"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_fault(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg_fault(data)
    if data.startswith(b"BM") and len(data) >= 6:
        return _declared_fault(struct.unpack_from("<I", data, 2)[0], data)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _tiff_fault(data)
    if data.startswith(b"RIFF") and len(data) >= 8:
        return _declared_fault(struct.unpack_from("<I", data, 4)[0] + 8, data)
    return None


def read(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read the picture in `path`: uint8 or uint16, (H, W) or (H, W, 3) BGR; an alpha channel is dropped, EXIF orientation applied.

    Raises ValueError if it can't be read completely, or has more than MAX_PIXELS; its message continues the file's name ("is truncated").
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ValueError(f"cannot be opened ({e.strerror})") from None
    if fault := _fault(data):
        raise ValueError(fault)
    size = _size(data)
    if size is None:
        raise ValueError("is not a readable image")
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"has {size[0]} x {size[1]} pixels, more than {MAX_PIXELS}; scale it down")
    with native_stderr() as messages:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
        except cv2.error:
            image = None
    if image is None:
        raise ValueError("is not a readable image")
    # libjpeg fills undecodable parts and reports them only on standard error
    if any(map(jpeg.complains, messages)):
        raise ValueError("is damaged (its decoder had to fill a part)")
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"holds {image.dtype} pixels; only 8-bit and 16-bit whole numbers can be fused")
    if image.dtype == np.uint16 and data[:2] in (b"II", b"MM"):
        image = _unshifted(image, data)
    if image.dtype == np.uint16 and image.ndim == 2 and _is_swapped(image):
        raise ValueError(
            "holds 16-bit values whose two bytes are swapped (neighbours differ far less after a swap), as FLIR cameras embed them; "
            "swap them (convert -endian, or numpy's byteswap) and save it again"
        )
    return image


def _unshifted(image: NDArray[np.uint16], data: bytes) -> NDArray[np.uint16]:
    """Undo OpenCV's scaling of packed 10 to 14 bits to 16."""
    pages = tiff.pages(data)
    shift = 16 - pages[0].bits if pages else 0
    if 0 < shift < 8 and not (image & ((1 << shift) - 1)).any():
        return image >> np.uint16(shift)
    return image


def _is_swapped(image: NDArray[np.uint16]) -> bool:
    """Return whether neighbours in the picture differ at least five times as much as with the bytes of each value swapped."""
    rows = np.ascontiguousarray(image[:: max(1, image.shape[0] // 64)])
    steps, swapped = (float(np.abs(np.diff(a.astype(np.int32), axis=1)).mean()) if a.shape[1] > 1 else 0.0 for a in (rows, rows.byteswap()))
    return steps > 5 * swapped and steps > 1000


def encode(image: NDArray[np.uint8] | NDArray[np.uint16], extension: str, quality: int = 95) -> memoryview:
    """Encode `image` (uint8 or uint16, grey or BGR) as the bytes of a PNG, JPEG or TIFF file (`extension` is ".png", ".jpg" or ".tiff")."""
    options = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality], ".png": [cv2.IMWRITE_PNG_COMPRESSION, 1]}.get(extension, [])
    try:
        done, data = cv2.imencode(extension, image, options)
    except cv2.error:
        done = False
    if not done:
        raise ValueError(f"of {image.shape[1]}x{image.shape[0]} can't be held by a {extension} file")
    return data.data
