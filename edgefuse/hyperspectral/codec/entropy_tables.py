"""Constants and tables of the entropy coder, shared by the compiled and the Python implementation. They are part of the file format."""

from __future__ import annotations

import functools
import itertools
import math
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ONE = 256  # units per quantiser step
BIAS = 9  # reconstruction offset, 9/256 of a step, because quantisation rounds down
LAMBDA = 0.14  # Lagrange multiplier: cost of a bit in squared steps


class Tables(NamedTuple):
    """Tables of the coder; `Tables` of entropy_coder.h, field by field."""

    stretch: NDArray[np.int16]
    """(4096,): 256 ln(p / (1 - p)) by the upper 12 bits of a probability p. Version 1 only."""
    first: NDArray[np.int16]
    """(24, 16): initial probability, in 32768ths, that a magnitude exceeds each symbol: a geometric distribution of the expected mean."""
    squash: NDArray[np.uint16]
    """(4096,): inverse of `stretch`: probability in 65536ths by the stretched value + 2048. Version 1 only."""
    cost: NDArray[np.uint16]
    """(4096,): cost in 64ths of a bit by probability. Encoder only."""
    rate: NDArray[np.uint16]
    """(256,): adaptation rate of the n-th update, in 32768ths."""
    level: NDArray[np.uint8]
    """(4096,): logarithmic quantisation of sums of magnitudes."""


@functools.cache
def tables() -> Tables:
    """Return the tables and verify their checksum, which any `math` library accurate to 12 digits reproduces. Raises ArithmeticError."""
    p = [(i + 0.5) / 4096 for i in range(4096)]
    text = "0 1 2 3 4 5 6 8 10 12 15 19 24 30 38 48 60 76 96 120 152 192 240 300 380 480 600 760 960 1200 1500 1900"
    starts = [*map(int, text.split())]
    result = Tables(
        np.array([min(2047, max(-2047, round(256 * math.log(q / (1 - q))))) for q in p], np.int16),
        np.array([_first((low + high) / 2 * _MEAN) for low, high in itertools.pairwise(starts[:25])], np.int16),
        np.array([min(65520, max(16, round(65536 / (1 + math.exp(-d / 256))))) for d in range(-2048, 2048)], np.uint16),
        np.array([round(-64 * math.log2(q)) for q in p], np.uint16),
        np.array([round(32768 / (n + 1.5)) for n in range(256)], np.uint16),
        (np.searchsorted(starts, np.arange(4096), "right") - 1).astype(np.uint8),
    )
    if zlib.crc32(b"".join(t.astype("<i4").tobytes() for t in result)) != CHECK:
        raise ArithmeticError("this machine's logarithms are inaccurate, so other machines could not decode its files")
    return result


CHECK = 1315658056

_MEAN = 0.055  # expected magnitude per unit of the weighted sum of neighbours


def _first(mean: float) -> list[int]:
    """Initial exceedance probabilities of the symbols for a geometric distribution with this mean."""
    next_magnitudes = [*range(1, 11), 12, 16, 24, 40, 72]  # smallest magnitude beyond each symbol
    return [*(int(32700 * (mean / (1 + mean)) ** n) for n in next_magnitudes), 0]
