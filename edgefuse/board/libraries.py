"""Versions of the libraries that EdgeFuse uses, read from package metadata: a broken library is not imported, so it cannot crash us."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from edgefuse import __version__

Libraries = Mapping[str, str | None]
# library -> the packages that provide it; the first one installed counts
PACKAGES = {
    "numpy": ("numpy",),
    "opencv": ("opencv-python-headless", "opencv-contrib-python-headless", "opencv-python", "opencv-contrib-python", "opencv"),
    "psutil": ("psutil",),
    "onnxruntime": ("onnxruntime",),
    "litert": ("ai-edge-litert", "tflite-runtime"),
}


def read_libraries() -> Libraries:
    """Return versions by name, including edgefuse and python; None for a library that is not installed."""
    versions: dict[str, str | None] = {"edgefuse": __version__, "python": platform.python_version()}
    for library, packages in PACKAGES.items():
        versions[library] = next((v for p in packages if (v := _version(p))), None)
    return versions


def _version(package: str) -> str | None:
    from importlib import metadata  # the import takes 2 MB, so only when asked

    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
    # a half-removed package has metadata without a version
    return version or None


def opencv_ignores_ffmpeg_options(version: str) -> bool:
    """Whether this version of OpenCV never reads OPENCV_FFMPEG_CAPTURE_OPTIONS (mended in 4.12 by its pull request 26793)."""
    return version.startswith("4.11.")
