"""`spectral-edge`: hyperspectral cubes into few bytes and back.

A cube (rows, columns, bands) is cut into tiles that know nothing of one another: one that is lost takes none with it, and a cube may be
larger than memory. A tile is a spectral basis of its own (klt.py, basis.py), a wavelet along rows and columns (wavelet.py), one
quantiser for all of it, and an adaptive coder (entropy_coder.py); what may not be off by more than a bound gets the rest, too
(near_lossless.py).
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
_SAMPLED = 12  # tiles that tell how many bytes a step takes
_MOST = 2.0  # shares of what is left, for a tile
_SAMPLES = 1 << 23  # of a tile
_SLACK = 16  # bytes of a tile that its record may need


def _check(target: Target, dtype: np.dtype[np.generic]) -> None:
    """Raises InputError where it can't be held."""
    given = target.given
    if len(given) != 1:
        raise InputError(f"one of bpppc, psnr and max_error is needed, not {' and '.join(given) or 'none'}")
    if target.max_error is not None and dtype.name not in _EXACT:
        raise InputError(f"max_error needs integers of 8 or 16 bits, and these are {dtype.name}; give bpppc or psnr, or convert them")
    target.check_ranges()


def _squared_error(target: Target, dtype: np.dtype[np.generic]) -> float:
    assert target.psnr is not None
    return float((target.peak or peak_of(dtype)) ** 2 / 10 ** (target.psnr / 10))


def encode(cube: Cube, *, nodata: float | None = None, about: dict[str, Any] | None = None, **target: Any) -> bytes:
    """`cube` as an `.efz` file. Keywords as `Target`'s, and as `encode_to`'s. Raises InputError."""
    stream = io.BytesIO()
    encode_to(stream, cube, Target(**target), nodata=nodata, about=about)
    return stream.getvalue()


