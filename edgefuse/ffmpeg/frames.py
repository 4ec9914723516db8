"""Frames with capture times as input for FFmpeg: uncompressed I420 in Matroska, with a time for each frame (1 us resolution).

FFmpeg's raw video has no times, and it should not have to guess a rate such as 8.7 Hz. Written is the minimum that FFmpeg reads:
RFC 9559's EBML header, Info, one track, and a cluster per frame.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_TICK_NS = 1000


def file_header(width: int, height: int, fps: float) -> bytes:
    """Return the bytes before the first frame. width, height: even, pixels. fps: nominal, Hz; encoders choose their level by it."""
    ebml = _element("1A45DFA3", _element("4282", b"matroska") + _number("4287", 4) + _number("4285", 2))
    info = _element("1549A966", _number("2AD7B1", _TICK_NS) + _element("4D80", b"EdgeFuse") + _element("5741", b"EdgeFuse"))
    video = _element("E0", _number("B0", width) + _number("BA", height) + _element("2EB524", b"I420"))
    facts = _number("D7", 1) + _number("73C5", 1) + _number("83", 1) + _number("9C", 0) + _number("23E383", round(1e9 / fps))
    track = _element("1654AE6B", _element("AE", facts + _element("86", b"V_UNCOMPRESSED") + video))
    # the segment's length is unknown
    return ebml + bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7 + info + track


def frame_header(time_ns: int, nbytes: int) -> bytes:
    """Return the bytes before a frame of `nbytes`, captured `time_ns` after the first."""
    time = _number("E7", time_ns // _TICK_NS)
    block = bytes.fromhex("A3") + _length(nbytes + 4) + b"\x81\x00\x00\x80"
    return bytes.fromhex("1F43B675") + _length(len(time) + len(block) + nbytes) + time + block


def i420(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert uint8 (H, W) or (H, W, 3) BGR to I420, uint8 (1.5 H, W), BT.601 video range; an odd last row or column is repeated."""
    bottom, right = image.shape[0] % 2, image.shape[1] % 2
    if bottom or right:
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)


def _element(name: str, payload: bytes) -> bytes:
    return bytes.fromhex(name) + _length(len(payload)) + payload


def _number(name: str, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))


def _length(n: int) -> bytes:
    return (1 << 56 | n).to_bytes(8, "big")
