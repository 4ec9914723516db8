"""entropy_coder_v1.c in Python, line by line, for where there is no compiled core: the same numbers, a hundred times slower.

Version 1 mixed two binary models by weights that learnt with every bit, after M. Mahoney's PAQ: a quarter of a decibel worse a bit
than version 2, and twice as slow.
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
    """The range coder, and the models that tell it how likely a one is."""

    def __init__(self, source: bytes) -> None:
        made = tables()
        self.stretch, self.squash, self.rate, self.level = (t.tolist() for t in (made.stretch, made.squash, made.rate, made.level))
        self.low, self.high, self.code = 0, 0xFFFFFFFF, 0
        self.source = itertools.chain(source, itertools.repeat(0))
        for _ in range(4):
            self.code = self.code << 8 | next(self.source)
        # flag by flag, input by input: probabilities and how often each was seen
        self.p = [[[_HALF] * SLOTS for _ in range(INPUTS)] for _ in range(FLAGS)]
        self.n = [[[0] * SLOTS for _ in range(INPUTS)] for _ in range(FLAGS)]
        self.bit_p, self.bit_n = [_HALF] * BITS, [0] * BITS
        self.weights = [[[FIRST_WEIGHT] * INPUTS for _ in range(SETS)] for _ in range(FLAGS)]
        self.seen = [[0] * SETS for _ in range(FLAGS)]
        self.set = 0
        self.index: Sequence[int] = ()

    def bit(self, p: int) -> int:
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
        bit = self.bit(min(65504, max(32, self.bit_p[context])))
        self._learn_slot(self.bit_p, self.bit_n, context, bit)
        return bit

    def _learn_slot(self, p: list[int], n: list[int], at: int, bit: int) -> None:
        p[at] += ((65535 if bit else 0) - p[at]) * self.rate[n[at]] >> 15
        if n[at] < SLOW:
            n[at] += 1

    def mixed(self, flag: int) -> int:
        said = [self.stretch[p[i] >> 4] for p, i in zip(self.p[flag], self.index, strict=True)]
        weights, seen = self.weights[flag][self.set], self.seen[flag]
        dot = sum([s * w + 128 >> 8 for s, w in zip(said, weights, strict=True)]) + 128 >> 8
        p = self.squash[min(2047, max(-2047, dot)) + 2048]
        bit = self.bit(p)
        miss = ((65535 if bit else 0) - p) * (LEARN + max(0, WARM - seen[self.set])) + 128 >> 8
        seen[self.set] = min(WARM, seen[self.set] + 1)
        for i, s in enumerate(said):
            weights[i] = min(131071, max(-131072, weights[i] + (s * miss + 2048 >> 12)))
            self._learn_slot(self.p[flag][i], self.n[flag][i], self.index[i], bit)
        return bit

    def tail(self) -> int:
        whole, n = 1, 0
        while n < LONGEST and self.mixed(3 + min(n, 12)):
            n += 1
        for depth in range(n):
            bit = self.slot(64 + (n * 2 + depth) * 2 + (whole & 1 if depth else 0)) if depth < 2 else self.bit(_HALF)
            whole = whole << 1 | bit
        return whole - 1


def decode(data: bytes, shape: tuple[int, int, int], levels: int, exact: bool) -> Int32Array:
    """`planes.decode` and `decode_exact` of version 1."""
    coder, planes = _Coder(data), np.zeros(shape, np.int32)
    height, width, count = shape
    found, room = bands(height, width, levels)
    averages = [0] * len(found)
    last, before = [0] * room, [0] * room
    for k in range(count):
        now = [0] * room
        for i, b in enumerate(found):
            if not b.height or not b.width:
                continue
            if not coder.slot(i * 2 + (averages[i] > 40)):
                averages[i] = 0
                continue
            made, averages[i] = _band(coder, found, b, (now, last, before), averages[i], 0 if exact else BIAS)
            values = np.array(made, np.int64)
            planes[b.y :: b.step, b.x :: b.step, k] = (values if exact else values * b.inverse + 2048 >> 12).astype(np.int32)
        last, before = now, last
    return planes


def _band(c: _Coder, found: Sequence[Band], b: Band, magnitudes: Magnitudes, average: int, bias: int) -> tuple[list[list[int]], int]:
    """One band of a plane: its values in 256ths of a step (without bias: as they are), and its running mean, in 4096ths."""
    q, unit = magnitudes[0], ONE if bias else 1
    level, top = c.level, len(c.level) - 1
    made = [[0] * b.width for _ in range(b.height)]

    def lv(v: int) -> int:
        return min(level[min(v, top)], SETS - 1)

    for y in range(b.height):
        row = b.offset + (y + PAD) * b.stride + PAD
        for x in range(b.width):
            at = row + x
            around, _ = surroundings(magnitudes, found, b, y, x)
            expected = lv(around + 1 + (average >> 9) >> 1)
            c.set = expected
            c.index = expected * 8 + b.type, lv(average >> 7) * 24 + expected
            value = 0
            if c.mixed(0):
                negative = c.bit(_HALF)
                value = 1 if not c.mixed(1) else 2 if not c.mixed(2) else 3 + c.tail()
                magnitude = value * unit + bias
                made[y][x] = -magnitude if negative else magnitude
            q[at] = min(value, 65535)
            average += min(value, 4000) * 4096 - average + 16 >> 5
    return made, average
