"""An image resampled once to a grid that nests a cube's, with a Lanczos kernel of six pixels; read in windows, from a bounded cache."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.motion import Mapping
from edgefuse.sharpening.pair import Mask, Samples, is_known
from edgefuse.util.arrays import Float32Array, Float64Array

_SIDE = 128  # of a block, in pixels of the grid
_CACHE_BYTES = 64_000_000
_LOBES = 3


class Resampled:
    """(h ratio, w ratio, b) float32; NaN where the image is missing or ends.

    image: (H, W, b). mapping: from places in the cube's pixels to the image's. shape: (h, w) of the cube.
    """

    def __init__(self, image: Samples, nodata: float | None, mapping: Mapping, shape: tuple[int, int], ratio: int) -> None:
        self.image, self.nodata, self.mapping, self._ratio = image, nodata, mapping, ratio
        self.shape: tuple[int, ...] = (shape[0] * ratio, shape[1] * ratio, image.shape[2])
        self._blocks: OrderedDict[tuple[int, int], Float32Array] = OrderedDict()
        self._most = max(16, _CACHE_BYTES // (4 * _SIDE * _SIDE * image.shape[2]), 2 * -(-self.shape[1] // _SIDE))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        (top, bottom, _), (left, right, _) = (s.indices(n) for s, n in zip((rows, columns), self.shape[:2], strict=True))
        out = np.empty((max(0, bottom - top), max(0, right - left), self.shape[2]), np.float32)
        for i in range(top // _SIDE, -(-bottom // _SIDE)):
            for j in range(left // _SIDE, -(-right // _SIDE)):
                block, y, x = self._block(i, j), i * _SIDE, j * _SIDE
                a, b = max(top, y), min(bottom, y + block.shape[0])
                c, d = max(left, x), min(right, x + block.shape[1])
                out[a - top : b - top, c - left : d - left] = block[a - y : b - y, c - x : d - x]
        return out

    def _block(self, i: int, j: int) -> Float32Array:
        if (i, j) in self._blocks:
            self._blocks.move_to_end((i, j))
            return self._blocks[i, j]
        block = self._made(*_places(self.mapping, self.shape, self._ratio, i, j))
        self._blocks[i, j] = block
        if len(self._blocks) > self._most:
            self._blocks.popitem(last=False)
        return block

    def _made(self, rows: Float64Array, columns: Float64Array) -> Float32Array:
        height, width, bands = self.image.shape
        with np.errstate(invalid="ignore"):
            inside = (rows >= -0.5) & (rows <= height - 0.5) & (columns >= -0.5) & (columns <= width - 0.5)
        made = np.full((*rows.shape, bands), np.nan, np.float32)
        if not inside.any():
            return made
        rows, columns = rows[inside], columns[inside]
        (top, y, down), (left, x, across) = _taps(rows, height), _taps(columns, width)
        samples = self.image[top : int(y.max()) + 1, left : int(x.max()) + 1]
        known = is_known(samples, self.nodata)
        pixels = np.where(known[..., None], samples, 0).astype(np.float32)
        y, x = y - top, x - left
        total, missing = np.zeros((len(rows), bands), np.float32), np.zeros(len(rows), bool)
        for k in range(2 * _LOBES):
            for m in range(2 * _LOBES):
                weight = down[:, k] * across[:, m]
                total += weight[:, None] * pixels[y[:, k], x[:, m]]
                missing |= ~known[y[:, k], x[:, m]] & (np.abs(weight) > 1e-6)
        total[missing] = np.nan
        made[inside] = total
        return made


def _places(mapping: Mapping, shape: tuple[int, ...], ratio: int, i: int, j: int) -> tuple[Float64Array, Float64Array]:
    """Return rows and columns of the image, (m, n) each, from the centre of its first pixel, of the pixels of a grid's block."""
    rows, columns = ((np.arange(at * _SIDE, min(n, (at + 1) * _SIDE)) + 0.5) / ratio for at, n in zip((i, j), shape, strict=False))
    places = mapping(rows, columns) - 0.5
    return places[..., 1], places[..., 0]


def nearest(mask: Mask, mapping: Mapping, shape: tuple[int, ...], ratio: int) -> Mask:
    """Return a mask (H, W) of the image's pixels on a grid of `shape`, by the nearest pixel."""
    out = np.zeros(shape[:2], bool)
    for i in range(-(-shape[0] // _SIDE)):
        for j in range(-(-shape[1] // _SIDE)):
            y, x = (np.rint(np.nan_to_num(at, nan=-1)).astype(np.intp) for at in _places(mapping, shape, ratio, i, j))
            inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
            part = inside & mask[np.where(inside, y, 0), np.where(inside, x, 0)]
            out[i * _SIDE : i * _SIDE + part.shape[0], j * _SIDE : j * _SIDE + part.shape[1]] = part
    return out


def _taps(at: Float64Array, count: int) -> tuple[int, NDArray[np.intp], Float32Array]:
    """Return the first pixel used, pixels (n, 6) of an axis of `count` and their weights (n, 6), which sum to 1, for places (n,)."""
    base = np.floor(at).astype(np.intp)
    steps = np.arange(1 - _LOBES, 1 + _LOBES)
    distance = at[:, None] - base[:, None] - steps
    weights = np.sinc(distance) * np.sinc(distance / _LOBES)
    weights /= weights.sum(1, keepdims=True)
    pixels = np.clip(base[:, None] + steps, 0, count - 1)
    return int(pixels.min()), pixels, weights.astype(np.float32)
