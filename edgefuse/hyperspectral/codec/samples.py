"""Conversion of spectra from `basis.sums` to integer samples: add the mean, scale, clip, round half to even.

The compiled implementation (samples.c) does it in one pass, with identical results.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from edgefuse.util import compiled
from edgefuse.util.arrays import Float64Array

_COMPILED = "uint8", "int8", "uint16", "int16", "int32"


def fill(out: NDArray[np.integer], sums: Float64Array, mean: Float64Array, unit: float, least: int, most: int) -> None:
    """Write (sums + mean) * unit (n, B), clipped to `least`..`most` and rounded, to `out`. All contiguous; `sums` may be overwritten."""
    if out.dtype.name in _COMPILED and (library := compiled.library()):
        getattr(library, f"edgefuse_samples_{out.dtype.name}")(
            ctypes.c_void_p(sums.ctypes.data), ctypes.c_void_p(mean.ctypes.data), *map(ctypes.c_int64, out.shape),
            *map(ctypes.c_double, (unit, least, most)), ctypes.c_void_p(out.ctypes.data),
        )  # fmt: skip
        return
    sums += mean
    sums *= unit
    np.clip(sums, least, most, out=sums)
    np.rint(sums, out=sums)
    out[...] = sums
