"""planes.c in Python, line by line, for where there is no compiled core: the same bytes, a hundred times slower."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgefuse.hyperspectral.bands import PAD, Band, bands

if TYPE_CHECKING:
    from edgefuse.hyperspectral.planes import Integers

INPUTS, SLOTS, FLAGS, SETS, BITS, LONGEST = 2, 1024, 16, 24, 256, 28
SLOW, LEARN, WARM, FIRST_WEIGHT, ONE, EMPTY = 60, 10, 40, 36000, 256, 160
_HALF = 32768


class _Coder:
    """The range coder, and the models that tell it how likely a one is. Reads where `source` is given, else writes."""

    def __init__(self, source: bytes | None) -> None:
        from edgefuse.hyperspectral.planes import tables

        self.stretch, self.squash, self.cost, self.rate, self.level = (t.tolist() for t in tables())
        self.low, self.high, self.code = 0, 0xFFFFFFFF, 0
        self.written = bytearray()
        self.encodes = source is None
        self.source = itertools.chain(source or b"", itertools.repeat(0))
        if not self.encodes:
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

    def bit(self, p: int, bit: int) -> int:
        middle = self.low + ((self.high - self.low) * p >> 16)
        if not self.encodes:
            bit = int(self.code <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while not (self.low ^ self.high) >> 24:
            if self.encodes:
                self.written.append(self.high >> 24)
            else:
                self.code = (self.code << 8 & 0xFFFFFFFF) | next(self.source)
            self.low = self.low << 8 & 0xFFFFFFFF
            self.high = (self.high << 8 & 0xFFFFFFFF) | 255
        return bit

    def slot(self, context: int, bit: int) -> int:
        bit = self.bit(min(65504, max(32, self.bit_p[context])), bit)
        self._learn_slot(self.bit_p, self.bit_n, context, bit)
        return bit

    def _learn_slot(self, p: list[int], n: list[int], at: int, bit: int) -> None:
        p[at] += ((65535 if bit else 0) - p[at]) * self.rate[n[at]] >> 15
        if n[at] < SLOW:
            n[at] += 1

    def guess(self, flag: int) -> tuple[int, list[int]]:
        """The probability of a one, and what each input says."""
        said = [self.stretch[p[i] >> 4] for p, i in zip(self.p[flag], self.index, strict=True)]
        dot = sum([s * w + 128 >> 8 for s, w in zip(said, self.weights[flag][self.set], strict=True)]) + 128 >> 8
        return self.squash[min(2047, max(-2047, dot)) + 2048], said

    def learn(self, flag: int, guess: tuple[int, list[int]], bit: int) -> None:
        p, said = guess
        seen, weights = self.seen[flag], self.weights[flag][self.set]
        miss = ((65535 if bit else 0) - p) * (LEARN + max(0, WARM - seen[self.set])) + 128 >> 8
        seen[self.set] = min(WARM, seen[self.set] + 1)
        for i, s in enumerate(said):
            weights[i] = min(131071, max(-131072, weights[i] + (s * miss + 2048 >> 12)))
            self._learn_slot(self.p[flag][i], self.n[flag][i], self.index[i], bit)

    def mixed(self, flag: int, bit: int) -> int:
        guess = self.guess(flag)
        bit = self.bit(guess[0], bit)
        self.learn(flag, guess, bit)
        return bit

    def tail(self, v: int) -> int:
        whole, n = v + 1, 0
        length = whole.bit_length() - 1
        while n < LONGEST and self.mixed(3 + min(n, 12), int(n < length)):
            n += 1
        if not self.encodes:
            whole = 1
        for i in range(n - 1, -1, -1):
            depth = n - 1 - i
            above = whole >> (i + 1) if self.encodes else whole
            bit = whole >> i & 1 if self.encodes else 0
            bit = self.slot(64 + (n * 2 + depth) * 2 + (above & 1 if depth else 0), bit) if depth < 2 else self.bit(_HALF, bit)
            if not self.encodes:
                whole = whole << 1 | bit
        return whole - 1

    def cheapest(self, zero: int, v: int, nearest: int, lam: int, bias: int) -> int:
        """0, 1 or 2: which of them costs least, distortion and bits, for a magnitude v that is next to `nearest` of them."""
        cost = self.cost
        g = self.guess(1)[0]
        some = cost[zero >> 4] + 64
        j0 = v * v * 256 + lam * cost[65535 - zero >> 4]
        j1 = (v - ONE - bias) ** 2 * 256 + lam * (some + cost[65535 - g >> 4])
        j2 = (1 << 63) - 1
        if nearest == 2:
            h = self.guess(2)[0]
            j2 = (v - 2 * ONE - bias) ** 2 * 256 + lam * (some + cost[g >> 4] + cost[65535 - h >> 4])
        if j0 < j1:
            return 0 if j0 < j2 else 2
        return 1 if j1 < j2 else 2


def encode(planes: Integers, levels: int, scale: int, lam: int, exact: bool) -> bytes:
    """`planes._encode`; `scale` in 65536ths, `lam` in 64ths of a bit, 256ths of squared 256ths of a step."""
    coder = _Coder(None)
    _planes(coder, planes, levels, scale, lam, exact)
    coder.written.append(coder.high >> 24)
    return bytes(coder.written)


def decode(data: bytes, shape: tuple[int, int, int], levels: int, exact: bool) -> Integers:
    out = np.zeros(shape, np.int32)
    _planes(_Coder(data), out, levels, 65536, 0, exact)
    return out


def _planes(coder: _Coder, planes: Integers, levels: int, scale: int, lam: int, exact: bool) -> None:
    """Go through all planes; a decoder's are zeros, and are filled in."""
    height, width, count = planes.shape
    found, room = bands(height, width, levels)
    averages = [0] * len(found)
    now, last, before = ([0] * room for _ in range(3))
    for k in range(count):
        now = [0] * room
        for i, b in enumerate(found):
            if not b.height or not b.width:
                continue
            samples = planes[b.y :: b.step, b.x :: b.step, k].astype(np.int64)
            if not exact:
                samples = ((samples * b.gain >> 12) * scale) >> 16
            some = bool((np.abs(samples) > (0 if exact else EMPTY)).any())
            if not coder.slot(i * 2 + (averages[i] > 40), int(some)):
                averages[i] = 0
                continue
            made, averages[i] = _band(coder, found, b, samples.tolist(), (now, last, before), averages[i], lam, exact)
            if not coder.encodes:
                values = np.array(made, np.int64)
                planes[b.y :: b.step, b.x :: b.step, k] = (values if exact else values * b.inverse + 2048 >> 12).astype(np.int32)
        now, last, before = before, now, last


