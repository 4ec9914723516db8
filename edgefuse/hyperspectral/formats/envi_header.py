"""Parser and writer of ENVI headers, which describe sample layout and metadata as text. Headers are untrusted input.

Format specification (NV5): https://www.nv5geospatialsoftware.com/docs/ENVIHeaderFiles.html
"""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import PER_BAND, CubeInfo, Georeference, as_nodata, finite
from edgefuse.hyperspectral.formats.flat import BIL, BIP, BSQ, Layout

LARGEST = 1 << 24  # maximum bytes of a header
_MAX_SIDE = 1 << 31
_MAX_BANDS = 65535  # maximum: metadata of each band is held in memory
TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
ORDERS = {"bsq": BSQ, "bil": BIL, "bip": BIP}
NANOMETRES = {
    "nanometers": 1.0, "nanometer": 1.0, "nanometres": 1.0, "nm": 1.0,
    "micrometers": 1000.0, "micrometer": 1000.0, "micrometres": 1000.0, "microns": 1000.0, "um": 1000.0, "\N{MICRO SIGN}m": 1000.0,
    "millimeters": 1e6, "mm": 1e6, "centimeters": 1e7, "cm": 1e7, "meters": 1e9, "m": 1e9, "angstroms": 0.1,
}  # fmt: skip
_LAYOUT = {"samples", "lines", "bands", "header offset", "data type", "interleave", "byte order", "file type"}
CLASSIFICATION = "ENVI Classification"
_logger = logging.getLogger(__name__)


