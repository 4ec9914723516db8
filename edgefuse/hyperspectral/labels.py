"""Recognition of class maps and other images of codes: a code that is off by one is another class."""

from __future__ import annotations

import re

from edgefuse.hyperspectral.formats.base import CubeSource

_MOST_BANDS = 4  # of 8-bit samples: a class map, a mask, a quicklook; a hyperspectral cube has more
_ENMAP = re.compile(r"(?:^|[-_])QL_", re.IGNORECASE)  # EnMAP's quality layers: ...-QL_QUALITY_CLASSES.TIF


def labels_of(source: CubeSource) -> str:
    """Return the reason to treat a cube's samples as codes, such as classes; empty for measured values."""
    info = source.info
    if info.metadata.get("file type", "").lower() == "envi classification":
        return "its file type is ENVI Classification"
    if "classes" in info.metadata:
        return "its header names classes"
    if source.palette:
        return "it has a colour table"
    if info.dtype.kind in "ui" and info.dtype.itemsize == 1 and info.shape[2] <= _MOST_BANDS:
        return f"it has 8-bit samples in {info.shape[2]} band{'s' if info.shape[2] > 1 else ''}"
    return "its name is that of a quality layer (QL_)" if _ENMAP.search(source.path.name) else ""
