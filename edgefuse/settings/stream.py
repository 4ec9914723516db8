"""The table [stream]: streaming of the fused picture to a video server (docs/how-to/streaming.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgefuse.errors import SettingsError

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """Settings of the stream."""

    url: str = field(
        metadata={
            "help": "send the fused picture as H.264 to a server: rtsp://, rtsps://, rtmp://, rtmps:// or srt://",
            "option": "stream",
            "metavar": "URL",
        }
    )
    user: str = field(default="", metadata={"help": "user at an RTSP or RTMP server"})
    password: str = field(default="", metadata={"help": "the user's password, or an SRT passphrase", "secret": True})
    key: str = field(default="", metadata={"help": "stream key, appended to an RTMP URL", "secret": True})
    encoder: Literal["auto", "h264_v4l2m2m", "libx264"] = field(
        default="auto", metadata={"help": "FFmpeg's encoder: h264_v4l2m2m (Raspberry Pi hardware), libx264, or the first that works (auto)"}
    )
    bitrate_kbit: int = field(default=2000, metadata={"help": "highest mean rate in kilobits per second", "min": 100, "max": 100000})
    keyframe_s: float = field(
        default=2.0, metadata={"help": "seconds between key frames, for which a new viewer waits", "min": 0.2, "max": 60.0}
    )

    def __post_init__(self) -> None:
        scheme, separator, rest = self.url.partition("://")
        if scheme not in SCHEMES or not separator or not rest.strip("/"):
            raise SettingsError(f"url must begin with {'://, '.join(SCHEMES)}:// and name a server, such as rtsp://server:8554/edgefuse")
        if self.key and not scheme.startswith("rtmp"):
            raise SettingsError("key is only for RTMP servers; for others put the stream's name into url")
        if self.user and scheme == "srt":
            raise SettingsError(
                "user is only for RTSP and RTMP servers; SRT has a passphrase (password) and a stream id (in url: ?streamid=NAME)"
            )
