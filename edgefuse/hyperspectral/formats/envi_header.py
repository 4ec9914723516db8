"""Parser and writer of ENVI headers, which describe sample layout and metadata as text. Headers are untrusted input.

Format specification (NV5): https://www.nv5geospatialsoftware.com/docs/ENVIHeaderFiles.html
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import PER_BAND, CubeInfo, as_nodata
from edgefuse.hyperspectral.formats import envi_map_info
from edgefuse.hyperspectral.formats.flat import BIL, BIP, BSQ, Layout
from edgefuse.hyperspectral.wavelengths import converted, is_unknown, scale_of
from edgefuse.util.finite import finite
from edgefuse.util.printable import plain

# these limits keep the parsing of a header within 64 MB; 65535 bands with five values of 10 characters each take 3.3 MB
LARGEST = 1 << 22  # maximum bytes of a header
_MAX_SIGNS = {"\n": 1 << 19, "\r": 1 << 19, ",": 3 << 17, "=": 1 << 15}
_MAX_NAME = 200  # characters of a field's name
_MAX_SIDE = 1 << 31
_MAX_BANDS = 65535  # maximum: metadata of each band is held in memory
TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
ORDERS = {"bsq": BSQ, "bil": BIL, "bip": BIP}
_LAYOUT = {"samples", "lines", "bands", "header offset", "data type", "interleave", "byte order", "file type"}
CLASSIFICATION = "ENVI Classification"
_logger = logging.getLogger(__name__)


def fields(data: bytes) -> dict[str, str]:
    """Parse a header to fields: names in lower case with single blanks, values without braces. Raises CubeError."""
    return _parsed(data).fields


class _Parsed(NamedTuple):
    fields: dict[str, str]
    repeated: set[str]
    """Names of fields that are there more than once."""
    unclosed: str = ""
    """Name of the field whose brace is never closed."""
    nameless: tuple[str, ...] = ()
    """Lines that are no fields: without "=", or without a name before it."""


def _parsed(data: bytes) -> _Parsed:
    if len(data) > LARGEST:
        raise CubeError(f"the header has {len(data)} bytes; the maximum is {LARGEST}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    for sign, most in _MAX_SIGNS.items():
        if text.count(sign) > most:
            raise CubeError(f"the header has more than {most} times {sign!r}")
    # not splitlines, which also splits at characters that a value may contain
    first, *lines = re.split("\r\n|\r|\n", text.replace("\0", ""))
    if first.strip().upper() != "ENVI":
        raise CubeError("not an ENVI header: its first line must be ENVI")
    # a description may hold braces; where they do not match, a value ends at its first closing brace
    parsed = _fields(lines, nested=True)
    if parsed.unclosed:
        parsed = _fields(lines, nested=False)
    if parsed.unclosed:
        raise CubeError(f"the brace of {parsed.unclosed[:40]!r} is never closed")
    return parsed


def _fields(text: list[str], nested: bool) -> _Parsed:
    """Parse the lines after the first. nested: braces within braces belong to the value."""
    lines = iter(text)
    parsed = _Parsed({}, set())
    nameless: list[str] = []
    for line in lines:
        if line.lstrip().startswith(";"):
            continue
        key, _, value = line.partition("=")
        key, value = " ".join(plain(key[: _MAX_NAME + 1]).lower().split()), value.strip()
        if not key or len(key) > _MAX_NAME or "=" not in line:
            nameless += [line] if line.strip() else []
            continue
        if value.startswith("{"):
            parts: list[str] = []
            continuation: str | None = value
            opened = 0
            while continuation is not None:
                end = None
                if not parts or not continuation.lstrip().startswith(";"):
                    end, opened = _closing(continuation, opened, nested)
                    parts.append(continuation[:end])
                if end is not None:
                    break
                continuation = next(lines, None)
            if continuation is None:
                return parsed._replace(unclosed=key)
            value = "\n".join(parts)[1:]
        # so that it is read as it will be written
        value = plain(value, keep_lines=True).strip()
        if key in parsed.fields:
            if key in _LAYOUT and parsed.fields[key].lower() != value.lower():
                raise CubeError(f"{key} is there twice, as {parsed.fields[key][:40]!r} and {value[:40]!r}")
            parsed.repeated.add(key)
        parsed.fields[key] = value
    return parsed._replace(nameless=tuple(nameless))


def _closing(line: str, opened: int, nested: bool) -> tuple[int | None, int]:
    """Return where the brace that opened the value is closed in a line, or None, and how many braces are open at its end."""
    if not nested:
        return (line.index("}") if "}" in line else None), 0
    for match in re.finditer("[{}]", line):
        opened += 1 if match[0] == "{" else -1
        if not opened:
            return match.start(), 0
    return None, opened


def unkept(data: bytes, header: Mapping[str, str]) -> tuple[str, ...]:
    """Return the contents of a header or a sample file that are neither fields nor samples, as texts."""
    lost = ["comments in its header"] if re.search(rb"(?:^|[\r\n])[ \t\f\v]*;", data) else []
    parsed = _parsed(data)
    if twice := sorted(parsed.repeated):
        lost.append(f"fields that its header has more than once: {', '.join(twice[:8])}")
    if parsed.nameless:
        lost.append(f"{len(parsed.nameless)} lines of its header that are no fields")
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

    scale = _unit(remaining, lay.shape[2])
    if scale is not None:
        take("wavelengths", "wavelength", lambda text: tuple(v * scale for v in _floats(text)))
        if "wavelength" not in remaining:
            take("fwhm", "fwhm", lambda text: tuple(v * scale for v in _floats(text)))
        elif "fwhm" in remaining:
            # their unit is that of the text, and could be written only once
            _logger.warning("ignoring 'fwhm' of an ENVI header beside wavelengths that are ignored")
        if "wavelengths" in known:
            remaining.pop("wavelength units", None)
    take("band_names", "band names", lambda text: tuple(name.strip() for name in text.split(",")))
    take("nodata", "data ignore value", as_nodata)
    take("gain", "data gain values", _floats)
    take("offset", "data offset values", _floats)
    if "gain" not in known and (factor := remaining.get("reflectance scale factor")):
        # also stays in `metadata`, from which it is written back
        if (gain := _inverse(factor)) is not None:
            known["gain"] = (gain,) * lay.shape[2]
        else:
            _logger.warning("ignoring 'reflectance scale factor' of an ENVI header: %s", factor[:100])
    if "map info" in remaining:
        try:
            known["georeference"] = envi_map_info.place(remaining["map info"], remaining.get("coordinate system string", ""))
        except (ValueError, OverflowError) as e:
            _logger.warning("'map info' of an ENVI header gives no georeference: %s", str(e)[:100])
    return CubeInfo(lay.shape, lay.dtype, **known, metadata=remaining)


def _inverse(factor: str) -> float | None:
    """Return the gain of a `reflectance scale factor`; None if it is not a number that has one."""
    try:
        return finite((1 / float(factor),))[0]
    except (ValueError, ZeroDivisionError):
        return None


def _unit(header: Mapping[str, str], bands: int) -> float | None:
    """Return the unit of wavelengths in nanometres, and log assumptions and unusual values; None for a unit that is not a length."""
    unit = header.get("wavelength units", "")
    try:
        waves = converted(_floats(header["wavelength"]), unit)
    except (KeyError, ValueError):
        return 1.0 if is_unknown(unit) else scale_of(unit)
    if waves is None:
        _logger.warning("wavelengths in '%s' are kept as text; nanometres and micrometres are read", unit[:40])
        return None
    for doubt in waves.doubts if len(waves.values) == bands else ():
        _logger.warning("%s", doubt)
    return waves.scale


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
    extra = {k: _closed(v) for k, v in cube.metadata.items() if _writable(k)}
    lines = ["ENVI", *(f"{k} = {v}" for k, v in required.items())]
    if cube.wavelengths or cube.fwhm:
        lines.append("wavelength units = Nanometers")
        extra.pop("wavelength units", None)
    for key, values in (("wavelength", cube.wavelengths), ("fwhm", cube.fwhm), ("data offset values", cube.offset)):
        lines += _list(key, values)
    if cube.gain and set(cube.gain) != {_inverse(extra.get("reflectance scale factor", ""))}:
        lines += _list("data gain values", cube.gain)
    if cube.band_names:
        lines += _list("band names", [re.sub(r"[,{}\s]+", " ", name).strip() for name in cube.band_names])
    if cube.nodata is not None:
        lines.append(f"data ignore value = {cube.nodata!r}")
    if cube.georeference and not envi_map_info.matches(cube.metadata, cube.georeference):
        lines += envi_map_info.lines(cube.georeference)
        for key in envi_map_info.KEYS:
            extra.pop(key, None)
    for key, value in extra.items():
        if "{" in value:
            # most readers end a value at the first closing brace, and take a line after it for a field
            value = " ".join(value.split("\n"))
        braces = re.search("[,{\n]", value) or not value or key in ("description", "coordinate system string")
        lines.append(f"{key} = {{{value}}}" if braces else f"{key} = {value}")
    return "\n".join(lines) + "\n"


def _writable(key: str) -> bool:
    plain = key == " ".join(key.lower().split()) and key not in _LAYOUT and key.isprintable() and not re.search(r"[=;{}]", key)
    return plain and 0 < len(key) <= _MAX_NAME


def _closed(value: str) -> str:
    """Return a field's value; in one line, and with parentheses for braces, where braces would not end it where it ends."""
    return value if _balanced(value) and not value.startswith("{") else value.translate(str.maketrans("{}\n", "() "))


def _balanced(value: str) -> bool:
    opened = 0
    for brace in re.findall("[{}]", value):
        opened += 1 if brace == "{" else -1
        if opened < 0:
            return False
    return not opened


def _list(key: str, values: Sequence[Any] | None) -> list[str]:
    return [] if values is None else [f"{key} = {{{', '.join(v if isinstance(v, str) else repr(float(v)) for v in values)}}}"]


def _floats(values: str) -> tuple[float, ...]:
    return finite(values.replace("\n", " ").strip(", ").split(","))


def _integer(header: Mapping[str, str], name: str, low: int, high: int, default: int | None = None) -> int:
    value = header.get(name, "")
    if not value and default is not None:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", value) or not low <= int(value) <= high:
        raise CubeError(f"{name} = {repr(value[:40])[1:-1] or 'nothing'}: expected an integer from {low} to {high}")
    return int(value)
