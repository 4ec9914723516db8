"""`spectral-edge`: hyperspectral cubes into few bytes and back.

A cube (rows, columns, bands) is cut into tiles that know nothing of one another: one that is lost takes none with it, and a cube may be
larger than memory. A tile is a spectral basis of its own (klt.py, basis.py), a wavelet along rows and columns (wavelet.py), one
quantiser for all of it, and an adaptive coder (entropy_coder.py); what may not be off by more than a bound gets the rest, too
(near_lossless.py).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import tile
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy
from edgefuse.hyperspectral.cube import can_hold, peak_of

MODEL = "spectral-edge"
Array = NDArray[np.generic]

_EXACT = "uint8", "int8", "uint16", "int16"
_SAMPLED = 12  # tiles that tell how many bytes a step takes
_MOST = 2.0  # shares of what is left, for a tile
_SAMPLES = 1 << 23  # of a tile
_SLACK = 16  # bytes of a tile that its record may need


class Cube(Protocol):
    """(rows, columns, bands): an array, a memory map, or anything that gives parts like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, place: tuple[slice, slice]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to hold; exactly one of the three."""

    bpppc: float | None = None
    """Bits per pixel and band of the whole file, at most."""
    psnr: float | None = None
    """dB against `peak`, at least, in every tile."""
    max_error: int | None = None
    """In counts; 0 is lossless. Integers of up to 16 bits only."""
    peak: float | None = None
    """Of `psnr`; by default 10000 for integers of 16 bits and more (reflectance x 10000), 255 or 127 for 8 bits, 1 for others."""

    def check(self, dtype: np.dtype[np.generic]) -> None:
        """Raises InputError where it can't be held."""
        given = [name for name in ("bpppc", "psnr", "max_error") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(f"one of bpppc, psnr and max_error is needed, not {' and '.join(given) or 'none'}")
        check_ranges(self.bpppc, self.psnr)
        if self.max_error is not None and dtype.name not in _EXACT:
            raise InputError(f"max_error needs integers of 8 or 16 bits, and these are {dtype.name}; give bpppc or psnr, or convert them")
        if self.max_error is not None and not 0 <= self.max_error <= 65535:
            raise InputError(f"max_error is {self.max_error}; give counts, 0 (lossless) or more")

    def squared_error(self, dtype: np.dtype[np.generic]) -> float:
        assert self.psnr is not None
        return float((self.peak or peak_of(dtype)) ** 2 / 10 ** (self.psnr / 10))


def check_ranges(bpppc: float | None, psnr: float | None) -> None:
    """Raises InputError for what no codec holds."""
    if bpppc is not None and not 0 < bpppc <= 64:
        raise InputError(f"bpppc is {bpppc}; give bits per sample above 0, such as 0.25")
    if psnr is not None and not 0 < psnr <= 200:
        raise InputError(f"psnr is {psnr}; give dB above 0, such as 45")


def encode(cube: Cube, *, nodata: float | None = None, about: dict[str, Any] | None = None, **target: Any) -> bytes:
    """`cube` as an `.efz` file. Keywords as `Target`'s, and as `encode_to`'s. Raises InputError."""
    stream = io.BytesIO()
    encode_to(stream, cube, Target(**target), nodata=nodata, about=about)
    return stream.getvalue()


def encode_to(
    stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
    side: int = 256, progress: Callable[[int, int], None] = lambda done, of: None,
) -> int:  # fmt: skip
    """Write `cube` as an `.efz` file, tile by tile; the bytes written. Raises InputError.

    `nodata`: what missing samples hold, besides NaN. `about`: what JSON can hold, handed on. `side`: a tile's, in pixels, about.
    """
    sizes, dtype = sizes_of(cube, nodata)
    target.check(dtype)
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
                made = analysis.with_error(target.squared_error(dtype))
            payload = tile.lossy_payload(prepared, made)
        writer.tile(number, payload)
        if rate:
            rate.spent(number, len(payload))
        progress(number + 1, header.count)
    return writer.close()


def sizes_of(cube: Cube, nodata: float | None) -> tuple[tuple[int, int, int], np.dtype[Any]]:
    """(rows, columns, bands), and the type in this machine's byte order. Raises InputError for what no codec takes."""
    if len(cube.shape) != 3 or 0 in cube.shape:
        raise InputError(f"a cube has rows, columns and bands, and this has shape {cube.shape}")
    dtype = np.dtype(cube.dtype).newbyteorder("=")
    if dtype.name not in efz.DTYPES:
        raise InputError(f"{dtype.name} samples can't be compressed; convert them to one of {', '.join(efz.DTYPES)}")
    if nodata is not None and nodata == nodata and not can_hold(dtype, nodata):
        raise InputError(f"{dtype.name} samples can't be {nodata}, so none is missing; leave nodata out")
    return (cube.shape[0], cube.shape[1], cube.shape[2]), dtype


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


@dataclass
class Decoder:
    """Reads an `.efz` file from `stream`. Raises InputError for what is none.

    `lost`, once `tiles` is through, has the numbers of the tiles that were damaged or never came.
    """

    stream: BinaryIO

    def __post_init__(self) -> None:
        self._reader = efz.Reader(self.stream)
        self.header = self._reader.header
        self._lost = set(range(self.header.count))
        settings = self.header.settings
        self._bound, self._nodata = settings.get("bound"), settings.get("nodata")
        dtype = self.dtype
        if self.header.model != MODEL:
            raise InputError(f"the .efz file was made by {self.header.model!r}, which is not known here; update edgefuse")
        if self._bound is not None and not (type(self._bound) is int and 0 <= self._bound <= 65535 and dtype.name in _EXACT):
            raise InputError("the .efz header makes no sense: bound")
        if self._nodata is not None and not can_hold(dtype, self._nodata):
            raise InputError("the .efz header makes no sense: nodata")

    @property
    def lost(self) -> list[int]:
        return sorted(self._lost)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(self.header.dtype)

    @property
    def missing(self) -> float:
        """What lost and missing samples hold."""
        return tile.missing_value(self.dtype, self._nodata)

    def tiles(self) -> Iterator[tuple[tuple[slice, slice], Array]]:
        """Rows, columns, and the samples there (h, w, B), of every tile that is intact."""
        bands = self.header.shape[2]
        for number, payload in self._reader.tiles():
            rows, columns = place = self.header.place(number)
            shape = rows.stop - rows.start, columns.stop - columns.start, bands
            try:
                made = tile.decode(payload, shape, self.dtype, self._bound, self._nodata, self._reader.version)
            except InputError:
                continue
            self._lost.remove(number)
            yield place, made


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
