"""Malformed raw recordings (docs/reference/raw.md) from a seed, for the tests and in large numbers for benchmarks/fuzz."""

from __future__ import annotations

import json
import random
import resource
import struct
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import edgefuse
from edgefuse.errors import EdgeFuseError, FrameError
from edgefuse.sources.base import Source
from edgefuse.sources.rawfile import MAGIC, RawWriter
from edgefuse.sources.replay import ReplaySource
from edgefuse.util.uri import parse

_MAX_BYTES = 32 << 20  # growth of the process's peak memory allowed for such a file, whose frames claim a megabyte at most
_SIDES = (0, 1, 2, 3, 8, 48, 64, 181, 1024, 16384, 16385, -1, 2**31, 2**63, 10**30)
_VALUES: tuple[Any, ...] = (
    *_SIDES,
    1.0,
    True,
    None,
    "",
    "visible",
    "infrared",
    "a\0b",
    "../x",
    "\u202e",
    [],
    {},
    "gradient",
    "none",
    1e308,
)


def recording(rng: random.Random) -> bytes:
    """Return a file between valid and noise. Most checksums are correct, so that the parsing behind them is tested."""
    if rng.random() < 0.03:
        return rng.choice((b"", MAGIC)) + rng.randbytes(rng.choice((0, 7, 40, 4000)))
    chunks = list(_good())
    for _ in range(rng.randrange(5)):
        at = rng.randrange(len(chunks))
        kind, payload = chunks[at]
        what = rng.randrange(7)
        if what == 0:
            chunks[at] = (rng.choice((b"HEAD", b"FRAM", b"PAIR", b"TAIL", b"NOTE", b"\0\0\0\0")), payload)
        elif what == 1:
            chunks.insert(rng.randrange(len(chunks) + 1), chunks[at])
        elif what == 2 and len(chunks) > 1:
            del chunks[at]
        elif what == 3:
            chunks[at] = (kind, payload[: rng.randrange(len(payload) + 1)])
        elif what == 4:
            chunks[at] = (kind, _flipped(rng, payload))
        else:
            chunks[at] = (kind, _lying(rng, kind, payload))
    data = MAGIC + b"".join(_chunk(kind, payload) for kind, payload in chunks)
    if rng.random() < 0.2:
        data = _flipped(rng, data)
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data


def check(path: Path, loop: int) -> int:
    """Play the file through the fuser and return its number of pairs. Fails for other errors than EdgeFuseError, and for excessive
    memory."""
    fuser = _fuser()
    before = _peak_bytes()
    with ReplaySource.from_uri(parse(f"replay:{path}?loop={loop}")) as source:
        played = _play(source, fuser)
    grown = _peak_bytes() - before
    assert grown < _MAX_BYTES, f"{grown / 1e6:.0f} MB"
    return played


def _peak_bytes() -> int:
    """Return this process's peak memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _play(source: Source, fuser: Any) -> int:
    played = 0
    for _ in range(8):
        try:
            pair = source.read()
            if pair is None:
                break
            played += 1
            fuser.fuse(pair)
        except FrameError:
            continue
        except EdgeFuseError as e:
            raise AssertionError(f"a pair is to cost itself, not the run: {e}") from e
    return played


@cache
def _fuser() -> Any:
    return edgefuse.load("blend-classic")


@cache
def _good() -> tuple[tuple[bytes, bytes], ...]:
    """Return the chunks of four pairs, of which two share a frame."""
    with TemporaryDirectory() as folder, edgefuse.open_source("demo?size=64x64&frames=4&depth=16&scene=day") as source:
        path = Path(folder) / "a.efr"
        writer = RawWriter(path, {"fps": 9.0, "source": "demo"})
        for k in range(4):
            if pair := source.read():
                writer.write(pair, pack=bool(k % 2))
        writer.close()
        data, at, chunks = path.read_bytes(), len(MAGIC), []
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    return tuple(chunks)


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + kind + payload + struct.pack("<I", zlib.crc32(kind + payload))


def _lying(rng: random.Random, kind: bytes, payload: bytes) -> bytes:
    """Return the same chunks with another header."""
    start = 4 if kind == b"FRAM" else 0
    end = 4 + struct.unpack_from("<I", payload)[0] if start and len(payload) > 3 else len(payload)
    try:
        header = json.loads(payload[start:end])
    except (ValueError, RecursionError):
        return payload
    if not isinstance(header, dict) or not header:
        return payload
    for _ in range(rng.randrange(1, 4)):
        key = rng.choice([*header, "loop", "sequence", "missing", "fps"])
        law = {"sensor": "x", "scale": rng.choice(_VALUES), "offset": rng.choice(_VALUES), "state": rng.choice(("normal", "frozen", 1))}
        header[key] = law if key == "radiometry" else rng.choice(_SIDES[:9]) if key in ("width", "height") else rng.choice(_VALUES)
    text = b"[" * 60000 if rng.random() < 0.01 else json.dumps(header).encode()
    if not start:
        return text
    body = payload[end:]
    if rng.random() < 0.2:
        # more or less data than stated
        body = _zeros(rng.choice((10, 64 * 64, 1 << 20, 1 << 24)))
    return struct.pack("<I", rng.choice((len(text), len(text), len(text), 0, 2**32 - 1))) + text + body


@cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)[2:-4]


def _flipped(rng: random.Random, data: bytes) -> bytes:
    made = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        if made:
            made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made)
