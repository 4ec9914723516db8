"""The table [recording]: videos of the fused frames on this device's disk (docs/how-to/recording.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["always", "alarm", "request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """Settings of the recordings on disk."""

    folder: str = field(
        metadata={
            "help": "record the fused frames into DIR, in segments that survive a power cut",
            "option": "recordings",
            "metavar": "DIR",
        }
    )
    mode: Mode = field(
        default="always",
        metadata={"help": "record always, around alarms, or only on request (web page, MQTT)", "option": "recordings-mode"},
    )
    raw: bool = field(default=False, metadata={"help": "also record the input pairs, lossless (much larger)"})
    before_s: float = field(default=10.0, metadata={"help": "seconds to record before an alarm, with mode = alarm", "min": 0, "max": 600.0})
    after_s: float = field(default=10.0, metadata={"help": "seconds to record after an alarm", "min": 0, "max": 3600.0})
    buffer_mb: float = field(default=16.0, metadata={"help": "megabytes of memory for the time before an alarm", "min": 1, "max": 1000.0})
    segment_s: float = field(default=60.0, metadata={"help": "length of a file in seconds", "min": 2, "max": 86400.0})
    keep_gb: float = field(
        default=8.0, metadata={"help": "gigabytes to keep; the oldest files are deleted; 0 for no limit", "min": 0, "max": 1e6}
    )
    keep_days: float = field(default=0.0, metadata={"help": "days to keep a file; 0 for no limit", "min": 0, "max": 36500.0})
    keep_free_mb: float = field(
        default=500.0,
        metadata={
            "help": "megabytes of the disk to leave free; recording stops there and resumes when there is space",
            "min": 0,
            "max": 1e9,
        },
    )
    encoder: Literal["auto", "h264_v4l2m2m", "libx264", "mpeg4"] = field(
        default="auto",
        metadata={"help": "FFmpeg's encoder: h264_v4l2m2m (Raspberry Pi hardware), libx264, mpeg4, or the first that works (auto)"},
    )
    bitrate_kbit: int = field(
        default=4000,
        metadata={"help": "highest mean rate of the video in kilobits per second (mpeg4: a fixed quality)", "min": 100, "max": 100000},
    )
