"""Reads and encodes image files. A truncated or damaged file is an error, never a partial picture.

OpenCV's decoders return partial pictures of damaged files; frames fused from them would look valid and be wrong.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util import jpeg
from edgefuse.util.nativeio import native_stderr

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


def _declared_fault(declared: int, data: bytes) -> str | None:
    return "is truncated" if declared > len(data) else None


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
    if data.startswith(b"RIFF") and len(data) >= 8:
        return _declared_fault(struct.unpack_from("<I", data, 4)[0] + 8, data)
    return None


def read(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read the picture in `path`: uint8 or uint16, (H, W) or (H, W, 3) BGR; an alpha channel is dropped, EXIF orientation applied.

    Raises ValueError if it can't be read completely; its message continues the file's name ("is truncated", ...).
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ValueError(f"cannot be opened ({e.strerror})") from None
    if fault := _fault(data):
        raise ValueError(fault)
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
    return image


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
