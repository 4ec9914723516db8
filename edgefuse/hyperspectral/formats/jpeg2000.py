"""JPEG 2000 files through rasterio (GDAL with OpenJPEG), such as the bands of Sentinel-2. Read, not written."""

from __future__ import annotations

from edgefuse.hyperspectral.formats.geotiff import TiffSource
from edgefuse.hyperspectral.formats.tiff_pages import Page


class Jpeg2000Source(TiffSource):
    """A JPEG 2000 file (.jp2, .j2k)."""

    DRIVER, KIND = "JP2OpenJPEG", "JPEG 2000 file"

    @property
    def form(self) -> str:
        return "JPEG 2000"

    def _pages(self) -> list[Page]:
        return []
