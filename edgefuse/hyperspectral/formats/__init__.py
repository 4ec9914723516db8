"""Cube file formats, one module each, imported on first use. `open_cube` detects a format by content, `create_cube` by the suffix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgefuse import registry
from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource
from edgefuse.util import heartbeat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgefuse.hyperspectral.formats.hdf5_conventions import Order

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

# format: suffixes that select it for writing; edgefuse/registry.py names its reader and writer
FORMATS: Mapping[str, tuple[str, ...]] = {
    "envi": (".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".bin", ".envi", ""),
    "npy": (".npy",),
    "npz": (".npz",),
    "mat": (".mat",),
    "tiff": (".tif", ".tiff"),
    "cog": (".cog.tif",),  # by --format alone
    "hdf5": (".h5", ".hdf5", ".he5"),
    "netcdf": (".nc", ".nc4"),
}
_ARRAYS, _NAMED_AXES = ("npy", "npz", "mat"), ("hdf5", "netcdf", "zarr")  # formats whose axes may be in any order
_HEAD = 1024
_SIGNATURES = (
    (b"EFZ\x1a", "efz"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"<VRTDataset", "vrt"),
)
# of other formats, which no ENVI samples are called
_OTHERS = {
    ".cdf", ".csv", ".efz", ".grib", ".hdf", ".hdr", ".jp2", ".jpeg", ".jpg", ".json", ".nc3", ".png", ".vrt", ".xml", ".zarr", ".zip",
}  # fmt: skip
_CLASSIC = b"CDF"  # netCDF before version 4
_HDF5 = b"\x89HDF\r\n\x1a\n"


def detect(path: Path) -> str | None:
    """Return the format by the file's signature, "envi" if it has a header beside it, else None. Raises CubeError if it can't be read."""
    try:
        with open(path, "rb") as f:
            head = f.read(_HEAD)
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    if head.startswith((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")):
        return "mat"
    # an HDF5 file may start with a user block
    if head.startswith(_HDF5) or head[512:520] == _HDF5:
        return "netcdf" if path.suffix.lower() in FORMATS["netcdf"] else "hdf5"
    for signature, form in _SIGNATURES:
        if head.startswith(signature):
            return form
    from edgefuse.hyperspectral.formats.envi import header_of

    return "envi" if header_of(path) else None


def _of_folder(path: Path) -> str:
    from edgefuse.hyperspectral.formats import zarr_nodes

    return "zarr" if zarr_nodes.is_store(path) else "bands"


def open_cube(path: Path, dataset: str | None = None, header: Path | None = None, axes: Order | None = None) -> CubeSource:
    """Open a cube file, which slices like an array (H, W, B). Raises CubeError, MissingDependencyError.

    path: also a Zarr store's folder, or one with one file a band (band_folder.py). dataset: name of the array in the file (.npz, .mat,
    HDF5, Zarr), or side of the pixels in a folder of bands. header: path of an ENVI header that is not beside its samples. axes: the cube's
    axis of each axis in the file (axes.py), for NumPy, MATLAB, HDF5, netCDF and Zarr.
    """
    form = _of_folder(path) if os.path.isdir(path) else "envi" if header else detect(path)  # noqa: PTH112 (is_dir raises for some names)
    if form is None:
        with open(path, "rb") as f:
            if f.read(len(_CLASSIC)) == _CLASSIC:
                raise CubeError(f"{path} is netCDF of the classic format, which is not read; convert it: nccopy -k nc4 OLD NEW")
        known = ", ".join(known for known in FORMATS if known != "cog")
        raise CubeError(f"{path} is not a cube in a supported format ({known}), and has no ENVI header beside it")
    more: dict[str, object] = {"header": header} if header else {}
    if axes is not None and form not in (*_ARRAYS, *_NAMED_AXES):
        raise CubeError(f"{path}: its format ({form}) says which axis the bands are; omit --axes")
    if axes is not None and form in _NAMED_AXES:
        more["axes"] = axes
    reader = registry.get("edgefuse.cube_sources", form)
    with heartbeat.opening(path):
        source: CubeSource = reader(path, dataset, **more)
    if axes is None or form in _NAMED_AXES:
        return source
    from edgefuse.hyperspectral.formats.axes import AxesSource

    try:
        return AxesSource(source, axes)
    except BaseException:
        source.close()
        raise


def by_name(name: str | Path) -> str:
    """Return the format of a suffix; ENVI, whose samples may have any suffix, if it is unknown.

    Raises SettingsError for the suffix of a format that is not written.
    """
    suffix = Path(name).suffix.lower()
    if suffix in _OTHERS:
        raise SettingsError(f"{name}: {suffix} files are not written; give another suffix, or --format to write that format in any case")
    return next((form for form, suffixes in FORMATS.items() if suffix in suffixes), "envi")


def create_cube(path: Path, info: CubeInfo, form: str | None = None) -> CubeSink:
    """Create a cube file. form: a name in FORMATS; None: by the suffix. Raises SettingsError, CubeError, OutputError."""
    chosen = form or by_name(path)
    if chosen not in FORMATS:
        raise SettingsError(f"unknown format '{chosen}'; expected one of {', '.join(FORMATS)}")
    sink: CubeSink = registry.get("edgefuse.cube_sinks", chosen)(path, info)
    return sink
