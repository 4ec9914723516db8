"""Integer 9/7 wavelet transform by lifting, in place: samples keep their positions, and those of level l are 2^l apart.

The inverse applies the same lifting steps in reverse order, so it is exact despite rounding, and the same on every machine. The lifting
factors are those of Daubechies and Sweldens (1998) without the final scaling, which `Band.gain` applies before quantisation instead.
The compiled implementation (wavelet.c) gives identical results.
"""

from __future__ import annotations

import ctypes

import numpy as np

from edgefuse.util import compiled
from edgefuse.util.arrays import Int32Array

STEPS = -6497, -217, 3616, 1817  # 4096ths of -1.586134342, -0.052980119, 0.882911076, 0.443506852
MOST_LEVELS = 5
_SMALLEST = 5  # minimum samples along the shorter side of the coarsest level


def levels_for(height: int, width: int) -> int:
    """Return the number of decomposition levels for a plane of this size."""
    levels = 0
    while levels < MOST_LEVELS and min(height, width) >> (levels + 1) >= _SMALLEST:
        levels += 1
    return levels


def transform(data: Int32Array, levels: int, inverse: bool = False) -> None:
    """Transform `data` (height, width, depth), contiguous int32, in place along the first two axes. Sums wrap at 32 bits."""
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
    """Lift along axis 0: add a multiple of the neighbours' sum to odd and even samples alternately; mirror at the ends."""
    if len(x) < 2:
        return
    for s in range(len(STEPS))[:: -1 if undo else 1]:
        first = 1 - s % 2
        index = np.arange(first, len(x), 2)
        before, after = np.abs(index - 1), np.where(index + 1 < len(x), index + 1, index - 1)
        update = ((x[before] + x[after]).astype(np.int64) * STEPS[s] + 2048 >> 12).astype(np.int32)
        if undo:
            x[first::2] -= update
        else:
            x[first::2] += update
