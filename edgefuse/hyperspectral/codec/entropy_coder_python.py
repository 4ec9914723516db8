"""entropy_coder.c in Python, line by line, for where there is no compiled core: the same bytes, a hundred times slower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefuse.hyperspectral.codec.entropy_tables import tables
from edgefuse.hyperspectral.codec.subbands import PAD, Band, bands
from edgefuse.util.arrays import Int32Array

ONE, EMPTY, BITS, SLOW = 256, 160, 256, 60
LEVELS, SYMBOLS, TABLES = 24, 16, 3
PLAIN = 10  # magnitudes that are a symbol of their own; the others are an exponent and its bits
MORE = 22  # an exponent beyond the last symbol's
SURE, BEGUN = 32700, 5  # the most likely that anything is, and how often a table seems to have been asked at first
PACES = [1, 2, 2, 2, 3, 3, 3, 3, 3, *[4] * 13, *[5] * 22, 6]  # what the n-th time counts: 2^-n of the miss
_WHOLE = 1 << 15

Magnitudes = tuple[list[int], list[int], list[int]]
"""Of the plane that is coded, and of the two before it."""


class _Coder:
    """The range coder, and the models that tell it how likely what is. Reads where `source` is given, else writes."""

    def __init__(self, source: bytes | None) -> None:
        made = tables()
        self.cost, self.rate, self.level, first = (t.tolist() for t in (made.cost, made.rate, made.level, made.first))
        self.encodes, self.source = source is None, source or b""
        self.at, self.back = 0, len(self.source)  # of the source: the range coder's bytes are read forwards, plain bits backwards
        self.low, self.range, self.code = 0, 0xFFFFFFFF, 0
        self.written = 0  # bytes; `low` is all of them and the range's lower end
        self.plain = bytearray()
        self.pool, self.pooled = 0, 0
        if not self.encodes:
            for _ in range(4):
                self.code = self.code << 8 | self._next()
        self.bit_p, self.bit_n = [32768] * BITS, [0] * BITS
        expected = [
            [i // 8 for i in range(LEVELS * 8)],
            [i % LEVELS for i in range(LEVELS**2)],
            [min((i // LEVELS + i % LEVELS) // 2 + 1, LEVELS - 1) for i in range(LEVELS**2)],
        ]
        # how likely more than 0, 1, 2... is
        self.models = [[list(first[e]) for e in table] for table in expected]
        self.seen = [[BEGUN] * len(table) for table in expected]
        self.dither = 0
        self.index: Sequence[int] = ()

    def _next(self) -> int:
        byte = self.source[self.at] if self.at < len(self.source) else 0
        self.at += 1
        return byte

    def _narrow(self, begin: int, end: int) -> None:
        part = self.range >> 15
        if self.encodes:
            self.low += part * begin
        else:
            self.code = (self.code - part * begin) & 0xFFFFFFFF
        self.range = self.range - part * begin if end == _WHOLE else part * (end - begin)
        while self.range < 1 << 24:
            self.range <<= 8
            if self.encodes:
                self.low <<= 8
                self.written += 1
            else:
                self.code = (self.code << 8 & 0xFFFFFFFF) | self._next()

    def _peek(self) -> int:
        return min(_WHOLE - 1, self.code // (self.range >> 15))

    def finish(self) -> bytes:
        rest = 24
        while True:
            mask = (1 << rest) - 1
            first = (self.low + mask) & ~mask
            if first + mask < self.low + self.range:
                break
            rest -= 8
        if self.pooled:
            self.plains(8 - self.pooled, 0)
        front = (first >> rest).to_bytes(self.written + 4 - rest // 8, "big")
        return front + bytes(reversed(self.plain))

    def plains(self, count: int, bits: int) -> int:
        """Bits that nothing is known of."""
        if self.encodes:
            self.pool |= bits << self.pooled
            self.pooled += count
            while self.pooled >= 8:
                self.plain.append(self.pool & 255)
                self.pool >>= 8
                self.pooled -= 8
            return bits
        while self.pooled < count:
            if self.back > 0:
                self.back -= 1
                self.pool |= self.source[self.back] << self.pooled
            self.pooled += 8
        bits = self.pool & ((1 << count) - 1)
        self.pool >>= count
        self.pooled -= count
        return bits

    def slot(self, context: int, bit: int) -> int:
        p = min(_WHOLE - 32, max(32, self.bit_p[context] >> 1))
        if not self.encodes:
            bit = int(self._peek() < p)
        self._narrow(0 if bit else p, p if bit else _WHOLE)
        self.bit_p[context] += ((65535 if bit else 0) - self.bit_p[context]) * self.rate[self.bit_n[context]] >> 15
        self.bit_n[context] = min(SLOW, self.bit_n[context] + 1)
        return bit

    def guess(self) -> list[int]:
        """The bounds of each symbol, falling."""
        a, b, d = (models[i] for models, i in zip(self.models, self.index, strict=True))
        halves = (y + (x - y >> 1) for x, y in zip(a, b, strict=True))
        return [_WHOLE, *(z + (x - z >> 1) + SYMBOLS - 1 - i for i, (x, z) in enumerate(zip(halves, d, strict=True)))]

    def symbol(self, bounds: list[int], symbol: int) -> int:
        if not self.encodes:
            at = self._peek()
            symbol = sum(at < bound for bound in bounds[1:])
        self._narrow(bounds[symbol + 1], bounds[symbol])
        # rounding down would never let go of what is rare, so it is by chance
        self.dither = (self.dither + 0x9E37) & 0xFFFF
        for models, seen, i in zip(self.models, self.seen, self.index, strict=True):
            pace = PACES[seen[i]]
            chance = self.dither >> 16 - pace
            seen[i] = min(seen[i] + 1, len(PACES) - 1)
            models[i] = [m + ((SURE if j < symbol else 0) - m + chance >> pace) for j, m in enumerate(models[i])]
        return symbol

    def magnitude(self, bounds: list[int], v: int) -> int:
        length = (v - PLAIN + 2).bit_length() - 1 if v >= PLAIN else 0
        symbol = self.symbol(bounds, v if v < PLAIN else min(PLAIN - 1 + length, SYMBOLS - 1))
        if symbol < PLAIN:
            return symbol
        more = 0
        if symbol == SYMBOLS - 1:
            while more < MORE and self.slot(64 + more, int(length > SYMBOLS - PLAIN + more)):
                more += 1
        length = symbol - PLAIN + 1 + more
        rest, whole = max(0, v - PLAIN + 2), 1
        for i in range(min(length, 2)):
            whole = whole << 1 | self.slot(128 + (length * 2 + i) * 2 + (whole & 1 if i else 0), rest >> length - 1 - i & 1)
        if length > 2:
            whole = whole << length - 2 | self.plains(length - 2, rest & ((1 << length - 2) - 1))
        return whole + PLAIN - 2

    def cheapest(self, bounds: list[int], v: int, nearest: int, lam: int, bias: int) -> int:
        """0, 1 or 2: which of them costs least, distortion and bits, for a magnitude v that is next to `nearest` of them."""
        cost = self.cost
        j0 = v * v * 256 + lam * cost[_WHOLE - 1 - bounds[1] >> 3]
        j1 = (v - ONE - bias) ** 2 * 256 + lam * (64 + cost[bounds[1] - bounds[2] >> 3])
        j2 = (1 << 63) - 1
        if nearest == 2:
            j2 = (v - 2 * ONE - bias) ** 2 * 256 + lam * (64 + cost[bounds[2] - bounds[3] >> 3])
        if j0 < j1:
            return 0 if j0 < j2 else 2
        return 1 if j1 < j2 else 2


def encode(planes: Int32Array, levels: int, scale: int, lam: int, exact: bool) -> bytes:
    """`planes._encode`; `scale` in 65536ths, `lam` in 64ths of a bit, 256ths of squared 256ths of a step."""
    coder = _Coder(None)
    _planes(coder, planes, levels, scale, lam, exact)
    return coder.finish()


def decode(data: bytes, shape: tuple[int, int, int], levels: int, exact: bool) -> Int32Array:
    out = np.zeros(shape, np.int32)
    _planes(_Coder(data), out, levels, 65536, 0, exact)
    return out


def _planes(coder: _Coder, planes: Int32Array, levels: int, scale: int, lam: int, exact: bool) -> None:
    """Go through all planes; a decoder's are zeros, and are filled in."""
    height, width, count = planes.shape
    found, room = bands(height, width, levels)
    averages = [0] * len(found)
    last, before = [0] * room, [0] * room
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
        last, before = now, last


