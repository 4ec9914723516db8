"""Interface of a camera: `open`, `read` until it fails, `close`, and again. No device is touched before `open`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from edgefuse.frames import Frame, Modality
from edgefuse.util.uri import Uri


class Camera(ABC):
    """Base class of cameras. One thread opens, reads and closes; a failed camera may be opened again.

    modality: visible or infrared. label: the spec without credentials. fps: nominal rate in Hz once open, None if unknown. missed: frames
    that the driver reports as lost. raw: frames are a sensor's own counts, whose noise makes any two differ, so that a repeated picture
    is no picture; set once open. A decoder or a camera's own processing may repeat a picture of a scene in which nothing moves.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ()
    modality: Modality
    label: str
    fps: float | None = None
    missed: int = 0
    raw: bool = False

    @classmethod
    @abstractmethod
    def from_uri(cls, uri: Uri, modality: Modality) -> Self:
        """Return the camera that the URI names, not yet opened. Raises SettingsError for an invalid URI."""

    @abstractmethod
    def identity(self) -> str:
        """Return the device's identity, equal for two specs of the same device. Raises CameraError where it is not attached."""

    @abstractmethod
    def open(self) -> None:
        """Start the camera. Raises CameraError (missing, ambiguous, denied, busy, format) and MissingDependencyError."""

    @abstractmethod
    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, None at the timeout. `time_ns` is its capture time on the monotonic clock, the name is empty.

        Raises FrameError where one frame is unusable, CameraError where no more will come: gone, silent, broken.
        """

    def interrupt(self) -> None:
        """Make a `read` or `open` that waits in another thread return soon, where that is possible; the camera is then closed."""

    @abstractmethod
    def close(self) -> None:
        """Release the device; safe to call twice, and on a camera that was never opened."""
