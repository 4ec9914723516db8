"""Conversion of camera drivers' buffers to pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# V4L2 fourccs without trailing blanks, the cheapest to convert first
PICTURES = ("BGR3", "RGB3", "YUYV", "UYVY", "NV12", "YU12", "MJPG", "GREY")
COUNTS = ("Y16", "Z16")


def unpadded(data: NDArray[np.uint8], size: tuple[int, int], fourcc: str, line: int) -> NDArray[Any]:
    """Return a buffer's rows of pixels: uint16 (H, W) for Y16, uint8 (H, W, 2) for YUYV, uint8 (H, W) for GREY. Raises ValueError."""
    width, height = size
    depth = {"GREY": 1, "BGR3": 3, "RGB3": 3}.get(fourcc, 2)
    line = max(line, width * depth)
    # the last line's padding may be missing
    if data.size < line * (height - 1) + width * depth:
        raise ValueError(f"has {data.size} bytes of {line * height}")
    if data.size < line * height:
        data = np.pad(data, (0, line * height - data.size))
    rows = data[: line * height].reshape(height, line)[:, : width * depth]
    if fourcc in COUNTS:
        return np.ascontiguousarray(rows).view("<u2")
    return np.ascontiguousarray(rows) if depth == 1 else np.ascontiguousarray(rows).reshape(height, width, depth)


def picture(data: NDArray[np.uint8], size: tuple[int, int], fourcc: str, line: int) -> NDArray[np.uint8]:
    """Convert a buffer to a picture: BGR uint8 (H, W, 3), or grey (H, W). Raises ValueError for an invalid buffer."""
    import cv2

    width, height = size
    if fourcc == "MJPG":
        return _jpeg(data, size)
    if fourcc in ("NV12", "YU12"):
        if data.size < width * height * 3 // 2 or line not in (0, width):
            raise ValueError(f"has {data.size} bytes in lines of {line}, not {width * height * 3 // 2} in lines of {width}")
        planes = data[: width * height * 3 // 2].reshape(height * 3 // 2, width)
        return cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_NV12 if fourcc == "NV12" else cv2.COLOR_YUV2BGR_I420)
    rows = unpadded(data, size, fourcc, line)
    codes = {"YUYV": cv2.COLOR_YUV2BGR_YUYV, "UYVY": cv2.COLOR_YUV2BGR_UYVY, "RGB3": cv2.COLOR_RGB2BGR}
    return cv2.cvtColor(rows, codes[fourcc]) if fourcc in codes else rows


def _jpeg(data: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    from edgefuse.util import jpeg

    image = jpeg.decode(data.tobytes())
    if image.shape[1::-1] != size:
        raise ValueError(f"is {image.shape[1]}x{image.shape[0]}, not {size[0]}x{size[1]}")
    return image
