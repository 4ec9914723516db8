"""GeoTIFF files through rasterio (GDAL): bands with wavelengths, names, scale and offset; also reads EnMAP metadata (`enmap`)."""

from __future__ import annotations

import json
import logging
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, MissingDependencyError, OutputError
from edgefuse.hyperspectral import bounded_json, crs, ground_control
from edgefuse.hyperspectral.cube import CubeInfo, Georeference, as_nodata
from edgefuse.hyperspectral.formats import enmap, geotiff_sidecars, tiff_pages
from edgefuse.hyperspectral.formats.base import CubeSink, CubeSource, Window
from edgefuse.hyperspectral.formats.geotiff_bands import TiffBands, unkept
from edgefuse.hyperspectral.formats.geotiff_wavelengths import ENVI, spectral_fields, unread
from edgefuse.util.files import output_error
from edgefuse.util.finite import finite

_CACHE_MB = 48  # GDAL's block cache; its default is a share of the machine's memory
_STRIP = 16  # rows
_NAMESPACE = "EDGEFUSE"  # TIFF tag namespace of EdgeFuse
_logger = logging.getLogger(__name__)


def library() -> Any:
    """Import rasterio. Raises MissingDependencyError."""
    try:
        import rasterio
    except ImportError as e:
        raise MissingDependencyError("rasterio", "reading and writing GeoTIFF", "'edgefuse[geotiff]'") from e
    return rasterio


