"""Metadata of a hyperspectral cube."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral import ground_control
from edgefuse.util.finite import finite
from edgefuse.util.printable import plain

KINDS = "uifc"  # kinds of NumPy dtypes: unsigned, signed, float, complex
_TEXT_ERROR = 1e-5  # relative error of a number that was written with few digits
_MAX_BYTES = 1 << 62  # bytes of samples; keeps file offsets within 64 bits


@dataclass(frozen=True, slots=True)
class Georeference:
    """Georeference of a cube.

    transform: (a, b, c, d, e, f): x = a column + b row + c, y = d column + e row + f, from the upper left corner of the upper left pixel
    (GDAL's affine transformation, in rasterio's order). crs: coordinate reference system of x and y: "EPSG:32633" or WKT; empty if unknown.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str = ""

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.transform)):
            raise CubeError("the georeference has numbers that are not finite")
        object.__setattr__(self, "crs", plain(self.crs))


@dataclass(frozen=True, slots=True)
class CubeInfo:
    """Shape, sample type and metadata of a cube; None or empty if unknown.

    shape: (H, W, B): rows (lines), columns (samples), bands, each at least 1. dtype: sample type in native byte order.
    wavelengths, fwhm: centre and full width at half maximum of each band, nanometres. band_names: one per band.
    nodata: value of missing samples, possibly NaN. gain, offset: per band; physical value = sample * gain + offset.
    metadata: other fields of its file, as text (ENVI header fields, TIFF tags); kept when converting between formats.

    Characters of names, the coordinate system and metadata that are not printable become blanks, so that they can't end a header's field
    or command a terminal; a value of metadata may have several lines.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    wavelengths: tuple[float, ...] | None = None
    fwhm: tuple[float, ...] | None = None
    band_names: tuple[str, ...] | None = None
    nodata: float | None = None
    gain: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None
    georeference: Georeference | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.dtype).newbyteorder("="))
        object.__setattr__(self, "nodata", _within_range(self.nodata, self.dtype))
        if self.dtype.kind not in KINDS:
            raise CubeError(f"samples of type {self.dtype} are not numbers; give integers or floats")
        if len(self.shape) != 3 or min(self.shape) < 1 or self.nbytes > _MAX_BYTES:
            raise CubeError(f"a cube of shape {self.shape}: expected rows, columns and bands, each at least 1, and under 2^62 bytes")
        for name in PER_BAND:
            values = getattr(self, name)
            if values is not None and len(values) != self.shape[2]:
                raise CubeError(f"{len(values)} {name} for {self.shape[2]} bands")
            if values is not None and name != "band_names" and not all(map(math.isfinite, values)):
                raise CubeError(f"{name} are not all finite numbers")
        if self.band_names is not None:
            object.__setattr__(self, "band_names", tuple(map(plain, self.band_names)))
        object.__setattr__(self, "metadata", {plain(k): plain(v, keep_lines=True) for k, v in self.metadata.items()})

    @property
    def nbytes(self) -> int:
        """Bytes of all samples, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize

    def like(self, **changes: Any) -> Self:
        """Return a copy with `changes`."""
        return replace(self, **changes)

    def part(self, rows: slice, columns: slice, bands: slice) -> Self:
        """Return the metadata of a window; the slices have start and stop."""
        fields: dict[str, Any] = {name: None if (v := getattr(self, name)) is None else v[bands] for name in PER_BAND}
        if (where := self.georeference) is not None:
            a, b, c, d, e, f = where.transform
            moved = (a, b, c + a * columns.start + b * rows.start, d, e, f + d * columns.start + e * rows.start)
            fields["georeference"] = Georeference(moved, where.crs)
        shape = (rows.stop - rows.start, columns.stop - columns.start, bands.stop - bands.start)
        return self.like(shape=shape, **fields, metadata=_metadata_of_part(self, rows, columns, bands))

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary for `from_json`. Omits unknown fields; NaN and infinities are strings."""
        fields: dict[str, Any] = {"shape": list(self.shape), "dtype": self.dtype.name}
        for name in PER_BAND:
            if (values := getattr(self, name)) is not None:
                fields[name] = list(values)
        if self.nodata is not None:
            fields["nodata"] = self.nodata if math.isfinite(self.nodata) else str(float(self.nodata))
        if self.georeference is not None:
            fields["georeference"] = {"transform": list(self.georeference.transform), "crs": self.georeference.crs}
        if self.metadata:
            fields["metadata"] = dict(self.metadata)
        return fields

    @classmethod
    def from_json(cls, raw: Any) -> Self:
        """Parse `as_json`'s output from an untrusted file. Raises CubeError if it is invalid."""
        try:
            georeference = raw.get("georeference")
            nodata = raw.get("nodata")
            return cls(
                _shape(raw["shape"]), np.dtype(_text(raw["dtype"])),
                _numbers(raw.get("wavelengths")), _numbers(raw.get("fwhm")), _texts(raw.get("band_names")),
                None if nodata is None else as_nodata(nodata), _numbers(raw.get("gain")), _numbers(raw.get("offset")),
                None if georeference is None else _georeference(georeference),
                {_text(k): _text(v) for k, v in raw.get("metadata", {}).items()},
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
            raise CubeError(f"the metadata of the cube is invalid ({type(e).__name__}: {e})") from None


PER_BAND = ("wavelengths", "fwhm", "band_names", "gain", "offset")
FIELDS = {"shape", "dtype", "nodata", "georeference", "metadata", *PER_BAND}  # of `as_json`


def _metadata_of_part(info: CubeInfo, rows: slice, columns: slice, bands: slice) -> dict[str, str]:
    """Return the metadata without fields that list a value for each band of the whole, or place its first pixel."""
    whole = (bands.start, bands.stop) == (0, info.shape[2])
    placed = (rows.start, columns.start) == (0, 0)
    lists = {key for key, value in info.metadata.items() if info.shape[2] > 1 and value.count(",") == info.shape[2] - 1}
    control = {ground_control.RPC, ground_control.POINTS}
    gone = (set() if whole else lists - control) | (set() if placed else {"map info", *control})
    moved = {} if placed else ground_control.moved(info.metadata, rows.start, columns.start)
    return {key: value for key, value in info.metadata.items() if key not in gone} | moved


def as_nodata(value: Any) -> float:
    """Return `value` as int if integral (float64 can't hold all 64-bit integers), else as float. Raises ValueError, TypeError."""
    if isinstance(value, str):
        return int(value) if value.strip().lstrip("+-").isdecimal() and len(value) < 25 else float(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not an integer")
    return value


def _shape(values: Any) -> tuple[int, int, int]:
    height, width, bands = map(_integer, values)
    return height, width, bands


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _numbers(values: Any) -> tuple[float, ...] | None:
    return None if values is None else finite(values)


def _texts(values: Any) -> tuple[str, ...] | None:
    return None if values is None else tuple(_text(v) for v in values)


def _georeference(raw: Any) -> Georeference:
    a, b, c, d, e, f = finite(raw["transform"])
    return Georeference((a, b, c, d, e, f), _text(raw["crs"]))


def can_hold(dtype: np.dtype[Any], value: object) -> bool:
    """Return whether `dtype` can represent `value`: a no-data value of -9999 for unsigned samples is an error in the header."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return number.is_integer() and limits.min <= number <= limits.max
    return number != number or abs(number) <= float(np.finfo(dtype).max)


def _within_range(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    """Return the largest number of a floating-point type for a no-data value that its rounded text puts just beyond it."""
    if nodata is None or dtype.kind != "f" or not isinstance(nodata, (int, float)) or math.isinf(nodata):
        return nodata
    limit = float(np.finfo(dtype).max)
    return math.copysign(limit, nodata) if limit < abs(nodata) <= limit * (1 + _TEXT_ERROR) else nodata


def peak_of(dtype: np.dtype[Any]) -> float:
    """Return the PSNR peak of a type, fixed so that figures are comparable: floats 1, 8 bits their maximum, others 10000 (reflectance)."""
    return 1.0 if dtype.kind in "fc" else float(np.iinfo(dtype).max) if dtype.itemsize == 1 else 10000.0
