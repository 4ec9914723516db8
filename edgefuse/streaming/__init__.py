"""Streaming of the fused picture to a video server (`--stream URL`, the table [stream], docs/how-to/streaming.md).

FFmpeg encodes H.264 and sends it over
RTSP, RTMP or SRT; a server such as MediaMTX passes it on to browsers. A lost server is retried
at least every 4 s.
"""

from __future__ import annotations

from edgefuse.events import Event, Facts
from edgefuse.ffmpeg import encoders
from edgefuse.ffmpeg.encoder_thread import EncoderThread
from edgefuse.frames import FusedFrame
from edgefuse.settings.stream import StreamSettings
from edgefuse.streaming.address import address
from edgefuse.streaming.sending import StreamingJob
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.report_types import StreamReport

__all__ = ["Streaming"]

_CLOSE_S = 3.0


class Streaming:
    """Attachment for the table [stream]."""

    @staticmethod
    def check(table: StreamSettings) -> None:
        """Raises InputError without FFmpeg, SettingsError for an invalid address."""
        encoders.program()
        address(table)

    def __init__(self, table: StreamSettings, live: Live, info: Info) -> None:
        """Raises InputError without FFmpeg."""
        self.check(table)
        self._live, self._to, self._closed = live, address(table), False
        self._job = StreamingJob(table, self._to, self._emit)
        self._encoder_thread = EncoderThread("stream", self._job, info.fps)
        self._encoder_thread.start()
        self._end = live.watch(self._on_frame)

    def report(self) -> StreamReport:
        """Return state and counters.

        state: connecting, streaming, or closed.
        frames: seen = sent + dropped (encoder or network too slow) + lost (no server) + frames in transit.
        """
        thread, job = self._encoder_thread, self._job
        return {
            "state": "closed" if self._closed else "streaming" if job.connected else "connecting", "url": self._to.label,
            "trouble": thread.trouble, "encoder": job.encoder, "reconnects": thread.restarts,
            "frames": {"seen": thread.offered, "sent": job.sent, "dropped": thread.dropped, "lost": thread.lost},
        }  # fmt: skip

    def outputs(self) -> dict[str, OutputState]:
        """Return whether the server takes frames."""
        pump = self._encoder_thread
        return {"stream": OutputState(not self._closed, None, self._job.sent, pump.faults, pump.trouble or "")}

    def close(self) -> None:
        """Send queued frames and disconnect; safe to call twice."""
        if not self._closed:
            self._end()
            self._encoder_thread.close(_CLOSE_S, _CLOSE_S)
            self._closed = True

    def _on_frame(self, count: int, fused: FusedFrame) -> None:
        self._encoder_thread.offer(fused)

    def _emit(self, facts: Facts) -> None:
        self._live.emit(Event("sink", "stream", facts))
