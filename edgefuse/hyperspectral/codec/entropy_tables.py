"""The entropy coder's constants and tables, which are part of the format: what the compiled coder and the one in Python have in common."""

from __future__ import annotations

import functools
import itertools
import math
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ONE = 256  # a step of the quantiser
BIAS = 9  # a magnitude is taken for so much more than its step says: rounding is done downwards
LAMBDA = 0.14  # of a bit, in squared steps


class Tables(NamedTuple):
    stretch: NDArray[np.int16]
    """4096: 256 ln(p / (1 - p)) of a probability's first 12 bits. Version 1's alone."""
    first: NDArray[np.int16]
    """(24, 16): how likely more than each symbol is, in 32768ths, before anything was seen: magnitudes of a mean, geometrically."""
    squash: NDArray[np.uint16]
    """4096: a probability in 65536ths, of its stretched value + 2048. Version 1's alone."""
    cost: NDArray[np.uint16]
    """4096: bits, in 64ths, of what had this probability. The encoder's alone."""
    rate: NDArray[np.uint16]
    """256: what the n-th time counts, in 32768ths."""
    level: NDArray[np.uint8]
    """4096: sums of magnitudes, ever coarser."""


@functools.cache
def tables() -> Tables:
    """The coder's tables. They are part of the format: their check sum is the same wherever `math` rounds to 12 places."""
    p = [(i + 0.5) / 4096 for i in range(4096)]
    text = "0 1 2 3 4 5 6 8 10 12 15 19 24 30 38 48 60 76 96 120 152 192 240 300 380 480 600 760 960 1200 1500 1900"
    starts = [*map(int, text.split())]
    made = Tables(
        np.array([min(2047, max(-2047, round(256 * math.log(q / (1 - q))))) for q in p], np.int16),
        np.array([_first((low + high) / 2 * _MEAN) for low, high in itertools.pairwise(starts[:25])], np.int16),
        np.array([min(65520, max(16, round(65536 / (1 + math.exp(-d / 256))))) for d in range(-2048, 2048)], np.uint16),
        np.array([round(-64 * math.log2(q)) for q in p], np.uint16),
        np.array([round(32768 / (n + 1.5)) for n in range(256)], np.uint16),
        (np.searchsorted(starts, np.arange(4096), "right") - 1).astype(np.uint8),
    )
    if zlib.crc32(b"".join(t.astype("<i4").tobytes() for t in made)) != CHECK:
        raise ArithmeticError("this machine's logarithms are wrong, so what it writes could not be read elsewhere")
    return made


CHECK = 1315658056

_MEAN = 0.055  # of a magnitude, about, is each unit of the sum that is expected of it


def _first(mean: float) -> list[int]:
    least = [*range(1, 11), 12, 16, 24, 40, 72]  # magnitudes that are more than a symbol's
    return [*(int(32700 * (mean / (1 + mean)) ** n) for n in least), 0]
