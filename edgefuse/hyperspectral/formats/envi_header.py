"""ENVI's header: text that says how the samples lie and what they mean. Believes nothing it reads.

The format is NV5's: https://www.nv5geospatialsoftware.com/docs/ENVIHeaderFiles.html
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

LARGEST = 1 << 24  # bytes of a header
_SIDE = 1 << 31
_BANDS = 65535  # what is said of each is held in memory
TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
ORDERS = {"bsq": BSQ, "bil": BIL, "bip": BIP}
NANOMETRES = {
    "nanometers": 1.0, "nanometer": 1.0, "nanometres": 1.0, "nm": 1.0,
    "micrometers": 1000.0, "micrometer": 1000.0, "micrometres": 1000.0, "microns": 1000.0, "um": 1000.0, "\N{MICRO SIGN}m": 1000.0,
    "millimeters": 1e6, "mm": 1e6, "centimeters": 1e7, "cm": 1e7, "meters": 1e9, "m": 1e9, "angstroms": 0.1,
}  # fmt: skip
_LAYOUT = {"samples", "lines", "bands", "header offset", "data type", "interleave", "byte order", "file type"}
_logger = logging.getLogger(__name__)


def fields(data: bytes) -> dict[str, str]:
    """The header's fields: names in lower case with single blanks, values without braces. Raises CubeError."""
    if len(data) > LARGEST:
        raise CubeError(f"a header of {len(data)} bytes is none; {LARGEST} are the most")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = iter(text.replace("\0", "").splitlines())
    if next(lines, "").strip().upper() != "ENVI":
        raise CubeError("an ENVI header's first line is ENVI, this one's is not")
    found: dict[str, str] = {}
    for line in lines:
        if line.lstrip().startswith(";") or "=" not in line:
            continue
        key, _, value = line.partition("=")
        key, value = " ".join(key.lower().split()), value.strip()
        if value.startswith("{"):
            parts = [value[1:]]
            while "}" not in parts[-1]:
                more = next(lines, None)
                if more is None:
                    raise CubeError(f"the brace of {key[:40]!r} is never closed")
                if not more.lstrip().startswith(";"):
                    parts.append(more)
            value = "\n".join([*parts[:-1], parts[-1].partition("}")[0]]).strip()
        found[key] = value
    return found


def layout(found: Mapping[str, str]) -> Layout:
    """How the samples lie. Raises CubeError naming the field that is missing or can't be."""
    kind = found.get("file type", "")
    if "meta" in kind.lower():
        raise CubeError(f"file type {kind[:40]!r} lists other files and has no samples of its own; open those")
    if found.get("file compression", "0") not in ("", "0"):
        raise CubeError("its samples are compressed (file compression = 1); unpack them with gunzip and write file compression = 0")
    for name in ("major frame offsets", "minor frame offsets"):
        if any(v.strip() not in ("", "0") for v in found.get(name, "").split(",")):
            raise CubeError(f"'{name}' other than 0 are not read; save the cube again without them")
    samples, lines = (_whole(found, name, 1, _SIDE) for name in ("samples", "lines"))
    bands = _whole(found, "bands", 1, _BANDS)
    offset = _whole(found, "header offset", 0, 1 << 62, 0)
    number = _whole(found, "data type", 0, 99)
    if number not in TYPES:
        raise CubeError(f"data type = {number} is none; there is {', '.join(map(str, TYPES))}")
    interleave = found.get("interleave", "").lower()
    if interleave not in ORDERS:
        raise CubeError(f"interleave = {repr(interleave[:40])[1:-1] or 'nothing'}: expected bsq, bil or bip")
    dtype = np.dtype(TYPES[number])
    # a single byte has no order, and some headers leave it out; little-endian is ENVI's default
    big = _whole(found, "byte order", 0, 1, 0)
    return Layout((lines, samples, bands), dtype.newbyteorder(">" if big else "<"), ORDERS[interleave], offset)


def info(found: Mapping[str, str], lay: Layout) -> CubeInfo:
    """What the samples mean. A field that can't be what it says is left as text in `metadata`, with a warning logged."""
    # kept, so that the cube can be written again as it was
    rest = {k: v for k, v in found.items() if k not in _LAYOUT} | {"interleave": found["interleave"].lower()}
    known: dict[str, Any] = {}

    def take(name: str, key: str, convert: Any) -> None:
        if (text := rest.get(key)) is None:
            return
        try:
            value = convert(text)
            if name in PER_BAND and len(value) != lay.shape[2]:
                raise ValueError(f"{len(value)} values for {lay.shape[2]} bands")
        except (ValueError, OverflowError) as e:
            _logger.warning("'%s' of an ENVI header is left out: %s", key, str(e)[:100])
            return
        known[name] = value
        del rest[key]

    unit = rest.get("wavelength units", "").strip().lower()
    scale = NANOMETRES.get(unit)
    if scale is None and unit in ("", "unknown"):
        scale = _guessed(rest.get("wavelength", ""))
    if scale is not None:
        take("wavelengths", "wavelength", lambda text: _scaled(text, scale))
        take("fwhm", "fwhm", lambda text: _scaled(text, scale))
        if "wavelengths" in known:
            rest.pop("wavelength units", None)
    take("band_names", "band names", lambda text: tuple(name.strip() for name in text.split(",")))
    take("nodata", "data ignore value", as_nodata)
    take("gain", "data gain values", _floats)
    take("offset", "data offset values", _floats)
    if "gain" not in known and (factor := rest.get("reflectance scale factor")):
        # stays in `metadata`, too, and is written back in those words
        try:
            known["gain"] = finite((1 / float(factor),)) * lay.shape[2]
        except (ValueError, ZeroDivisionError):
            _logger.warning("'reflectance scale factor' of an ENVI header is left out: %s", factor[:100])
    if "map info" in rest:
        try:
            known["georeference"] = place(rest["map info"], rest.get("coordinate system string", ""))
        except (ValueError, OverflowError) as e:
            _logger.warning("'map info' of an ENVI header gives no georeference: %s", str(e)[:100])
    return CubeInfo(lay.shape, lay.dtype, **known, metadata=rest)


