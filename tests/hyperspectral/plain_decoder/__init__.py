"""A decoder of `.efz` files (model spectral-edge), written from docs/reference/efz.md and efz-coding.md.

It uses no code of EdgeFuse, only Python and NumPy. It is slow, and trusts its input.
"""

import json
import math
import struct

import numpy as np

from tests.hyperspectral.plain_decoder.apart import restore_section
from tests.hyperspectral.plain_decoder.fields import Fields
from tests.hyperspectral.plain_decoder.predicted import decode_predicted
from tests.hyperspectral.plain_decoder.transformed import decode_exact, decode_lossy, decode_within


def decode_tile(payload, shape, dtype, settings, version):
    f = Fields(payload)
    kind, size = f.take("BI")
    section, nodata = f.bytes(size), settings.get("nodata", math.nan if dtype.kind == "f" else 0)
    if kind == 1:
        out = decode_lossy(f, shape, dtype, version)
    elif kind in (2, 3):
        out = decode_within(f, shape, dtype, version, settings["bound"] if kind == 2 else 0)
    elif kind in (4, 5):
        out = decode_exact(f.bytes(), shape, dtype) if kind == 4 else decode_predicted(f, shape, dtype)
    else:
        out = np.zeros((shape[0] * shape[1], shape[2]), dtype)
    if section:
        restore_section(section, out, shape, nodata, version)
    return out.reshape(shape)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def read_tiles(data):
    """Return the header, the version, and the payload of each tile."""
    f = Fields(data)
    magic, version, size = f.take("4sBI")
    header, tiles = json.loads(f.bytes(size)), {}
    assert magic == b"EFZ\x1a"
    assert 1 <= version <= 4
    assert crc32c(data[: f.at]) == f.take("I"), "the header is damaged"
    while f.take("4s") == b"TILE":
        head, check = f.bytes(8), f.take("I")
        number, size = struct.unpack("<II", head)
        tiles[number] = f.bytes(size)
        assert crc32c(head + tiles[number]) == check, f"tile {number} is damaged"
    return header, version, tiles


def decode(data):
    """Decode the bytes of an `.efz` file to an array (rows, columns, bands)."""
    header, version, tiles = read_tiles(data)
    cube = np.zeros(header["shape"], header["dtype"])
    across = -(-cube.shape[1] // header["tile"][1])
    for number, payload in tiles.items():
        y, x = (n * side for n, side in zip(divmod(number, across), header["tile"], strict=True))
        part = cube[y : y + header["tile"][0], x : x + header["tile"][1]]
        part[:] = decode_tile(payload, part.shape, cube.dtype, header.get("settings", {}), version)
    return cube
