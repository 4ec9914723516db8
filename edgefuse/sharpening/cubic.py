"""A cube on its image's grid by cubic interpolation (Keys, 1981, with OpenCV's -0.75): what a network starts from.

Linear along each side, so written as a matrix a side: any window of the image's pixels, whichever window of the cube's is at hand.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.psf import Psf, apply
from edgefuse.util.arrays import Float32Array

Span = tuple[int, int]

_SHARP = -0.75
REACH = 2  # low-resolution pixels, to either side of a high-resolution one


@functools.lru_cache(maxsize=256)  # tiles of a row or a column share them
def weights(pixels: Span, low: Span, count: int, ratio: int, shift: float) -> Float32Array:
    """(high-resolution pixels, low-resolution pixels `low`) of `count`: each row's sum is 1 where `low` reaches far enough.

    shift: as `Psf.dy` and `Psf.dx`. The cube is reflected at its border, whose pixels are not repeated.
    """
    at = (np.arange(*pixels) - (ratio - 1) / 2 - shift) / ratio
    base = np.floor(at).astype(int)
    made = np.zeros((len(at), low[1] - low[0]))
    period = max(1, 2 * (count - 1))
    for step in range(-1, 3):
        reflected = np.abs((base + step + count - 1) % period - count + 1) if count > 1 else np.zeros_like(base)
        inside = (reflected >= low[0]) & (reflected < low[1])
        np.add.at(made, (np.flatnonzero(inside), reflected[inside] - low[0]), _kernel(np.abs(at - base - step))[inside])
    found = made.astype(np.float32)
    found.flags.writeable = False
    return found


def _kernel(away: NDArray[np.float64]) -> NDArray[np.float64]:
    near = ((_SHARP + 2) * away - (_SHARP + 3)) * away**2 + 1
    far = ((away - 5) * away + 8) * away - 4
    return np.where(away <= 1, near, np.where(away < 2, _SHARP * far, 0.0))


def enlarged(cube: Float32Array, low: tuple[Span, Span], window: tuple[Span, Span], counts: Span, psf: Psf) -> Float32Array:
    """cube (m, n, B): the low-resolution pixels `low` (rows, columns) of `counts` -> the high-resolution pixels `window`, (M, N, B)."""
    rows = weights(window[0], low[0], counts[0], psf.ratio, psf.dy)
    columns = weights(window[1], low[1], counts[1], psf.ratio, psf.dx)
    return apply(rows, columns, cube)
