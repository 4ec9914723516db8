"""What a run keeps on its disk (`--recordings DIR`, the table [recording], docs/recording.md): videos of the fused frames, in segments that
a power cut can't spoil, always, around alarms or when asked; raw pairs and snapshots beside them.

Frames go from the run to FFmpeg (edgefuse.ffmpeg.pump), its fragments to a thread that writes them (recorder) into a folder that is never
full (folder). None of them can hold up the run.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any

from edgefuse.errors import EdgeFuseError, OutputError, SettingsError
from edgefuse.events import Event
from edgefuse.ffmpeg import encoders
from edgefuse.ffmpeg.pump import Pump
from edgefuse.frames import FusedFrame
from edgefuse.recording.encoding import Encoding
from edgefuse.recording.folder import Folder, Limits
from edgefuse.recording.raw import RawRecorder
from edgefuse.recording.recorder import Recorder
from edgefuse.recording.trigger import Trigger
from edgefuse.settings.recording import RecordingSettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.util import files, images
from edgefuse.util.uri import expand

__all__ = ["Recording"]

_CLOSE_S, _FLUSH_S = 4.8, 3.0  # all of it; of that for FFmpeg's last fragment


class Recording:
    """The attachment of [recording]."""

    def __init__(self, table: RecordingSettings, live: Live, info: Info) -> None:
        """Raises InputError without FFmpeg, OutputError where the folder can't be written or another run records there."""
        s, path = table, expand(table.folder)
        encoders.program()
        if any(os.path.realpath(path) == os.path.realpath(p) for p in info.inputs):
            raise OutputError(f"--recordings {path} is what this run reads from; choose another place")
        limit = round(s.keep_gb * 1e9)
        self._settings, self._live = s, live
        self._folder = Folder(path, Limits(limit, s.keep_days * 86400), round(s.keep_free_mb * 1e6))
        self._trigger = Trigger(s.mode, s.after_s)
        self._recorder = Recorder(self._folder, self._trigger, s.before_s, s.segment_s, round(s.buffer_mb * 1e6), limit // 4, self._tell)
        self._job = Encoding(s, self._trigger, self._recorder, self._tell)
        self._pump = Pump("recording", self._job, info.fps)
        facts = {"source": info.source, "fps": info.fps}
        self._raw = RawRecorder(self._folder, self._wanted, s.segment_s, limit // 4, facts, self._tell) if s.raw else None
        self._closed = False
        self._recorder.start()
        self._pump.start()
        if self._folder.recovered:
            self._tell({"state": "recovered", "files": self._folder.recovered})
        self._ends = [live.watch(self._see), live.listen(self._hear)]
        live.offer("record", self._record)
        live.offer("snapshot", self._snapshot)

    def report(self) -> dict[str, Any]:
        """state: recording, armed (for an alarm), off, or stopped (for `trouble`). frames: seen = recorded + dropped (encoder too slow) +
        lost (an encoder died) + unwritten (disk) + not_wanted + those on their way."""
        pump, recorder, raw = self._pump, self._recorder, self._raw
        trouble = recorder.trouble or pump.trouble or (raw.trouble if raw else None)
        state = "closed" if self._closed else self._state_now()
        report = {
            "state": state, "mode": self._settings.mode, "trouble": trouble, "folder": str(self._folder.path), "file": recorder.file,
            "segments": recorder.segments, "recovered": self._folder.recovered, "deleted": self._folder.deleted,
            "bytes": recorder.nbytes, "kept_bytes": recorder.kept, "held_bytes": recorder.held_bytes,
            "encoder": self._job.encoder, "encoder_restarts": pump.restarts,
            "frames": {
                "seen": pump.offered, "recorded": recorder.recorded, "dropped": pump.dropped, "lost": pump.lost,
                "unwritten": recorder.unwritten, "not_wanted": pump.refused + recorder.passed,
            },
        }  # fmt: skip
        if raw:
            report["raw"] = {"pairs": raw.pairs, "dropped": raw.dropped, "bytes": raw.nbytes}
        return report

    def close(self) -> None:
        """Finish the files; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        for end in self._ends:
            end()
        until = time.monotonic() + _CLOSE_S
        self._pump.close(_FLUSH_S)
        self._recorder.close(max(0.5, until - time.monotonic()))
        if self._raw:
            self._raw.close(max(0.5, until - time.monotonic()))
        self._folder.close()

    def _see(self, count: int, fused: FusedFrame) -> None:
        self._pump.offer(fused)
        if self._raw and self._wanted():
            self._raw.offer(fused.pair)

    def _hear(self, event: Event) -> None:
        if event.kind == "alarm":
            self._trigger.alarm(event.name, event.facts.get("state"))

    def _wanted(self) -> bool:
        return self._trigger.wanted()

    def _state_now(self) -> str:
        if not self._wanted():
            return "armed" if self._settings.mode == "alarm" else "off"
        return "stopped" if self._recorder.trouble or (self._pump.trouble and not self._recorder.file) else "recording"

    def _record(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        on = arguments.get("on")
        if not isinstance(on, bool):
            raise SettingsError('record: expected {"on": true} or {"on": false}')
        self._check_open()
        self._trigger.ask(on)
        return {"on": on, "state": self._state_now()}

    def _snapshot(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The newest fused frame as PNG, in the folder."""
        self._check_open()
        newest = self._live.newest
        if newest is None:
            raise EdgeFuseError("snapshot: there is no frame yet")
        data = images.encode(newest[1].data, ".png")
        if not self._folder.has_room(len(data)):
            raise OutputError(f"{self._folder.path}: no more of this disk may be taken (keep_free_mb); free some space")
        part = self._folder.new(".png", time.time())
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as e:
            with contextlib.suppress(OSError):
                part.unlink()
            raise files.output_error(part, e) from None
        return {"path": str(self._folder.finish(part))}

    def _check_open(self) -> None:
        if self._closed:
            raise EdgeFuseError("nothing is recorded any more")

    def _tell(self, facts: Mapping[str, Any]) -> None:
        self._live.tell(Event("recording", "recording", facts))