def fields(data: bytes) -> dict[str, str]:
    """Parse a header to fields: names in lower case with single blanks, values without braces. Raises CubeError."""
    if len(data) > LARGEST:
        raise CubeError(f"the header has {len(data)} bytes; the maximum is {LARGEST}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = iter(text.replace("\0", "").splitlines())
    if next(lines, "").strip().upper() != "ENVI":
        raise CubeError("not an ENVI header: its first line must be ENVI")
    parsed: dict[str, str] = {}
    for line in lines:
        if line.lstrip().startswith(";") or "=" not in line:
            continue
        key, _, value = line.partition("=")
        key, value = " ".join(key.lower().split()), value.strip()
        if value.startswith("{"):
            parts = [value[1:]]
            while "}" not in parts[-1]:
                continuation = next(lines, None)
                if continuation is None:
                    raise CubeError(f"the brace of {key[:40]!r} is never closed")
                if not continuation.lstrip().startswith(";"):
                    parts.append(continuation)
            value = "\n".join([*parts[:-1], parts[-1].partition("}")[0]]).strip()
        parsed[key] = value
    return parsed


def unkept(data: bytes, header: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is in a header or in the samples' file besides the fields and the samples."""
    lines = data.decode("latin-1").splitlines()
    lost = ["comments in its header"] if any(line.lstrip().startswith(";") for line in lines) else []
    keys = [" ".join(line.partition("=")[0].lower().split()) for line in lines if "=" in line and not line.lstrip().startswith(";")]
    if twice := sorted({key for key in header if keys.count(key) > 1}):
        lost.append(f"fields that its header has more than once: {', '.join(twice[:8])}")
    if offset := _integer(header, "header offset", 0, 1 << 62, 0):
        lost.append(f"{offset} bytes before its samples")
    return tuple(lost)


def layout(header: Mapping[str, str]) -> Layout:
    """Return the layout of the samples. Raises CubeError naming the field that is missing or invalid."""
    file_type = header.get("file type", "")
    if "meta" in file_type.lower():
        raise CubeError(f"file type {file_type[:40]!r} lists other files and has no samples of its own; open those")
    if header.get("file compression", "0") not in ("", "0"):
        raise CubeError("its samples are compressed (file compression = 1); unpack them with gunzip and set file compression = 0")
    for name in ("major frame offsets", "minor frame offsets"):
        if any(v.strip() not in ("", "0") for v in header.get(name, "").split(",")):
            raise CubeError(f"'{name}' other than 0 are not supported; save the cube again without them")
    samples, lines = (_integer(header, name, 1, _MAX_SIDE) for name in ("samples", "lines"))
    bands = _integer(header, "bands", 1, _MAX_BANDS)
    offset = _integer(header, "header offset", 0, 1 << 62, 0)
    number = _integer(header, "data type", 0, 99)
    if number not in TYPES:
        raise CubeError(f"data type = {number} is unknown; expected one of {', '.join(map(str, TYPES))}")
    interleave = header.get("interleave", "").lower()
    if interleave not in ORDERS:
        raise CubeError(f"interleave = {repr(interleave[:40])[1:-1] or 'nothing'}: expected bsq, bil or bip")
    dtype = np.dtype(TYPES[number])
    # optional, as for single bytes; ENVI's default is little-endian
    big = _integer(header, "byte order", 0, 1, 0)
    return Layout((lines, samples, bands), dtype.newbyteorder(">" if big else "<"), ORDERS[interleave], offset)


def info(header: Mapping[str, str], lay: Layout) -> CubeInfo:
    """Return the cube's metadata. An invalid field stays in `metadata` as text, and a warning is logged."""
    # keep the interleave so that the cube can be written in the same one
    remaining = {k: v for k, v in header.items() if k not in _LAYOUT} | {"interleave": header["interleave"].lower()}
    if header.get("file type", "").lower() == CLASSIFICATION.lower():
        remaining["file type"] = CLASSIFICATION
    known: dict[str, Any] = {}

    def take(name: str, key: str, convert: Any) -> None:
        if (text := remaining.get(key)) is None:
            return
        try:
            value = convert(text)
            if name in PER_BAND and len(value) != lay.shape[2]:
                raise ValueError(f"{len(value)} values for {lay.shape[2]} bands")
        except (ValueError, OverflowError) as e:
            _logger.warning("ignoring '%s' of an ENVI header: %s", key, str(e)[:100])
            return
        known[name] = value
        del remaining[key]

    unit = remaining.get("wavelength units", "").strip().lower()
    scale = NANOMETRES.get(unit)
    if scale is None and unit in ("", "unknown"):
        scale = _guess_unit(remaining.get("wavelength", ""))
    if scale is not None:
        take("wavelengths", "wavelength", lambda text: _scaled(text, scale))
        take("fwhm", "fwhm", lambda text: _scaled(text, scale))
        if "wavelengths" in known:
            remaining.pop("wavelength units", None)
    take("band_names", "band names", lambda text: tuple(name.strip() for name in text.split(",")))
    take("nodata", "data ignore value", as_nodata)
    take("gain", "data gain values", _floats)
    take("offset", "data offset values", _floats)
    if "gain" not in known and (factor := remaining.get("reflectance scale factor")):
        # also stays in `metadata`, from which it is written back
        try:
            known["gain"] = finite((1 / float(factor),)) * lay.shape[2]
        except (ValueError, ZeroDivisionError):
            _logger.warning("ignoring 'reflectance scale factor' of an ENVI header: %s", factor[:100])
    if "map info" in remaining:
        try:
            known["georeference"] = place(remaining["map info"], remaining.get("coordinate system string", ""))
        except (ValueError, OverflowError) as e:
            _logger.warning("'map info' of an ENVI header gives no georeference: %s", str(e)[:100])
    return CubeInfo(lay.shape, lay.dtype, **known, metadata=remaining)


def place(map_info: str, crs: str) -> Georeference:
    """Return the georeference of the field `map info`. Raises ValueError if it has none, such as pixels of size zero."""
    parts = [p.strip() for p in map_info.split(",")]
    if len(parts) < 7:
        raise ValueError("expected a projection and six numbers")
    column, row, x, y, dx, dy = finite(parts[1:7])
    if not dx or not dy:
        raise ValueError("pixels of size zero")
    rotation = 0.0
    for part in parts[7:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "rotation":
            (rotation,) = finite((math.radians(float(value)),))
    cos, sin = math.cos(rotation), math.sin(rotation)
    # columns and rows count from 1 at the upper left corner of the first pixel
    a, b, d, e = dx * cos, dy * sin, dx * sin, -dy * cos
    left, top = x - (column - 1) * a - (row - 1) * b, y - (column - 1) * d - (row - 1) * e
    return Georeference((a, b, left, d, e, top), crs.strip() or _utm(parts))


def _utm(parts: Sequence[str]) -> str:
    if parts[0].lower() == "utm" and len(parts) >= 10 and "84" in parts[9]:
        zone = int(parts[7])
        if 1 <= zone <= 60:
            return f"EPSG:{(32700 if parts[8].lower().startswith('s') else 32600) + zone}"
    return "EPSG:4326" if parts[0].lower().startswith("geographic") and any("84" in p for p in parts[7:]) else ""


def text(cube: CubeInfo, interleave: str) -> str:
    """Return the header text of a cube in native byte order. Raises CubeError for a type that ENVI lacks."""
    number = next((n for n, code in TYPES.items() if np.dtype(code) == cube.dtype), None)
    if number is None:
        raise CubeError(f"ENVI does not support samples of type {cube.dtype}; write another format, such as .npy")
    height, width, bands = cube.shape
    kind = CLASSIFICATION if cube.metadata.get("file type") == CLASSIFICATION else "ENVI Standard"
    required = {
        "samples": width, "lines": height, "bands": bands, "header offset": 0, "file type": kind, "data type": number,
        "interleave": interleave, "byte order": int(sys.byteorder == "big"),
    }  # fmt: skip
    extra = {k: v for k, v in cube.metadata.items() if _writable(k, v)}
    lines = ["ENVI", *(f"{k} = {v}" for k, v in required.items())]
    if cube.wavelengths or cube.fwhm:
        lines.append("wavelength units = Nanometers")
        extra.pop("wavelength units", None)
    for key, values in (("wavelength", cube.wavelengths), ("fwhm", cube.fwhm), ("data offset values", cube.offset)):
        lines += _list(key, values)
    if not (cube.gain and "reflectance scale factor" in extra):
        lines += _list("data gain values", cube.gain)
    if cube.band_names:
        lines += _list("band names", [re.sub(r"[,{}\s]+", " ", name).strip() for name in cube.band_names])
    if cube.nodata is not None:
        lines.append(f"data ignore value = {cube.nodata!r}")
    if cube.georeference and not _matches(extra, cube.georeference):
        lines += _georeference_lines(cube.georeference)
        for key in ("map info", "projection info", "coordinate system string"):
            extra.pop(key, None)
    for key, value in extra.items():
        braces = "," in value or "\n" in value or not value or key in ("description", "coordinate system string")
        lines.append(f"{key} = {{{value}}}" if braces else f"{key} = {value}")
    return "\n".join(lines) + "\n"


def _writable(key: str, value: str) -> bool:
    plain = key == " ".join(key.lower().split()) and key not in _LAYOUT and key.isprintable() and not re.search(r"[=;{}]", key)
    return plain and bool(key) and "}" not in value and not value.startswith("{")


def _list(key: str, values: Sequence[Any] | None) -> list[str]:
    return [] if values is None else [f"{key} = {{{', '.join(v if isinstance(v, str) else repr(float(v)) for v in values)}}}"]


def _matches(extra: Mapping[str, str], georeference: Georeference) -> bool:
    """Return whether the original header fields still match the georeference; they are more complete than those of `_placed`."""
    try:
        return place(extra.get("map info", ""), extra.get("coordinate system string", "")) == georeference
    except (ValueError, OverflowError):
        return False


def _georeference_lines(georeference: Georeference) -> list[str]:
    a, b, left, d, e, top = georeference.transform
    dx, dy, angle = math.hypot(a, d), math.hypot(b, e), math.degrees(math.atan2(d, a))
    representable = math.isclose(a * b + d * e, 0.0, abs_tol=1e-9 * dx * dy) and a * e - b * d < 0
    if not representable:
        # map info can't express shear or mirroring
        return []
    system, zone = "Arbitrary", ""
    if match := re.fullmatch(r"EPSG:32([67])(\d\d)", georeference.crs):
        system, zone = "UTM", f", {int(match[2])}, {'North' if match[1] == '6' else 'South'}, WGS-84, units=Meters"
    elif georeference.crs == "EPSG:4326":
        system, zone = "Geographic Lat/Lon", ", WGS-84, units=Degrees"
    rotation = f", rotation={angle!r}" if angle else ""
    lines = [f"map info = {{{system}, 1.0, 1.0, {left!r}, {top!r}, {dx!r}, {dy!r}{zone}{rotation}}}"]
    if georeference.crs and not zone:
        lines.append(f"coordinate system string = {{{georeference.crs}}}")
    return lines


def _floats(values: str) -> tuple[float, ...]:
    return finite(values.replace("\n", " ").strip(", ").split(","))


def _scaled(values: str, scale: float) -> tuple[float, ...]:
    return finite([v * scale for v in _floats(values)])


def _guess_unit(values: str) -> float:
    """Guess the unit of wavelengths without one, in nanometres: no sensor covers wavelengths below 100 nm or above 100 um."""
    try:
        return 1.0 if max(_floats(values)) >= 100 else 1000.0
    except ValueError:
        return 1.0


def _integer(header: Mapping[str, str], name: str, low: int, high: int, default: int | None = None) -> int:
    value = header.get(name, "")
    if not value and default is not None:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", value) or not low <= int(value) <= high:
        raise CubeError(f"{name} = {repr(value[:40])[1:-1] or 'nothing'}: expected an integer from {low} to {high}")
    return int(value)