def _band(
    c: _Coder, found: Sequence[Band], b: Band, samples: list[list[int]], magnitudes: Magnitudes, average: int,
    lam: int, exact: bool,
) -> tuple[list[list[int]], int]:  # fmt: skip
    """One band of a plane: its values in 256ths of a step (exact: as they are), and its running mean, in 4096ths."""
    q = magnitudes[0]
    s, bias = b.stride, 0 if exact else 9
    level, top = c.level, len(c.level) - 1
    made = [[0] * b.width for _ in range(b.height)]

    def lv(v: int) -> int:
        return min(level[min(v, top)], LEVELS - 1)

    for y in range(b.height):
        row = b.offset + (y + PAD) * s + PAD
        for x in range(b.width):
            at = row + x
            around, planes = surroundings(magnitudes, found, b, y, x)
            expected = lv(around + 1 + (average >> 9) >> 1)
            near = lv(2 * (q[at - 1] + q[at - s]))
            c.index = expected * 8 + b.type, lv(average >> 7) * LEVELS + expected, near * LEVELS + lv(planes)
            bounds = c.guess()
            value = negative = 0
            if c.encodes:
                v = samples[y][x]
                negative, v = int(v < 0), abs(v)
                if exact:
                    value = v
                else:
                    value = (v + ONE // 2 - (ONE // 16 if v >= 5 * ONE // 2 else 0)) // ONE
                    if value in (1, 2):
                        value = c.cheapest(bounds, v, value, lam, bias)
            value = c.magnitude(bounds, value)
            if value:
                magnitude = value if exact else value * ONE + bias
                made[y][x] = -magnitude if c.plains(1, negative) else magnitude
            q[at] = min(value, 65535)
            average += min(value, 4000) * 4096 - average + 16 >> 5
    return made, average


def surroundings(magnitudes: Magnitudes, found: Sequence[Band], b: Band, y: int, x: int) -> tuple[int, int]:
    """What is known of a band's sample (y, x) before it is coded: all of it, and the part of the two planes before."""
    q, p, r = magnitudes
    s = b.stride
    at = b.offset + (y + PAD) * s + PAD + x
    planes = 4 * p[at] + p[at - 1] + p[at + 1] + p[at - s] + p[at + s]
    planes += 2 * r[at] + (r[at - 1] + r[at + 1] + r[at - s] + r[at + s] >> 1)
    around = 6 * (q[at - 1] + q[at - s]) + 3 * (q[at - s - 1] + q[at - s + 1]) + 2 * (q[at - 2] + q[at - 2 * s]) + planes
    if b.parent >= 0:
        coarser = found[b.parent]
        around += 2 * q[coarser.offset + (y // 2 + PAD) * coarser.stride + PAD + x // 2]
    if b.sibling >= 0:
        other = found[b.sibling]
        o, t = other.offset + (y + PAD) * other.stride + PAD + x, other.stride
        around += 2 * q[o] + (q[o - 1] + q[o + 1] + q[o - t] + q[o + t] >> 1)
    return around, planes
