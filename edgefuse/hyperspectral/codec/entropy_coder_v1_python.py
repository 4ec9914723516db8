"""Port of entropy_coder_v1.c to Python, line by line, for machines without the compiled core: the same numbers, a hundred times slower.

Version 1 mixes two binary models with weights that are updated after every bit, after M. Mahoney's PAQ. At the same rate it is 0.25 dB
worse than version 2, and it is twice as slow.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from edgefuse.hyperspectral.codec.entropy_coder_python import Magnitudes, surroundings
from edgefuse.hyperspectral.codec.entropy_tables import tables
from edgefuse.hyperspectral.codec.subbands import PAD, Band, bands
from edgefuse.util.arrays import Int32Array

INPUTS, SLOTS, FLAGS, SETS, BITS, LONGEST = 2, 1024, 16, 24, 256, 28
SLOW, LEARN, WARM, FIRST_WEIGHT, ONE, BIAS = 60, 10, 40, 36000, 256, 9
_HALF = 32768


class _Coder:
    """Range decoder with its context models, which give the probability of a 1."""

    def __init__(self, source: bytes) -> None:
        shared = tables()
        self.stretch, self.squash, self.rate, self.level = (t.tolist() for t in (shared.stretch, shared.squash, shared.rate, shared.level))
        self.low, self.high, self.code = 0, 0xFFFFFFFF, 0
        self.source = itertools.chain(source, itertools.repeat(0))
        for _ in range(4):
            self.code = self.code << 8 | next(self.source)
        # per flag and model: probabilities and update counts
        self.p = [[[_HALF] * SLOTS for _ in range(INPUTS)] for _ in range(FLAGS)]
        self.n = [[[0] * SLOTS for _ in range(INPUTS)] for _ in range(FLAGS)]
        self.bit_p, self.bit_n = [_HALF] * BITS, [0] * BITS
        self.weights = [[[FIRST_WEIGHT] * INPUTS for _ in range(SETS)] for _ in range(FLAGS)]
        self.seen = [[0] * SETS for _ in range(FLAGS)]
        self.set = 0
        self.index: Sequence[int] = ()

    def bit(self, p: int) -> int:
        """Decode a bit whose probability of 1 is p / 65536."""
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = int(self.code <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while not (self.low ^ self.high) >> 24:
            self.code = (self.code << 8 & 0xFFFFFFFF) | next(self.source)
            self.low = self.low << 8 & 0xFFFFFFFF
            self.high = (self.high << 8 & 0xFFFFFFFF) | 255
        return bit

    def slot(self, context: int) -> int:
        """Decode a bit with the adaptive probability of `context`."""
        bit = self.bit(min(65504, max(32, self.bit_p[context])))
        self._learn_slot(self.bit_p, self.bit_n, context, bit)
        return bit

    def _learn_slot(self, p: list[int], n: list[int], at: int, bit: int) -> None:
        p[at] += ((65535 if bit else 0) - p[at]) * self.rate[n[at]] >> 15
        if n[at] < SLOW:
            n[at] += 1

    def mixed(self, flag: int) -> int:
        """Decode a flag with the mixed prediction of the models, and update models and weights."""
        stretched = [self.stretch[p[i] >> 4] for p, i in zip(self.p[flag], self.index, strict=True)]
        weights, seen = self.weights[flag][self.set], self.seen[flag]
        dot = sum([value * w + 128 >> 8 for value, w in zip(stretched, weights, strict=True)]) + 128 >> 8
        p = self.squash[min(2047, max(-2047, dot)) + 2048]
        bit = self.bit(p)
        error = ((65535 if bit else 0) - p) * (LEARN + max(0, WARM - seen[self.set])) + 128 >> 8
        seen[self.set] = min(WARM, seen[self.set] + 1)
        for i, value in enumerate(stretched):
            weights[i] = min(131071, max(-131072, weights[i] + (value * error + 2048 >> 12)))
            self._learn_slot(self.p[flag][i], self.n[flag][i], self.index[i], bit)
        return bit

    def tail(self) -> int:
        """Decode how far a magnitude exceeds 3."""
        value, n = 1, 0
        while n < LONGEST and self.mixed(3 + min(n, 12)):
            n += 1
        for depth in range(n):
            bit = self.slot(64 + (n * 2 + depth) * 2 + (value & 1 if depth else 0)) if depth < 2 else self.bit(_HALF)
            value = value << 1 | bit
        return value - 1


def decode(data: bytes, shape: tuple[int, int, int], levels: int, exact: bool) -> Int32Array:
    """Decode version 1 of the format, as `entropy_coder._decode`."""
    coder, planes = _Coder(data), np.zeros(shape, np.int32)
    height, width, count = shape
    subbands, padded_size = bands(height, width, levels)
    averages = [0] * len(subbands)
    previous, older = [0] * padded_size, [0] * padded_size
    for k in range(count):
        current = [0] * padded_size
        for i, b in enumerate(subbands):
            if not b.height or not b.width:
                continue
            if not coder.slot(i * 2 + (averages[i] > 40)):
                averages[i] = 0
                continue
            decoded, averages[i] = _decode_band(coder, subbands, b, (current, previous, older), averages[i], 0 if exact else BIAS)
            values = np.array(decoded, np.int64)
            planes[b.y :: b.step, b.x :: b.step, k] = (values if exact else values * b.inverse + 2048 >> 12).astype(np.int32)
        previous, older = current, previous
    return planes


def _decode_band(
    c: _Coder, subbands: Sequence[Band], b: Band, magnitudes: Magnitudes, average: int, bias: int
) -> tuple[list[list[int]], int]:
    """Decode one subband of a plane: its values in 256ths of a step (without bias: unscaled), and its running mean in 4096ths."""
    q, unit = magnitudes[0], ONE if bias else 1
    level, top = c.level, len(c.level) - 1
    values = [[0] * b.width for _ in range(b.height)]

    def lv(v: int) -> int:
        return min(level[min(v, top)], SETS - 1)

    for y in range(b.height):
        row = b.offset + (y + PAD) * b.stride + PAD
        for x in range(b.width):
            at = row + x
            around, _ = surroundings(magnitudes, subbands, b, y, x)
            expected = lv(around + 1 + (average >> 9) >> 1)
            c.set = expected
            c.index = expected * 8 + b.type, lv(average >> 7) * 24 + expected
            value = 0
            if c.mixed(0):
                negative = c.bit(_HALF)
                value = 1 if not c.mixed(1) else 2 if not c.mixed(2) else 3 + c.tail()
                magnitude = value * unit + bias
                values[y][x] = -magnitude if negative else magnitude
            q[at] = min(value, 65535)
            average += min(value, 4000) * 4096 - average + 16 >> 5
    return values, average
