"""What a sink is: a context manager with one verb, `write`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self

from edgefuse.errors import SettingsError
from edgefuse.frames import FusedFrame
from edgefuse.util.uri import Uri


class Sink(ABC):
    """Base of all sinks. A subclass sets `bytes_written` as it goes and implements `write` and `close`, and `from_uri` where a URI can
    name it."""

    OPTIONS: ClassVar[tuple[str, ...]] = ()
    bytes_written: int = 0

    @classmethod
    def from_uri(cls, uri: Uri, fps: float) -> Self:
        """Open what the URI names, for frames at `fps` Hz. Raises SettingsError or OutputError."""
        raise SettingsError(f"{uri.kind}: this sink has no URI")

    @abstractmethod
    def write(self, fused: FusedFrame) -> None:
        """Take one fused frame. Raises OutputError where it can't be kept; what was written before stays whole."""

    def close(self) -> None:
        """Finish what is open; safe to call twice. Raises OutputError where that fails."""

    def resume(self) -> None:
        """After a `write` that failed and a `close`: get ready to write on, what was finished staying as it is. Raises OutputError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
