"""FFmpeg settings and output handling of a recording: complete fragments of half a second, with a key frame every second."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgefuse.events import Facts
from edgefuse.ffmpeg import encoders
from edgefuse.ffmpeg.encoders import TIMESCALE
from edgefuse.recording.fragments import Splitter
from edgefuse.recording.recorder import Recorder
from edgefuse.recording.trigger import Trigger
from edgefuse.settings.recording import RecordingSettings
from edgefuse.util.uri import safe

_FRAGMENT_US = 500_000  # FFmpeg holds this much back, so a power cut loses it together with what is on its way to the disk
_MUXER = ["-video_track_timescale", str(TIMESCALE), "-movflags", "+frag_keyframe+delay_moov+default_base_moof+skip_trailer"]


class RecordingJob:
    """Job of the encoder thread that records (implements `edgefuse.ffmpeg.encoder_thread.EncodingJob`)."""

    keyframe_s = 1.0
    send_s = 20.0  # a disk may stall for some seconds

    def __init__(self, s: RecordingSettings, trigger: Trigger, recorder: Recorder, emit: Callable[[Facts], None]) -> None:
        self.encoders: Sequence[str] = encoders.EVERY if s.encoder == "auto" else (s.encoder,)
        self.bitrate_kbit, self.encoder = s.bitrate_kbit, ""
        self._trigger, self._recorder, self._emit = trigger, recorder, emit
        self._splitter, self._frames = Splitter(), 0

    def wanted(self) -> bool:
        return self._trigger.encode()

    def outputs(self) -> list[str]:
        # flush at once, so that nothing waits in FFmpeg's buffer
        return [*_MUXER, "-frag_duration", str(_FRAGMENT_US), "-flush_packets", "1", "-f", "mp4", "pipe:1"]

    def begin(self, encoder: str) -> None:
        self.encoder, self._splitter, self._frames = encoder, Splitter(), 0

    def output(self, data: bytes) -> None:
        for fragment in self._splitter.feed(data):
            self._frames += fragment.frames
            self._recorder.add(fragment, self._splitter.header)

    def end(self) -> int:
        self._recorder.end()
        return self._frames

    def failed(self, why: str) -> None:
        self._emit({"state": "encoder failed", "encoder": self.encoder, "why": why})

    def hide(self, words: str) -> str:
        return safe(words)
