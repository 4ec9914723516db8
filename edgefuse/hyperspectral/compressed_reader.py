"""Reader of compressed cubes (.efz): metadata, and tiles as windows. The header names the codec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

from numpy.typing import NDArray

from edgefuse import registry
from edgefuse.errors import CubeError, InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec.base import codec
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats.base import Window
from edgefuse.util.blas import one_blas_thread

Result = TypeVar("Result")
Tile = tuple[tuple[slice, slice], NDArray[Any]]  # (rows, columns), samples


class LostTiles(Sequence[Window]):
    """Windows of damaged tiles, computed on access, because a file may have 2^18 of them."""

    def __init__(self, header: efz.Header, numbers: Sequence[int]) -> None:
        self._header, self._numbers = header, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Window: ...

    @overload
    def __getitem__(self, index: slice) -> LostTiles: ...

    def __getitem__(self, index: int | slice) -> Window | LostTiles:
        if isinstance(index, slice):
            return LostTiles(self._header, self._numbers[index])
        return (*self._header.place(self._numbers[index]), slice(0, self._header.shape[2]))


class Compressed:
    """An .efz file, read sequentially once. Raises CubeError.

    lost: windows of damaged tiles, complete after `tiles` is exhausted.
    stream: source of the bytes instead of the file `path`, which then is only the name in messages.
    """

    def __init__(self, path: Path, stream: BinaryIO | None = None) -> None:
        self.path = path
        self.lost: Sequence[Window] = ()
        try:
            self.file = stream or open(path, "rb")  # noqa: SIM115
        except OSError as e:
            raise CubeError(f"cannot read {path}: {e.strerror}") from None
        try:
            model = efz.Reader(self.file).header.model
            if not registry.known("edgefuse.codecs", model):
                raise InputError(f"its codec {model[:40]!r} is unknown; update edgefuse")
            self.file.seek(0)
            self._decoder = codec(model).decoder(self.file)
            self.header = self._decoder.header
            self.info = CubeInfo.from_json({**self.header.about, "shape": list(self.header.shape), "dtype": self.header.dtype})
        except (InputError, OSError) as e:
            self.close()
            raise CubeError(f"{path}: {e}") from None

    @property
    def settings(self) -> dict[str, Any]:
        """Compression settings that the file records."""
        return {"model": self.header.model, **self.header.settings}

    @property
    def missing(self) -> float:
        """Value of lost samples."""
        return float(self._decoder.missing)

    def tiles(self, threads: int = 1) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield (window, samples) of each intact tile; windows cover all bands.

        threads: most tiles that are decoded at a time; what is yielded is the same for any number.
        """
        return self.each(lambda window, samples: (window, samples), threads)

    def each(self, work: Callable[[Window, NDArray[Any]], Result], threads: int, waiting: int = 0) -> Iterator[Result]:
        """Yield `work(window, samples)` of each intact tile, in the file's order. With several threads `work` runs where a tile is decoded.

        waiting: results that may wait to be taken, beyond `threads`.
        """
        bands = slice(0, self.info.shape[2])

        def placed(place: tuple[slice, slice], samples: NDArray[Any]) -> Result:
            return work((*place, bands), samples)

        results: Iterator[Result]
        if threads > 1 and self._decoder.PARALLEL:
            results = _on_several(self._decoder.each(placed, threads, waiting))
        else:
            results = (placed(*tile) for tile in _on_one_thread(self._decoder.tiles()))
        try:
            yield from results
        except OSError as e:
            raise CubeError(f"cannot read {self.path}: {e.strerror}") from None
        self.lost = LostTiles(self.header, self._decoder.lost)

    def decoded(self, number: int, payload: bytes) -> NDArray[Any]:
        """Decode the payload of a tile to samples (h, w, B). Raises InputError if it is damaged."""
        rows, columns = self.header.place(number)
        return self._decoder.decode_tile(payload, (rows.stop - rows.start, columns.stop - columns.start, self.header.shape[2]))

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Compressed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _on_several(results: Iterator[Result]) -> Iterator[Result]:
    """Decode tiles on several threads, each with one BLAS thread, which also goes for what is done between two tiles."""
    with one_blas_thread():
        yield from results


def _on_one_thread(tiles: Iterator[Tile]) -> Iterator[Tile]:
    """Decode each tile with one BLAS thread; the caller's work between two tiles may use more."""
    while True:
        with one_blas_thread():
            tile = next(tiles, None)
        if tile is None:
            return
        yield tile
