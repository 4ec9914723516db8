"""Cube files, one module a format, imported when first used. `open_cube` knows a file by what it begins with, `create_cube` by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgefuse import registry
from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMATS",
    "CubeInfo",
    "CubeSink",
    "CubeSource",
    "Georeference",
    "by_name",
    "create_cube",
    "detect",
    "open_cube",
]

# format: suffixes that it is written to by; edgefuse/registry.py says what reads and writes it
FORMATS: Mapping[str, tuple[str, ...]] = {
    "envi": (".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".bin", ".envi", ""),
    "npy": (".npy",),
    "npz": (".npz",),
    "mat": (".mat",),
    "tiff": (".tif", ".tiff"),
    "hdf5": (".h5", ".hdf5", ".he5"),
}
_HEAD = 1024
_SIGNATURES = (
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
)
_HDF5 = b"\x89HDF\r\n\x1a\n"


def detect(path: Path) -> str | None:
    """The format that a file's first bytes tell, or "envi" where it has a header beside it; None for anything else. Raises CubeError."""
    try:
        with open(path, "rb") as f:
            head = f.read(_HEAD)
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    if head.startswith((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")):
        return "mat"
    # a user block of the user's own may come first
    if head.startswith(_HDF5) or head[512:520] == _HDF5:
        return "hdf5"
    for signature, form in _SIGNATURES:
        if head.startswith(signature):
            return form
    from edgefuse.hyperspectral.formats.envi import header_of

    return "envi" if header_of(path) else None


def open_cube(path: Path, dataset: str | None = None, header: Path | None = None) -> CubeSource:
    """Open a cube file; it slices as an array (H, W, B) does. Raises CubeError, MissingDependencyError.

    dataset: which of a file's arrays (.npz, .mat, HDF5). header: an ENVI header that is not beside its samples.
    """
    form = "envi" if header else detect(path)
    if form is None:
        raise CubeError(f"{path} is no cube that EdgeFuse knows ({', '.join(FORMATS)}), and has no ENVI header beside it")
    source: CubeSource = registry.get("edgefuse.cube_sources", form)(path, dataset, **({"header": header} if header else {}))
    return source


def by_name(name: str | Path) -> str:
    """The format that a suffix stands for; ENVI, whose samples have any, where it stands for none."""
    suffix = Path(name).suffix.lower()
    return next((form for form, suffixes in FORMATS.items() if suffix in suffixes), "envi")


def create_cube(path: Path, info: CubeInfo, form: str | None = None) -> CubeSink:
    """A cube file to write windows to; `form` as in FORMATS, else `by_name`. Raises SettingsError, CubeError, OutputError."""
    chosen = form or by_name(path)
    if chosen not in FORMATS:
        raise SettingsError(f"no format is called '{chosen}'; there is {', '.join(FORMATS)}")
    sink: CubeSink = registry.get("edgefuse.cube_sinks", chosen)(path, info)
    return sink
