"""What every codec of cubes is: an encoder into an `.efz` file and a decoder of one, tile by tile, known by a name (`edgefuse.codecs`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edgefuse import registry
from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import tile
from edgefuse.hyperspectral.cube import can_hold
from edgefuse.hyperspectral.quality import LIMITS

Array = NDArray[np.generic]
_MOST_COUNTS = 65535  # between integers of 16 bits
Progress = Callable[[int, int], None]  # tiles done, tiles in all


def silent(done: int, of: int) -> None:
    """Progress that nobody is told of."""


class Cube(Protocol):
    """(rows, columns, bands): an array, a memory map, or anything that gives parts like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, place: tuple[slice, slice]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to hold. A codec says which of them it takes, and how many at a time."""

    bpppc: float | None = None
    """Bits per pixel and band of the whole file, at most."""
    psnr: float | None = None
    """dB against `peak`, at least, in every tile."""
    max_error: int | None = None
    """In counts; 0 is lossless. Integers of up to 16 bits only."""
    peak: float | None = None
    """Of `psnr`; by default 10000 for integers of 16 bits and more (reflectance x 10000), 255 or 127 for 8 bits, 1 for others."""

    @property
    def given(self) -> list[str]:
        return [name for name in ("bpppc", "psnr", "max_error") if getattr(self, name) is not None]

    def check_ranges(self) -> None:
        """Raises InputError for what no codec holds."""
        asked = ("bpppc", self.bpppc, "bits per sample above 0, such as 0.25"), ("psnr", self.psnr, "dB above 0, such as 45")
        for name, value, words in asked:
            low, high = LIMITS[name]
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} is {value}; give {words} ({low:g} to {high:g})")
        if self.max_error is not None and not 0 <= self.max_error <= _MOST_COUNTS:
            raise InputError(f"max_error is {self.max_error}; give counts, 0 (lossless) or more, {_MOST_COUNTS} at most")


class Decoder(ABC):
    """Reads an `.efz` file from `stream`, front to back. Raises InputError for one that this codec did not make."""

    MODEL: ClassVar[str]

    def __init__(self, stream: BinaryIO) -> None:
        self._reader = efz.Reader(stream)
        self.header = self._reader.header
        self._lost = set(range(self.header.count))
        self._nodata = self.header.settings.get("nodata")
        if self.header.model != self.MODEL:
            raise InputError(f"the .efz file was made by {self.header.model!r}, not {self.MODEL}; update edgefuse")
        if self._nodata is not None and not can_hold(self.dtype, self._nodata):
            raise InputError("the .efz header makes no sense: nodata")

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(self.header.dtype)

    @property
    def lost(self) -> list[int]:
        """The numbers of the tiles that were damaged or never came; known once `tiles` is through."""
        return sorted(self._lost)

    @property
    def missing(self) -> float:
        """What lost and missing samples hold."""
        return tile.missing_value(self.dtype, self._nodata)

    def tiles(self) -> Iterator[tuple[tuple[slice, slice], Array]]:
        """Rows, columns, and the samples there (h, w, B), of every tile that is intact."""
        try:
            for number, payload in self._reader.tiles():
                rows, columns = place = self.header.place(number)
                try:
                    made = self.decode_tile(payload, (rows.stop - rows.start, columns.stop - columns.start, self.header.shape[2]))
                except InputError:
                    continue
                self._lost.remove(number)
                yield place, made
        finally:
            self.release()

    @abstractmethod
    def decode_tile(self, payload: bytes, shape: tuple[int, int, int]) -> Array:
        """The samples of one tile, (h, w, B). Raises InputError where they can't be had."""

    def release(self) -> None:
        """Give back what decoding took."""


class Codec(ABC):
    """One class a codec; its name stands in the header of every file that it made."""

    @abstractmethod
    def encode_to(
        self, stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
        progress: Progress = silent,
    ) -> int:  # fmt: skip
        """Write `cube` as an `.efz` file, tile by tile; the bytes written. Raises InputError.

        `nodata`: what missing samples hold, besides NaN. `about`: what JSON can hold, handed on.
        """

    @abstractmethod
    def decoder(self, stream: BinaryIO) -> Decoder:
        """Of a file that this codec made."""


def codec(name: str) -> Codec:
    """The codec of a name. Raises SettingsError for an unknown one."""
    made: Codec = registry.get("edgefuse.codecs", name)()
    return made


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
