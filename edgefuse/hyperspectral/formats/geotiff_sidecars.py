"""Files beside a GeoTIFF that say more about it: an ENVI header (as DESIS products have), GDAL's .aux.xml, masks and world files."""

from __future__ import annotations

from pathlib import Path

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import envi, envi_header
from edgefuse.util.files import is_file

_WORLD = (".tfw", ".TFW", ".tifw", ".tiffw", ".wld")


def header_of(path: Path) -> Path | None:
    """Return the ENVI header that describes the GeoTIFF `path`, or None: one whose file type is TIFF, or whose samples are not there."""
    header = envi.header_of(path)
    if header is None:
        return None
    try:
        with open(header, "rb") as f:
            fields = envi_header.fields(f.read(envi_header.LARGEST + 1))
    except (OSError, CubeError):
        return None
    return header if "tiff" in fields.get("file type", "").lower() or envi.samples_of(header) is None else None


def companions(path: Path) -> list[Path]:
    """Return the files beside a GeoTIFF that GDAL reads with it: metadata, an external mask, overviews, a world file."""
    names = [path.name + ending for ending in (".aux.xml", ".msk", ".ovr")] + [path.stem + ending for ending in _WORLD]
    return [beside for name in names if is_file(beside := path.with_name(name))]


def described(header: Path, info: CubeInfo) -> CubeInfo | None:
    """Add the header's metadata to `info`, which has precedence; None if the header describes a cube of another shape. Raises CubeError."""
    _, of_header = envi.layout_of(header)
    if of_header.shape != info.shape:
        return None
    added = {
        name: getattr(of_header, name)
        for name in ("wavelengths", "fwhm", "band_names", "nodata", "gain", "offset", "georeference")
        if getattr(info, name) is None and getattr(of_header, name) is not None
    }
    metadata = {k: v for k, v in of_header.metadata.items() if k != "interleave"}
    return info.like(**added, metadata=metadata | dict(info.metadata))
