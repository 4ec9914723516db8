"""Interface of a source: call `read` until it returns None, then `close`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, TypedDict

from edgefuse.errors import SettingsError
from edgefuse.events import Facts
from edgefuse.frames import FramePair
from edgefuse.util.uri import Uri

if TYPE_CHECKING:
    from edgefuse.cameras.camera_thread import CameraReport


class PairingReport(TypedDict):
    """How the frames of two cameras were paired; times in milliseconds."""

    max_skew_ms: float
    delay_ms: float
    pairs: int
    held: int
    alone: int
    fresh_skew_ms: dict[str, float]
    held_age_ms: dict[str, float]


class RawRecordingReport(TypedDict):
    """`--record-raw`: the last file; over all files the pairs written and dropped, bytes before and after compression, and faults."""

    file: str
    pairs: int
    dropped: int
    bytes_raw: int
    bytes: int
    faults: int


class SourceReport(TypedDict, total=False):
    """A source's part of the run's report."""

    cameras: dict[str, CameraReport]
    pairing: PairingReport
    record_raw: RawRecordingReport


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of a source.

    uri: as given. pairs: number of reads until the end, including lost pairs; None where unknown. fps: nominal rate in Hz, not rounded.
    paths: files and folders that it reads, which no sink may write to. sequence: the pairs are frames of one video, not unrelated
    pictures.
    live: frames that are not read in time are lost, so a late reader drops the oldest. layout: how the files were found to lie, in words
    for whoever looks; warning: what a user has to know of them; "" where there is nothing to say.
    """

    uri: str
    pairs: int | None
    fps: float
    paths: tuple[Path, ...] = ()
    sequence: bool = True
    live: bool = False
    layout: str = ""
    warning: str = ""


class Source(ABC):
    """Base class of sources, usable as a context manager.

    A subclass sets `info`, implements `read` and `from_uri`, and may override the rest.
    """

    info: SourceInfo
    OPTIONS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def from_uri(cls, uri: Uri) -> Self:
        """Open the source that the URI names. Raises SettingsError for the URI or SourceError for its target."""

    @abstractmethod
    def read(self) -> FramePair | None:
        """Return the next pair, None at the end. Raises FrameError where one pair is unusable (read on), SourceError where all further
        are."""

    def stop(self) -> None:
        """Make a live source's `read` return None soon. Callable from any thread or signal handler; takes no lock."""

    def delay_infrared(self, delay_s: float) -> None:
        """Pair infrared frames with visible ones stamped `delay_s` earlier. Raises SettingsError where pairs are fixed."""
        if delay_s:
            raise SettingsError(f"--delay is for cameras and video: files; the pairs of {self.info.uri} are given as pairs")

    def settle(self, pair: FramePair, cause: str | None) -> None:
        """Report the outcome of a pair that was read: None for fused and written, else why it was dropped. Callable from any thread."""

    def listen(self, on_change: Callable[[str, Facts], None]) -> None:
        """Call `on_change(camera, {"state": ..., ...})` when a camera's state changes, in any thread; it must return at once."""

    def report(self) -> SourceReport:
        """Return this source's part of the run's report."""
        return {}

    def close(self) -> None:
        """Release devices and files; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
