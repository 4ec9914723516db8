"""Malformed ENVI headers, mutated from valid ones, for the tests and in large numbers (200,000) for benchmarks/fuzz.py."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from edgefuse.errors import CubeError
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


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` mutated headers with one to eight changes each; the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        found = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            at, how = rng.randrange(len(found) + 1), rng.randrange(7)
            end = min(len(found), at + rng.randint(1, 60))
            if how == 0 and at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            elif how == 1:
                del found[at:end]
            elif how == 2:
                found[at:at] = rng.choice(_SPLICES)
            elif how == 3:
                found[at:end] = rng.choice(_SPLICES)
            elif how == 4:
                found[at:at] = found[at:end] * rng.randint(1, 20)
            elif how == 5:
                lines = found.split(b"\n")
                rng.shuffle(lines)
                found = bytearray(b"\n".join(lines))
            else:
                del found[at:]
        yield bytes(found)


def survive(headers: Iterable[bytes]) -> tuple[int, int]:
    """Parse each header and return (number accepted, number refused with CubeError). Other exceptions are passed on."""
    read = refused = 0
    for header in headers:
        try:
            found = envi_header.fields(header)
            layout = envi_header.layout(found)
            info = envi_header.info(found, layout)
            envi_header.text(info, "bsq")
            assert info.shape == layout.shape
            assert layout.end < 1 << 63
            read += 1
        except CubeError as e:
            said = str(e)
            assert len(said.splitlines()) == 1, said
            assert len(said) < 500, said
            refused += 1
    return read, refused
