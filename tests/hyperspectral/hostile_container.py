"""Containers of .efz with extreme fields and correct checksums, from a seed, in large numbers (10 million) for benchmarks/fuzz."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
from typing import Any

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.crc32c import crc32c
from tests.hyperspectral.mutate import mutations

_VALUES: tuple[Any, ...] = (
    -1, 0, 1, 7, 13, 255, 4096, 65536, 65537, 1 << 24, (1 << 24) + 1, 1 << 31, 1 << 63, 10**30, 1e300,
    0.5, None, True, "7", "x" * 300, [], {},
    [1, 2, 3],
)  # fmt: skip
_SIZES = (0, 1, 15, 16, 17, 255, 1 << 16, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


def _header(rng: random.Random) -> tuple[bytes, bool]:
    """Return a header, and whether it is one that must be accepted."""
    fields: dict[str, Any] = {"shape": [rng.randrange(1, 40), rng.randrange(1, 40), rng.randrange(1, 9)], "dtype": rng.choice(efz.DTYPES)}
    fields |= {"tile": [rng.randrange(1, 40), rng.randrange(1, 40)], "model": "spectral-edge", "settings": {"bound": 0}}
    sound = rng.random() < 0.6
    if not sound:
        for _ in range(rng.randrange(1, 4)):
            key = rng.choice((*fields, "about"))
            values = fields.get(key)
            if isinstance(values, list) and values and rng.random() < 0.8:
                values[rng.randrange(len(values))] = copy.copy(rng.choice(_VALUES))
            elif rng.random() < 0.2:
                fields.pop(key, None)
            else:
                fields[key] = copy.deepcopy(rng.choice(_VALUES))
    text = json.dumps(fields, separators=(",", ":")).encode()
    if not sound and rng.random() < 0.15:
        text = next(mutations(text, 1, rng.getrandbits(32)))
    version = rng.randrange(1, efz.VERSION + 1) if sound else rng.choice((0, 1, 2, 3, 4, 5, 255))
    size = len(text) if sound or rng.random() < 0.9 else rng.choice(_SIZES)
    start = struct.pack("<4sBI", efz.MAGIC, version, size) + text
    return start + struct.pack("<I", crc32c(start)), sound


def _tile(rng: random.Random, number: int, payload: bytes) -> tuple[bytes, bool]:
    """Return a tile's record, and whether it is intact; one that is not has a wrong size or checksum."""
    named = struct.pack("<II", number, len(payload))
    check = crc32c(payload, crc32c(named))
    if rng.random() < 0.7:
        return b"TILE" + named + struct.pack("<I", check) + payload, True
    size = rng.choice((len(payload), rng.choice(_SIZES)))
    return b"TILE" + struct.pack("<III", number, size, check ^ (1 << rng.randrange(32))) + payload, False


def check_container(rng: random.Random) -> None:
    """Read a container: each intact tile is found, whatever lies between. Raises InputError for a header that is refused."""
    data, sound = _header(rng)
    body = bytearray(data)
    offsets: list[int] = []
    intact: list[tuple[int, bytes]] = []
    for number in range(rng.randrange(0, 5)):
        if rng.random() < 0.15:
            body += rng.choice(
                (b"TILE", b"TIL", b"TILETILE", b"INDX", b"\0" * 7, rng.randbytes(20), b"TILE" + b"\xff" * 12, b"TILE" + bytes(12))
            )
        payload = rng.randbytes(rng.choice((0, 1, 5, 40))) if rng.random() < 0.9 else b"TILE" + rng.randbytes(20)
        shown = number if rng.random() < 0.95 else rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF))
        offsets.append(len(body))
        record, whole = _tile(rng, shown, payload)
        body += record
        if whole:
            intact.append((shown, payload))
    indexed = rng.random() < 0.8
    start, index = len(body), struct.pack(f"<I{len(offsets)}Q", len(offsets), *offsets)
    if indexed:
        body += b"INDX" + index + struct.pack("<I", crc32c(index)) + struct.pack("<Q4s", start, b"EFZE")
    elif rng.random() < 0.5:
        body += (
            b"INDX"
            + index
            + struct.pack("<I", crc32c(index))
            + struct.pack("<Q4s", rng.choice((0, start - 1, start + 4, 1 << 63)), b"EFZE")
        )
    stream = io.BytesIO(body)
    try:
        reader = efz.Reader(stream)
    except InputError:
        assert not sound, data
        raise
    decoded_tiles = list(reader.tiles())
    count, limits = reader.header.count, reader.header.payload_limit
    wanted: dict[int, bytes] = {}
    for number, payload in intact:
        if number < count and len(payload) <= limits(number):
            wanted.setdefault(number, payload)
    assert len(dict(decoded_tiles)) == len(decoded_tiles), decoded_tiles
    # a tile's random bytes can hold a record, but not by chance one with its checksum
    assert dict(decoded_tiles) == wanted, (decoded_tiles, wanted)
    at = efz.offsets(stream)
    assert at == offsets if indexed else at is None or at == offsets, (at, offsets)
    for number, offset in enumerate(offsets if indexed else ()):
        if number < count:
            try:
                payload = efz.payload_at(stream, reader.header, number, offset)
            except InputError:
                continue
            assert (number, payload) in intact
