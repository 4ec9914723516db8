"""EdgeFuse: fuses a visible and a thermal camera's pictures, and compresses and sharpens hyperspectral cubes, on a Raspberry Pi.

Importing this package imports no other; each name is imported when it is first used.

    >>> import edgefuse
    >>> with edgefuse.open_source("demo?frames=1") as source:
    ...     pair = source.read()
    >>> fused = edgefuse.fuse(pair.visible.data, pair.infrared.data)
    >>> fused.shape, fused.dtype
    ((480, 640, 3), dtype('uint8'))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgefuse.errors import CubeError, EdgeFuseError, FrameError, InputError, SettingsError, SourceError

if TYPE_CHECKING:
    from edgefuse.frames import Frame, FramePair, FusedFrame
    from edgefuse.fusion.api import fuse
    from edgefuse.fusion.fuser import Fuser, load
    from edgefuse.hyperspectral.api import DecodedCube, compress, decompress, open_cube, read_efz
    from edgefuse.hyperspectral.cube import CubeInfo
    from edgefuse.hyperspectral.formats.base import CubeSource
    from edgefuse.sharpening.api import sharpen
    from edgefuse.sinks import Sink, open_sink
    from edgefuse.sources import Source, open_source

__version__ = "0.1.0"
__all__ = [
    "CubeError", "CubeInfo", "CubeSource", "DecodedCube", "EdgeFuseError", "Frame", "FrameError", "FramePair", "FusedFrame", "Fuser",
    "InputError", "SettingsError", "Sink", "Source", "SourceError", "__version__", "compress", "decompress", "fuse", "load", "open_cube",
    "open_sink", "open_source", "read_efz", "sharpen",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker would take every name for one of ours
    _LAZY = {
        "CubeInfo": "edgefuse.hyperspectral.cube",
        "CubeSource": "edgefuse.hyperspectral.formats.base",
        "DecodedCube": "edgefuse.hyperspectral.api",
        "Frame": "edgefuse.frames",
        "FramePair": "edgefuse.frames",
        "FusedFrame": "edgefuse.frames",
        "Fuser": "edgefuse.fusion.fuser",
        "Sink": "edgefuse.sinks",
        "Source": "edgefuse.sources",
        "compress": "edgefuse.hyperspectral.api",
        "decompress": "edgefuse.hyperspectral.api",
        "fuse": "edgefuse.fusion.api",
        "load": "edgefuse.fusion.fuser",
        "open_cube": "edgefuse.hyperspectral.api",
        "open_sink": "edgefuse.sinks",
        "open_source": "edgefuse.sources",
        "read_efz": "edgefuse.hyperspectral.api",
        "sharpen": "edgefuse.sharpening.api",
    }

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'edgefuse' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
