"""The table [recording]: videos of the fused frames on this device's disk (docs/recording.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["always", "alarm", "request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """Settings of what a run keeps on its disk."""

    folder: str = field(
        metadata={
            "help": "record the fused frames into DIR, in segments that a power cut can't spoil",
            "option": "recordings",
            "metavar": "DIR",
        }
    )
    mode: Mode = field(
        default="always",
        metadata={"help": "record always, around alarms, or on request (web page, MQTT) alone", "option": "recordings-mode"},
    )
    raw: bool = field(default=False, metadata={"help": "keep the pairs behind the fused frames, too, lossless (much larger)"})
    before_s: float = field(
        default=10.0, metadata={"help": "seconds before an alarm that are kept, with mode = alarm", "min": 0, "max": 600.0}
    )
    after_s: float = field(default=10.0, metadata={"help": "seconds after an alarm that are recorded", "min": 0, "max": 3600.0})
    buffer_mb: float = field(
        default=16.0, metadata={"help": "megabytes of memory that the time before an alarm may take", "min": 1, "max": 1000.0}
    )
    segment_s: float = field(default=60.0, metadata={"help": "seconds of a file", "min": 2, "max": 86400.0})
    keep_gb: float = field(
        default=8.0, metadata={"help": "gigabytes kept: the oldest files make room; 0 for no limit", "min": 0, "max": 1e6}
    )
    keep_days: float = field(default=0.0, metadata={"help": "days that a file is kept; 0 for no limit", "min": 0, "max": 36500.0})
    keep_free_mb: float = field(
        default=500.0,
        metadata={"help": "megabytes of the disk left free: recording stops there, and goes on when there is room", "min": 0, "max": 1e9},
    )
    encoder: Literal["auto", "h264_v4l2m2m", "libx264", "mpeg4"] = field(
        default="auto", metadata={"help": "FFmpeg's: h264_v4l2m2m (a Raspberry Pi's own), libx264, mpeg4, or the first that works (auto)"}
    )
    bitrate_kbit: int = field(
        default=4000,
        metadata={"help": "kilobits a second of video, at most in the mean (mpeg4: a fixed quality)", "min": 100, "max": 100000},
    )
