"""`.efz` files with valid checksums that ask for more memory than their samples, and what decodes a file in tests/support/memory.py."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import sscnet
from edgefuse.hyperspectral.crc32c import crc32c

# what the codecs load when they are first used is no file's doing
import edgefuse.hyperspectral.codec.spectral_edge  # noqa: F401  # isort: skip


def container(header: dict[str, Any] | bytes, *payloads: bytes, version: int = 2) -> bytes:
    """A file with this header (its JSON, or that text) and tiles, whose checksums are right."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    start = struct.pack("<4sBI", efz.MAGIC, version, len(text)) + text
    data = start + struct.pack("<I", crc32c(start))
    for number, payload in enumerate(payloads):
        named = struct.pack("<II", number, len(payload))
        data += b"TILE" + named + struct.pack("<I", crc32c(payload, crc32c(named))) + payload
    return data


def head(
    shape: tuple[int, int, int], tile: tuple[int, int], dtype: str = "uint16", model: str = "spectral-edge", **settings: Any
) -> dict[str, Any]:
    """Fields of a header."""
    return {"shape": shape, "dtype": dtype, "tile": tile, "model": model, "settings": settings}


def lossy(levels: int, count: int, rest: bytes = b"", flags: int = 0) -> bytes:
    """A lossy tile of `count` vectors whose numbers decode to something."""
    basis = struct.pack("<dBHI", 1.0, 10, count, len(rest)) + bytes([flags]) * (count + 1) + rest
    return struct.pack("<BII", levels, 65536, len(basis)) + basis + rest


def _plain(payload: bytes, mask: bytes = b"", kind: int = 1) -> bytes:
    return struct.pack("<BI", kind, len(mask)) + mask + payload


