"""What is known of a hyperspectral cube beside its samples."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from edgefuse.errors import CubeError

KINDS = "uifc"  # of NumPy's dtypes: unsigned, signed, float, complex
_MOST = 1 << 62  # bytes of samples: what a file's offset can say


@dataclass(frozen=True, slots=True)
class Georeference:
    """Where a cube lies on the ground.

    transform: (a, b, c, d, e, f): x = a column + b row + c, y = d column + e row + f, from the upper left corner of the upper left pixel
    (GDAL's affine transformation, in rasterio's order). crs: the system of x and y: "EPSG:32633" or WKT; empty where unknown.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str = ""


@dataclass(frozen=True, slots=True)
class CubeInfo:
    """A cube's shape, type and meaning; None or empty where a file does not tell.

    shape: (H, W, B): rows (lines), columns (samples), bands, each at least 1. dtype: of a sample, in this machine's byte order.
    wavelengths, fwhm: centre and full width at half maximum of each band, nanometres. band_names: one a band.
    nodata: the value of samples that hold nothing, NaN included. gain, offset: a band's unit value = sample * gain + offset.
    metadata: what else its file says, in the file's own words (ENVI header fields, TIFF tags); survives a trip through formats.
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
        if self.dtype.kind not in KINDS:
            raise CubeError(f"samples of type {self.dtype} are no numbers; give integers or floats")
        if len(self.shape) != 3 or min(self.shape) < 1 or self.nbytes > _MOST:
            raise CubeError(f"a cube of shape {self.shape}: expected rows, columns and bands, each at least 1, and under 2^62 bytes")
        for name in PER_BAND:
            values = getattr(self, name)
            if values is not None and len(values) != self.shape[2]:
                raise CubeError(f"{len(values)} {name} for {self.shape[2]} bands")

    @property
    def nbytes(self) -> int:
        """Bytes of all samples, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize

    def like(self, **changes: Any) -> Self:
        """A copy with `changes`."""
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """For JSON: `from_json` reads it. What is not known is left out; NaN and infinities are texts."""
        found: dict[str, Any] = {"shape": list(self.shape), "dtype": self.dtype.name}
        for name in PER_BAND:
            if (values := getattr(self, name)) is not None:
                found[name] = list(values)
        if self.nodata is not None:
            found["nodata"] = self.nodata if math.isfinite(self.nodata) else str(float(self.nodata))
        if self.georeference is not None:
            found["georeference"] = {"transform": list(self.georeference.transform), "crs": self.georeference.crs}
        if self.metadata:
            found["metadata"] = dict(self.metadata)
        return found

    @classmethod
    def from_json(cls, raw: Any) -> Self:
        """What `as_json` made, from a file that may lie. Raises CubeError for anything else."""
        try:
            place = raw.get("georeference")
            nodata = raw.get("nodata")
            return cls(
                _shape(raw["shape"]), np.dtype(_text(raw["dtype"])),
                _numbers(raw.get("wavelengths")), _numbers(raw.get("fwhm")), _texts(raw.get("band_names")),
                None if nodata is None else as_nodata(nodata), _numbers(raw.get("gain")), _numbers(raw.get("offset")),
                None if place is None else _place(place),
                {_text(k): _text(v) for k, v in raw.get("metadata", {}).items()},
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
            raise CubeError(f"what is said of the cube can't be ({type(e).__name__}: {e})") from None


PER_BAND = ("wavelengths", "fwhm", "band_names", "gain", "offset")


def as_nodata(value: Any) -> float:
    """`value` as an int where it is one (64-bit integers are not all floats), else as a float. Raises ValueError, TypeError."""
    if isinstance(value, str):
        return int(value) if value.strip().lstrip("+-").isdecimal() and len(value) < 25 else float(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _shape(values: Any) -> tuple[int, int, int]:
    height, width, bands = map(_whole, values)
    return height, width, bands


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _numbers(values: Any) -> tuple[float, ...] | None:
    return None if values is None else finite(values)


def _texts(values: Any) -> tuple[str, ...] | None:
    return None if values is None else tuple(_text(v) for v in values)


def _place(raw: Any) -> Georeference:
    a, b, c, d, e, f = finite(raw["transform"])
    return Georeference((a, b, c, d, e, f), _text(raw["crs"]))


def finite(values: Iterable[Any]) -> tuple[float, ...]:
    """`values` as floats. Raises ValueError where one is not finite."""
    found = tuple(float(v) for v in values)
    if not all(map(math.isfinite, found)):
        raise ValueError("a number that is not finite")
    return found


def can_hold(dtype: np.dtype[Any], value: object) -> bool:
    """Whether samples can be `value`: -9999 of unsigned ones is a header's mistake."""
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


def peak_of(dtype: np.dtype[Any]) -> float:
    """What a PSNR is against, fixed by type so that figures compare: 1 of floats, the largest of 8 bits, else 10000 (reflectance)."""
    return 1.0 if dtype.kind in "fc" else float(np.iinfo(dtype).max) if dtype.itemsize == 1 else 10000.0
