"""What a source is: `read` until it returns None, then `close`. Everything else belongs to the sources themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from edgefuse.frames import FramePair
from edgefuse.util.uri import Uri


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """uri: as given. pairs: how many reads it will take, lost ones included, None where unknown. fps: nominal rate in Hz, never rounded.
    paths: files and folders it reads, which no sink may write to. sequence: are its pairs frames of one video, or pictures of anything?
    live: frames that are not taken in time are lost, so whoever is late drops the oldest. layout: how the files were found to lie, in words
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
    """Base of all sources; also a context manager.

    A subclass sets `info`, implements `read` and `from_uri`, and may override the rest.
    """

    info: SourceInfo
    OPTIONS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def from_uri(cls, uri: Uri) -> Self:
        """Open what the URI names. Raises SettingsError (the URI) or SourceError (what is there)."""

    @abstractmethod
    def read(self) -> FramePair | None:
        """The next pair, None at the end. Raises FrameError where one pair can't be used (read on), SourceError where none can."""

    def stop(self) -> None:
        """From any thread or signal handler: a live source's `read` returns None soon. Takes no lock."""

    def settle(self, pair: FramePair, cause: str | None) -> None:
        """From any thread: what became of a pair that was read: None for fused and written, else why it was dropped."""

    def listen(self, on_change: Callable[[str, Mapping[str, Any]], None]) -> None:
        """From now on call `on_change(which camera, {"state": ..., ...})` where one comes, goes or stands still; in any thread, at once."""

    def report(self) -> dict[str, Any]:
        """What this source adds to a run's report."""
        return {}

    def close(self) -> None:
        """Release devices and files; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