@contextmanager
def quiet(rasterio: Any) -> Iterator[None]:
    """GDAL environment with a bounded cache, and without warnings for cubes without a georeference.

    A message of GDAL that quotes a damaged file may be no UTF-8; rasterio then writes a traceback to standard error, and goes on.
    """
    hooks = sys.excepthook, sys.unraisablehook

    def raised(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if kind is not UnicodeDecodeError:
            hooks[0](kind, error, trace)

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        if found.exc_type is not UnicodeDecodeError:
            hooks[1](found)

    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        sys.excepthook, sys.unraisablehook = raised, unraisable
        try:
            yield
        finally:
            sys.excepthook, sys.unraisablehook = hooks


class TiffSource(CubeSource):
    """A GeoTIFF, or any TIFF that GDAL can read. Pages of one size and type are bands; masked pixels hold the no-data value."""

    DRIVER, KIND = "GTiff", "GeoTIFF"  # GDAL's only driver that may open the file; its name in messages

    def __init__(self, path: Path, dataset: str | None = None, alpha: int = 0) -> None:
        """alpha: number of the band to use as alpha band if the file declares none; 0: none."""
        if dataset is not None:
            raise CubeError(f"{path}: a {self.KIND} holds one cube; omit --dataset")
        self._rasterio = library()
        self.path, self._product = path, "GeoTIFF"
        self._xml, self._header = enmap.metadata_of(path), geotiff_sidecars.header_of(path)
        pages = self._pages()
        try:
            with quiet(self._rasterio):
                self._bands = TiffBands(self._rasterio, path, pages, alpha, self.DRIVER)
                self.likely_alpha = self._bands.likely_alpha
                self.info = self._read_info()
                self._missing = self._bands.missing(self.info)
                if self._missing is not None:
                    self.info = self.info.like(nodata=self._missing)
                self.palette = self._bands.palette
                self.unkept = (*unkept(self._bands, pages, self._missing), *self._of_envi_domain(), *self._of_beside())
        except SystemError:
            # of rasterio before 1.4, which does not go on after such a message
            raise CubeError(f"{path} is not a readable {self.KIND} (GDAL's message quotes bytes that are no text)") from None
        except (self._rasterio.errors.RasterioError, ValueError, OSError) as e:
            raise CubeError(f"{path} is not a readable {self.KIND} ({str(e)[:160]})") from None

    def masked(self) -> TiffSource:
        return type(self)(self.path, alpha=self.likely_alpha)

    def _pages(self) -> list[tiff_pages.Page]:
        return tiff_pages.pages(self.path)

    @property
    def form(self) -> str:
        return self._product

    @property
    def files(self) -> tuple[Path, ...]:
        beside = (self._header, self._xml, *geotiff_sidecars.companions(self.path))
        return (self.path, *(p for p in beside if p is not None))

    def _of_envi_domain(self) -> list[str]:
        names = unread(self._bands.first.tags(ns=ENVI))
        return [f"fields of its ENVI metadata: {', '.join(names[:8])}"] if names else []

    def _of_beside(self) -> list[str]:
        """Add the metadata of files beside the image to `info`, and return descriptions of their other contents."""
        lost: list[str] = []
        if self._header is not None:
            described = geotiff_sidecars.described(self._header, self.info)
            if described is None:
                _logger.warning("%s describes a cube of another shape than %s; ignoring it", self._header, self.path.name)
                lost, self._header = [f"{self._header.name}, which describes a cube of another shape"], None
            else:
                self.info = described
        if self._xml is not None:
            of_xml = enmap.describe(self._xml, self.info)
            if of_xml is None:
                lost, self._xml = [*lost, f"{self._xml.name}, which is neither EnMAP's nor DESIS's"], None
            else:
                self.info, self._product = of_xml.info, f"{of_xml.product} GeoTIFF"
        return lost

    def _read_info(self) -> CubeInfo:
        dataset, count = self._bands.first, len(self._bands)
        bare = CubeInfo((dataset.height, dataset.width, count), np.dtype(dataset.dtypes[0]))
        tags = dataset.tags()
        # GDAL does not copy the namespace into a cloud-optimised file
        own = {k: v for k, v in tags.items() if k.startswith(f"{_NAMESPACE}_")}
        own_tags = dataset.tags(ns=_NAMESPACE) or {k.removeprefix(f"{_NAMESPACE}_"): v for k, v in own.items()}
        fields, described = spectral_fields(self.path, self._bands), self._bands.descriptions
        names = [band.name for band in described]
        if any(names):
            fields["band_names"] = tuple(name or f"band {n + 1}" for n, name in enumerate(names))
        if "nodata" in own_tags or dataset.nodata is not None:
            fields["nodata"] = as_nodata(own_tags.get("nodata", dataset.nodata))
        gain, offset = [band.scale for band in described], [band.offset for band in described]
        if set(gain) != {1.0} or set(offset) != {0.0}:
            fields["gain"], fields["offset"] = finite(gain), finite(offset)
        if not dataset.transform.is_identity or dataset.crs:
            a, b, c, d, e, f = finite(tuple(dataset.transform)[:6])
            fields["georeference"] = Georeference((a, b, c, d, e, f), dataset.crs.to_string() if dataset.crs else "")
        fields["metadata"] = _metadata({k: v for k, v in tags.items() if k not in own}, own_tags) | _ground_control(dataset)
        return bare.like(**{k: v for k, v in fields.items() if v is not None})

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        out = np.empty([s.stop - s.start for s in (rows, columns, bands)], self.dtype)
        try:
            with quiet(self._rasterio):
                self._bands.read(out, rows, columns, bands)
                if self._missing is not None:
                    out[~self._bands.valid(rows, columns)] = self._missing
        except (self._rasterio.errors.RasterioError, OSError, MemoryError) as e:
            raise CubeError(f"cannot read {self.path} ({str(e)[:160]}); it may be incomplete") from None
        return out

    def close(self) -> None:
        self._bands.close()


class TiffSink(CubeSink):
    """Writes an uncompressed GeoTIFF in strips, band-interleaved; BigTIFF if needed."""

    form = "GeoTIFF"
    namespace = True  # whether the file keeps metadata in namespaces of their own

    def __init__(self, path: Path, info: CubeInfo) -> None:
        self._rasterio = library()
        super().__init__(path, info)
        height, width, bands = info.shape
        options: dict[str, Any] = {"interleave": "band", "BIGTIFF": "IF_SAFER", "blockysize": min(height, _STRIP)}
        # otherwise GDAL declares the fourth of four 8-bit bands to be opacity
        options |= {"photometric": "MINISBLACK", "alpha": "NO"}
        georeference = info.georeference
        try:
            with quiet(self._rasterio):
                if georeference is not None:
                    options["transform"] = self._rasterio.Affine(*georeference.transform)
                    if georeference.crs:
                        options["crs"] = crs.parsed(georeference.crs)
                        if options["crs"] is None:
                            raise ValueError(f"the coordinate system {georeference.crs[:60]} is not known to PROJ")
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
            if self.namespace:
                dataset.update_tags(ns=_NAMESPACE, **own_tags)
            else:
                dataset.update_tags(**{f"{_NAMESPACE}_{k}": v for k, v in own_tags.items()})
        if (coefficients := ground_control.rpc_tags(info.metadata.get(ground_control.RPC, ""))) is not None:
            dataset.update_tags(ns="RPC", **coefficients)
        found = ground_control.points(info.metadata.get(ground_control.POINTS, ""))
        if found is not None and info.georeference is None:
            point = self._rasterio.control.GroundControlPoint
            # a TIFF has no points without a coordinate system
            system = crs.parsed(found.system) if found.system else self._rasterio.crs.CRS.from_epsg(4326)
            if system is not None:
                dataset.gcps = [point(row, column, x, y, z) for row, column, x, y, z in found.places], system
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
            with quiet(self._rasterio):
                self._file.write(
                    samples.transpose(2, 0, 1), list(range(bands.start + 1, bands.stop + 1)),
                    window=((rows.start, rows.stop), (columns.start, columns.stop)),
                )  # fmt: skip
        except (self._rasterio.errors.RasterioError, OSError) as e:
            raise OutputError(f"cannot write {self.path}: {str(e)[:160]}; free some space or choose another place") from None

    def finish(self) -> None:
        with quiet(self._rasterio):
            self._file.close()
        # GDAL does not report errors of the last blocks
        if self.part.stat().st_size < self.info.nbytes:
            raise output_error(self.path, OSError(28, "full"))

    def discard(self) -> None:
        self._file.close()


def _ground_control(dataset: Any) -> dict[str, str]:
    """Return the fields of RPC and ground control points (ground_control.py)."""
    fields: dict[str, str] = {}
    if (text := ground_control.rpc_text(dataset.tags(ns="RPC"))) is not None:
        fields[ground_control.RPC] = text
    points, system = dataset.gcps
    if 0 < len(points) <= ground_control.MOST_POINTS:
        places = [(p.row, p.col, p.x, p.y, p.z or 0.0) for p in points]
        fields[ground_control.POINTS] = ground_control.points_text(system.to_string() if system else "", places)
    return fields


def _metadata(tags: dict[str, str], own_tags: dict[str, str]) -> dict[str, str]:
    fields = {k: v for k, v in tags.items() if (k, v) != ("AREA_OR_POINT", "Area")}
    try:
        stored = bounded_json.loads(own_tags.get("metadata", "{}"))
        return fields | {k: v for k, v in stored.items() if isinstance(v, str)}
    except (ValueError, AttributeError):
        return fields
