"""Rate control of `spectral-edge`: chooses the quantiser step so that a file has at most the requested size."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import tile
from edgefuse.hyperspectral.codec.base import Target
from edgefuse.hyperspectral.codec.cube_tiles import CubeTiles
from edgefuse.hyperspectral.codec.lossy import Analysis, Lossy
from edgefuse.hyperspectral.codec.parallel_tiles import in_order
from edgefuse.hyperspectral.codec.tile import Payload, Prepared

LOSSLESS_STEP = 1.5  # quantiser step of integers below which lossless coding may take fewer bytes
_MOST_APART = 0.25  # largest share of a tile's bytes for the samples that are coded apart
_SAMPLED_TILES = 12  # number of tiles sampled to estimate the rate
_MAX_SHARE = 2.0  # largest size of a tile, as a multiple of its share of the remaining bytes
_RECORD_BYTES = 16  # bytes of a tile's record header


class RateControl:
    """Chooses one step for all tiles, estimated on a sample of tiles and corrected by the actual bytes of finished tiles.

    A tile's final step depends on the bytes of all tiles before it, so tiles are analysed at the first step, several at a time, and then
    encoded one after another.
    """

    def __init__(self, header: efz.Header, target: Target, tiles: CubeTiles, threads: int = 1) -> None:
        """threads: most tiles that are analysed at a time; the result is the same for any number."""
        samples = header.shape[0] * header.shape[1] * header.shape[2]
        self.size = int((target.bpppc or 0) * samples / 8)
        """Largest size of the file in bytes."""
        self._tiles, self._threads = tiles, min(threads, header.count)
        self._bytes_left = self.size - len(header.to_bytes()) - header.count * (_RECORD_BYTES + 8) - 24
        places = map(header.place, range(header.count))
        self._pixels = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in places]
        self._pixels_left = sum(self._pixels)
        # predicted and actual bytes of finished tiles; both start at an eighth of the budget, so that the ratio starts at 1
        self._predicted = self._actual = self._bytes_left / 8
        self._steps: NDArray[np.float64] | None = None
        if header.count > 1:
            self._estimate(np.unique(np.linspace(0, header.count - 1, _SAMPLED_TILES).astype(int)).tolist())
        self._first_step = None if self._steps is None else self._step()

    def _estimate(self, numbers: list[int]) -> None:
        """Estimate the bytes per pixel at each of many steps from the tiles `numbers`."""
        first = next((k for k, number in enumerate(numbers) if self._choose_steps(number)), None)
        if first is not None:
            with closing(in_order(self._sizes, numbers[first:], self._threads)) as sizes:
                self._expected = sum(sizes, np.zeros(1)) / sum(self._pixels[number] for number in numbers)

    def _choose_steps(self, number: int) -> bool:
        """Choose the steps to estimate the rate at by a tile; return False if it has no sample to code, or all of its pixels are equal."""
        analysis = tile.analysed(self._tiles[number])
        varies = analysis is not None and bool(analysis.variances.any())
        if analysis is not None and varies:
            self._steps = analysis.guessed(max(1, self._share(number))) * np.geomspace(1 / 4, 16, 97)
        return varies

    def _sizes(self, number: int) -> NDArray[np.float64]:
        """Estimate the bytes of a tile at each step."""
        assert self._steps is not None
        analysis = tile.analysed(self._tiles[number])
        return np.zeros(len(self._steps)) if analysis is None else analysis.sizes(self._steps)

    def may_be_lossless(self, dtype: np.dtype[np.generic]) -> bool:
        """Return whether a cube of several tiles may fit into the rate without loss, by the step that the rate would give."""
        several = len(self._pixels) > 1
        return several and dtype.name in tile.INTEGERS and (self._steps is None or self._step() < LOSSLESS_STEP)

    def payloads(self) -> Generator[Payload, None, None]:
        """Encode the tiles in order."""
        with closing(in_order(self._analysed, range(len(self._pixels)), self._threads)) as tiles:
            for number, (prepared, analysis) in enumerate(tiles):
                yield self._payload(number, prepared, analysis)
                del prepared, analysis

    def _analysed(self, number: int) -> tuple[Prepared, Analysis | None]:
        """Prepare a tile, and measure it at the first step; None if it has no sample to code."""
        prepared = self._tiles[number]
        analysis = tile.analysed(prepared)
        if analysis is not None and self._first_step is not None:
            analysis.measure(self._first_step)
        return prepared, analysis

    def _payload(self, number: int, prepared: Prepared, analysis: Analysis | None) -> Payload:
        """Encode a tile in about its share of the remaining bytes, and subtract it from them."""
        share = self._share(number)
        if prepared.apart and tile.overhead(prepared) > _MOST_APART * share:
            prepared = min(prepared, self._tiles.plain(number), key=tile.overhead)
            analysis = tile.analysed(prepared)
        encoded = self._encoded(number, analysis, tile.overhead(prepared)) if analysis else None
        payload = tile.lossy_payload(prepared, encoded)
        if analysis and encoded and encoded.step < max(LOSSLESS_STEP * tile.unit(prepared), 1.01 * analysis.least_step):
            exact = tile.exact_payload(prepared)
            payload = exact if len(exact.data) <= share else payload
        self._bytes_left -= len(payload.data)
        self._pixels_left -= self._pixels[number]
        return payload

    def _share(self, number: int) -> int:
        """Return a tile's share of the remaining bytes by its pixels."""
        return max(0, self._bytes_left * self._pixels[number] // self._pixels_left)

    def _step(self) -> float:
        """Return the step that is estimated to take exactly the remaining bytes."""
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
