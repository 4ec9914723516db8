"""Malformed ENVI headers, made or mutated from valid ones, for the tests and in large numbers (10 million) for benchmarks/fuzz."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import envi_header

HEADER = b"""ENVI
description = {
  A cube, by somebody }
; comment
samples = 30
lines   = 40
bands   = 5
header offset = 0
file type = ENVI Standard
data type = 12
interleave = bsq
sensor type = Unknown
byte order = 0
map info = {UTM, 1.000, 1.000, 500000.000, 5000000.000, 30.0, 30.0, 33, North, WGS-84, units=Meters, rotation=12.5}
coordinate system string = {PROJCS["WGS_1984_UTM_Zone_33N",GEOGCS["GCS_WGS_1984"]]}
wavelength units = Nanometers
wavelength = {400.0, 500.0, 600.0, 700.0, 800.0}
fwhm = {10, 10, 10, 10, 10}
band names = {one, two, three, four, five}
data ignore value = -9999
data gain values = {0.0001, 0.0001, 0.0001, 0.0001, 0.0001}
data offset values = {0, 0, 0, 0, 0}
reflectance scale factor = 10000
bbl = {1, 1, 1, 0, 1}
"""
_SPLICES = (
    b"{", b"}", b"=", b";", b"\n", b"\r\n", b"\0", b",", b"nan", b"inf", b"-1", b"1e309", b"9" * 5000, b"0x10", b"\xff\xfe", b"\xc3",
    "\N{ARABIC-INDIC DIGIT SEVEN}".encode(), b"2147483648", b"samples = ", b"rotation=1e308", b"ENVI", b"{" * 50, b" " * 100, b"+_1_0",
)  # fmt: skip
_FIELDS = [line.partition(b" = ")[::2] for line in HEADER.replace(b"{\n ", b"{").split(b"\n")[1:] if b" = " in line]
_NUMBERS = (
    b"0", b"1", b"-1", b"2", b"3", b"14", b"99", b"255", b"65535", b"65536", b"2147483647", b"2147483648", b"4294967291", b"4294967296",
    b"4611686018427387904", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"1" + b"0" * 30, b"+7", b"007",
    b"7.0", b"1e9", b"1e308", b"-1e-320", b"nan", b"-inf", b"0x7", b"7_0", b"", b" ", b"{7}", b"{7, 7}", b"seven",
)  # fmt: skip
_TEXTS = (
    b"", b"{}", b"{ }", b"{,}", b"{,,,,}", b"{a", b"a}", b"{{a}", b"{a}}", b"{{a}, {b}}", b"{1, 2, 3, 4, nan}", b"{1, 2, 3, 4, 1e309}",
    b"{0, 0, 0, 0, 0}", b"{1, 2, 3, 4}", b"\x1b[2J", b"{\n;\n}", b"{a\nsamples = 3}", b"\xff\xfe", b"{Arbitrary, 1, 1, 0, 0, 1, 1}",
    b"{UTM, 1, 1, 1e308, 1e308, 1e-308, 1e308, 99, S}", b"{UTM, 1, 1, 0, 0, 30, 30, -1, North, WGS-84, rotation=1e308}",
    b"{Geographic Lat/Lon, nan, 1, 0, 0, 0, 0, WGS-84}", b"bsq", b"BIL", b"bip", b"bsq bil", b"ENVI Classification", b"ENVI Meta File",
    b"Micrometers", b"Wavenumber", b"Unknown",
)  # fmt: skip
_LONG = b"{" + b"7, " * 70000 + b"7}"


_REQUIRED = [(name, value) for name, value in _FIELDS if name.strip() in (b"samples", b"lines", b"bands", b"data type", b"interleave")]
_OPTIONAL = [field for field in _FIELDS if field not in _REQUIRED]


def hostile_header(rng: random.Random) -> bytes:
    """Return a header with the required fields and some others, of which one to four have extreme values, are there twice, or are gone.

    One in ten is changed as bytes, too.
    """
    fields = _REQUIRED + rng.sample(_OPTIONAL, rng.randrange(7))
    for _ in range(rng.randrange(1, 5)):
        # most headers are refused for one of the required fields
        at, how = rng.randrange(len(_REQUIRED) if rng.random() < 0.8 and len(fields) > len(_REQUIRED) else 0, len(fields)), rng.random()
        value = rng.choice(_NUMBERS) if rng.random() < 0.5 else rng.choice(_TEXTS) if rng.random() < 0.9998 else _LONG
        if how < 0.75:
            fields[at] = fields[at][0], value
        elif how < 0.85:
            fields.append((fields[at][0].upper() if how < 0.8 else fields[at][0], value))
        elif how < 0.9 and len(fields) > 1:
            del fields[at]
        else:
            fields[at] = rng.choice(_SPLICES), value
    end = b"\r\n" if rng.random() < 0.05 else b"\n"
    data = b"ENVI" + end + end.join([name + b" = " + value for name, value in fields]) + end
    return next(mutations(data, 1, rng.getrandbits(32))) if rng.random() < 0.1 else data


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` mutated headers with one to eight changes each; the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            at, how = rng.randrange(len(mutant) + 1), rng.randrange(7)
            end = min(len(mutant), at + rng.randint(1, 60))
            if how == 0 and at < len(mutant):
                mutant[at] ^= 1 << rng.randrange(8)
            elif how == 1:
                del mutant[at:end]
            elif how == 2:
                mutant[at:at] = rng.choice(_SPLICES)
            elif how == 3:
                mutant[at:end] = rng.choice(_SPLICES)
            elif how == 4:
                mutant[at:at] = mutant[at:end] * rng.randint(1, 20)
            elif how == 5:
                lines = mutant.split(b"\n")
                rng.shuffle(lines)
                mutant = bytearray(b"\n".join(lines))
            else:
                del mutant[at:]
        yield bytes(mutant)


def survive(headers: Iterable[bytes]) -> tuple[int, int]:
    """Parse each header and return (number accepted, number refused with CubeError). Other exceptions are passed on."""
    read = refused = 0
    for header in headers:
        try:
            check_header(header)
            read += 1
        except CubeError:
            refused += 1
    return read, refused


def check_header(header: bytes) -> None:
    """Parse a header, write what it means, and parse that: it must mean the same. Raises CubeError, with a short message of one line."""
    try:
        mutant = envi_header.fields(header)
        layout = envi_header.layout(mutant)
        info = envi_header.info(mutant, layout)
        envi_header.unkept(header, mutant)
    except CubeError as e:
        said = str(e)
        assert len(said.splitlines()) == 1, said
        assert len(said) < 500, said
        raise
    assert info.shape == layout.shape
    assert layout.end < 1 << 63
    interleave = info.metadata["interleave"]
    written = envi_header.text(info, interleave).encode()
    fields = envi_header.fields(written)
    again = envi_header.layout(fields)
    assert (again.shape, again.dtype.newbyteorder("="), again.order, again.offset) == (layout.shape, info.dtype, layout.order, 0)
    same_meaning(info, envi_header.info(fields, again))


def same_meaning(a: CubeInfo, b: CubeInfo) -> None:
    """Check that metadata `b`, read from a header that was written from `a`, means the same."""
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert (a.wavelengths, a.fwhm, a.gain, a.offset) == (b.wavelengths, b.fwhm, b.gain, b.offset)
    assert a.nodata == b.nodata or (a.nodata != a.nodata and b.nodata != b.nodata), (a.nodata, b.nodata)
    # a comma or a brace would end a name
    names = None if a.band_names is None else tuple(re.sub(r"[,{}\s]+", " ", name).strip() for name in a.band_names)
    assert names == b.band_names, (names, b.band_names)
    if a.georeference is None or b.georeference is None:
        assert a.georeference is b.georeference
    else:
        pairs = zip(a.georeference.transform, b.georeference.transform, strict=True)
        largest = max(map(abs, a.georeference.transform))
        assert all(math.isclose(v, w, rel_tol=1e-9, abs_tol=1e-12 * largest) for v, w in pairs), (a.georeference, b.georeference)
    for key, value in a.metadata.items():
        if key not in ("map info", "coordinate system string", "wavelength units"):
            kept = b.metadata.get(key)
            # a field of such a name can't be written; braces that don't match are written as parentheses
            assert (kept is None and re.search("[{};=]", key)) or _words(kept or "") == _words(value), (key, value, kept)


def _words(text: str) -> list[str]:
    return text.translate(str.maketrans("{}", "()")).split()
