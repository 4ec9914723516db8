"""Typed and validated settings of a run; one module per table of the settings file."""

from edgefuse.settings.check import check
from edgefuse.settings.file import Settings, load
from edgefuse.settings.run import Precision, RunSettings, make

__all__ = ["Precision", "RunSettings", "Settings", "check", "load", "make"]
