"""Zarr stores (formats 2 and 3) in folders: an array of three axes, described by xarray's attributes and the CF conventions."""

from __future__ import annotations

import base64
import logging
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, MissingDependencyError
from edgefuse.hyperspectral import cf
from edgefuse.hyperspectral.cube import KINDS, CubeInfo, Georeference, as_nodata, can_hold
from edgefuse.hyperspectral.formats.base import CubeSource, Window
from edgefuse.hyperspectral.formats.hdf5_conventions import BANDS, COLUMNS, FWHM, ROWS, WAVELENGTHS, Order, bands_at, role_of
from edgefuse.hyperspectral.formats.zarr_nodes import CheckedChunks, Node, attributes_of_group, nodes
from edgefuse.hyperspectral.wavelengths import converted
from edgefuse.util.finite import finite

_STRUCTURE = {
    "_ARRAY_DIMENSIONS", "_FillValue", "missing_value", "scale_factor", "add_offset", "grid_mapping", "coordinates", "fill_value",
}  # fmt: skip
_MOST_VALUES = 1 << 24  # of a coordinate
_STRIP_BYTES = 1 << 26  # of rows that are kept for the next window in them
_logger = logging.getLogger(__name__)


def library() -> Any:
    """Import zarr. Raises MissingDependencyError."""
    try:
        import zarr
    except ImportError as e:
        raise MissingDependencyError("zarr", "reading Zarr stores", "'edgefuse[zarr]'") from e
    return zarr


