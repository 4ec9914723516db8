"""`spectral-edge`: transform codec for hyperspectral cubes.

A cube (rows, columns, bands) is split into independent tiles, so a damaged tile affects no other and a cube may be larger than memory. A
tile is coded with its own spectral basis (klt.py, basis.py), a wavelet transform along rows and columns (wavelet.py), one quantiser step
and an adaptive entropy coder (entropy_coder.py). With an error bound the quantised residual follows (near_lossless.py).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import base, tile
from edgefuse.hyperspectral.codec.base import Array, Cube, Target, sizes_of
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy
from edgefuse.hyperspectral.cube import peak_of

MODEL = "spectral-edge"
_EXACT = "uint8", "int8", "uint16", "int16"
_SAMPLED_TILES = 12  # number of tiles sampled to estimate the rate
_MAX_SHARE = 2.0  # largest size of a tile, as a multiple of its share of the remaining bytes
_MAX_SAMPLES = 1 << 23  # maximum per tile
_RECORD_BYTES = 16  # bytes of a tile's record header


def _check_target(target: Target, dtype: np.dtype[np.generic]) -> None:
    """Raise InputError for a target that this codec does not support."""
    given = target.given
    if len(given) != 1:
        raise InputError(f"one of bpppc, psnr and max_error is needed, not {' and '.join(given) or 'none'}")
    if target.max_error is not None and dtype.name not in _EXACT:
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

    def load_tile(number: int) -> tile.Prepared:
        return tile.prepared(np.asarray(cube[header.place(number)]).astype(dtype, copy=False), nodata)

    writer, rate = efz.Writer(stream, header), _RateControl(header, target, load_tile) if target.bpppc else None
    for number in range(header.count):
        prepared = load_tile(number)
        if target.max_error is not None:
            payload = tile.near_payload(prepared, target.max_error)
        else:
            analysis, encoded = tile.analysed(prepared), None
            if analysis and rate:
                encoded = rate.encoded(number, analysis, tile.overhead(prepared))
            elif analysis:
                encoded = analysis.with_error(_squared_error(target, dtype))
            payload = tile.lossy_payload(prepared, encoded)
        writer.tile(number, payload)
        if rate:
            rate.spent(number, len(payload))
        progress(number + 1, header.count)
    return writer.close()


class _RateControl:
    """Rate control: one step for all tiles, estimated on a sample of tiles and corrected by the actual bytes of finished tiles."""

    def __init__(self, header: efz.Header, target: Target, load_tile: Callable[[int], tile.Prepared]) -> None:
        samples = header.shape[0] * header.shape[1] * header.shape[2]
        overhead = len(header.to_bytes()) + header.count * (_RECORD_BYTES + 8) + 24
        self.bytes_left = int((target.bpppc or 0) * samples / 8) - overhead
        places = map(header.place, range(header.count))
        self._pixels = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in places]
        self._pixels_left = sum(self._pixels)
        # predicted and actual bytes of finished tiles; both start at an eighth of the budget, so that the ratio starts at 1
        self._predicted = self._actual = self.bytes_left / 8
        if header.count == 1:
            return
        steps: NDArray[np.float64] | None = None
        total, sampled_pixels = np.zeros(0), 0
        for number in np.unique(np.linspace(0, header.count - 1, _SAMPLED_TILES).astype(int)).tolist():
            analysis = tile.analysed(load_tile(number))
            sampled_pixels += self._pixels[number]
            if analysis is None:
                continue
            if steps is None:
                steps = analysis.guessed(self._share(number)) * np.geomspace(1 / 4, 16, 97)
                total = np.zeros(len(steps))
            total = total + analysis.sizes(steps)
        self._steps, self._expected = steps, total / max(1, sampled_pixels)  # bytes per pixel at each step

    def _share(self, number: int) -> int:
        """Return a tile's share of the remaining bytes by its pixels."""
        return max(0, self.bytes_left * self._pixels[number] // self._pixels_left)

    def encoded(self, number: int, analysis: Analysis, overhead: int) -> Lossy:
        """Encode a tile in about its share of the remaining bytes; the last tile in all of them."""
        if self._pixels_left == self._pixels[number] or self._steps is None:
            return analysis.within(self._share(number) - overhead)
        share = self._share(number) - overhead
        bytes_per_pixel = self.bytes_left / self._pixels_left * self._predicted / max(self._actual, 1)
        step = float(np.exp(np.interp(-bytes_per_pixel, -self._expected, np.log(self._steps))))
        encoded = analysis.at(step)
        # leave bytes for the other tiles
        if len(encoded.to_bytes()) > _MAX_SHARE * share:
            encoded = analysis.within(int(_MAX_SHARE * share))
            step = encoded.basis.step * 65536 / encoded.scale
        self._predicted += float(np.interp(np.log(step), np.log(self._steps), self._expected)) * self._pixels[number]
        self._actual += len(encoded.to_bytes())
        return encoded

    def spent(self, number: int, size: int) -> None:
        """Subtract a finished tile from the budget."""
        self.bytes_left -= size
        self._pixels_left -= self._pixels[number]


class Decoder(base.Decoder):
    """Decodes an `.efz` file of this codec."""

    MODEL = MODEL

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._bound = self.header.settings.get("bound")
        if self._bound is not None and not (type(self._bound) is int and 0 <= self._bound <= 65535 and self.dtype.name in _EXACT):
            raise InputError("the .efz header is invalid: bound")

    def decode_tile(self, payload: bytes, shape: tuple[int, int, int]) -> Array:
        return tile.decode(payload, shape, self.dtype, self._bound, self._nodata, self._reader.version)


class SpectralEdge(base.Codec):
    """The codec `spectral-edge`."""

    def encode_to(
        self, stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
        progress: base.Progress = base.silent,
    ) -> int:  # fmt: skip
        return encode_to(stream, cube, target, nodata=nodata, about=about, progress=progress)

    def decoder(self, stream: BinaryIO) -> Decoder:
        return Decoder(stream)


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
