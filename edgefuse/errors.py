"""One tree of errors. Each message is one line: what is wrong, where, and what mends it.

EdgeFuseError                 exit 1: a fault, ours or the machine's
|- InputError                 exit 2: what was given can't be used
|  |- SettingsError           an option, a settings file, a URI
|  |- SourceError             nothing can be read from a source
|  |  |- CameraError          a camera is missing, or gone; it may come back (counted by `cause`)
|  |  `- FrameError           one pair of it can't be used; the others can (counted by `cause`)
|  |- CalibrationError        a calibration file, or pictures that none can be made of
|  |- CubeError              a hyperspectral cube, or a compressed one, that can't be used
|  |- ModelError              an unknown model, a broken card, a file whose sha256 is wrong
|  |- OutputError             a place that can't be written: permission, a full disk
|  `- MissingDependencyError  an extra that is not installed; the message ends with the command that installs it
`- MeasurementError           exit 3: a figure that can't be trusted
"""

from __future__ import annotations


class EdgeFuseError(Exception):
    """Base of everything EdgeFuse raises on purpose. `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(EdgeFuseError):
    """What was given can't be used."""

    exit_code = 2


class SettingsError(InputError):
    """An option, a settings file or a URI can't be used."""


class SourceError(InputError):
    """Nothing can be read from a source."""


class CameraError(SourceError):
    """A camera gives no frames. `cause` is a word to count by: missing, ambiguous, denied, busy, format, gone, silent, broken."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class FrameError(SourceError):
    """One pair can't be used. `name` is the pair's, `cause` a word to count by: unpaired, ambiguous, unreadable,
    size, layout, ended, unwritten."""

    def __init__(self, name: str, cause: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.cause = cause


class CalibrationError(InputError):
    """A calibration file can't be used, or none can be made of these pictures."""


class CubeError(InputError):
    """A hyperspectral cube, or a compressed one, can't be used."""


class ModelError(InputError):
    """A model is unknown, its card is broken, or a file's sha256 is wrong."""


class OutputError(InputError):
    """`full`: there is no room, and there may be later."""

    full = False


class MissingDependencyError(InputError):
    """An optional package is missing: `package`, the one that could not be found. by: the installer's command, before `install`."""

    def __init__(self, package: str, what: str, install: str, by: str = "pip install") -> None:
        super().__init__(f"{what} needs {package}, which is not installed; run: {by} {install}")
        self.package = package


class MeasurementError(EdgeFuseError):
    """A figure can't be trusted."""

    exit_code = 3
