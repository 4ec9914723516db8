"""The fused picture to an existing video server (`--stream URL`, the table [stream], docs/streaming.md): H.264 through FFmpeg over RTSP,
RTMP or SRT; the server, MediaMTX for one, hands it on to browsers. A server that is gone is tried again, after 4 s at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgefuse.events import Event
from edgefuse.ffmpeg import encoders
from edgefuse.ffmpeg.pump import Pump
from edgefuse.frames import FusedFrame
from edgefuse.settings.stream import StreamSettings
from edgefuse.streaming.address import address
from edgefuse.streaming.sending import Sending
from edgefuse.telemetry.live import Info, Live

__all__ = ["Streaming"]

_CLOSE_S = 3.0


class Streaming:
    """The attachment of [stream]."""

    def __init__(self, table: StreamSettings, live: Live, info: Info) -> None:
        """Raises InputError without FFmpeg."""
        encoders.program()
        self._live, self._to, self._closed = live, address(table), False
        self._job = Sending(table, self._to, self._tell)
        self._pump = Pump("stream", self._job, info.fps)
        self._pump.start()
        self._end = live.watch(self._see)

    def report(self) -> dict[str, Any]:
        """state: connecting, streaming, or closed. frames: seen = sent + dropped (encoder or network too slow) + lost (no server) + those
        on their way."""
        pump, job = self._pump, self._job
        return {
            "state": "closed" if self._closed else "streaming" if job.connected else "connecting", "url": self._to.label,
            "trouble": pump.trouble, "encoder": job.encoder, "reconnects": pump.restarts,
            "frames": {"seen": pump.offered, "sent": job.sent, "dropped": pump.dropped, "lost": pump.lost},
        }  # fmt: skip

    def close(self) -> None:
        """Send what waits, and hang up; safe to call twice."""
        if not self._closed:
            self._end()
            self._pump.close(_CLOSE_S)
            self._closed = True

    def _see(self, count: int, fused: FusedFrame) -> None:
        self._pump.offer(fused)

    def _tell(self, facts: Mapping[str, Any]) -> None:
        self._live.tell(Event("sink", "stream", facts))
