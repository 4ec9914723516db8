"""What a run is told, typed and validated. One module a table of the settings file."""

from edgefuse.settings.check import check
from edgefuse.settings.file import Settings, load
from edgefuse.settings.run import Precision, RunSettings, make

__all__ = ["Precision", "RunSettings", "Settings", "check", "load", "make"]
