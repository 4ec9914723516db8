"""Damaged and malicious `.efz` files from a seed, for the tests and in large numbers (200,000) for benchmarks/fuzz."""

from __future__ import annotations

import copy
import functools
import io
import json
import random
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.hyperspectral.crc32c import crc32c
from tests.hyperspectral.cubes import mixed
from tests.hyperspectral.mutate import mutations

MOST_SAMPLES = 1 << 20  # largest cube to decode; larger ones take time and test nothing new
_NUMBERS = -1, 0, 1, 7, 13, 255, 4096, 1 << 24, 1 << 31, 1 << 63, 1e300, 0.5, None, True, "7", "x" * 300, [], {}, [1, 2, 3]


class Original(NamedTuple):
    data: bytes
    cube: NDArray[Any]
    """The decoded samples."""
    offsets: list[int]
    """Byte ranges of the tiles and of the index."""


@functools.cache
def originals() -> tuple[Original, ...]:
    """Return valid files of a few tiles, with and without missing samples: lossy, lossless and within an error, of several types."""
    originals = []
    kinds: list[tuple[str, int, dict[str, float]]] = [
        ("int16", 9, {"bpppc": 2.0}),
        ("float32", 5, {"psnr": 40.0}),
        ("uint8", 6, {"max_error": 0}),
        ("int16", 7, {"max_error": 3}),
        ("float32", 4, {"max_error": 0}),
        ("float64", 3, {"max_error": 1e-4}),
        ("int32", 4, {"relative_error": 0.01}),
    ]
    for dtype, bands, target in kinds:
        cube = mixed((16, 18, bands), dtype)
        if dtype in ("int16", "int32"):
            cube[3:7, 2:12] = -9999
        elif dtype.startswith("float") and "max_error" in target:
            cube = (np.round(cube * 10000) / 10000).astype(dtype) if bands == 4 else cube
            cube[1:9, 2:12], cube[14, 3, 1] = np.nan, np.inf
        stream = io.BytesIO()
        nodata = -9999 if dtype in ("int16", "int32") else None
        spectral_edge.encode_to(stream, cube, spectral_edge.Target(**target), nodata=nodata, about={"x": [1]}, side=8)  # type: ignore[arg-type]
        data = stream.getvalue()
        offsets = efz.offsets(stream)
        assert offsets
        originals.append(Original(data, spectral_edge.decode(data), [*offsets, data.rindex(b"INDX")]))
    return tuple(originals)


@functools.cache
def small() -> tuple[Original, ...]:
    """Return valid files of one tile of a few samples, of each kind of payload, whose decoding takes a fraction of a millisecond."""
    originals = []
    kinds: list[tuple[str, dict[str, float]]] = [
        ("int16", {"bpppc": 40.0}), ("float32", {"psnr": 40.0}), ("uint8", {"max_error": 0}), ("int16", {"max_error": 3}),
        ("float64", {"max_error": 0}), ("int32", {"max_error": 0}), ("uint16", {"psnr": 190.0}),
    ]  # fmt: skip
    for number, (dtype, target) in enumerate(kinds):
        for missing in (False, True):
            cube: Any = mixed((3 + number % 2, 5, 4), dtype)
            if missing:
                # shared by all bands, and in one band; a fill value; a single sample far from all others
                cube[0, 1:4] = cube[1, 1, 2] = 77
                cube[2, :3, 1] = cube.dtype.type(120)
                cube[2, 4, 3] = np.iinfo(cube.dtype).max if cube.dtype.kind in "ui" else 1e30
            stream = io.BytesIO()
            spectral_edge.encode_to(stream, cube, spectral_edge.Target(**target), nodata=77 if missing else None, about={"x": [1]})  # type: ignore[arg-type]
            data = stream.getvalue()
            originals.append(Original(data, spectral_edge.decode(data), [*(efz.offsets(stream) or ()), data.rindex(b"INDX")]))
    return tuple(originals)


def damaged(rng: random.Random) -> tuple[Original, bytes, list[int]]:
    """Return a valid file, the same with flipped bits and perhaps truncated, and the tiles that are affected."""
    of = rng.choice(originals())
    data, header = bytearray(of.data), of.offsets[0]
    touched = []
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(header, len(data))
        data[at] ^= 1 << rng.randrange(8)
        touched.append(at)
    if not touched or rng.random() < 0.5:
        end = rng.randrange(header, len(data))
        touched += range(end, len(data))
        del data[end:]
    tiles = [i for i, (begin, end) in enumerate(zip(of.offsets, of.offsets[1:], strict=False)) if any(begin <= at < end for at in touched)]
    return of, bytes(data), tiles


