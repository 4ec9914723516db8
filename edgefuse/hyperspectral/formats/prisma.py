"""PRISMA L1 and L2 products (ASI, "PRISMA Products Specification Document", issue 2.3): two spectrometers on one grid.

VNIR_Cube and SWIR_Cube are uint16 (rows, bands, columns) with bands by descending wavelength; a wavelength of 0 marks an unused band. The
cube here has the VNIR bands, then the SWIR bands, each by ascending wavelength. Counts of 0 are missing: the corners of L2D, outside of the
strip. L2: reflectance (L2B: radiance) = minimum + count (maximum - minimum) / 65535. L1: radiance = count / scale factor - offset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats.hdf5_checks import inside
from edgefuse.util.finite import finite

_LEVELS = "L2D", "L2C", "L2B", "L1"
_SWATHS = "HDFEOS/SWATHS"
_ORDER = (0, 2, 1)  # order of the cube's axes in the file: rows, bands, columns
_METADATA_KEYS = ("Product_ID", "Product_StartTime", "Product_StopTime", "Processing_Level", "Sun_zenith_angle", "Sun_azimuth_angle")


@dataclass(frozen=True, slots=True)
class Product:
    """A PRISMA product as one cube.

    name: of the product. info: metadata of the combined cube. parts: per spectrometer the dataset, its order of axes, and its band numbers
    in the cube's order.
    """

    name: str
    info: CubeInfo
    parts: list[tuple[Any, tuple[int, int, int], list[int]]]


def read(path: Path, file: Any) -> Product | None:
    """Return the product in an HDF5 file, or None if it is not a PRISMA file. Raises CubeError, KeyError, ValueError."""
    level, fields = next(((n, f) for n in _LEVELS if (f := inside(file, f"{_SWATHS}/PRS_{n}_HCO/Data Fields")) is not None), ("", None))
    if fields is None:
        if any(str(name).startswith("PRS_L") for name in inside(file, _SWATHS) or ()):
            raise CubeError(f"{path}: of PRISMA's products the hyperspectral L1, L2B, L2C and L2D are read; give those, or --dataset NAME")
        return None
    attrs, parts = file.attrs, []
    wavelengths: list[float] = []
    fwhm: list[float] = []
    names: list[str] = []
    gain: list[float] = []
    offset: list[float] = []
    for spectrometer in ("Vnir", "Swir"):
        data = inside(fields, f"{spectrometer.upper()}_Cube")
        if data is None:
            continue
        centres, widths = (np.ravel(attrs[f"List_{quantity}_{spectrometer}"]).astype(float) for quantity in ("Cw", "Fwhm"))
        if not len(centres) == len(widths) == data.shape[1]:
            raise CubeError(f"{path}: {len(centres)} wavelengths for {data.shape[1]} bands of {spectrometer}")
        used = [int(n) for n in np.argsort(centres, kind="stable") if centres[n] > 0]
        factor, low = _packing(attrs, spectrometer, level)
        wavelengths += finite(centres[used])
        fwhm += finite(widths[used])
        names += [f"{spectrometer.upper()} {n + 1}" for n in used]
        gain += [factor] * len(used)
        offset += [low] * len(used)
        parts.append((data, _ORDER, used))
    if not parts or len({(p.shape[0], p.shape[2]) for p, _, _ in parts}) != 1 or len({p.dtype for p, _, _ in parts}) != 1:
        raise CubeError(f"{path}: VNIR_Cube and SWIR_Cube are missing, or differ in size or type")
    first = parts[0][0]
    shape = first.shape[0], first.shape[2], len(wavelengths)
    info = CubeInfo(
        shape, first.dtype, tuple(wavelengths), tuple(fwhm), tuple(names), 0, tuple(gain), tuple(offset), _georeference(attrs, shape),
        {name: _text(attrs[name]) for name in _METADATA_KEYS if name in attrs},
    )  # fmt: skip
    return Product(f"PRISMA {level}", info, parts)


def _packing(attrs: Any, spectrometer: str, level: str) -> tuple[float, float]:
    """Return gain and offset of a spectrometer's counts. Raises KeyError, ValueError."""
    if level == "L1":
        factor, offset = (float(np.ravel(attrs[f"{name}_{spectrometer}"])[0]) for name in ("ScaleFactor", "Offset"))
        (gain,) = finite([1 / factor if factor else math.inf])
        return gain, -offset
    low, high = (float(np.ravel(attrs[f"L2Scale{spectrometer}{end}"])[0]) for end in ("Min", "Max"))
    return (high - low) / 65535, low


def _georeference(attrs: Any, shape: tuple[int, int, int]) -> Georeference | None:
    """Return the georeference, computed from the centres of the corner pixels; None if it is missing or invalid."""
    try:
        left, top = (float(np.ravel(attrs[f"Product_ULcorner_{axis}"])[0]) for axis in ("easting", "northing"))
        right, bottom = (float(np.ravel(attrs[f"Product_LRcorner_{axis}"])[0]) for axis in ("easting", "northing"))
        dx, dy = (right - left) / (shape[1] - 1), (bottom - top) / (shape[0] - 1)
        a, _, c, _, e, f = finite((dx, 0.0, left - dx / 2, 0.0, dy, top - dy / 2))
        return Georeference((a, 0.0, c, 0.0, e, f), f"EPSG:{int(np.ravel(attrs['Epsg_Code'])[0])}")
    except (KeyError, ValueError, ZeroDivisionError, TypeError):
        return None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
