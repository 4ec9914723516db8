"""What a run is told, typed and validated. One module a table of the settings file."""

from edgefuse.settings.run import (
    AUTO_CAMERAS,
    DEFAULT_SHARPNESS,
    DEFAULT_SKEW_MS,
    SHARPEST,
    AgcKind,
    Colour,
    Precision,
    RunSettings,
    check,
    load_file,
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
    "check",
    "load_file",
    "make",
]
