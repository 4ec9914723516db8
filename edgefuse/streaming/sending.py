"""What streaming asks of FFmpeg: H.264 to a server, at once, and word of how far it got."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgefuse.ffmpeg import encoders
from edgefuse.settings.stream import StreamSettings
from edgefuse.streaming.address import Address

_FRAME = re.compile(rb"^frame=\s*(\d+)\s*$", re.MULTILINE)


class Sending:
    """The pump's job (`edgefuse.ffmpeg.pump.Job`)."""

    send_s = 8.0  # a server that takes nothing for so long is gone

    def __init__(self, s: StreamSettings, to: Address, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self.encoders: Sequence[str] = encoders.H264 if s.encoder == "auto" else (s.encoder,)
        self.bitrate_kbit, self.keyframe_s = s.bitrate_kbit, s.keyframe_s
        self.encoder, self.sent, self.connected = "", 0, False
        self._to, self._tell = to, tell
        self._frames, self._rest = 0, b""

    def wanted(self) -> bool:
        return True

    def outputs(self) -> list[str]:
        return ["-progress", "pipe:1", "-stats_period", "0.5", "-nostats", "-flush_packets", "1", *self._to.options, self._to.url]

    def begin(self, encoder: str) -> None:
        self.encoder, self.connected, self._frames, self._rest = encoder, False, 0, b""

    def output(self, data: bytes) -> None:
        self._rest += data
        whole, end, self._rest = self._rest.rpartition(b"\n")
        for found in _FRAME.finditer(whole + end):
            self._at(int(found[1]))

    def _at(self, frames: int) -> None:
        self.sent += max(0, frames - self._frames)
        self._frames = max(frames, self._frames)
        if frames and not self.connected:
            self.connected = True
            self._tell({"state": "streaming", "url": self._to.label, "encoder": self.encoder})

    def end(self) -> int:
        self.connected = False
        return self._frames

    def failed(self, why: str) -> None:
        self._tell({"state": "reconnecting", "url": self._to.label, "why": why})

    def hide(self, words: str) -> str:
        return self._to.hide(words)
