"""How the samples of a tile are predicted: what the predictive coder, its Python twin and the fit of the weights share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Int32Array

FLOATS, SIGNED, UNSIGNED = range(3)  # kinds of a band's words
Words = NDArray[np.unsignedinteger]
Skipped = NDArray[np.bool_]
MOST_TAPS = 64  # of each of the five pixels


@dataclass(frozen=True, slots=True)
class Plan:
    """How the samples of a tile are predicted."""

    kinds: Int32Array
    """(B,): FLOATS, SIGNED or UNSIGNED."""
    shifts: Int32Array
    """(B,): a float times 2^shift, an integer divided by 2^shift, is a fixed-point number of up to 30 bits."""
    dropped: int
    """Lowest bits that are zero in all words of floats, and are not coded."""
    taps: tuple[int, int, int, int, int]
    """Bands that predict: of the pixel itself, left, above, above left, above right."""
    weights: Int32Array
    """(B, sum of taps), in 16384ths, for bands in ascending order."""
    bias: Int32Array
    """(B,), fixed-point."""
