"""Recordings of a run (`--recordings DIR`, the table [recording], docs/how-to/recording.md).

Videos of the fused frames are written in segments that survive a power cut, always, around alarms or on request, with raw pairs and
snapshots beside them. Frames go from the run to FFmpeg (edgefuse.ffmpeg.encoder_thread), FFmpeg's fragments to a writer thread (recorder),
and old files are deleted before the folder is full (folder). Nothing here blocks the run.
"""

from __future__ import annotations

import contextlib
import os
import time

from edgefuse.errors import EdgeFuseError, OutputError, SettingsError
from edgefuse.events import Event, Facts
from edgefuse.ffmpeg import encoders
from edgefuse.ffmpeg.encoder_thread import EncoderThread
from edgefuse.frames import FusedFrame
from edgefuse.recording.encoding import RecordingJob
from edgefuse.recording.folder import Folder, Limits
from edgefuse.recording.raw import RawRecorder
from edgefuse.recording.recorder import Recorder
from edgefuse.recording.trigger import Trigger
from edgefuse.settings.recording import RecordingSettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.report_types import RecordingReport
from edgefuse.util import files, images
from edgefuse.util.uri import expand

__all__ = ["Recording"]

_FLUSH_S, _FLUSH_MOST_S = 3.0, 10.0  # seconds for FFmpeg's last fragment: without progress, and in all
_CLOSE_S = 1.8  # seconds for the recorders after that; all in all less than the unit's TimeoutStopSec
_UNDO_S = 1.0  # seconds for ending a thread that has nothing to write yet


class Recording:
    """Attachment for the table [recording]."""

    @staticmethod
    def check(table: RecordingSettings) -> None:
        """Raises InputError without FFmpeg, OutputError where the folder can't be written."""
        encoders.program()
        files.check_place(expand(table.folder))

    def __init__(self, table: RecordingSettings, live: Live, info: Info) -> None:
        """Raises InputError without FFmpeg, OutputError where the folder can't be written or another run records there."""
        s, path = table, expand(table.folder)
        self.check(s)
        if any(os.path.realpath(path) == os.path.realpath(p) for p in info.inputs):
            raise OutputError(f"--recordings {path} is an input of this run; choose another folder")
        limit = round(s.keep_gb * 1e9)
        self._settings, self._live, self._closed = s, live, False
        with contextlib.ExitStack() as undo:
            self._folder = Folder(path, Limits(limit, s.keep_days * 86400), round(s.keep_free_mb * 1e6))
            undo.callback(self._folder.close)  # a folder that stays locked could not be recorded into again
            self._trigger = Trigger(s.mode, s.after_s)
            before, buffer = s.before_s, round(s.buffer_mb * 1e6)
            self._recorder = Recorder(self._folder, self._trigger, before, s.segment_s, buffer, limit // 4, self._emit)
            self._job = RecordingJob(s, self._trigger, self._recorder, self._emit)
            self._encoder_thread = EncoderThread("recording", self._job, info.fps)
            facts = {"source": info.source, "fps": info.fps}
            self._raw = RawRecorder(self._folder, self._wanted, s.segment_s, limit // 4, facts, self._emit) if s.raw else None
            if self._raw:
                undo.callback(self._raw.close, _UNDO_S)
            self._recorder.start()
            undo.callback(self._recorder.close, _UNDO_S)
            self._encoder_thread.start()
            undo.pop_all()
        if self._folder.recovered:
            self._emit({"state": "recovered", "files": self._folder.recovered})
        self._ends = [live.watch(self._on_frame), live.listen(self._on_event)]
        live.library = self._folder
        live.register_command("record", self._record_command)
        live.register_command("snapshot", self._snapshot_command)

    def report(self) -> RecordingReport:
        """Return state and counters.

        state: recording, armed (for an alarm), off, or stopped (because of `trouble`).
        frames: seen = recorded + dropped (encoder too slow) + lost (encoder died) + unwritten (disk) + not_wanted + frames in transit.
        """
        thread, recorder, raw = self._encoder_thread, self._recorder, self._raw
        trouble = recorder.trouble or thread.trouble or (raw.trouble if raw else None)
        state = "closed" if self._closed else self._state_now()
        report: RecordingReport = {
            "state": state, "mode": self._settings.mode, "trouble": trouble, "folder": str(self._folder.path), "file": recorder.file,
            "segments": recorder.segments, "recovered": self._folder.recovered, "deleted": self._folder.deleted,
            "bytes": recorder.nbytes, "kept_bytes": recorder.kept, "held_bytes": recorder.held_bytes,
            "encoder": self._job.encoder, "encoder_restarts": thread.restarts,
            "frames": {
                "seen": thread.offered, "recorded": recorder.recorded, "dropped": thread.dropped, "lost": thread.lost,
                "unwritten": recorder.unwritten, "not_wanted": thread.refused + recorder.passed,
            },
        }  # fmt: skip
        if raw:
            report["raw"] = {"pairs": raw.pairs, "dropped": raw.dropped, "bytes": raw.nbytes}
        return report

    def outputs(self) -> dict[str, OutputState]:
        """Return whether frames are written while they are to be recorded."""
        recorder, raw = self._recorder, self._raw
        wanted, faults = self._wanted() and not self._closed, self._encoder_thread.faults + recorder.faults
        states = {"recording": OutputState(wanted, None, recorder.recorded, faults, recorder.trouble or self._encoder_thread.trouble or "")}
        if raw:
            states["raw recording"] = OutputState(wanted, None, raw.pairs, raw.faults, raw.trouble or "")
        return states

    def close(self) -> None:
        """Finish the files; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._live.library is self._folder:
            self._live.library = None
        for end in self._ends:
            end()
        self._encoder_thread.close(_FLUSH_S, _FLUSH_MOST_S)
        until = time.monotonic() + _CLOSE_S
        self._recorder.close(max(0.5, until - time.monotonic()))
        if self._raw:
            self._raw.close(max(0.5, until - time.monotonic()))
        self._folder.close()

    def _on_frame(self, count: int, fused: FusedFrame) -> None:
        self._encoder_thread.offer(fused)
        if self._raw and self._wanted():
            self._raw.offer(fused.pair)

    def _on_event(self, event: Event) -> None:
        if event.kind == "alarm":
            self._trigger.alarm(event.name, event.facts.get("state"))

    def _wanted(self) -> bool:
        return self._trigger.wanted()

    def _state_now(self) -> str:
        if not self._wanted():
            return "armed" if self._settings.mode == "alarm" else "off"
        return "stopped" if self._recorder.trouble or (self._encoder_thread.trouble and not self._recorder.file) else "recording"

    def _record_command(self, arguments: Facts) -> Facts:
        on = arguments.get("on")
        if not isinstance(on, bool):
            raise SettingsError('record: expected {"on": true} or {"on": false}')
        self._check_open()
        self._trigger.set_requested(on)
        return {"on": on, "state": self._state_now()}

    def _snapshot_command(self, arguments: Facts) -> Facts:
        """Write the newest fused frame into the folder as PNG and return its path."""
        self._check_open()
        newest = self._live.newest
        if newest is None:
            raise EdgeFuseError("snapshot: no frame yet")
        data = images.encode(newest[1].data, ".png")
        if not self._folder.has_room(len(data)):
            raise OutputError(f"{self._folder.path}: the disk's free space has reached keep_free_mb; free some space")
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
            raise EdgeFuseError("the recording is closed")

    def _emit(self, facts: Facts) -> None:
        self._live.emit(Event("recording", "recording", facts))