def place(map_info: str, crs: str) -> Georeference:
    """The georeference of `map info`. Raises ValueError where it has none: arbitrary systems, pixels of no size."""
    parts = [p.strip() for p in map_info.split(",")]
    if len(parts) < 7:
        raise ValueError("expected a projection and six numbers")
    column, row, x, y, dx, dy = finite(parts[1:7])
    if not dx or not dy:
        raise ValueError("pixels of no size")
    turn = 0.0
    for part in parts[7:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "rotation":
            (turn,) = finite((math.radians(float(value)),))
    cos, sin = math.cos(turn), math.sin(turn)
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


def text(about: CubeInfo, interleave: str) -> str:
    """The header of a cube in this machine's byte order. Raises CubeError for a type that ENVI has not."""
    number = next((n for n, code in TYPES.items() if np.dtype(code) == about.dtype), None)
    if number is None:
        raise CubeError(f"ENVI has no samples of type {about.dtype}; write another format, such as .npy")
    height, width, bands = about.shape
    found = {
        "samples": width, "lines": height, "bands": bands, "header offset": 0, "file type": "ENVI Standard", "data type": number,
        "interleave": interleave, "byte order": int(sys.byteorder == "big"),
    }  # fmt: skip
    rest = {k: v for k, v in about.metadata.items() if _writable(k, v)}
    lines = ["ENVI", *(f"{k} = {v}" for k, v in found.items())]
    if about.wavelengths or about.fwhm:
        lines.append("wavelength units = Nanometers")
        rest.pop("wavelength units", None)
    for key, values in (("wavelength", about.wavelengths), ("fwhm", about.fwhm), ("data offset values", about.offset)):
        lines += _list(key, values)
    if not (about.gain and "reflectance scale factor" in rest):
        lines += _list("data gain values", about.gain)
    if about.band_names:
        lines += _list("band names", [re.sub(r"[,{}\s]+", " ", name).strip() for name in about.band_names])
    if about.nodata is not None:
        lines.append(f"data ignore value = {about.nodata!r}")
    if about.georeference and not _same_place(rest, about.georeference):
        lines += _placed(about.georeference)
        for key in ("map info", "projection info", "coordinate system string"):
            rest.pop(key, None)
    for key, value in rest.items():
        braces = "," in value or "\n" in value or not value or key in ("description", "coordinate system string")
        lines.append(f"{key} = {{{value}}}" if braces else f"{key} = {value}")
    return "\n".join(lines) + "\n"


def _writable(key: str, value: str) -> bool:
    plain = key == " ".join(key.lower().split()) and key not in _LAYOUT and key.isprintable() and not re.search(r"[=;{}]", key)
    return plain and bool(key) and "}" not in value and not value.startswith("{")


def _list(key: str, values: Sequence[Any] | None) -> list[str]:
    return [] if values is None else [f"{key} = {{{', '.join(v if isinstance(v, str) else repr(float(v)) for v in values)}}}"]


def _same_place(rest: Mapping[str, str], where: Georeference) -> bool:
    """Whether the fields that came with a cube still say where it lies: they say it better than `_placed` can."""
    try:
        return place(rest.get("map info", ""), rest.get("coordinate system string", "")) == where
    except (ValueError, OverflowError):
        return False


def _placed(where: Georeference) -> list[str]:
    a, b, left, d, e, top = where.transform
    dx, dy, turn = math.hypot(a, d), math.hypot(b, e), math.degrees(math.atan2(d, a))
    wide = math.isclose(a * b + d * e, 0.0, abs_tol=1e-9 * dx * dy) and a * e - b * d < 0
    if not wide:
        # sheared or mirrored: map info can't say that
        return []
    system, zone = "Arbitrary", ""
    if match := re.fullmatch(r"EPSG:32([67])(\d\d)", where.crs):
        system, zone = "UTM", f", {int(match[2])}, {'North' if match[1] == '6' else 'South'}, WGS-84, units=Meters"
    elif where.crs == "EPSG:4326":
        system, zone = "Geographic Lat/Lon", ", WGS-84, units=Degrees"
    rotation = f", rotation={turn!r}" if turn else ""
    lines = [f"map info = {{{system}, 1.0, 1.0, {left!r}, {top!r}, {dx!r}, {dy!r}{zone}{rotation}}}"]
    if where.crs and not zone:
        lines.append(f"coordinate system string = {{{where.crs}}}")
    return lines


def _floats(values: str) -> tuple[float, ...]:
    return finite(values.replace("\n", " ").strip(", ").split(","))


def _scaled(values: str, scale: float) -> tuple[float, ...]:
    return finite([v * scale for v in _floats(values)])


def _guessed(values: str) -> float:
    """Nanometres in the unit of wavelengths that have none: no sensor sees below 100 nm, nor beyond 100 micrometres."""
    try:
        return 1.0 if max(_floats(values)) >= 100 else 1000.0
    except ValueError:
        return 1.0


def _whole(found: Mapping[str, str], name: str, low: int, high: int, default: int | None = None) -> int:
    value = found.get(name, "")
    if not value and default is not None:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", value) or not low <= int(value) <= high:
        raise CubeError(f"{name} = {repr(value[:40])[1:-1] or 'nothing'}: expected a whole number from {low} to {high}")
    return int(value)
