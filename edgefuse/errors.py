"""The tree of errors. Each message is one line: what is wrong, where, and how to fix it.

EdgeFuseError                 exit 1: a fault of EdgeFuse or the machine
|- InputError                 exit 2: unusable input
|  |- SettingsError           an option, a settings file, a URI
|  |- SourceError             nothing can be read from a source
|  |  |- CameraError          a camera is missing or lost; it may return (counted by `cause`)
|  |  `- FrameError           one pair is unusable, others are not (counted by `cause`)
|  |- CalibrationError        an invalid calibration file, or pictures unsuitable for making one
|  |- CubeError               an unusable hyperspectral cube or compressed cube
|  |- ModelError              an unknown model, an invalid card, a file with a wrong sha256
|  |- OutputError             an unwritable output: permission, a full disk
|  `- MissingDependencyError  an extra that is not installed; the message ends with the command that installs it
`- MeasurementError           exit 3: an untrusted measurement
"""

from __future__ import annotations


class EdgeFuseError(Exception):
    """Base of all errors that EdgeFuse raises on purpose. `exit_code` is the command line's exit status."""

    exit_code = 1


class InputError(EdgeFuseError):
    """The input can't be used: an option, a file or a frame."""

    exit_code = 2


class SettingsError(InputError):
    """An option, a settings file or a URI can't be used."""


class SourceError(InputError):
    """Nothing can be read from a source."""


class CameraError(SourceError):
    """A camera gives no frames. `cause` is the word it is counted by: missing, ambiguous, denied, busy, format, gone, silent, broken."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class FrameError(SourceError):
    """One pair is unusable. `name` is the pair's; `cause` is the word it is counted by: unpaired, ambiguous, unreadable, size, layout,
    ended, unwritten."""

    def __init__(self, name: str, cause: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.cause = cause


class CalibrationError(InputError):
    """A calibration file can't be used, or these pictures don't give a calibration."""


class CubeError(InputError):
    """A hyperspectral cube, or a compressed one, can't be used."""


class ModelError(InputError):
    """A model is unknown, its card is broken, or a file's sha256 is wrong."""


class OutputError(InputError):
    """An output cannot be written.

    `full`: for lack of space, which may be temporary. `place`: nothing can be written there, whatever it is; true where `full` is.
    """

    full = False
    place = False


class MissingDependencyError(InputError):
    """An optional package is missing: `package`: the module that could not be imported. by: the installer's command, before `install`."""

    def __init__(self, package: str, what: str, install: str, by: str = "pip install") -> None:
        super().__init__(f"{what} needs {package}, which is not installed; run: {by} {install}")
        self.package = package


class MeasurementError(EdgeFuseError):
    """A figure can't be trusted."""

    exit_code = 3