def encode_to(
    stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
    side: int = 256, progress: base.Progress = base.silent,
) -> int:  # fmt: skip
    """Write `cube` as an `.efz` file, tile by tile; the bytes written. Raises InputError.

    `nodata`: what missing samples hold, besides NaN. `about`: what JSON can hold, handed on. `side`: a tile's, in pixels, about.
    """
    sizes, dtype = sizes_of(cube, nodata)
    _check(target, dtype)
    settings = {"bound": target.max_error, "nodata": nodata if nodata is None or nodata == nodata else None}
    # what keeps every miss needs more memory for each sample
    tile_size = efz.default_tile(sizes, side, _SAMPLES if target.max_error is None else _SAMPLES // 2)
    header = efz.Header(sizes, dtype.name, tile_size, MODEL, {k: v for k, v in settings.items() if v is not None}, about or {})

    def part(number: int) -> tile.Prepared:
        return tile.prepared(np.asarray(cube[header.place(number)]).astype(dtype, copy=False), nodata)

    writer, rate = efz.Writer(stream, header), _Rate(header, target, part) if target.bpppc else None
    for number in range(header.count):
        prepared = part(number)
        if target.max_error is not None:
            payload = tile.near_payload(prepared, target.max_error)
        else:
            analysis, made = tile.analysed(prepared), None
            if analysis and rate:
                made = rate.encoded(number, analysis, tile.overhead(prepared))
            elif analysis:
                made = analysis.with_error(_squared_error(target, dtype))
            payload = tile.lossy_payload(prepared, made)
        writer.tile(number, payload)
        if rate:
            rate.spent(number, len(payload))
        progress(number + 1, header.count)
    return writer.close()


class _Rate:
    """Shares a file's bytes among its tiles: one step for all, which a few tiles tell beforehand and the bytes really taken mend."""

    def __init__(self, header: efz.Header, target: Target, part: Callable[[int], tile.Prepared]) -> None:
        samples = header.shape[0] * header.shape[1] * header.shape[2]
        around = len(header.to_bytes()) + header.count * (_SLACK + 8) + 24
        self.left = int((target.bpppc or 0) * samples / 8) - around
        places = map(header.place, range(header.count))
        self._pixels = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in places]
        self._todo = sum(self._pixels)
        # bytes of the tiles done, as they were expected and as they are; at first as if some were done, and as expected
        self._foreseen = self._taken = self.left / 8
        if header.count == 1:
            return
        steps: NDArray[np.float64] | None = None
        total, seen = np.zeros(0), 0
        for number in np.unique(np.linspace(0, header.count - 1, _SAMPLED).astype(int)).tolist():
            analysis = tile.analysed(part(number))
            seen += self._pixels[number]
            if analysis is None:
                continue
            if steps is None:
                steps = analysis.guessed(self._share(number)) * np.geomspace(1 / 4, 16, 97)
                total = np.zeros(len(steps))
            total = total + analysis.sizes(steps)
        self._steps, self._expected = steps, total / max(1, seen)  # bytes a pixel

    def _share(self, number: int) -> int:
        return max(0, self.left * self._pixels[number] // self._todo)

    def encoded(self, number: int, analysis: Analysis, overhead: int) -> Lossy:
        """The tile in about its share; the last one in what is left."""
        if self._todo == self._pixels[number] or self._steps is None:
            return analysis.within(self._share(number) - overhead)
        share = self._share(number) - overhead
        wanted = self.left / self._todo * self._foreseen / max(self._taken, 1)
        step = float(np.exp(np.interp(-wanted, -self._expected, np.log(self._steps))))
        made = analysis.at(step)
        # the others must have something left
        if len(made.to_bytes()) > _MOST * share:
            made = analysis.within(int(_MOST * share))
            step = made.basis.step * 65536 / made.scale
        self._foreseen += float(np.interp(np.log(step), np.log(self._steps), self._expected)) * self._pixels[number]
        self._taken += len(made.to_bytes())
        return made

    def spent(self, number: int, size: int) -> None:
        self.left -= size
        self._todo -= self._pixels[number]


class Decoder(base.Decoder):
    """Reads an `.efz` file of this codec."""

    MODEL = MODEL

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._bound = self.header.settings.get("bound")
        if self._bound is not None and not (type(self._bound) is int and 0 <= self._bound <= 65535 and self.dtype.name in _EXACT):
            raise InputError("the .efz header makes no sense: bound")

    def decode_tile(self, payload: bytes, shape: tuple[int, int, int]) -> Array:
        return tile.decode(payload, shape, self.dtype, self._bound, self._nodata, self._reader.version)


class SpectralEdge(base.Codec):
    def encode_to(
        self, stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
        progress: base.Progress = base.silent,
    ) -> int:  # fmt: skip
        return encode_to(stream, cube, target, nodata=nodata, about=about, progress=progress)

    def decoder(self, stream: BinaryIO) -> Decoder:
        return Decoder(stream)


def decode(data: bytes, *, damaged: bool = False, limit: int = 1 << 32) -> Array:
    """The cube of an `.efz` file, of at most `limit` bytes. Raises InputError; `damaged`: not for lost tiles, which are left missing."""
    decoder = Decoder(io.BytesIO(data))
    shape, dtype = decoder.header.shape, decoder.dtype
    size = shape[0] * shape[1] * shape[2] * dtype.itemsize
    if size > limit:
        raise InputError(f"the cube takes {size / 1e9:.1f} GB of memory, more than {limit / 1e9:.1f} GB; decode it tile by tile")
    if decoder.header.count == 1 and (only := next(decoder.tiles(), None)):
        return only[1]
    cube = np.full(shape, decoder.missing, dtype)
    for place, samples in decoder.tiles():
        cube[place] = samples
    if decoder.lost and not damaged:
        raise InputError(f"{len(decoder.lost)} of {decoder.header.count} tiles of the .efz file are lost: {_listed(decoder.lost)}")
    return cube


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
