"""Base classes of the cube codecs, which encode to and decode from `.efz` files tile by tile (registry kind `edgefuse.codecs`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgefuse import registry
from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import tile
from edgefuse.hyperspectral.codec.parallel_tiles import in_order
from edgefuse.hyperspectral.cube import can_hold
from edgefuse.hyperspectral.quality import LIMITS

Array = NDArray[np.generic]
Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # finished tiles, total tiles


def silent(done: int, of: int) -> None:
    """Progress callback that does nothing."""


class Cube(Protocol):
    """Anything that slices like an array (rows, columns, bands): an array, a memory map, a `CubeSource`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, place: tuple[slice, slice]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Target:
    """Compression target. Each codec checks which fields it supports, and how many at a time."""

    bpppc: float | None = None
    """Maximum bits per pixel and band, counting the whole file."""
    psnr: float | None = None
    """Minimum PSNR of every tile in dB, relative to `peak`, without the samples that are missing or coded apart."""
    max_error: float | None = None
    """Maximum absolute error of a sample in its own unit; 0 is lossless. Whole counts for integers. Not supported by sscnet."""
    relative_error: float | None = None
    """Maximum error of a sample as a share of its magnitude, for floats and 32-bit integers. Not supported by sscnet."""
    peak: float | None = None
    """Peak value for `psnr`; default: 10000 for integers of 16 bits and more (reflectance x 10000), 255 or 127 for 8 bits, 1 for floats."""
    best_effort: bool = False
    """Whether a codec that can't reach `psnr` encodes as well as it can, rather than to raise InputError."""

    @property
    def given(self) -> list[str]:
        """Names of the targets that are set."""
        return [name for name in ("bpppc", "psnr", "max_error", "relative_error") if getattr(self, name) is not None]

    def check_ranges(self) -> None:
        """Raise InputError for a value that no codec can reach."""
        targets = (
            ("bpppc", self.bpppc, "bits per sample above 0, such as 0.25"), ("psnr", self.psnr, "dB above 0, such as 45"),
            ("relative_error", self.relative_error, "a share of each sample, such as 0.001"),
        )  # fmt: skip
        for name, value, expected in targets:
            low, high = LIMITS[name]
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} is {value}; give {expected} ({low:g} to {high:g})")
        if self.max_error is not None and not 0 <= self.max_error <= LIMITS["max_error"][1]:
            raise InputError(f"max_error is {self.max_error}; give 0 (lossless) or more, {LIMITS['max_error'][1]:g} at most")


class Decoder(ABC):
    """Decodes an `.efz` file from `stream`, sequentially. Raises InputError if another codec wrote it."""

    MODEL: ClassVar[str]
    PARALLEL: ClassVar[bool] = False
    """Whether several threads may call `decode_tile` at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._reader = efz.Reader(stream)
        self.header = self._reader.header
        self._came = bytearray(self.header.count)
        self._nodata = self.header.settings.get("nodata")
        if self.header.model != self.MODEL:
            raise InputError(f"the .efz file was made by {self.header.model!r}, not {self.MODEL}; update edgefuse")
        if self._nodata is not None and not can_hold(self.dtype, self._nodata):
            raise InputError("the .efz header is invalid: nodata")

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(self.header.dtype)

    @property
    def lost(self) -> list[int]:
        """Numbers of damaged or missing tiles; complete after `tiles` is exhausted."""
        return [number for number, came in enumerate(self._came) if not came]

    @property
    def missing(self) -> float:
        """Value of lost and missing samples."""
        return tile.missing_value(self.dtype, self._nodata)

    def tiles(self, threads: int = 1) -> Iterator[tuple[tuple[slice, slice], Array]]:
        """Yield ((rows, columns), samples (h, w, B)) of every intact tile, in the file's order, the same for any number of threads.

        threads: most tiles that are decoded at a time, or wait to be taken.
        """
        return self.each(lambda place, samples: (place, samples), threads)

    def each(self, work: Callable[[tuple[slice, slice], Array], Result], threads: int, waiting: int = 0) -> Iterator[Result]:
        """Yield `work((rows, columns), samples)` of every intact tile, in the file's order; `work` runs where the tile was decoded.

        waiting: results that may wait to be taken, beyond `threads`.
        """

        def made(record: tuple[int, bytes]) -> tuple[int, tuple[Result] | None]:
            rows, columns = place = self.header.place(record[0])
            try:
                samples = self.decode_tile(record[1], (rows.stop - rows.start, columns.stop - columns.start, self.header.shape[2]))
            except InputError:
                return record[0], None  # it is damaged
            return record[0], (work(place, samples),)

        try:
            with closing(in_order(made, self._reader.tiles(), threads if self.PARALLEL else 1, waiting)) as results:
                for number, result in results:
                    if result is not None:
                        self._came[number] = 1
                        yield result[0]
                    del result
        finally:
            self.release()

    @abstractmethod
    def decode_tile(self, payload: bytes, shape: tuple[int, int, int]) -> Array:
        """Decode one tile to (h, w, B). Raises InputError if the payload is damaged."""

    def release(self) -> None:
        """Release the decoder's resources."""


class Codec(ABC):
    """A codec. Its name is stored in the header of every file that it writes."""

    PARALLEL: ClassVar[bool] = False
    """Whether `encode_to` also takes `threads`: most tiles that are encoded at a time. The bytes are the same for any number."""

    @abstractmethod
    def encode_to(
        self, stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
        progress: Progress = silent,
    ) -> int:  # fmt: skip
        """Write `cube` as an `.efz` file, tile by tile, and return the bytes written. Raises InputError.

        nodata: value of missing samples, besides NaN. about: JSON-serialisable metadata to store in the header.
        """

    @abstractmethod
    def decoder(self, stream: BinaryIO) -> Decoder:
        """Return a decoder for a file that this codec wrote."""


def codec(name: str) -> Codec:
    """Return the codec called `name`. Raises SettingsError if it is unknown."""
    instance: Codec = registry.get("edgefuse.codecs", name)()
    return instance


def sizes_of(cube: Cube, nodata: float | None) -> tuple[tuple[int, int, int], np.dtype[Any]]:
    """Return the cube's shape and its dtype in native byte order. Raises InputError for a cube that no codec supports."""
    if len(cube.shape) != 3 or 0 in cube.shape:
        raise InputError(f"a cube has rows, columns and bands, and this has shape {cube.shape}")
    dtype = np.dtype(cube.dtype).newbyteorder("=")
    if dtype.name not in efz.DTYPES:
        raise InputError(f"{dtype.name} samples can't be compressed; convert them to one of {', '.join(efz.DTYPES)}")
    if nodata is not None and nodata == nodata and not can_hold(dtype, nodata):
        raise InputError(f"{dtype.name} samples can't be {nodata}, so none is missing; leave nodata out")
    return (cube.shape[0], cube.shape[1], cube.shape[2]), dtype
