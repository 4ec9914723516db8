"""What a run is told, typed and validated. One module a table of the settings file."""

from edgefuse.settings.check import check
from edgefuse.settings.file import Settings, load
from edgefuse.settings.run import (
    AUTO_CAMERAS,
    DEFAULT_SHARPNESS,
    DEFAULT_SKEW_MS,
    SHARPEST,
    AgcKind,
    Colour,
    Precision,
    RunSettings,
    make,
)

__all__ = [
    "AUTO_CAMERAS",
    "AgcKind",
    "Colour",
    "DEFAULT_SHARPNESS",
    "DEFAULT_SKEW_MS",
    "Precision",
    "RunSettings",
    "SHARPEST",
    "Settings",
    "check",
    "load",
    "make",
]