class ZarrSource(CubeSource):
    """An array of three axes in a Zarr store. `path` is the store's folder."""

    def __init__(self, path: Path, dataset: str | None = None, axes: Order | None = None) -> None:
        """dataset: path of the array in the store. axes: the cube's axis of each axis of the array; None: as the store says."""
        self.path, self._zarr = path, library()
        self._nodes = {node.name: node for node in nodes(path)}
        self._node = self._chosen(dataset)
        self._chunks, self._array = self._opened(self._node)
        self._used = {self._node.name}
        self._order = axes or self._axes()
        self.info = self._described()
        self._place: tuple[int, ...] = ()  # rows and bands of the last window
        self._strip: NDArray[Any] | None = None
        others = [name for name in self._nodes if name not in self._used]
        rest = f" and {len(others) - 8} more" if len(others) > 8 else ""
        self.unkept = (f"other arrays: {', '.join(others[:8])}{rest}",) if others else ()

    @property
    def form(self) -> str:
        return f"Zarr {self._node.form}"

    @property
    def files(self) -> tuple[Path, ...]:
        return (self._node.folder / ("zarr.json" if self._node.form == 3 else ".zarray"),)

    def _chosen(self, wanted: str | None) -> Node:
        """Return the array `wanted`; None: `cube` or the only one of three axes. Raises CubeError."""
        cubes = {
            name: node for name, node in self._nodes.items()
            if len(node.shape) == 3 and min(node.shape) > 0 and node.dtype is not None and node.dtype.kind in KINDS
        }  # fmt: skip
        name = (wanted or "cube").strip("/")
        if name in cubes:
            return cubes[name]
        if wanted or len(cubes) != 1:
            listed = ", ".join(name or "the store itself" for name in list(cubes)[:8]) or "none"
            raise CubeError(f"{self.path} has no array '{name}'; arrays with three axes: {listed}; give --dataset NAME")
        return next(iter(cubes.values()))

    def _opened(self, node: Node) -> tuple[CheckedChunks, Any]:
        """Open an array. Raises CubeError."""
        checked = CheckedChunks(self.path, node)
        if node.form == 3 and self._zarr.__version__.startswith("2."):
            raise MissingDependencyError("zarr 3", "reading Zarr's format 3", "'zarr>=3'")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zarr warns of types that the format does not specify
                array = self._zarr.open_array(str(node.folder), mode="r")
        except Exception as e:  # codecs and metadata raise many kinds
            raise CubeError(f"{node.folder} is no readable Zarr array ({type(e).__name__}: {str(e)[:120]})") from None
        if tuple(array.shape) != node.shape:
            raise CubeError(f"{node.folder} is no readable Zarr array: its shape is not that of its metadata file")
        return checked, array

    def _axes(self) -> Order:
        """Return the cube's axis of each axis of the array: by the names of its dimensions, else bands last."""
        roles = [role_of(name) for name in self._node.dims] if len(self._node.dims) == 3 else []
        known = [role for role in roles if role is not None]
        if len(known) == 2 and len(set(known)) == 2:
            rest = ({ROWS, COLUMNS, BANDS} - set(known)).pop()
            roles = [rest if role is None else role for role in roles]
        if set(roles) == {ROWS, COLUMNS, BANDS}:
            first, second, third = (role for role in roles if role is not None)
            return first, second, third
        if roles.count(BANDS) == 1:
            return bands_at(roles.index(BANDS))
        if any(self._node.dims):
            _logger.warning(
                "%s: the dimensions %s do not say which the bands are; the last is taken", self.path, ", ".join(self._node.dims)
            )
        return ROWS, COLUMNS, BANDS

    def _described(self) -> CubeInfo:
        node, attributes = self._node, self._node.attributes
        rows, columns, bands = (node.shape[self._order.index(axis)] for axis in (ROWS, COLUMNS, BANDS))
        assert node.dtype is not None
        fields: dict[str, Any] = self._spectral(bands)
        if (nodata := self._nodata()) is not None:
            fields["nodata"] = nodata
        for field, key, neutral in (("gain", "scale_factor", 1.0), ("offset", "add_offset", 0.0)):
            if isinstance(value := attributes.get(key), (int, float)) and value != neutral:
                fields[field] = finite((value,)) * bands
        if (placed := self._georeference()) is not None:
            fields["georeference"] = placed
        root = attributes_of_group(self.path)
        texts = {
            k: str(v) for part in (root, attributes) for k, v in part.items() if k not in _STRUCTURE and isinstance(v, (str, int, float))
        }
        return CubeInfo((rows, columns, bands), node.dtype, metadata=texts, **fields)

    def _nodata(self) -> float | None:
        """Return the no-data value: xarray's `_FillValue`, `missing_value`, or in format 2 the array's own fill value."""
        node, dtype = self._node, self._node.dtype
        assert dtype is not None
        own = node.fill if node.form == 2 and (node.dims or node.fill) else None  # 0 is Zarr's default of arrays that nobody described
        for value in (node.attributes.get("_FillValue"), node.attributes.get("missing_value"), own):
            if value is None or isinstance(value, (list, dict, bool)):
                continue
            try:
                number = _number(value)
            except (ValueError, TypeError, struct.error):
                _logger.warning("%s: ignoring the fill value %s of %s, which is no number", self.path, str(value)[:40], node.name)
                continue
            if can_hold(dtype, number):
                return number
            _logger.warning("%s: ignoring the fill value %s of %s: no sample of type %s can be it", self.path, number, node.name, dtype)
        return None

    def _beside(self, name: str) -> Node | None:
        """Return the array `name` in the group of the cube, or in the nearest one above."""
        folder = self._node.name.split("/")[:-1]
        return next((n for depth in range(len(folder), -1, -1) if (n := self._nodes.get("/".join([*folder[:depth], name])))), None)

    def _values(self, node: Node) -> NDArray[Any]:
        """Return the values of an array of one axis, such as a coordinate. Raises CubeError."""
        checked, array = self._opened(node)
        self._used.add(node.name)
        return self._take(checked, array, (slice(0, node.shape[0]),))

    def _spectral(self, bands: int) -> dict[str, Any]:
        """Return wavelengths, FWHM, names, gain and offset of the bands: the arrays that have the dimension of the bands."""
        axis = self._order.index(BANDS)
        dim = self._node.dims[axis] if self._node.dims else ""
        folder = self._node.name.rpartition("/")[0]
        fields: dict[str, Any] = {}
        scale = 1.0
        candidates = [
            n for n in self._nodes.values() if n.shape == (bands,) and n.dtype is not None and n.name.rpartition("/")[0] in ("", folder)
        ]
        candidates = [n for n in candidates if (n.dims == (dim,) if dim and n.dims else True)]
        for node in sorted(candidates, key=lambda n: (n.name.rpartition("/")[2] != dim, n.name)):
            name, kind = node.name.rpartition("/")[2], node.dtype.kind if node.dtype else ""
            unit = str(node.attributes.get("units", node.attributes.get("unit", "")))
            spectral = WAVELENGTHS.search(name) or node.attributes.get("standard_name") == "radiation_wavelength"
            if kind in "uif" and spectral and "wavelengths" not in fields:
                if (found := converted(self._values(node).tolist(), unit)) is None:
                    _logger.warning("%s: ignoring the wavelengths in %s: %s is no unit of length", self.path, node.name, unit[:40])
                    continue
                fields["wavelengths"], scale = found.values, found.scale
                for doubt in found.doubts:
                    _logger.warning("%s: %s", self.path, doubt)
            elif kind in "uif" and (key := "fwhm" if FWHM.search(name) else name) in ("fwhm", "gain", "offset") and key not in fields:
                fields[key] = tuple(float(v) for v in self._values(node))
            elif kind == "U" and "band_names" not in fields:
                fields["band_names"] = tuple(str(v) for v in self._values(node))
            elif name == dim:
                self._used.add(node.name)  # numbers of the bands
        if "fwhm" in fields:
            fields["fwhm"] = tuple(v * scale for v in fields["fwhm"])
        return fields

    def _georeference(self) -> Georeference | None:
        """Return the place of the pixels by regular coordinates, or by the GeoTransform of the grid mapping."""
        name = str(self._node.attributes.get("grid_mapping", cf.MAPPING)).partition(":")[0].strip()
        mapping: Mapping[str, Any] = {}
        if (node := self._beside(name)) is not None:
            mapping = node.attributes
            self._used.add(node.name)
        system = str(mapping.get("crs_wkt") or mapping.get("spatial_ref") or "")
        grids, units = [], []
        for axis in (ROWS, COLUMNS):
            dim = self._node.dims[self._order.index(axis)] if self._node.dims else ""
            found = self._beside(dim) if dim else None
            if (
                found is None
                or len(found.shape) != 1
                or found.shape[0] > _MOST_VALUES
                or found.dtype is None
                or found.dtype.kind not in "uif"
            ):
                break
            units.append(str(found.attributes.get("units", "")))
            grids.append(cf.regular(self._values(found).astype(np.float64) * cf.metres_of(units[-1], system)))
        if len(grids) == 2 and (rows := grids[0]) is not None and (columns := grids[1]) is not None:
            return cf.by_coordinates(rows, columns, system, units)
        try:
            return cf.by_geotransform(str(mapping["GeoTransform"]), system)
        except (KeyError, ValueError):
            return None

    def _take(self, checked: CheckedChunks, array: Any, key: tuple[slice, ...]) -> NDArray[Any]:
        try:
            checked.check(key)
            samples: NDArray[Any] = np.asarray(array[key])
        except CubeError:
            raise
        except Exception as e:  # codecs raise many kinds
            raise CubeError(f"cannot read {self.path} ({type(e).__name__}: {str(e)[:120]}); it may be incomplete") from None
        return samples

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        # a cube is compressed tile by tile along its rows, and zarr unpacks the chunks that a window touches anew for each
        place = rows.start, rows.stop, bands.start, bands.stop
        if place != self._place:
            self._place, self._strip = place, None
            return self._samples((rows, columns, bands))
        size = (rows.stop - rows.start) * self.shape[1] * (bands.stop - bands.start) * self.dtype.itemsize
        if size > _STRIP_BYTES:
            return self._samples((rows, columns, bands))
        if self._strip is None:
            self._strip = self._samples((rows, slice(0, self.shape[1]), bands))
        return self._strip[:, columns].copy()

    def _samples(self, window: Window) -> NDArray[Any]:
        samples = self._take(self._chunks, self._array, tuple(window[axis] for axis in self._order))
        return np.ascontiguousarray(samples.transpose(np.argsort(self._order)), self.dtype)


def _number(value: object) -> float:
    """Return a fill value of metadata: a number, its text, or as xarray writes floats in format 3, eight bytes in base 64."""
    if isinstance(value, str):
        try:
            return as_nodata(value)
        except ValueError:
            return as_nodata(struct.unpack("<d", base64.b64decode(value, validate=True))[0])
    return as_nodata(value)
