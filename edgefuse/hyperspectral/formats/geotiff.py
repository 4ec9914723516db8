"""GeoTIFF through rasterio (GDAL): bands are the cube's, with wavelengths, names, scale and offset; EnMAP's XML (`enmap`)."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, MissingDependencyError, OutputError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference, as_nodata, finite
from edgefuse.hyperspectral.formats import enmap
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource, Window
from edgefuse.hyperspectral.formats.envi_header import NANOMETRES
from edgefuse.util.files import output_error

_CACHE_MB = 48  # of GDAL's blocks; its own choice is a share of all memory
_STRIP = 16  # rows
_OURS = "EDGEFUSE"  # namespace of our tags


def library() -> Any:
    """rasterio. Raises MissingDependencyError."""
    try:
        import rasterio
    except ImportError as e:
        raise MissingDependencyError("rasterio", "reading and writing GeoTIFF", "'edgefuse[geotiff]'") from e
    return rasterio


@contextmanager
def _quiet(rasterio: Any) -> Iterator[None]:
    """GDAL with a bounded cache, and without a warning for each cube that lies nowhere."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


class TiffSource(CubeSource):
    """A GeoTIFF, or any TIFF whose bands GDAL sees."""

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        if dataset is not None:
            raise CubeError(f"{path}: a GeoTIFF holds one cube; leave --dataset out")
        self._rasterio = library()
        self.path = path
        self._xml = enmap.metadata_of(path)
        try:
            with _quiet(self._rasterio):
                # no other driver: what ends in .tif may be a list of addresses
                self._file = self._rasterio.open(os.fspath(path), driver="GTiff")
                self.info = self._read_info()
        except (self._rasterio.errors.RasterioError, ValueError, OSError) as e:
            raise CubeError(f"{path} is no GeoTIFF that can be read ({str(e)[:160]})") from None

    @property
    def form(self) -> str:
        return "EnMAP GeoTIFF" if self._xml else "GeoTIFF"

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, self._xml) if self._xml else (self.path,)

    def _read_info(self) -> CubeInfo:
        f = self._file
        if len(set(f.dtypes)) != 1:
            raise CubeError(f"{self.path}: its bands are of several types ({', '.join(sorted(set(f.dtypes)))}); make them one")
        plain = CubeInfo((f.height, f.width, f.count), np.dtype(f.dtypes[0]))
        ours = f.tags(ns=_OURS)
        known: dict[str, Any] = {}
        bands = [f.tags(n) for n in f.indexes]
        scale = NANOMETRES.get(bands[0].get("wavelength_units", "nanometers").lower())
        known["wavelengths"] = _every(bands, "wavelength", scale)
        known["fwhm"] = _every(bands, "fwhm", scale)
        if known["wavelengths"] is None:
            bands = [f.tags(n, ns="IMAGERY") for n in f.indexes]
            known["wavelengths"] = _every(bands, "CENTRAL_WAVELENGTH_UM", 1000.0)
            known["fwhm"] = _every(bands, "FWHM_UM", 1000.0)
        if all(f.descriptions):
            known["band_names"] = tuple(f.descriptions)
        if "nodata" in ours or f.nodata is not None:
            known["nodata"] = as_nodata(ours.get("nodata", f.nodata))
        if set(f.scales) != {1.0} or set(f.offsets) != {0.0}:
            known["gain"], known["offset"] = tuple(f.scales), tuple(f.offsets)
        t = f.transform
        if not t.is_identity or f.crs:
            known["georeference"] = Georeference((t.a, t.b, t.c, t.d, t.e, t.f), f.crs.to_string() if f.crs else "")
        known["metadata"] = _metadata(f.tags(), ours)
        found = plain.like(**{k: v for k, v in known.items() if v is not None})
        return enmap.describe(self._xml, found) if self._xml else found

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        out = np.empty([s.stop - s.start for s in (rows, columns, bands)], self.dtype)
        try:
            with _quiet(self._rasterio):
                taken = self._file.read(list(range(bands.start + 1, bands.stop + 1)), window=window)
        except (self._rasterio.errors.RasterioError, OSError, MemoryError) as e:
            raise CubeError(f"cannot read {self.path} ({str(e)[:160]}); it may not be whole") from None
        out[:] = taken.transpose(1, 2, 0)
        return out

    def close(self) -> None:
        self._file.close()


