"""The 9/7 wavelet in integers, by lifting, in place: every sample stays where it is, and level l's lie 2^l apart.

Lifting is undone by the same steps backwards, whatever they round to, and a decoder's integers are the same on every machine. Its factors
are those of Daubechies and Sweldens (1998) without their last scaling, which is part of each band's quantiser instead (`Band.gain`).
`transform` runs compiled where that is possible (wavelet.c), to the same bits.
"""

from __future__ import annotations

import ctypes

import numpy as np

from edgefuse.util import compiled
from edgefuse.util.arrays import Int32Array

STEPS = -6497, -217, 3616, 1817  # 4096ths of -1.586134342, -0.052980119, 0.882911076, 0.443506852
MOST_LEVELS = 5
_SMALLEST = 5  # samples along the shorter side of the coarsest level


def levels_for(height: int, width: int) -> int:
    """How often a picture is halved."""
    levels = 0
    while levels < MOST_LEVELS and min(height, width) >> (levels + 1) >= _SMALLEST:
        levels += 1
    return levels


def transform(data: Int32Array, levels: int, inverse: bool = False) -> None:
    """Transform `data`, (height, width, depth) int32, contiguous, in place along its first two axes. Sums wrap round at 32 bits."""
    steps = np.array(STEPS, np.int32)
    if library := compiled.library():
        library.edgefuse_wavelet(
            ctypes.c_void_p(data.ctypes.data), *map(ctypes.c_int32, (*data.shape, levels)),
            ctypes.c_void_p(steps.ctypes.data), ctypes.c_int32(len(steps)), ctypes.c_int32(inverse),
        )  # fmt: skip
        return
    for level in range(levels)[:: -1 if inverse else 1]:
        samples = data[:: 1 << level, :: 1 << level]
        for axis in (1, 0) if inverse else (0, 1):
            _lift(samples.swapaxes(0, axis), inverse)


def _lift(x: Int32Array, undo: bool) -> None:
    """Along axis 0: the odd samples and the even ones in turn, plus a factor of their neighbours' sum; the ends are reflected."""
    if len(x) < 2:
        return
    for s in range(len(STEPS))[:: -1 if undo else 1]:
        begin = 1 - s % 2
        at = np.arange(begin, len(x), 2)
        before, after = np.abs(at - 1), np.where(at + 1 < len(x), at + 1, at - 1)
        part = ((x[before] + x[after]).astype(np.int64) * STEPS[s] + 2048 >> 12).astype(np.int32)
        if undo:
            x[begin::2] -= part
        else:
            x[begin::2] += part
