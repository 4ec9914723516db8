"""A video file being written: each fragment is synced to disk before the next is accepted."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgefuse.ffmpeg.encoders import TIMESCALE
from edgefuse.recording.folder import Folder
from edgefuse.recording.fragments import Fragment
from edgefuse.util import files


class Segment:
    """Writes fragments passed to `append`, of which the first begins with a key frame, until `close`."""

    def __init__(self, folder: Folder, header: bytes, time_s: float) -> None:
        """time_s: capture time of the first frame, seconds since the epoch. Raises OutputError."""
        self._folder, self.path = folder, folder.new(".mp4", time_s)
        self.frames, self.nbytes = 0, 0
        self._header, self._start, self._end = header, 0, 0
        self._fd: int | None = None
        self._torn = False  # bytes beyond `nbytes` could not be removed yet
        try:
            self._fd = os.open(self.path, os.O_WRONLY)
            folder.sync()
        except OSError as e:
            self._discard()
            raise files.output_error(self.path, e) from None

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return (self._end - self._start) / TIMESCALE

    def append(self, fragment: Fragment) -> None:
        """Append a fragment. Raises OutputError on failure; the file stays valid, and `close` still works."""
        if not self.frames:
            self._start = fragment.start
        # every file's time starts at 0
        data = (b"" if self.frames else self._header) + fragment.shifted(self._start)
        try:
            self._cut()
            self._torn = True
            self._write(data)
            self._torn = False
        except OSError as e:
            with contextlib.suppress(OSError):
                self._cut()
            raise files.output_error(self.path, e) from None
        self.nbytes += len(data)
        self.frames += fragment.frames
        self._end = fragment.end

    def close(self) -> Path | None:
        """Finish the file and return its path; None (and no file) where nothing was written. Raises OutputError.

        A file whose incomplete end can't be removed keeps its name as an unfinished one, so that the next run repairs it.
        """
        if not self.frames:
            self._discard()
            return None
        try:
            self._cut()
        except OSError as e:
            raise files.output_error(self.path, e) from None
        finally:
            fd, self._fd = self._file, None
            with contextlib.suppress(OSError):
                os.close(fd)
        return self._folder.finish(self.path)

    def _cut(self) -> None:
        """Remove the bytes of a failed write. Raises OSError."""
        if self._torn:
            os.ftruncate(self._file, self.nbytes)
            os.lseek(self._file, self.nbytes, os.SEEK_SET)
            self._torn = False

    @property
    def _file(self) -> int:
        assert self._fd is not None
        return self._fd

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)

    def _discard(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        with contextlib.suppress(OSError):
            self.path.unlink()
