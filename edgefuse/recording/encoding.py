"""What recording asks of FFmpeg: fragments of half a second, each complete, with a key frame every second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgefuse.ffmpeg import encoders
from edgefuse.ffmpeg.encoders import TIMESCALE
from edgefuse.recording.fragments import Splitter
from edgefuse.recording.recorder import Recorder
from edgefuse.recording.trigger import Trigger
from edgefuse.settings.recording import RecordingSettings
from edgefuse.util.uri import safe

_FRAGMENT_US = 500_000  # held back by FFmpeg, so lost in a power cut, with what is on its way to the disk
_MUXER = ["-video_track_timescale", str(TIMESCALE), "-movflags", "+frag_keyframe+delay_moov+default_base_moof+skip_trailer"]


class Encoding:
    """The pump's job (`edgefuse.ffmpeg.pump.Job`)."""

    keyframe_s = 1.0
    send_s = 20.0  # a disk may stall for some seconds

    def __init__(self, s: RecordingSettings, trigger: Trigger, recorder: Recorder, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self.encoders: Sequence[str] = encoders.EVERY if s.encoder == "auto" else (s.encoder,)
        self.bitrate_kbit, self.encoder = s.bitrate_kbit, ""
        self._trigger, self._recorder, self._tell = trigger, recorder, tell
        self._splitter, self._frames = Splitter(), 0

    def wanted(self) -> bool:
        return self._trigger.encodes()

    def outputs(self) -> list[str]:
        # written out at once: nothing may wait in FFmpeg's buffer
        return [*_MUXER, "-frag_duration", str(_FRAGMENT_US), "-flush_packets", "1", "-f", "mp4", "pipe:1"]

    def begin(self, encoder: str) -> None:
        self.encoder, self._splitter, self._frames = encoder, Splitter(), 0

    def output(self, data: bytes) -> None:
        for fragment in self._splitter.feed(data):
            self._frames += fragment.frames
            self._recorder.take(fragment, self._splitter.head)

    def end(self) -> int:
        self._recorder.end()
        return self._frames

    def failed(self, why: str) -> None:
        self._tell({"state": "encoder failed", "encoder": self.encoder, "why": why})

    def hide(self, words: str) -> str:
        return safe(words)
