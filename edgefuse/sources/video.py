"""`video:VISIBLE,INFRARED`: two video files, paired by their time stamps.

`video:VISIBLE?fps=30&offset=0.5,INFRARED?fps=9`: a rate for a file whose time stamps are missing or wrong, and seconds by which a file
begins later than the other. Each visible frame gets the newest infrared frame at its time, unless that is older than a frame interval:
a gap, the end of a file and a frame that can't be decoded are a FrameError for each pair.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Self

from edgefuse.cameras.pairing import DEFAULT_SKEW_MS
from edgefuse.errors import FrameError, SourceError
from edgefuse.frames import Frame, FramePair
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.sources.video_reader import Timed, VideoFile
from edgefuse.util.uri import Uri, real

_log = logging.getLogger(__name__)
_ROUNDING_S = 2e-3  # time stamps are rounded to milliseconds in some containers
_GAP = 1.5  # intervals


class VideoSource(Source):
    """Two video files as pairs named STEM_000000, STEM_000001, ... by the visible file's stem."""

    OPTIONS = ("fps", "offset")

    def __init__(
        self, visible: Path, infrared: Path, uri: str, fps: tuple[float | None, float | None] = (None, None),
        offset_s: tuple[float, float] = (0.0, 0.0),
    ) -> None:  # fmt: skip
        """fps, offset_s: of the visible and the infrared file. Raises SourceError where a file cannot be read."""
        self._visible = VideoFile(visible, "visible", fps[0], offset_s[0])
        self._infrared = VideoFile(infrared, "infrared", fps[1], offset_s[1])
        self._next, self._shift_s = 0, 0.0
        begin = [file.following.time_s for file in (self._visible, self._infrared) if file.following is not None]
        self._zero_s = min([0.0, *begin])
        warnings = [file.warning for file in (self._visible, self._infrared) if file.warning]
        starts = (self._visible.start_s, self._infrared.start_s)
        layout = "" if not any(starts) else f"by their time stamps {visible} begins at {starts[0]:.2f} s, {infrared} at {starts[1]:.2f} s"
        self.info = SourceInfo(uri, self._visible.count or None, self._visible.fps, (visible, infrared), layout=layout,
                               warning="; ".join(warnings))  # fmt: skip

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        visible, infrared = uri.paths(2)
        per_file = [
            (uri.option("fps", None, real(0.01, 1000), k), uri.option("offset", 0.0, real(-86400, 86400), k)) for k in range(2)
        ]  # fmt: skip
        source = cls(visible, infrared, uri.text, (per_file[0][0], per_file[1][0]), (per_file[0][1], per_file[1][1]))
        if per_file[0] == (None, 0.0) and not uri.own[0] and per_file[1][0] is not None:
            source._share_rate(uri, per_file[1])
        return source

    def _share_rate(self, uri: Uri, given: tuple[float | None, float]) -> None:
        """Apply a rate that is given once, after the last file, to both files; if only one of them lacks time stamps, to that one."""
        rate, offset_s = given
        guessed = self._visible.guessed, self._infrared.guessed
        rates = (rate, rate) if guessed[0] == guessed[1] else (rate if guessed[0] else None, rate if guessed[1] else None)
        self.close()
        self.__init__(self._visible.path, self._infrared.path, uri.text, rates, (0.0, offset_s))  # type: ignore[misc]

    def delay_infrared(self, delay_s: float) -> None:
        self._shift_s = delay_s

    def read(self) -> FramePair | None:
        index = self._next
        self._next += 1
        name = f"{self._visible.path.stem}_{index:06d}"
        before = self._visible.current
        if not self._visible.advance():
            self._check_end(index, name)
            return None
        visible = self._visible.current
        assert visible is not None
        self._note_gap(before, visible)
        infrared = self._partner(name, visible.time_s)
        for file, frame in ((self._visible, visible), (self._infrared, infrared)):
            if frame.picture is None:
                where = f"{file.path} is damaged at {frame.time_s:.2f} s ({frame.fault})"
                raise FrameError(name, "damaged", f"{where}; up to its next key frame, pictures may be wrong")
        assert visible.picture is not None
        assert infrared.picture is not None
        return FramePair(
            Frame(visible.picture, "visible", self._ns(visible.time_s), name),
            Frame(infrared.picture, "infrared", self._ns(infrared.time_s - self._shift_s), name), index,
        )  # fmt: skip

    def _ns(self, time_s: float) -> int:
        return max(0, round((time_s - self._zero_s) * 1e9))

    def _partner(self, name: str, time_s: float) -> Timed:
        """Return the newest infrared frame at `time_s`. Raises FrameError where there is none of that time."""
        file = self._infrared
        time_s += self._shift_s
        while (following := file.following) is not None and following.time_s <= time_s + _ROUNDING_S and file.advance():
            pass
        current, following = file.current, file.following
        if current is None:
            # a start within half an interval is the same moment
            if following is not None and following.time_s - time_s <= file.interval_s / 2 and file.advance():
                assert file.current is not None
                return file.current
            if following is None:
                raise FrameError(name, "ended", f"{file.path} ends after 0 frames, before {self._visible.path}")
            raise FrameError(name, "gap", f"{file.path} begins at {following.time_s:.2f} s, after this frame")
        if following is None and time_s >= current.time_s + max(file.interval_s, file.recent_interval_s) - _ROUNDING_S:
            raise FrameError(name, "ended", f"{file.path} ends after {file.index + 1} frames, before {self._visible.path}")
        hole_s = following.time_s - current.time_s if following is not None else 0.0
        is_gap = hole_s > max(DEFAULT_SKEW_MS / 1000, _GAP * file.interval_s)
        if following is not None and is_gap and time_s > current.time_s + file.recent_interval_s + _ROUNDING_S:
            raise FrameError(name, "gap", f"{file.path} has no frame from {current.time_s:.2f} to {following.time_s:.2f} s")
        return current

    def _note_gap(self, before: Timed | None, now: Timed) -> None:
        if before is not None and now.time_s - before.time_s > max(DEFAULT_SKEW_MS / 1000, 4 * self._visible.interval_s):
            _log.warning("%s has no frame from %.2f to %.2f s", self._visible.path, before.time_s, now.time_s)

    def _check_end(self, index: int, name: str) -> None:
        """Raise FrameError for a frame that is missing after the visible video's end; return where none is."""
        file, ended = self._infrared, self._visible.index + 1
        if ended == 0 and file.index < 0 and file.following is None:
            raise SourceError(f"{self._visible.path}: no frame can be read; check that it plays")
        last = self._visible.current
        due_s = (index - ended + 1) * self._visible.interval_s + (last.time_s if last else -self._visible.interval_s) + self._shift_s
        # infrared frames after the visible video's end have no partner
        while file.current is None or file.current.time_s < due_s - _ROUNDING_S:
            if not file.advance():
                break
        if file.current is not None and file.current.time_s >= due_s - _ROUNDING_S:
            raise FrameError(name, "ended", f"{self._visible.path} ends after {ended} frames, before {file.path}")
        if self._visible.cut and index < self._visible.count:
            raise FrameError(name, "ended", f"{self._visible.path} breaks off at frame {ended} of {self._visible.count}")

    def close(self) -> None:
        self._visible.close()
        self._infrared.close()
