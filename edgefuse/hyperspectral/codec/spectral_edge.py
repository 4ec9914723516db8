"""`spectral-edge`: transform codec for hyperspectral cubes.

A cube (rows, columns, bands) is split into independent tiles, so a damaged tile affects no other and a cube may be larger than memory. A
tile is coded with its own spectral basis (klt.py, basis.py), a wavelet transform along rows and columns (wavelet.py), one quantiser step
and an adaptive entropy coder (entropy_coder.py). With an error bound the quantised residual follows (near_lossless.py).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import base, tile
from edgefuse.hyperspectral.codec.base import Array, Cube, Target, sizes_of
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy
from edgefuse.hyperspectral.codec.outliers import check_magnitude
from edgefuse.hyperspectral.codec.tile import Payload
from edgefuse.hyperspectral.cube import peak_of

MODEL = "spectral-edge"
_LOSSLESS_STEP = 1.5  # quantiser step of integers below which lossless coding may take fewer bytes
_MOST_APART = 0.25  # largest share of a tile's bytes for the samples that are coded apart
_SAMPLED_TILES = 12  # number of tiles sampled to estimate the rate
_MAX_SHARE = 2.0  # largest size of a tile, as a multiple of its share of the remaining bytes
_MAX_SAMPLES = 1 << 23  # maximum per tile
_RECORD_BYTES = 16  # bytes of a tile's record header


def _check_target(target: Target, dtype: np.dtype[np.generic]) -> None:
    """Raise InputError for a target that this codec does not support."""
    given = target.given
    if len(given) != 1:
        raise InputError(f"one of bpppc, psnr and max_error is needed, not {' and '.join(given) or 'none'}")
    if target.max_error is not None and dtype.name not in tile.INTEGERS:
        raise InputError(f"max_error needs integers of 8 or 16 bits, and these are {dtype.name}; give bpppc or psnr, or convert them")
    target.check_ranges()


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
    side: int = 256, progress: base.Progress = base.silent,
) -> int:  # fmt: skip
    """Write `cube` as an `.efz` file, tile by tile, and return the bytes written. Raises InputError.

    nodata: value of missing samples, besides NaN. about: JSON-serialisable metadata to store. side: approximate side of a tile in pixels.
    """
    sizes, dtype = sizes_of(cube, nodata)
    _check_target(target, dtype)
    settings = {"bound": target.max_error, "nodata": nodata if nodata is None or nodata == nodata else None}
    # near-lossless coding needs more memory per sample
    tile_size = efz.default_tile(sizes, side, _MAX_SAMPLES if target.max_error is None else _MAX_SAMPLES // 2)
    header = efz.Header(sizes, dtype.name, tile_size, MODEL, {k: v for k, v in settings.items() if v is not None}, about or {})
    tiles = _Tiles(cube, header, nodata)
    if target.max_error is not None:
        return _write(stream, header, lambda number: tile.near_payload(tiles[number], target.max_error or 0), progress)
    if target.psnr is not None:
        error = _squared_error(target, dtype)
        return _write(stream, header, lambda number: _payload_within_error(tiles[number], error), progress)
    rate = _RateControl(header, target, tiles)
    if stream.seekable() and rate.may_be_lossless(dtype):
        lossless = replace(header, settings={**header.settings, "bound": 0})
        begin, limit = stream.tell(), rate.size
        written = _write(stream, lossless, lambda number: tile.near_payload(tiles[number], 0), progress, limit)
        if written <= limit:
            return written
        stream.seek(begin)
        stream.truncate()
    return _write(stream, header, rate.payload, progress)


def _write(
    stream: BinaryIO, header: efz.Header, payload: Callable[[int], Payload], progress: base.Progress, limit: float = math.inf
) -> int:
    """Write a file with the `payload` of each tile, and return its bytes. Stops where they exceed `limit`."""
    writer = efz.Writer(stream, header)
    for number in range(header.count):
        data, version = payload(number)
        writer.tile(number, data, version)
        if writer.size > limit:
            return writer.size
        progress(number + 1, header.count)
    return writer.close()


class _Tiles:
    """The tiles of a cube, prepared for coding; remembers the last one."""

    def __init__(self, cube: Cube, header: efz.Header, nodata: float | None) -> None:
        self._cube, self._header, self._nodata = cube, header, nodata
        self._last: tuple[int, tile.Prepared] | None = None

    def __getitem__(self, number: int) -> tile.Prepared:
        if self._last is None or self._last[0] != number:
            self._last = number, self.plain(number, outliers=True)
        return self._last[1]

    def plain(self, number: int, outliers: bool = False) -> tile.Prepared:
        """Return a tile whose outliers are coded with the other samples, unless `outliers`."""
        self._last = None
        samples = np.asarray(self._cube[self._header.place(number)]).astype(self._header.dtype, copy=False)
        prepared = tile.prepared(samples, self._nodata, outliers)
        if self._header.count == 1 and prepared.empty:
            check_magnitude(samples, self._nodata)
        return prepared


def _payload_within_error(prepared: tile.Prepared, error: float) -> Payload:
    """Encode a tile with a mean squared error of at most `error`: lossy, or exactly where that is shorter or the only way."""
    analysis = tile.analysed(prepared)
    if analysis is None:
        return tile.lossy_payload(prepared, None)
    encoded = analysis.with_error(error)
    if encoded is None:
        return tile.exact_payload(prepared)
    lossy = tile.lossy_payload(prepared, encoded)
    if encoded.step > _LOSSLESS_STEP * tile.unit(prepared):
        return lossy
    return min(lossy, tile.exact_payload(prepared), key=lambda payload: len(payload.data))


class _RateControl:
    """Rate control: one step for all tiles, estimated on a sample of tiles and corrected by the actual bytes of finished tiles."""

    def __init__(self, header: efz.Header, target: Target, tiles: _Tiles) -> None:
        samples = header.shape[0] * header.shape[1] * header.shape[2]
        self.size = int((target.bpppc or 0) * samples / 8)
        """Largest size of the file in bytes."""
        self._tiles = tiles
        self._bytes_left = self.size - len(header.to_bytes()) - header.count * (_RECORD_BYTES + 8) - 24
        places = map(header.place, range(header.count))
        self._pixels = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in places]
        self._pixels_left = sum(self._pixels)
        # predicted and actual bytes of finished tiles; both start at an eighth of the budget, so that the ratio starts at 1
        self._predicted = self._actual = self._bytes_left / 8
        self._steps: NDArray[np.float64] | None = None
        if header.count == 1:
            return
        total, sampled_pixels = np.zeros(0), 0
        for number in np.unique(np.linspace(0, header.count - 1, _SAMPLED_TILES).astype(int)).tolist():
            analysis = tile.analysed(tiles[number])
            sampled_pixels += self._pixels[number]
            if analysis is None:
                continue
            if self._steps is None:
                self._steps = analysis.guessed(self._share(number)) * np.geomspace(1 / 4, 16, 97)
                total = np.zeros(len(self._steps))
            total = total + analysis.sizes(self._steps)
        self._expected = total / max(1, sampled_pixels)  # bytes per pixel at each step

    def may_be_lossless(self, dtype: np.dtype[np.generic]) -> bool:
        """Return whether a cube of several tiles may fit into the rate without loss, by the step that the rate would give."""
        several = len(self._pixels) > 1
        return several and dtype.name in tile.INTEGERS and (self._steps is None or self._step() < _LOSSLESS_STEP)

    def payload(self, number: int) -> Payload:
        """Encode a tile in about its share of the remaining bytes, and subtract it from them."""
        prepared = self._tiles[number]
        share = self._share(number)
        if prepared.apart and tile.overhead(prepared) > _MOST_APART * share:
            prepared = min(prepared, self._tiles.plain(number), key=tile.overhead)
        analysis = tile.analysed(prepared)
        encoded = self._encoded(number, analysis, tile.overhead(prepared)) if analysis else None
        payload = tile.lossy_payload(prepared, encoded)
        if analysis and encoded and encoded.step < max(_LOSSLESS_STEP * tile.unit(prepared), 1.01 * analysis.least_step):
            exact = tile.exact_payload(prepared)
            payload = exact if len(exact.data) <= share else payload
        self._bytes_left -= len(payload.data)
        self._pixels_left -= self._pixels[number]
        return payload

    def _share(self, number: int) -> int:
        """Return a tile's share of the remaining bytes by its pixels."""
        return max(0, self._bytes_left * self._pixels[number] // self._pixels_left)

    def _step(self) -> float:
        """Return the step that takes the remaining bytes, as far as it can be told."""
        assert self._steps is not None
        bytes_per_pixel = self._bytes_left / self._pixels_left * self._predicted / max(self._actual, 1)
        return float(np.exp(np.interp(-bytes_per_pixel, -self._expected, np.log(self._steps))))

    def _encoded(self, number: int, analysis: Analysis, overhead: int) -> Lossy:
        """Encode a tile in about its share of the remaining bytes; the last tile in all of them."""
        if self._pixels_left == self._pixels[number] or self._steps is None:
            return analysis.within(self._share(number) - overhead)
        share = self._share(number) - overhead
        step = self._step()
        encoded = analysis.at(step)
        # leave bytes for the other tiles
        most = min(_MAX_SHARE * share, (share + self._bytes_left) / 2)
        if len(encoded.to_bytes()) > most:
            encoded = analysis.within(int(most))
            step = encoded.step
        self._predicted += float(np.interp(np.log(step), np.log(self._steps), self._expected)) * self._pixels[number]
        self._actual += len(encoded.to_bytes())
        return encoded


class Decoder(base.Decoder):
    """Decodes an `.efz` file of this codec."""

    MODEL = MODEL

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._bound = self.header.settings.get("bound")
        if self._bound is not None and not (type(self._bound) is int and 0 <= self._bound <= 65535 and self.dtype.name in tile.INTEGERS):
            raise InputError("the .efz header is invalid: bound")

    def decode_tile(self, payload: bytes, shape: tuple[int, int, int]) -> Array:
        return tile.decode(payload, shape, self.dtype, self._bound, self._nodata, self._reader.version)


class SpectralEdge(base.Codec):
    """The codec `spectral-edge`."""

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
