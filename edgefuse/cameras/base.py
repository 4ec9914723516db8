"""What a camera is: `open`, `read` until it fails, `close`; and again. A recipe that touches no device until it is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from edgefuse.frames import Frame, Modality
from edgefuse.util.uri import Uri


class Camera(ABC):
    """Base of all cameras. One thread opens, reads and closes; a camera that failed may be opened again.

    modality: what it sees. label: how it was asked for, without credentials. fps: nominal rate in Hz once open, None where not told.
    missed: frames that the driver says were lost before they reached us.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ()
    modality: Modality
    label: str
    fps: float | None = None
    missed: int = 0

    @classmethod
    @abstractmethod
    def from_uri(cls, uri: Uri, modality: Modality) -> Self:
        """The camera the URI names, not yet opened. Raises SettingsError for a URI that can't be one."""

    @abstractmethod
    def identity(self) -> str:
        """The device behind it: equal for two cameras that are one. Raises CameraError where it is not attached."""

    @abstractmethod
    def open(self) -> None:
        """Start it. Raises CameraError: missing, ambiguous, denied, busy, format; MissingDependencyError."""

    @abstractmethod
    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, None where none came in time. `time_ns` is capture on the monotonic clock, the name is empty.

        Raises FrameError where one frame can't be used, CameraError where no more will come: gone, silent, broken.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the device go; safe to call twice, and on one that never opened."""
