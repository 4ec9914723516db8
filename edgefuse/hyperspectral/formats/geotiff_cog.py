"""Cloud-optimised GeoTIFF: compressed tiles and overviews, in an order that lets a reader fetch a window of it over a network."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from edgefuse.errors import OutputError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats.geotiff import TiffSink, quiet
from edgefuse.util.unfinished_files import part_of

_STRIP_BYTES = 1 << 24


class CogSink(TiffSink):
    """Writes a plain GeoTIFF, and at the end a cloud-optimised one of it, which is read back and compared before it appears.

    GDAL makes such a file only of a whole one, so both lie on the disk for a while.
    """

    form = "cloud-optimised GeoTIFF"
    namespace = False

    def __init__(self, path: Path, info: CubeInfo) -> None:
        self._optimised = part_of(path)
        super().__init__(path, info)

    def finish(self) -> None:
        super().finish()
        from rasterio import shutil

        # overviews of real samples, as a mean of classes or of missing samples is none
        options = {
            "COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BLOCKSIZE": 256, "OVERVIEWS": "AUTO", "OVERVIEW_RESAMPLING": "NEAREST",
            "BIGTIFF": "IF_SAFER",
        }  # fmt: skip
        try:
            with quiet(self._rasterio):
                shutil.copy(os.fspath(self.part), os.fspath(self._optimised), driver="COG", **options)
                self._compare()
        except (self._rasterio.errors.RasterioError, self._rasterio.errors.RasterioIOError, OSError) as e:
            raise OutputError(f"cannot write {self.path}: {str(e)[:160]}; free some space or choose another place") from None
        self._optimised.replace(self.part)

    def _compare(self) -> None:
        """Compare both files' samples, as GDAL does not report errors of the last blocks. Raises OSError."""
        height, width, bands = self.info.shape
        step = max(1, _STRIP_BYTES // (width * bands * self.info.dtype.itemsize))
        with self._opened(self.part) as plain, self._opened(self._optimised) as made:
            for top in range(0, height, step):
                window = (top, min(top + step, height)), (0, width)
                if plain.read(window=window).tobytes() != made.read(window=window).tobytes():
                    raise OSError("it does not read back as it was written")

    def _opened(self, path: Path) -> Any:
        return self._rasterio.open(os.fspath(path), driver="GTiff")

    def abort(self) -> None:
        super().abort()
        with contextlib.suppress(OSError):
            self._optimised.unlink()
