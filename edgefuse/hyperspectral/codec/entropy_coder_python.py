"""Port of entropy_coder.c to Python, line by line, for machines without the compiled core: the same bytes, a hundred times slower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefuse.hyperspectral.codec.entropy_tables import tables
from edgefuse.hyperspectral.codec.range_coder_python import WHOLE, RangeCoder
from edgefuse.hyperspectral.codec.subbands import PAD, Band, bands
from edgefuse.util.arrays import Int32Array

ONE, EMPTY, BITS = 256, 160, 256
LEVELS, SYMBOLS, TABLES = 24, 16, 3
PLAIN = 10  # magnitudes below this have a symbol each; larger ones are coded as an exponent and mantissa bits
MORE = 22  # largest exponent beyond that of the last symbol
SURE, BEGUN = 32700, 5  # upper limit of a probability in 32768ths, and the initial update count of a model
# adaptation shift by update count: an update moves a model by 2^-shift of its error
PACES = [1, 2, 2, 2, 3, 3, 3, 3, 3, *[4] * 13, *[5] * 22, 6]

Magnitudes = tuple[list[int], list[int], list[int]]
"""Padded magnitudes of the current plane and of the two previous ones."""


class _Coder(RangeCoder):
    """Range coder with the models of a magnitude, by context."""

    def __init__(self, source: bytes | None) -> None:
        super().__init__(source)
        shared = tables()
        self.cost, self.level, first = (t.tolist() for t in (shared.cost, shared.level, shared.first))
        self.slots = [[32768, 0] for _ in range(BITS)]
        expected = [
            [i // 8 for i in range(LEVELS * 8)],
            [i % LEVELS for i in range(LEVELS**2)],
            [min((i // LEVELS + i % LEVELS) // 2 + 1, LEVELS - 1) for i in range(LEVELS**2)],
        ]
        # probability that a symbol exceeds 0, 1, 2, ...
        self.models = [[list(first[e]) for e in table] for table in expected]
        self.seen = [[BEGUN] * len(table) for table in expected]
        self.dither = 0
        self.index: Sequence[int] = ()

    def slot(self, context: int, bit: int) -> int:
        """Code a bit with the adaptive probability of `context`."""
        slot = self.slots[context]
        bit = self.bit(bit, slot[0] >> 1)
        self.learn(slot, bit)
        return bit

    def guess(self) -> list[int]:
        """Return the cumulative bounds of the symbols, descending, as the weighted mean of the three models."""
        a, b, d = (models[i] for models, i in zip(self.models, self.index, strict=True))
        halves = (y + (x - y >> 1) for x, y in zip(a, b, strict=True))
        return [WHOLE, *(z + (x - z >> 1) + SYMBOLS - 1 - i for i, (x, z) in enumerate(zip(halves, d, strict=True)))]

    def symbol(self, bounds: list[int], symbol: int) -> int:
        """Code a symbol and update the models."""
        if not self.encodes:
            target = self.peek()
            symbol = sum(target < bound for bound in bounds[1:])
        self.share(bounds[symbol + 1], bounds[symbol])
        # dithered rounding: with plain truncation small probabilities would never decay
        self.dither = (self.dither + 0x9E37) & 0xFFFF
        for models, seen, i in zip(self.models, self.seen, self.index, strict=True):
            pace = PACES[seen[i]]
            rounding = self.dither >> 16 - pace
            seen[i] = min(seen[i] + 1, len(PACES) - 1)
            models[i] = [m + ((SURE if j < symbol else 0) - m + rounding >> pace) for j, m in enumerate(models[i])]
        return symbol

    def magnitude(self, bounds: list[int], v: int) -> int:
        """Code a magnitude: its symbol and, for large ones, exponent and mantissa bits."""
        length = (v - PLAIN + 2).bit_length() - 1 if v >= PLAIN else 0
        symbol = self.symbol(bounds, v if v < PLAIN else min(PLAIN - 1 + length, SYMBOLS - 1))
        if symbol < PLAIN:
            return symbol
        extra = 0
        if symbol == SYMBOLS - 1:
            while extra < MORE and self.slot(64 + extra, int(length > SYMBOLS - PLAIN + extra)):
                extra += 1
        length = symbol - PLAIN + 1 + extra
        excess, bits = max(0, v - PLAIN + 2), 1
        for i in range(min(length, 2)):
            bits = bits << 1 | self.slot(128 + (length * 2 + i) * 2 + (bits & 1 if i else 0), excess >> length - 1 - i & 1)
        if length > 2:
            bits = bits << length - 2 | self.plains(length - 2, excess & ((1 << length - 2) - 1))
        return bits + PLAIN - 2

    def cheapest(self, bounds: list[int], v: int, nearest: int, lam: int, bias: int) -> int:
        """Return which of 0, 1 and 2 has the lowest rate-distortion cost for a magnitude v that rounds to `nearest` (1 or 2)."""
        bit_cost = self.cost
        cost0 = v * v * 256 + lam * bit_cost[WHOLE - 1 - bounds[1] >> 3]
        cost1 = (v - ONE - bias) ** 2 * 256 + lam * (64 + bit_cost[bounds[1] - bounds[2] >> 3])
        cost2 = (1 << 63) - 1
        if nearest == 2:
            cost2 = (v - 2 * ONE - bias) ** 2 * 256 + lam * (64 + bit_cost[bounds[2] - bounds[3] >> 3])
        if cost0 < cost1:
            return 0 if cost0 < cost2 else 2
        return 1 if cost1 < cost2 else 2


def encode(planes: Int32Array, levels: int, scale: int, lam: int, exact: bool) -> bytes:
    """Encode as `entropy_coder._encode`. scale: in 65536ths. lam: in 256ths of a squared 256th of a step per 64th of a bit."""
    coder = _Coder(None)
    _code_planes(coder, planes, levels, scale, lam, exact)
    return coder.finish()


def decode(data: bytes, shape: tuple[int, int, int], levels: int, exact: bool) -> Int32Array:
    """Decode as `entropy_coder._decode`."""
    out = np.zeros(shape, np.int32)
    _code_planes(_Coder(data), out, levels, 65536, 0, exact)
    return out


def _code_planes(coder: _Coder, planes: Int32Array, levels: int, scale: int, lam: int, exact: bool) -> None:
    """Code all planes; when decoding, fill `planes`, which are zero at first."""
    height, width, count = planes.shape
    subbands, padded_size = bands(height, width, levels)
    averages = [0] * len(subbands)
    previous, older = [0] * padded_size, [0] * padded_size
    for k in range(count):
        current = [0] * padded_size
        for i, b in enumerate(subbands):
            if not b.height or not b.width:
                continue
            samples = planes[b.y :: b.step, b.x :: b.step, k].astype(np.int64)
            if not exact:
                samples = ((samples * b.gain >> 12) * scale) >> 16
            significant = bool((np.abs(samples) > (0 if exact else EMPTY)).any())
            if not coder.slot(i * 2 + (averages[i] > 40), int(significant)):
                averages[i] = 0
                continue
            decoded, averages[i] = _code_band(coder, subbands, b, samples.tolist(), (current, previous, older), averages[i], lam, exact)
            if not coder.encodes:
                values = np.array(decoded, np.int64)
                planes[b.y :: b.step, b.x :: b.step, k] = (values if exact else values * b.inverse + 2048 >> 12).astype(np.int32)
        previous, older = current, previous


def _code_band(
    c: _Coder, subbands: Sequence[Band], b: Band, samples: list[list[int]], magnitudes: Magnitudes, average: int,
    lam: int, exact: bool,
) -> tuple[list[list[int]], int]:  # fmt: skip
    """Code one subband of a plane. Returns its values in 256ths of a step (exact: unscaled), and its running mean in 4096ths."""
    q = magnitudes[0]
    s, bias = b.stride, 0 if exact else 9
    level, top = c.level, len(c.level) - 1
    values = [[0] * b.width for _ in range(b.height)]

    def lv(v: int) -> int:
        return min(level[min(v, top)], LEVELS - 1)

    for y in range(b.height):
        row = b.offset + (y + PAD) * s + PAD
        for x in range(b.width):
            at = row + x
            around, planes = surroundings(magnitudes, subbands, b, y, x)
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
                values[y][x] = -magnitude if c.plains(1, negative) else magnitude
            q[at] = min(value, 65535)
            average += min(value, 4000) * 4096 - average + 16 >> 5
    return values, average


def surroundings(magnitudes: Magnitudes, subbands: Sequence[Band], b: Band, y: int, x: int) -> tuple[int, int]:
    """Return two weighted sums of magnitudes around sample (y, x): over all coded neighbours, and over the two previous planes only."""
    q, p, r = magnitudes
    s = b.stride
    at = b.offset + (y + PAD) * s + PAD + x
    planes = 4 * p[at] + p[at - 1] + p[at + 1] + p[at - s] + p[at + s]
    planes += 2 * r[at] + (r[at - 1] + r[at + 1] + r[at - s] + r[at + s] >> 1)
    around = 6 * (q[at - 1] + q[at - s]) + 3 * (q[at - s - 1] + q[at - s + 1]) + 2 * (q[at - 2] + q[at - 2 * s]) + planes
    if b.parent >= 0:
        coarser = subbands[b.parent]
        around += 2 * q[coarser.offset + (y // 2 + PAD) * coarser.stride + PAD + x // 2]
    if b.sibling >= 0:
        sibling = subbands[b.sibling]
        o, t = sibling.offset + (y + PAD) * sibling.stride + PAD + x, sibling.stride
        around += 2 * q[o] + (q[o - 1] + q[o + 1] + q[o - t] + q[o + t] >> 1)
    return around, planes