class TiffSink(CubeSink):
    """Writes a GeoTIFF in strips, band after band, not compressed; BigTIFF where it must be."""

    form = "GeoTIFF"

    def __init__(self, path: Path, info: CubeInfo) -> None:
        self._rasterio = library()
        super().__init__(path, info)
        height, width, bands = info.shape
        how: dict[str, Any] = {"interleave": "band", "BIGTIFF": "IF_SAFER", "blockysize": min(height, _STRIP)}
        where = info.georeference
        try:
            with _quiet(self._rasterio):
                if where is not None:
                    how["transform"] = self._rasterio.Affine(*where.transform)
                    if where.crs:
                        how["crs"] = self._rasterio.crs.CRS.from_string(where.crs)
                self._file = self._rasterio.open(
                    self.part, "w", driver="GTiff", height=height, width=width, count=bands, dtype=info.dtype.name, **how
                )
                self._describe()
        except (self._rasterio.errors.RasterioError, self._rasterio.errors.CRSError, ValueError, TypeError, OSError) as e:
            self.abort()
            raise CubeError(f"a GeoTIFF can't hold this cube ({str(e)[:160]}); write another format, such as ENVI") from None

    def _describe(self) -> None:
        f, info = self._file, self.info
        ours: dict[str, str] = {}
        if info.nodata is not None:
            try:
                f.nodata = info.nodata
            except (ValueError, OverflowError):
                ours["nodata"] = repr(info.nodata)
            else:
                if f.nodata != info.nodata and not math.isnan(info.nodata):
                    ours["nodata"] = repr(info.nodata)
        if info.metadata:
            ours["metadata"] = json.dumps(dict(info.metadata))
        if ours:
            f.update_tags(ns=_OURS, **ours)
        if info.gain:
            f.scales = info.gain
        if info.offset:
            f.offsets = info.offset
        for n in range(info.shape[2]):
            if info.band_names:
                f.set_band_description(n + 1, info.band_names[n])
            tags = {k: repr(float(v[n])) for k, v in (("wavelength", info.wavelengths), ("fwhm", info.fwhm)) if v}
            if tags:
                f.update_tags(n + 1, **tags, wavelength_units="Nanometers")

    def write(self, window: Window, samples: NDArray[Any]) -> None:
        rows, columns, bands = window
        try:
            with _quiet(self._rasterio):
                self._file.write(
                    samples.transpose(2, 0, 1), list(range(bands.start + 1, bands.stop + 1)),
                    window=((rows.start, rows.stop), (columns.start, columns.stop)),
                )  # fmt: skip
        except (self._rasterio.errors.RasterioError, OSError) as e:
            raise OutputError(f"cannot write {self.path}: {str(e)[:160]}; free some space or choose another place") from None

    def finish(self) -> None:
        with _quiet(self._rasterio):
            self._file.close()
        # GDAL keeps what the last blocks met to itself
        if self.part.stat().st_size < self.info.nbytes:
            raise output_error(self.path, OSError(28, "full"))

    def discard(self) -> None:
        self._file.close()


def _every(bands: Sequence[dict[str, str]], key: str, scale: float | None) -> tuple[float, ...] | None:
    """The tag of each band; None where a band has none, or no number."""
    try:
        return None if scale is None else finite([float(b[key]) * scale for b in bands])
    except (KeyError, ValueError):
        return None


def _metadata(tags: dict[str, str], ours: dict[str, str]) -> dict[str, str]:
    found = {k: v for k, v in tags.items() if k != "AREA_OR_POINT"}
    try:
        kept = json.loads(ours.get("metadata", "{}"))
        return found | {k: v for k, v in kept.items() if isinstance(v, str)}
    except (ValueError, AttributeError, RecursionError):
        return found