def made(rng: random.Random, few: bool = False) -> bytes:
    """Return a file with a malicious header or tile and correct checksums, or one with random bytes changed. few: of few samples."""
    of = rng.choice(small() if few else originals())
    if rng.random() < 0.2:
        return next(mutations(of.data, 1, rng.getrandbits(32)))
    header, body = of.data[: of.offsets[0]], b""
    if rng.random() < 0.4:
        header = _header(header, rng)
    for begin, end in zip(of.offsets, of.offsets[1:], strict=False):
        if not few and rng.random() < 0.6:
            continue
        _, number, _, _ = struct.unpack_from("<4sIII", of.data, begin)
        payload = of.data[begin + 16 : end]
        if rng.random() < 0.8:
            payload = _payload(payload, rng, 2 if few else 6)
        if rng.random() < 0.05:
            number = rng.choice((0, 1, number + 1, 0xFFFFFFFF))
        named = struct.pack("<II", number, len(payload))
        body += b"TILE" + named + struct.pack("<I", crc32c(payload, crc32c(named))) + payload
    return header + body + of.data[of.offsets[-1] :]


def _header(data: bytes, rng: random.Random) -> bytes:
    named = json.loads(data[9:-4])
    for _ in range(rng.randint(1, 3)):
        key = rng.choice([*named, "bound", "nodata"])
        if key in ("shape", "tile") and isinstance(named[key], list) and named[key] and rng.random() < 0.8:
            named[key][rng.randrange(len(named[key]))] = copy.copy(rng.choice((*_NUMBERS, rng.randint(1, 40))))
        elif key in ("bound", "nodata"):
            settings = named.get("settings")
            named["settings"] = {**(settings if isinstance(settings, dict) else {}), key: copy.copy(rng.choice(_NUMBERS))}
        else:
            named[key] = copy.copy(rng.choice((*_NUMBERS, *efz.DTYPES)))
    text = json.dumps(named).encode()
    if rng.random() < 0.2:
        text = next(mutations(text, 1, rng.getrandbits(32)))
    start = data[:5] + struct.pack("<I", len(text)) + text
    return start + struct.pack("<I", crc32c(start))


def _payload(data: bytes, rng: random.Random, most: int) -> bytes:
    mutant = bytearray(data)
    for _ in range(rng.randint(1, most)):
        # the uncoded values at the beginning, which determine the sizes of all that follows
        at = rng.randrange(min(len(mutant), 60) if rng.random() < 0.6 else len(mutant)) if mutant else 0
        how = rng.randrange(5)
        if how == 0:
            mutant[at : at + 1] = bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))])
        elif how == 1:
            mutant[at : at + 4] = struct.pack("<I", rng.choice((0, 1, len(mutant), 1 << 20, 1 << 31, 0xFFFFFFFF)))
        elif how == 2:
            mutant[at : at + 8] = struct.pack("<d", rng.choice((0.0, -1.0, 1e-300, 1e29, 1e300, float("inf"), float("nan"))))
        elif how == 3:
            del mutant[at : at + rng.randint(1, 40)]
        else:
            mutant[at:at] = rng.randbytes(rng.randint(1, 40))
    return bytes(mutant)


def check_damaged(rng: random.Random) -> bool:
    """Return whether a tile was lost. Fails if an unaffected tile was lost, or a tile was decoded wrongly."""
    of, data, touched = damaged(rng)
    decoder = spectral_edge.Decoder(io.BytesIO(data))
    for place, samples in decoder.tiles():
        assert np.array_equal(samples, of.cube[place], equal_nan=samples.dtype.kind == "f")
    assert set(decoder.lost) <= set(touched), (decoder.lost, touched)
    return bool(decoder.lost)


def check_made(rng: random.Random, few: bool = False) -> int:
    """Return the number of decoded tiles, checking that each has the shape and type in the header. Raises InputError."""
    decoder = spectral_edge.Decoder(io.BytesIO(made(rng, few)))
    header, count = decoder.header, 0
    if header.tile[0] * header.tile[1] * header.shape[2] > MOST_SAMPLES:
        raise InputError("would be decoded, in its time")
    for place, samples in decoder.tiles():
        assert samples.dtype == decoder.dtype
        assert samples.shape == (*(s.stop - s.start for s in place), header.shape[2])
        count += 1
    assert count + len(decoder.lost) == header.count
    return count