def _noise(size: int) -> bytes:
    return bytes(i * 197 + (i >> 3) * 31 & 255 for i in range(min(size, 4096))) * -(-size // 4096)


def _near(shape: tuple[int, int, int], count: int) -> bytes:
    base = lossy(0, count, _noise(4096))
    return container(head(shape, shape[:2], bound=0), _plain(struct.pack("<II", len(base), 64) + base + _noise(1 << 16), kind=2))


def predicted(kinds: bytes, taps: int, data: bytes, grids: bytes = b"", corrections: bytes = b"", section: bytes = b"") -> bytes:
    """A predicted tile of bands of these kinds, whose plan decodes to something."""
    bands = len(kinds)
    parts = section, kinds, grids, corrections
    plan = struct.pack("<B5BB3I", 0, taps, 0, 0, 0, 0, 0, 2 * bands, 4 * bands, 64) + bytes(6 * bands) + _noise(64)
    return struct.pack("<BI4I", 5, 0, *map(len, parts)) + b"".join(parts) + plan + data


def _words(shape: tuple[int, int, int], dtype: str, payload: bytes) -> bytes:
    return container(head(shape, shape[:2], dtype), payload, version=4)


def _area(size: int) -> bytes:
    mask = struct.pack("<HII", 1, 0, 0) + _noise(9999)
    return struct.pack("<BI", 1, len(mask)) + bytes(size) + mask


def _network(side: int) -> bytes:
    weights = sscnet.Network("sscnet-decoder").weights
    named = head((side, side, 1), (side, side), model="sscnet", peak=10000, weights=weights)
    return container(named, struct.pack("<BI", 1, 0))


def _values(piece: bytes, count: int) -> bytes:
    named = json.dumps(head((1, 1, 1), (1, 1))).encode()
    return container(named[:-1] + b',"about":{"x":[' + b",".join([piece] * count) + b"]}}", _plain(lossy(0, 0)))


BOMBS: dict[str, Callable[[], bytes]] = {
    "a basis of a vector a band, for one pixel": lambda: container(head((1, 1, 65536), (1, 1)), _plain(lossy(0, 65535))),
    "a basis of 4096 vectors for one pixel": lambda: container(head((1, 1, 65536), (1, 1)), _plain(lossy(0, 4096, _noise(8192)))),
    "a large basis": lambda: container(head((2048, 1, 2048), (2048, 1)), _plain(lossy(0, 2048, _noise(65536), 128))),
    "more bands than any sensor": lambda: container(head((1, 1, 1 << 24), (1, 1), bound=0), _plain(lossy(0, 0))),
    "a plane that is mostly padding": lambda: container(head((1, 1 << 22, 1), (1, 1 << 22)), _plain(lossy(5, 1, _noise(64)))),
    "a plane of one row": lambda: container(head((1, 1 << 20, 1), (1, 1 << 20), "float64"), _plain(lossy(0, 1, _noise(1 << 20)))),
    "more levels than the plane has samples for": lambda: container(head((1, 1 << 20, 1), (1, 1 << 20)), _plain(lossy(5, 1, _noise(64)))),
    "a strip of many bands": lambda: container(head((64, 8, 8192), (64, 8)), _plain(lossy(0, 2, _noise(4096)))),
    "a near-lossless tile": lambda: _near((1024, 1024, 4), 4),
    "a near-lossless tile of one pixel": lambda: _near((1, 1, 65536), 1),
    "a near-lossless tile of many bands": lambda: _near((4, 1024, 1024), 1000),
    "a predicted tile": lambda: _words((4096, 4096, 1), "float64", predicted(b"\0", 0, _noise((1 << 24) * 7))),
    "a predicted row": lambda: _words((1, 1 << 20, 1), "float32", predicted(b"\0", 1, _noise(1 << 20))),
    "a predicted tile of many bands": lambda: _words((16, 16, 65536), "float64", predicted(bytes(65536), 32, _noise(1 << 20))),
    "a predicted pixel of many bands": lambda: _words((1, 1, 65536), "float32", predicted(bytes(65536), 32, _noise(1 << 16))),
    "a predicted tile with corrections": lambda: _words(
        (2048, 2048, 1), "float32", predicted(b"\6", 0, _noise(1 << 23), struct.pack("<2d", 0, 1), _noise(4096))
    ),
    "corrections of many bands": lambda: _words(
        (8, 8, 65536), "float64", predicted(b"\6" * 65536, 1, _noise(1 << 20), struct.pack("<d", 1) * 131072, _noise(4096))
    ),
    "a predicted tile within a relative error": lambda: _words(
        (2048, 2048, 4), "float64", predicted(b"\5" * 4, 2, _noise(1 << 22), struct.pack("<8d", 0, 0, 0, 0, *[1e-9] * 4))
    ),
    "a predicted tile with an area": lambda: _words(
        (4096, 4096, 1), "float64", predicted(b"\0", 0, _noise((1 << 24) * 6), section=_area(8))
    ),
    "a mask": lambda: container(head((512, 512, 16), (512, 512), "float64"), _plain(lossy(0, 16, _noise(9999)), b"\0" + _noise(9999))),
    "a tile that is larger than the cube": lambda: container(head((1, 1, 1), (4096, 8192)), bytes(1 << 26)),
    "a network's tile of 4096 x 4096": lambda: _network(4096),
    "a network's tile of 1 x 16384": lambda: container(
        head((1, 16384, 1), (1, 16384), model="sscnet", peak=1, weights=sscnet.Network("sscnet-decoder").weights), struct.pack("<BI", 1, 0)
    ),
    "a header of empty objects": lambda: _values(b"{}", 2_000_000),
    "a header of nested lists": lambda: _values(b"[[[[]]]]", 900_000),
    "a header of numbers": lambda: _values(b"0.5", 780_000),
    "a header of strings": lambda: _values(b'"ab"', 130_000),
    "a header of one long string": lambda: _values(b'"' + b"x" * 8_000_000 + b'\\ud83d\\ude00"', 1),
    "a header of escapes": lambda: _values(b'"' + b"\\ud83d\\ude00" * 650_000 + b'"', 1),
    "a header of keys": lambda: _values(b"{" + b",".join(b'"%d":0' % i for i in range(130_000)) + b"}", 1),
    "many lost tiles": lambda: container(head((512, 512, 1), (1, 1), "uint8"), b""),
    "nothing but the beginnings of tiles": lambda: container(head((4096, 4096, 2), (4096, 4096))) + b"TILE" * 3_000_000,
    "tiles that all claim the rest of the file": lambda: (
        container(head((2048, 2048, 1), (2048, 2048))) + (b"TILE" + struct.pack("<III", 0, 1 << 24, 7)) * 1_000_000
    ),
}


def declared(data: bytes) -> int:
    """The samples that a file's header declares."""
    return math.prod(json.loads(data[9 : 9 + struct.unpack_from("<I", data, 5)[0]])["shape"])


def decode(path: str) -> str:
    """Decode a file tile by tile, as every command does, and say how many tiles came out."""
    from edgefuse.hyperspectral.compressed_reader import Compressed

    with Compressed(Path(path)) as compressed:
        came = sum(1 for _ in compressed.tiles())
        return f"{came} tiles, {len(compressed.lost)} lost"
