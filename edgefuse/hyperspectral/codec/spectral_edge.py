"""`spectral-edge`: transform codec for hyperspectral cubes.

A cube (rows, columns, bands) is split into independent tiles, so a damaged tile affects no other and a cube may be larger than memory. A
tile is coded with its own spectral basis (klt.py, basis.py), a wavelet transform along rows and columns (wavelet.py), one quantiser step
and an adaptive entropy coder (entropy_coder.py). With an error bound the quantised residual follows (near_lossless.py). With a rate,
rate_control.py chooses the step.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import base, tile
from edgefuse.hyperspectral.codec.base import Array, Cube, Target, sizes_of
from edgefuse.hyperspectral.codec.cube_tiles import CubeTiles
from edgefuse.hyperspectral.codec.parallel_tiles import in_order
from edgefuse.hyperspectral.codec.rate_control import LOSSLESS_STEP, RateControl
from edgefuse.hyperspectral.codec.tile import Payload
from edgefuse.hyperspectral.cube import peak_of

MODEL = "spectral-edge"
_MAX_SAMPLES = 1 << 21  # about, per tile; of 200 bands 100 x 100 pixels
_LARGE, _MAX_SAMPLES_OF_LARGE = 1 << 20, 5 << 18  # pixels; of 200 bands 80 x 80: 4 of the tiles of 2000 x 2000 pixels are 0.64 % of it
_MAX_COUNTS = 65535  # largest difference of two 16-bit integers


def _check_target(target: Target, dtype: np.dtype[np.generic]) -> None:
    """Raise InputError for a target that this codec does not support."""
    given = target.given
    if len(given) != 1:
        raise InputError(f"one of bpppc, psnr, max_error and relative_error is needed, not {' and '.join(given) or 'none'}")
    if target.relative_error is not None and dtype.name in tile.INTEGERS:
        raise InputError(f"relative_error is for floats and integers of 32 bits, and these are {dtype.name}; give max_error")
    target.check_ranges()
    if target.max_error and dtype.name in tile.INTEGERS:
        if target.max_error % 1:
            raise InputError(f"max_error is {target.max_error:g}, and the samples are {dtype.name}; give whole counts, such as 2")
        if target.max_error > _MAX_COUNTS:
            raise InputError(f"max_error is {target.max_error:g}, and the samples are {dtype.name}; give {_MAX_COUNTS} at most")


def _squared_error(target: Target, dtype: np.dtype[np.generic]) -> float:
    """Return the mean squared error that corresponds to the target PSNR."""
    assert target.psnr is not None
    return float((target.peak or peak_of(dtype)) ** 2 / 10 ** (target.psnr / 10))


def encode(cube: Cube, *, nodata: float | None = None, about: dict[str, Any] | None = None, **target: Any) -> bytes:
    """Return `cube` as the bytes of an `.efz` file. Keywords: those of `Target` and `encode_to`. Raises InputError."""
    stream = io.BytesIO()
    encode_to(stream, cube, Target(**target), nodata=nodata, about=about)
    return stream.getvalue()


def encode_to(
    stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
    side: int = 256, progress: base.Progress = base.silent, threads: int = 1,
) -> int:  # fmt: skip
    """Write `cube` as an `.efz` file, tile by tile, and return the bytes written. Raises InputError.

    nodata: value of missing samples, besides NaN. about: JSON-serialisable metadata to store. side: approximate side of a tile in pixels.
    threads: most tiles that are encoded at a time, with a rate analysed at a time; the bytes are the same for any number.
    """
    sizes, dtype = sizes_of(cube, nodata)
    _check_target(target, dtype)
    bounded = target.max_error is not None or target.relative_error is not None
    words = bounded and dtype.name not in tile.INTEGERS  # floats and 32-bit integers are coded word by word
    settings: dict[str, Any] = {"nodata": nodata if nodata is None or nodata == nodata else None}
    if words:
        settings |= {"max_error": target.max_error or None, "relative_error": target.relative_error}
    elif target.max_error is not None:
        settings = {"bound": int(target.max_error), **settings}
    # a large cube is read in windows, a small one as a whole
    large = sizes[0] * sizes[1] >= _LARGE
    tile_size = efz.default_tile(sizes, side, _MAX_SAMPLES_OF_LARGE if large else _MAX_SAMPLES)
    header = efz.Header(sizes, dtype.name, tile_size, MODEL, {k: v for k, v in settings.items() if v is not None}, about or {})
    tiles = CubeTiles(cube, header, nodata)

    def all_tiles(payload: Callable[[int], Payload]) -> Generator[Payload, None, None]:
        most = min(threads, header.count)
        return in_order(payload, range(header.count), most, waiting=most)

    if words:
        return _write(stream, header, all_tiles(lambda number: _payload_of_words(tiles.samples(number), nodata, target)), progress)
    if target.max_error is not None:
        return _write(stream, header, all_tiles(lambda number: tile.near_payload(tiles[number], int(target.max_error or 0))), progress)
    if target.psnr is not None:
        error = _squared_error(target, dtype)
        return _write(stream, header, all_tiles(lambda number: _payload_within_error(tiles[number], error)), progress)
    rate = RateControl(header, target, tiles, threads)
    if stream.seekable() and rate.may_be_lossless(dtype):
        lossless = replace(header, settings={**header.settings, "bound": 0})
        begin, limit = stream.tell(), rate.size
        written = _write(stream, lossless, all_tiles(lambda number: tile.near_payload(tiles[number], 0)), progress, limit)
        if written <= limit:
            return written
        stream.seek(begin)
        stream.truncate()
    return _write(stream, header, rate.payloads(), progress)


def _write(
    stream: BinaryIO, header: efz.Header, payloads: Generator[Payload, None, None], progress: base.Progress, limit: float = math.inf
) -> int:
    """Write a file with the payloads of its tiles, and return its bytes. Stops where they exceed `limit`."""
    writer = efz.Writer(stream, header)
    with closing(payloads):
        for number, (data, version) in enumerate(payloads):
            writer.tile(number, data, version)
            if writer.size > limit:
                return writer.size
            progress(number + 1, header.count)
    return writer.close()


def _payload_of_words(samples: Array, nodata: float | None, target: Target) -> Payload:
    """Encode a tile of floats or 32-bit integers: to the bit, or within the largest error of `target`."""
    error = target.max_error if target.relative_error is None else target.relative_error
    if not error or (target.relative_error is None and samples.dtype.kind != "f" and error < 1):
        return tile.bits_payload(samples, nodata)
    return tile.bounded_payload(samples, nodata, error, target.relative_error is not None)


def _payload_within_error(prepared: tile.Prepared, error: float) -> Payload:
    """Encode a tile with a mean squared error of at most `error`: lossy, or exactly where that is shorter or the only way."""
    analysis = tile.analysed(prepared)
    if analysis is None:
        return tile.lossy_payload(prepared, None)
    encoded = analysis.with_error(error)
    if encoded is None:
        return tile.exact_payload(prepared)
    lossy = tile.lossy_payload(prepared, encoded)
    if encoded.step > LOSSLESS_STEP * tile.unit(prepared):
        return lossy
    return min(lossy, tile.exact_payload(prepared), key=lambda payload: len(payload.data))


class Decoder(base.Decoder):
    """Decodes an `.efz` file of this codec."""

    MODEL = MODEL
    PARALLEL = True

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._bound = self.header.settings.get("bound")
        if self._bound is not None and not (type(self._bound) is int and 0 <= self._bound <= 65535 and self.dtype.name in tile.INTEGERS):
            raise InputError("the .efz header is invalid: bound")

    def decode_tile(self, payload: bytes, shape: tuple[int, int, int]) -> Array:
        return tile.decode(payload, shape, self.dtype, self._bound, self._nodata, self._reader.version)


class SpectralEdge(base.Codec):
    """The codec `spectral-edge`."""

    PARALLEL = True

    encode_to = staticmethod(encode_to)
    decoder = Decoder


def decode(data: bytes, *, damaged: bool = False, limit: int = 1 << 32) -> Array:
    """Decode the bytes of an `.efz` file to a cube of at most `limit` bytes. Raises InputError.

    damaged: accept lost tiles and fill them with the no-data value.
    """
    decoder = Decoder(io.BytesIO(data))
    shape, dtype = decoder.header.shape, decoder.dtype
    size = shape[0] * shape[1] * shape[2] * dtype.itemsize
    if size > limit:
        raise InputError(f"the cube takes {size / 1e9:.1f} GB of memory, more than {limit / 1e9:.1f} GB; decode it tile by tile")
    if decoder.header.count == 1 and (single := next(decoder.tiles(), None)):
        return single[1]
    cube = np.full(shape, decoder.missing, dtype)
    for place, samples in decoder.tiles():
        cube[place] = samples
    if decoder.lost and not damaged:
        raise InputError(f"{len(decoder.lost)} of {decoder.header.count} tiles of the .efz file are lost: {_listed(decoder.lost)}")
    return cube


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
