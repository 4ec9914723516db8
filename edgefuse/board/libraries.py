"""Versions of what EdgeFuse stands on, read from the packages' metadata: nothing is imported, so nothing can crash."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from edgefuse import __version__

Libraries = Mapping[str, str | None]
# a library and the packages that bring it, the first that is installed counts
PACKAGES = {
    "numpy": ("numpy",),
    "opencv": ("opencv-python-headless", "opencv-contrib-python-headless", "opencv-python", "opencv-contrib-python", "opencv"),
    "psutil": ("psutil",),
    "onnxruntime": ("onnxruntime",),
    "litert": ("ai-edge-litert", "tflite-runtime"),
}


def read_libraries() -> Libraries:
    """Version by name, edgefuse and python among them; None for what is not installed."""
    found: dict[str, str | None] = {"edgefuse": __version__, "python": platform.python_version()}
    for library, packages in PACKAGES.items():
        found[library] = next((v for p in packages if (v := _version(p))), None)
    return found


def _version(package: str) -> str | None:
    from importlib import metadata  # 2 MB, for nothing where nobody asks

    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
    # half-removed packages have metadata without a version
    return version or None
