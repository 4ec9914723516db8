"""Fused frames that show their own number, videos decoded back to numbers, and ffprobe's view of a file."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgefuse.frames import Frame, FramePair, FusedFrame

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs FFmpeg (apt install ffmpeg)")
_BITS, _WIDE = 12, 8


def fused(k: int, time_ns: int, size: tuple[int, int] = (96, 64), colour: bool = True) -> FusedFrame:
    """Return a frame that shows its number as 12 bars, white for a 1."""
    data = np.full((size[1], size[0]), 40, np.uint8)
    for bit in range(_BITS):
        data[:, bit * _WIDE : (bit + 1) * _WIDE] = 220 if k >> bit & 1 else 40
    data = cv2.cvtColor(data, cv2.COLOR_GRAY2BGR) if colour else data
    grey = np.zeros(data.shape[:2], np.uint16)
    pair = FramePair(Frame(data, "visible", time_ns, f"f{k}"), Frame(grey, "infrared", time_ns - 1000, f"f{k}"), k)
    return FusedFrame(data, pair)


def numbers(path: Path) -> list[int]:
    """Return the numbers shown by a video's frames, as FFmpeg decodes them."""
    size = probe(path)["streams"][0]
    width, height = size["width"], size["height"]
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1:60000",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width)
    bars = pictures[:, height // 2, _WIDE // 2 : _BITS * _WIDE : _WIDE] > 128
    return [int(n) for n in bars @ (1 << np.arange(_BITS))]


def probe(path: Path) -> dict[str, Any]:
    """Return ffprobe's streams and packets."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_packets", "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def times_s(path: Path) -> list[float]:
    """Return each frame's presentation time in seconds."""
    return [float(p["pts_time"]) for p in probe(path)["packets"]]