def _band(
    c: _Coder, found: Sequence[Band], b: Band, samples: list[list[int]], magnitudes: tuple[list[int], list[int], list[int]], average: int,
    lam: int, exact: bool,
) -> tuple[list[list[int]], int]:  # fmt: skip
    """One band of a plane: its values in 256ths of a step (exact: as they are), and its running mean, in 4096ths."""
    q, p, r = magnitudes
    s, bias = b.stride, 0 if exact else 9
    level, top = c.level, len(c.level) - 1
    made = [[0] * b.width for _ in range(b.height)]

    def lv(v: int) -> int:
        return min(level[min(v, top)], SETS - 1)

    for y in range(b.height):
        row = b.offset + (y + PAD) * s + PAD
        coarser, other = (found[i] if i >= 0 else None for i in (b.parent, b.sibling))
        for x in range(b.width):
            at = row + x
            around = 6 * (q[at - 1] + q[at - s]) + 3 * (q[at - s - 1] + q[at - s + 1]) + 2 * (q[at - 2] + q[at - 2 * s])
            around += 4 * p[at] + p[at - 1] + p[at + 1] + p[at - s] + p[at + s]
            around += 2 * r[at] + (r[at - 1] + r[at + 1] + r[at - s] + r[at + s] >> 1)
            if coarser:
                around += 2 * q[coarser.offset + (y // 2 + PAD) * coarser.stride + PAD + x // 2]
            if other:
                o, t = other.offset + (y + PAD) * other.stride + PAD + x, other.stride
                around += 2 * q[o] + (q[o - 1] + q[o + 1] + q[o - t] + q[o + t] >> 1)
            expected = lv(around + 1 + (average >> 9) >> 1)
            c.set = expected
            c.index = expected * 8 + b.type, lv(average >> 7) * 24 + expected
            value = negative = 0
            zero = c.guess(0)
            if c.encodes:
                v = samples[y][x]
                negative, v = int(v < 0), abs(v)
                if exact:
                    value = v
                else:
                    value = (v + ONE // 2 - (ONE // 16 if v >= 5 * ONE // 2 else 0)) // ONE
                    if value in (1, 2):
                        value = c.cheapest(zero[0], v, value, lam, bias)
            some = c.bit(zero[0], int(value > 0))
            c.learn(0, zero, some)
            if some:
                negative = c.bit(_HALF, negative)
                if not c.mixed(1, int(value > 1)):
                    value = 1
                elif not c.mixed(2, int(value > 2)):
                    value = 2
                else:
                    value = 3 + c.tail(value - 3)
                magnitude = value if exact else value * ONE + bias
                made[y][x] = -magnitude if negative else magnitude
            else:
                value = 0
            q[at] = min(value, 65535)
            average += min(value, 4000) * 4096 - average + 16 >> 5
    return made, average
