"""Frames passed to FFmpeg keep their times and pixel values."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.ffmpeg import frames
from tests.ffmpeg.pictures import needs_ffmpeg


@needs_ffmpeg
def test_ffmpeg_reads_each_frame_at_its_own_time(tmp_path: Path) -> None:
    # 8.7 Hz, with jitter
    times = [round(k * 1e9 / 8.7) + k % 3 * 1_234_000 for k in range(40)]
    path = tmp_path / "a.mkv"
    with path.open("wb") as file:
        file.write(frames.file_header(32, 16, 8.7))
        for k, time_ns in enumerate(times):
            picture = frames.i420(np.full((16, 32, 3), k, np.uint8))
            file.write(frames.frame_header(time_ns, picture.nbytes) + picture.tobytes())
    command = ["ffprobe", "-v", "error", "-show_packets", "-show_streams", "-of", "json", str(path)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert [told["streams"][0][k] for k in ("codec_name", "pix_fmt", "width", "height")] == ["rawvideo", "yuv420p", 32, 16]
    assert [round(float(p["pts_time"]) * 1e6) for p in told["packets"]] == [t // 1000 for t in times]


@pytest.mark.parametrize("shape", [(6, 8, 3), (6, 8), (5, 7, 3), (5, 7), (1, 1)])
def test_any_size_and_grey_frames_become_even_sized_i420(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(90, 160, shape).astype(np.uint8)
    image = cv2.blur(image, (3, 3)) if min(shape[:2]) > 3 else image
    planes = frames.i420(image)
    height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    assert (planes.dtype, planes.shape, planes.flags.c_contiguous) == (np.uint8, (height * 3 // 2, width), True)
    back = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)[: shape[0], : shape[1]].astype(int)
    grey = back.mean(-1)
    assert np.abs(grey - (image.mean(-1) if image.ndim == 3 else image)).max() < 12
