"""Choice of the video encoder: the Pi's hardware encoder where it works, else x264 at its fastest, else MPEG-4. Each is tried first."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefuse.errors import InputError

H264 = ("h264_v4l2m2m", "libx264")
EVERY = (*H264, "mpeg4")
# time base of 1/60000 s; MPEG-4 part 2 has only 16 bits for it
TIMESCALE = 60000
_TRIAL_S = 30.0
_FAILED_S = 60.0  # seconds after which a failed encoder is tried again
_WORKED: set[tuple[str, tuple[int, int]]] = set()
_FAILED_UNTIL: dict[tuple[str, tuple[int, int]], float] = {}


class NotStartedError(InputError):
    """The system gave no process, descriptor or memory for FFmpeg: nothing ran, so trying again soon costs little."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """An FFmpeg encoder, by its FFmpeg name."""

    name: str

    def options(self, bitrate_kbit: int, keyframe_s: float) -> list[str]:
        """Return FFmpeg's options: a mean of at most `bitrate_kbit` (mpeg4: fixed quality), no delay, a key frame every `keyframe_s`."""
        rate = f"{bitrate_kbit}k"
        how = {
            "libx264": ["-preset", "ultrafast", "-tune", "zerolatency", "-crf", "23", "-maxrate", rate, "-bufsize", rate, "-threads", "2"],
            "h264_v4l2m2m": ["-b:v", rate, "-pix_fmt", "yuv420p"],
            # a fixed quality, because at this time base mpeg4's rate control takes each frame for 1/60000 s
            "mpeg4": ["-q:v", "4"],
        }[self.name]
        # forced by time, because at 8.7 Hz a fixed number of frames is too coarse
        keys = ["-g", "600", "-bf", "0", "-force_key_frames", f"expr:gte(t,n_forced*{keyframe_s:g})"]
        return ["-fps_mode", "passthrough", "-enc_time_base", f"1:{TIMESCALE}", "-c:v", self.name, *how, *keys]


def program() -> str:
    """Return FFmpeg's path. Raises InputError where it is not installed."""
    path = shutil.which("ffmpeg")
    if path is None:
        raise InputError("recording and streaming need FFmpeg, which is not installed; run: sudo apt install ffmpeg")
    return path


def choose(names: Sequence[str], size: tuple[int, int]) -> Encoder:
    """Return the first of `names` that encodes frames of `size` here. Raises InputError where none does.

    What worked once is not tried again. What failed is tried again after a minute, or where nothing else works, because it may have
    failed for lack of memory, of descriptors, or of a driver.
    """
    now = time.monotonic()
    for name in names:
        if (name, size) in _WORKED:
            return Encoder(name)
        if now < _FAILED_UNTIL.get((name, size), 0.0):
            continue
        if _works(name, size):
            _WORKED.add((name, size))
            return Encoder(name)
        _FAILED_UNTIL[name, size] = time.monotonic() + _FAILED_S
    forget_results()
    raise InputError(
        f"this FFmpeg has no working encoder of {', '.join(names)} for {size[0]}x{size[1]}; install Debian's: apt install ffmpeg"
    )


def forget_results() -> None:
    """Try all encoders again the next time."""
    _WORKED.clear()
    _FAILED_UNTIL.clear()


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
    except OSError as e:
        raise NotStartedError(f"{command[0]} can't be started: {e.strerror}") from None
    return done.returncode == 0
