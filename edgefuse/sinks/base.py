"""Interface of a sink: a context manager with a `write` method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self

from edgefuse.errors import SettingsError
from edgefuse.frames import FusedFrame
from edgefuse.util.uri import Uri


class Sink(ABC):
    """Base class of sinks. A subclass updates `bytes_written`, implements `write` and `close`, and `from_uri` if a URI can name it."""

    OPTIONS: ClassVar[tuple[str, ...]] = ()
    bytes_written: int = 0

    @classmethod
    def from_uri(cls, uri: Uri, fps: float) -> Self:
        """Open the sink that the URI names, for frames at `fps` Hz. Raises SettingsError or OutputError."""
        raise SettingsError(f"{uri.kind}: this sink has no URI")

    @abstractmethod
    def write(self, fused: FusedFrame) -> None:
        """Write one fused frame. Raises OutputError on failure; earlier frames stay intact."""

    def close(self) -> None:
        """Finish open files; safe to call twice. Raises OutputError on failure."""

    def resume(self) -> None:
        """Prepare for writing again after a failed `write` and a `close`; finished output stays as it is. Raises OutputError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
