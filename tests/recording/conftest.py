"""Fixture: a stream of FFmpeg's fragments, encoded once per session."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import numpy as np
import pytest

from edgefuse.ffmpeg import encoders, frames
from edgefuse.ffmpeg.encoders import Encoder
from edgefuse.recording.encoding import RecordingJob
from edgefuse.recording.fragments import Fragment, Splitter
from edgefuse.recording.trigger import Trigger
from edgefuse.settings.recording import RecordingSettings
from tests.ffmpeg.pictures import fused


@dataclass(frozen=True)
class Stream:
    """data: all of FFmpeg's output. times_ns: capture times of its frames, which are numbered from 0."""

    data: bytes
    times_ns: list[int]

    @property
    def header(self) -> bytes:
        splitter = Splitter()
        list(splitter.feed(self.data))
        return splitter.header

    @property
    def fragments(self) -> list[Fragment]:
        return list(Splitter().feed(self.data))


@pytest.fixture(scope="session")
def stream() -> Stream:
    """60 frames at 8.7 Hz, encoded with the options of a recording."""
    job = RecordingJob(RecordingSettings(folder="x"), Trigger("always", 0), None, None)  # type: ignore[arg-type]
    options = Encoder("libx264").options(job.bitrate_kbit, job.keyframe_s)
    command = [encoders.program(), "-v", "error", "-f", "matroska", "-i", "pipe:0", *options, *job.outputs()]
    times = [round(k * 1e9 / 8.7) for k in range(60)]
    fed = [frames.file_header(96, 64, 8.7)]
    rng = np.random.default_rng(1)
    for k, time_ns in enumerate(times):
        picture = frames.i420(fused(k, time_ns).data + rng.integers(0, 30, (64, 96, 1), np.uint8))
        fed += [frames.frame_header(time_ns, picture.nbytes), picture.tobytes()]
    return Stream(subprocess.run(command, input=b"".join(fed), capture_output=True, check=True, timeout=60).stdout, times)
