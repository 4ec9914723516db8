"""Which encoder: the Pi's own where it really works, else x264 at its fastest, else MPEG-4. One is believed after it has encoded."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgefuse.errors import InputError

H264 = ("h264_v4l2m2m", "libx264")
EVERY = (*H264, "mpeg4")
# a frame's time to a 60,000th of a second; MPEG-4 part 2 has 16 bits for it
TIMESCALE = 60000
_TRIAL_S = 30.0


@dataclass(frozen=True, slots=True)
class Encoder:
    """One of FFmpeg's, by its name there."""

    name: str

    def options(self, bitrate_kbit: int, keyframe_s: float) -> list[str]:
        """FFmpeg's: at most `bitrate_kbit` in the mean (mpeg4: a fixed quality), no frame held back, a key frame every `keyframe_s`."""
        rate = f"{bitrate_kbit}k"
        how = {
            "libx264": ["-preset", "ultrafast", "-tune", "zerolatency", "-crf", "23", "-maxrate", rate, "-bufsize", rate, "-threads", "2"],
            "h264_v4l2m2m": ["-b:v", rate, "-pix_fmt", "yuv420p"],
            # with times this fine it would take a frame for a 60,000th of a second, and its limit for one of that
            "mpeg4": ["-q:v", "4"],
        }[self.name]
        # the key frames are forced by time: at 8.7 Hz a count of frames means little
        keys = ["-g", "600", "-bf", "0", "-force_key_frames", f"expr:gte(t,n_forced*{keyframe_s:g})"]
        return ["-fps_mode", "passthrough", "-enc_time_base", f"1:{TIMESCALE}", "-c:v", self.name, *how, *keys]


def program() -> str:
    """FFmpeg's path. Raises InputError where there is none."""
    found = shutil.which("ffmpeg")
    if found is None:
        raise InputError("recording and streaming need FFmpeg, which is not installed; run: sudo apt install ffmpeg")
    return found


def choose(names: Sequence[str], size: tuple[int, int]) -> Encoder:
    """The first of `names` that encodes frames of `size` here. Raises InputError where none does."""
    for name in names:
        if _works(name, size):
            return Encoder(name)
    raise InputError(
        f"this FFmpeg has no working encoder of {', '.join(names)} for {size[0]}x{size[1]}; install Debian's: apt install ffmpeg"
    )


def forget() -> None:
    """Try them anew the next time: what a driver could do it may no longer."""
    _works.cache_clear()


@cache
def _works(name: str, size: tuple[int, int]) -> bool:
    if name.endswith("v4l2m2m") and not any(Path("/dev").glob("video*")):
        return False
    source = f"color=s={size[0]}x{size[1]}:r=10"
    command = [program(), "-hide_banner", "-loglevel", "quiet", "-nostdin", "-f", "lavfi", "-i", source, "-frames:v", "4"]
    try:
        done = subprocess.run(
            [*command, "-pix_fmt", "yuv420p", *Encoder(name).options(1000, 1), "-f", "null", "-"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_TRIAL_S, check=False, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
