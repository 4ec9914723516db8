"""Radiometric JPEG files: a thermal camera's counts behind a picture with its colours, logo and scale.

FLIR's files are read by the library flyr (extra `flir`). DJI's need DJI's own software, and are only recognised.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import MissingDependencyError
from edgefuse.frames import Radiometry
from edgefuse.util.images import MAX_PIXELS

Maker = Literal["FLIR", "DJI"]
KELVIN = -273.15
_SOS, _APP1, _APP3 = 0xDA, 0xE1, 0xE3
_DJI_LEAST = 100_000  # bytes of counts; other APP3 segments are small


def maker(data: bytes) -> Maker | None:
    """Return whose counts a JPEG file holds; None where it is an ordinary picture."""
    counts, dji = 0, False
    for kind, start, end in _segments(data):
        if kind == _APP1 and data[start : start + 5] == b"FLIR\0":
            return "FLIR"
        dji = dji or (kind == _APP1 and b"DJI" in data[start : min(end, start + 4096)])
        counts += end - start if kind == _APP3 else 0
    return "DJI" if dji and counts >= _DJI_LEAST else None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, begin and end of the segments before a JPEG's coded data."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SOS:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], at + 4, end
        at = max(end, at + 4)


def flir(data: bytes) -> tuple[NDArray[np.uint16], Radiometry]:
    """Return the apparent temperatures of a FLIR file as counts of 0.01 kelvin, of 0.1 above 655 kelvin: uint16 (H, W).

    The emissivity and distance that the file states are not applied; 0 where a pixel has no temperature. Raises MissingDependencyError
    without flyr, ValueError for a damaged file; its message continues "the file ...".
    """
    try:
        import flyr
    except ImportError:
        raise MissingDependencyError("flyr", "the counts of a FLIR radiometric JPEG", "'edgefuse[flir]'") from None
    try:
        thermogram = flyr.unpack(BytesIO(data))
        kelvin: NDArray[np.float64] = np.asarray(thermogram.adjust_metadata(emissivity=1.0, object_distance=0.0).kelvin)
    except Exception as e:  # flyr raises whatever its steps raise
        raise ValueError(f"holds a FLIR camera's counts, which cannot be read ({type(e).__name__}: {e})") from None
    if kelvin.ndim != 2 or not 0 < kelvin.size <= MAX_PIXELS:
        raise ValueError(f"holds a FLIR camera's counts of {kelvin.shape}, which are no picture")
    there = np.isfinite(kelvin) & (kelvin > 0)
    scale = 0.1 if kelvin[there].max(initial=0) >= 655 else 0.01
    counts = np.where(there, np.clip(np.rint(np.where(there, kelvin, 0) / scale), 1, 65534), 0).astype(np.uint16)
    return counts, Radiometry("flir-jpeg", scale, KELVIN)
