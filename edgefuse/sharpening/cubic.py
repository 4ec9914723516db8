"""Upsamples a cube to its image's grid by cubic interpolation (Keys, 1981, with OpenCV's -0.75), as input of a network.

Separable, so one weight matrix per axis maps any window of the cube to any window of the image's grid.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.psf import Psf, apply
from edgefuse.util.arrays import Float32Array

Span = tuple[int, int]

_SHARP = -0.75  # Keys's parameter a
REACH = 2  # low-resolution pixels used on either side of a high-resolution one


@functools.lru_cache(maxsize=256)  # tiles of a row or a column share them
def weights(pixels: Span, low: Span, count: int, ratio: int, shift: float) -> Float32Array:
    """Return weights (high-resolution pixels, low-resolution pixels `low` of `count`); a row sums to 1 where `low` reaches far enough.

    shift: as `Psf.dy` and `Psf.dx`. The cube is mirrored at its border without repeating the border pixels.
    """
    at = (np.arange(*pixels) - (ratio - 1) / 2 - shift) / ratio
    base = np.floor(at).astype(int)
    total = np.zeros((len(at), low[1] - low[0]))
    period = max(1, 2 * (count - 1))
    for step in range(-1, 3):
        reflected = np.abs((base + step + count - 1) % period - count + 1) if count > 1 else np.zeros_like(base)
        inside = (reflected >= low[0]) & (reflected < low[1])
        np.add.at(total, (np.flatnonzero(inside), reflected[inside] - low[0]), _kernel(np.abs(at - base - step))[inside])
    result = total.astype(np.float32)
    result.flags.writeable = False
    return result


def _kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    near = ((_SHARP + 2) * distance - (_SHARP + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance - 4
    return np.where(distance <= 1, near, np.where(distance < 2, _SHARP * far, 0.0))


def enlarged(cube: Float32Array, low: tuple[Span, Span], window: tuple[Span, Span], counts: Span, psf: Psf) -> Float32Array:
    """Upsample `cube` (m, n, B), the low-resolution window `low` of a cube of size `counts`, to the high-resolution `window`, (M, N, B)."""
    rows = weights(window[0], low[0], counts[0], psf.ratio, psf.dy)
    columns = weights(window[1], low[1], counts[1], psf.ratio, psf.dx)
    return apply(rows, columns, cube)
