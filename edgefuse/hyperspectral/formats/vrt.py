"""GDAL's virtual datasets (.vrt) through rasterio: bands and mosaics of TIFF and JPEG 2000 files in the folder of the .vrt or below.

A .vrt is a text that names other files, and GDAL would open any that this process may read, URLs, raw bytes of any file and, if asked to,
Python code. So the text is read here first: only plain sources are allowed, whose names are relative, stay below the folder of the .vrt
without symbolic links out of it, and lead to files that begin as TIFF or JPEG 2000 do.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.formats.geotiff import TiffSource
from edgefuse.hyperspectral.formats.tiff_pages import Page

_MAX_XML, _MAX_TAGS = 1 << 24, 1 << 18  # bytes of the text, and its tags
_SIGNATURES = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
_ELEMENTS = {
    "VRTDataset", "SRS", "GeoTransform", "Metadata", "MDI", "VRTRasterBand", "NoDataValue", "HideNoDataValue", "ColorInterp", "Description",
    "UnitType", "Offset", "Scale", "SimpleSource", "ComplexSource", "SourceFilename", "SourceBand", "SourceProperties", "SrcRect",
    "DstRect", "NODATA", "ScaleOffset", "ScaleRatio", "BlockXSize", "BlockYSize", "OverviewList",
}  # fmt: skip
_DOMAINS = "", "IMAGE_STRUCTURE", "IMAGERY", "ENVI", "EDGEFUSE"  # of metadata; others make GDAL open further files


def sources(path: Path) -> tuple[Path, ...]:
    """Return the files that a .vrt is made of. Raises CubeError for anything but plain sources below its folder."""
    from xml.etree import ElementTree

    try:
        with open(path, "rb") as f:
            data = f.read(_MAX_XML + 1)
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    if len(data) > _MAX_XML or b"<!DOCTYPE" in data or b"<!ENTITY" in data or data.count(b"<") > _MAX_TAGS:
        raise CubeError(f"{path} is too large for a virtual dataset, or defines entities")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as e:
        raise CubeError(f"{path} can't be read as XML ({e})") from None
    for element in root.iter():
        domain = element.get("domain", "") if element.tag == "Metadata" else ""
        if element.tag not in _ELEMENTS or "subClass" in element.attrib or domain not in _DOMAINS:
            what = element.get("subClass") or domain or element.tag
            raise CubeError(f"{path}: of virtual datasets, plain bands are read, and this has '{what[:40]}'; make a file: gdal_translate")
    names = {(element.text or "").strip(): element.get("relativeToVRT") for element in root.iter("SourceFilename")}
    if not names:
        raise CubeError(f"{path} names no file with samples")
    return tuple(_inside(path, name, relative == "1") for name, relative in names.items())


def _inside(path: Path, name: str, relative: bool) -> Path:
    """Return the file that a .vrt names. Raises CubeError if it is not a TIFF or JPEG 2000 file below the folder of the .vrt."""
    folder = path.parent.resolve()
    elsewhere = CubeError(f"{path}: its samples lie in {name[:80]!r}, and only files in its own folder or below are read; make a file: "
                          "gdal_translate")  # fmt: skip
    # a colon leads to a driver or a URL, as in GTIFF_DIR:1:a.tif
    if not relative or not name or Path(name).is_absolute() or re.search(r"[:\0]|^/|\\", name) or ".." in Path(name).parts:
        raise elsewhere
    target = path.parent / name
    try:
        if not target.resolve(strict=True).is_relative_to(folder) or not target.is_file():
            raise elsewhere
        with open(target, "rb") as f:
            head = f.read(8)
    except OSError as e:
        raise CubeError(f"{path}: cannot read {target}: {e.strerror}") from None
    if not head.startswith(_SIGNATURES):
        raise CubeError(f"{path}: {name} is neither TIFF nor JPEG 2000; make a file of the virtual dataset: gdal_translate")
    return target


class VrtSource(TiffSource):
    """A virtual dataset."""

    DRIVER, KIND = "VRT", "virtual dataset"

    def __init__(self, path: Path, dataset: str | None = None, alpha: int = 0) -> None:
        self._sources = sources(path)
        super().__init__(path, dataset, alpha)

    @property
    def form(self) -> str:
        return "GDAL VRT"

    @property
    def files(self) -> tuple[Path, ...]:
        return (*super().files, *self._sources)

    def _pages(self) -> list[Page]:
        return []
