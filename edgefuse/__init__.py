"""EdgeFuse: two cameras into one picture, on a computer that costs 35 dollars.

Importing this package costs numpy and nothing else; OpenCV and the model runtimes are imported when first used.

    >>> import edgefuse
    >>> with edgefuse.open_source("demo?frames=1") as source:
    ...     fused = edgefuse.load().fuse(source.read())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgefuse.errors import EdgeFuseError
from edgefuse.frames import Frame, FramePair, FusedFrame

if TYPE_CHECKING:
    from edgefuse.fusion.fuser import Fuser, load
    from edgefuse.sources import open_source

__version__ = "0.1.0"
__all__ = ["EdgeFuseError", "Frame", "FramePair", "FusedFrame", "Fuser", "__version__", "load", "open_source"]

_LAZY = {"Fuser": "edgefuse.fusion.fuser", "load": "edgefuse.fusion.fuser", "open_source": "edgefuse.sources"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'edgefuse' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
