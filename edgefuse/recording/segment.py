"""One video file while it is written: every fragment is on the disk, not only in its cache, before the next is taken."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgefuse.ffmpeg.encoders import TIMESCALE
from edgefuse.recording.folder import Folder
from edgefuse.recording.fragments import Fragment
from edgefuse.util import files


class Segment:
    """`append` fragments, the first with a key frame; then `close`."""

    def __init__(self, folder: Folder, head: bytes, time_s: float) -> None:
        """time_s: when its first frame was taken, seconds since the epoch. Raises OutputError."""
        self._folder, self.path = folder, folder.new(".mp4", time_s)
        self.frames, self.nbytes = 0, 0
        self._head, self._start, self._end = head, 0, 0
        self._fd: int | None = None
        try:
            self._fd = os.open(self.path, os.O_WRONLY)
            folder.sync()
        except OSError as e:
            self._abandon()
            raise files.output_error(self.path, e) from None

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return (self._end - self._start) / TIMESCALE

    def append(self, fragment: Fragment) -> None:
        """Raises OutputError where it can't be kept; what was before stays whole, and `close` still does its work."""
        if not self.frames:
            self._start = fragment.start
        # a file begins at 0, wherever in FFmpeg's life it does
        data = (b"" if self.frames else self._head) + fragment.moved(self._start)
        try:
            self._write(data)
        except OSError as e:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.nbytes)
                os.lseek(self._file, self.nbytes, os.SEEK_SET)
            raise files.output_error(self.path, e) from None
        self.nbytes += len(data)
        self.frames += fragment.frames
        self._end = fragment.end

    def close(self) -> Path | None:
        """Its name once it is finished; None where nothing was written, which leaves no file. Raises OutputError."""
        if not self.frames:
            self._abandon()
            return None
        os.close(self._file)
        self._fd = None
        return self._folder.finish(self.path)

    @property
    def _file(self) -> int:
        assert self._fd is not None
        return self._fd

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)

    def _abandon(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        with contextlib.suppress(OSError):
            self.path.unlink()
