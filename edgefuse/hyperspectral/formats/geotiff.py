"""GeoTIFF files through rasterio (GDAL): bands with wavelengths, names, scale and offset; also reads EnMAP metadata (`enmap`)."""

from __future__ import annotations

import json
import logging
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
from edgefuse.hyperspectral import bounded_json
from edgefuse.hyperspectral.cube import CubeInfo, Georeference, as_nodata, finite
from edgefuse.hyperspectral.formats import enmap
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource, Window
from edgefuse.hyperspectral.formats.envi_header import NANOMETRES
from edgefuse.util.files import output_error

_CACHE_MB = 48  # GDAL's block cache; its default is a share of the machine's memory
_STRIP = 16  # rows
_NAMESPACE = "EDGEFUSE"  # TIFF tag namespace of EdgeFuse
_MAX_BLOCK = 1 << 27  # bytes; GDAL decodes strips and tiles completely into memory
_logger = logging.getLogger(__name__)


def library() -> Any:
    """Import rasterio. Raises MissingDependencyError."""
    try:
        import rasterio
    except ImportError as e:
        raise MissingDependencyError("rasterio", "reading and writing GeoTIFF", "'edgefuse[geotiff]'") from e
    return rasterio


@contextmanager
def _quiet(rasterio: Any) -> Iterator[None]:
    """GDAL environment with a bounded cache and without warnings for cubes without a georeference."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


class TiffSource(CubeSource):
    """A GeoTIFF, or any TIFF that GDAL can read."""

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        if dataset is not None:
            raise CubeError(f"{path}: a GeoTIFF holds one cube; omit --dataset")
        self._rasterio = library()
        self.path = path
        self._xml = enmap.metadata_of(path)
        try:
            with _quiet(self._rasterio):
                # allow no other driver: a hostile .tif may be a GDAL dataset description that refers to URLs
                self._file = self._rasterio.open(os.fspath(path), driver="GTiff")
                self.info = self._read_info()
        except (self._rasterio.errors.RasterioError, ValueError, OSError) as e:
            raise CubeError(f"{path} is not a readable GeoTIFF ({str(e)[:160]})") from None

    @property
    def form(self) -> str:
        return "EnMAP GeoTIFF" if self._xml else "GeoTIFF"

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, self._xml) if self._xml else (self.path,)

    def _read_info(self) -> CubeInfo:
        dataset = self._file
        if len(set(dataset.dtypes)) != 1:
            raise CubeError(f"{self.path}: its bands have several types ({', '.join(sorted(set(dataset.dtypes)))}); convert them to one")
        self._check_blocks()
        bare = CubeInfo((dataset.height, dataset.width, dataset.count), np.dtype(dataset.dtypes[0]))
        own_tags = dataset.tags(ns=_NAMESPACE)
        fields: dict[str, Any] = {}
        bands = [dataset.tags(n) for n in dataset.indexes]
        scale = NANOMETRES.get(bands[0].get("wavelength_units", "nanometers").lower())
        fields["wavelengths"] = _band_tags(bands, "wavelength", scale)
        fields["fwhm"] = _band_tags(bands, "fwhm", scale)
        if fields["wavelengths"] is None:
            bands = [dataset.tags(n, ns="IMAGERY") for n in dataset.indexes]
            fields["wavelengths"] = _band_tags(bands, "CENTRAL_WAVELENGTH_UM", 1000.0)
            fields["fwhm"] = _band_tags(bands, "FWHM_UM", 1000.0)
        if all(dataset.descriptions):
            fields["band_names"] = tuple(dataset.descriptions)
        if "nodata" in own_tags or dataset.nodata is not None:
            fields["nodata"] = as_nodata(own_tags.get("nodata", dataset.nodata))
        if set(dataset.scales) != {1.0} or set(dataset.offsets) != {0.0}:
            if all(map(math.isfinite, (*dataset.scales, *dataset.offsets))):
                fields["gain"], fields["offset"] = tuple(dataset.scales), tuple(dataset.offsets)
            else:
                _logger.warning("%s: ignoring scales and offsets, which are not all finite", self.path)
        transform = dataset.transform
        if not all(map(math.isfinite, tuple(transform)[:6])):
            _logger.warning("%s: ignoring its georeference, which is not finite", self.path)
        elif not transform.is_identity or dataset.crs:
            fields["georeference"] = Georeference(
                (transform.a, transform.b, transform.c, transform.d, transform.e, transform.f),
                dataset.crs.to_string() if dataset.crs else "",
            )
        fields["metadata"] = _metadata(dataset.tags(), own_tags)
        info = bare.like(**{k: v for k, v in fields.items() if v is not None})
        return enmap.describe(self._xml, info) if self._xml else info

    def _check_blocks(self) -> None:
        """Raise CubeError if a strip or tile is too large for memory. A small file may declare one of gigabytes."""
        dataset = self._file
        together = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
        height, width = dataset.block_shapes[0]
        size = height * width * together * np.dtype(dataset.dtypes[0]).itemsize
        if size > _MAX_BLOCK:
            raise CubeError(
                f"{self.path}: its strips or tiles of {height} x {width} pixels take {size / 1e6:.0f} MB each, more than "
                f"{_MAX_BLOCK / 1e6:.0f} MB; write it with smaller ones: gdal_translate -co TILED=YES"
            )

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        out = np.empty([s.stop - s.start for s in (rows, columns, bands)], self.dtype)
        try:
            with _quiet(self._rasterio):
                samples = self._file.read(list(range(bands.start + 1, bands.stop + 1)), window=window)
        except (self._rasterio.errors.RasterioError, OSError, MemoryError) as e:
            raise CubeError(f"cannot read {self.path} ({str(e)[:160]}); it may be incomplete") from None
        out[:] = samples.transpose(1, 2, 0)
        return out

    def close(self) -> None:
        self._file.close()


class TiffSink(CubeSink):
    """Writes an uncompressed GeoTIFF in strips, band-interleaved; BigTIFF if needed."""

    form = "GeoTIFF"

    def __init__(self, path: Path, info: CubeInfo) -> None:
        self._rasterio = library()
        super().__init__(path, info)
        height, width, bands = info.shape
        options: dict[str, Any] = {"interleave": "band", "BIGTIFF": "IF_SAFER", "blockysize": min(height, _STRIP)}
        georeference = info.georeference
        try:
            with _quiet(self._rasterio):
                if georeference is not None:
                    options["transform"] = self._rasterio.Affine(*georeference.transform)
                    if georeference.crs:
                        options["crs"] = self._rasterio.crs.CRS.from_string(georeference.crs)
                self._file = self._rasterio.open(
                    self.part, "w", driver="GTiff", height=height, width=width, count=bands, dtype=info.dtype.name, **options
                )
                self._describe()
        except (self._rasterio.errors.RasterioError, self._rasterio.errors.CRSError, ValueError, TypeError, OSError) as e:
            self.abort()
            raise CubeError(f"a GeoTIFF can't hold this cube ({str(e)[:160]}); write another format, such as ENVI") from None

    def _describe(self) -> None:
        dataset, info = self._file, self.info
        own_tags: dict[str, str] = {}
        if info.nodata is not None:
            try:
                dataset.nodata = info.nodata
            except (ValueError, OverflowError):
                own_tags["nodata"] = repr(info.nodata)
            else:
                if dataset.nodata != info.nodata and not math.isnan(info.nodata):
                    own_tags["nodata"] = repr(info.nodata)
        if info.metadata:
            own_tags["metadata"] = json.dumps(dict(info.metadata))
        if own_tags:
            dataset.update_tags(ns=_NAMESPACE, **own_tags)
        if info.gain:
            dataset.scales = info.gain
        if info.offset:
            dataset.offsets = info.offset
        for n in range(info.shape[2]):
            if info.band_names:
                dataset.set_band_description(n + 1, info.band_names[n])
            tags = {k: repr(float(v[n])) for k, v in (("wavelength", info.wavelengths), ("fwhm", info.fwhm)) if v}
            if tags:
                dataset.update_tags(n + 1, **tags, wavelength_units="Nanometers")

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
        # GDAL does not report errors of the last blocks
        if self.part.stat().st_size < self.info.nbytes:
            raise output_error(self.path, OSError(28, "full"))

    def discard(self) -> None:
        self._file.close()


def _band_tags(bands: Sequence[dict[str, str]], key: str, scale: float | None) -> tuple[float, ...] | None:
    """Return the tag `key` of each band times `scale`; None if a band lacks it or has an invalid number."""
    try:
        return None if scale is None else finite([float(b[key]) * scale for b in bands])
    except (KeyError, ValueError):
        return None


def _metadata(tags: dict[str, str], own_tags: dict[str, str]) -> dict[str, str]:
    fields = {k: v for k, v in tags.items() if k != "AREA_OR_POINT"}
    try:
        stored = bounded_json.loads(own_tags.get("metadata", "{}"))
        return fields | {k: v for k, v in stored.items() if isinstance(v, str)}
    except (ValueError, AttributeError):
        return fields
