"""FFmpeg settings and progress of a stream: low-latency H.264 to a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from edgefuse.events import Facts
from edgefuse.ffmpeg import encoders
from edgefuse.ffmpeg.hidden_argument import HiddenArgument
from edgefuse.settings.stream import StreamSettings
from edgefuse.streaming.address import Address

_FRAME = re.compile(rb"^frame=\s*(\d+)\s*$", re.MULTILINE)


class StreamingJob:
    """Job of the encoder thread that streams (implements `edgefuse.ffmpeg.encoder_thread.EncodingJob`)."""

    send_s = 8.0  # a server that accepts nothing for this long counts as lost

    def __init__(self, s: StreamSettings, to: Address, emit: Callable[[Facts], None]) -> None:
        self.encoders: Sequence[str] = encoders.H264 if s.encoder == "auto" else (s.encoder,)
        self.bitrate_kbit, self.keyframe_s = s.bitrate_kbit, s.keyframe_s
        self.encoder, self.sent, self.connected = "", 0, False
        self._to, self._emit = to, emit
        self._frames, self._rest = 0, b""

    def wanted(self) -> bool:
        return True

    def outputs(self) -> list[str]:
        url = self._to.url if self._to.url == self._to.label else HiddenArgument(self._to.url)
        return ["-progress", "pipe:1", "-stats_period", "0.5", "-nostats", "-flush_packets", "1", *self._to.options, url]

    def begin(self, encoder: str) -> None:
        self.encoder, self.connected, self._frames, self._rest = encoder, False, 0, b""

    def output(self, data: bytes) -> None:
        self._rest += data
        whole, end, self._rest = self._rest.rpartition(b"\n")
        for match in _FRAME.finditer(whole + end):
            self._note_progress(int(match[1]))

    def _note_progress(self, frames: int) -> None:
        self.sent += max(0, frames - self._frames)
        self._frames = max(frames, self._frames)
        if frames and not self.connected:
            self.connected = True
            self._emit({"state": "streaming", "url": self._to.label, "encoder": self.encoder})

    def end(self) -> int:
        self.connected = False
        return self._frames

    def failed(self, why: str) -> None:
        self._emit({"state": "reconnecting", "url": self._to.label, "why": why})

    def hide(self, words: str) -> str:
        return self._to.hide(words)
