"""Tables, and the range decoders of all versions (efz-coding.md)."""

import math
from collections import defaultdict
from itertools import pairwise

STARTS = [*range(7), 8, 10, 12, 15, 19, 24, 30, 38, 48, 60, 76, 96, 120, 152, 192, 240, 300, 380, 480, 600, 760, 960, 1200, 1500, 1900]
LEVEL = [sum(s <= v for s in STARTS) - 1 for v in range(4096)]
RATE = [round(32768 / (n + 1.5)) for n in range(256)]
MEANS = [0.055 * (a + b) / 2 for a, b in pairwise(STARTS[:25])]
FIRST = [[*(int(32700 * (m / (1 + m)) ** t) for t in (*range(1, 11), 12, 16, 24, 40, 72)), 0] for m in MEANS]
STRETCH = [min(2047, max(-2047, round(256 * math.log(q / (1 - q))))) for q in ((i + 0.5) / 4096 for i in range(4096))]
SQUASH = [min(65520, max(16, round(65536 / (1 + math.exp(-(i - 2048) / 256))))) for i in range(4096)]
PACES = [3] * 4 + [4] * 13 + [5] * 22 + [6]


def limited(v, low, high):
    return min(max(v, low), high)


def learn(model, bit):
    model[0] += (65535 * bit - model[0]) * RATE[model[1]] >> 15
    model[1] = min(60, model[1] + 1)


class RangeDecoder:
    """The range decoder, and magnitudes by three models."""

    def __init__(self, data):
        self.data, self.at, self.end, self.pool, self.pooled, self.dither = data, 0, len(data), 0, 0, 0
        self.range, self.code = 0xFFFFFFFF, int.from_bytes([self.next() for _ in range(4)], "big")
        self.models, self.sets = defaultdict(lambda: [32768, 0]), ({}, {}, {})

    def next(self):
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def narrow(self, begin, size):
        self.code, self.range = self.code - begin, size
        while self.range < 1 << 24:
            self.range, self.code = self.range << 8, self.code << 8 | self.next()

    def bit(self, p):
        part = (self.range >> 15) * limited(p, 32, 32736)
        one = self.code < part
        self.narrow(0 if one else part, part if one else self.range - part)
        return int(one)

    def modelled(self, *context):
        bit = self.bit(self.models[context][0] >> 1)
        learn(self.models[context], bit)
        return bit

    def raw(self, n):
        while self.pooled < n:
            self.end -= 1
            self.pool |= (self.data[self.end] if self.end >= 0 else 0) << self.pooled
            self.pooled += 8
        bits, self.pool, self.pooled = self.pool & (1 << n) - 1, self.pool >> n, self.pooled - n
        return bits

    def sample(self, kind, expected, usual, near, around):
        """Decode a magnitude, and 1 for a negative sample."""
        indexes = expected * 8 + kind, usual * 24 + expected, near * 24 + around
        starts = expected, expected, min((near + around) // 2 + 1, 23)
        models = [s.setdefault(i, [FIRST[e], 0]) for s, i, e in zip(self.sets, indexes, starts, strict=True)]
        halves = [(b + (a - b >> 1), d) for a, b, d in zip(*(m[0] for m in models), strict=True)]
        bounds = [32768, *(d + (m - d >> 1) + 15 - j for j, (m, d) in enumerate(halves))]
        part = self.range >> 15
        s = sum(min(32767, self.code // part) < c for c in bounds[1:])
        self.narrow(part * bounds[s + 1], part * (bounds[s] - bounds[s + 1]) if s else self.range - part * bounds[1])
        self.dither = self.dither + 0x9E37 & 0xFFFF
        for m in models:
            pace = PACES[min(m[1], 39)]
            m[:] = [v + ((32700 if j < s else 0) - v + (self.dither >> 16 - pace) >> pace) for j, v in enumerate(m[0])], m[1] + 1
        if s >= 10:
            n = s - 9
            while s == 15 and n < 28 and self.modelled(64 + n - 6):
                n += 1
            bits = 2 + self.modelled(128 + 4 * n)
            bits = bits if n < 2 else bits * 2 + self.modelled(130 + 4 * n + (bits & 1))
            s = 8 + (bits if n < 3 else bits << n - 2 | self.raw(n - 2))
        return s, self.raw(1) if s else 0


class FirstDecoder(RangeDecoder):
    """The coder of version 1."""

    def __init__(self, data):
        super().__init__(data)
        self.low, self.high, self.weights = 0, 0xFFFFFFFF, defaultdict(lambda: [36000, 36000, 0])

    def bit(self, p):
        middle = self.low + ((self.high - self.low) * p >> 16)
        one = self.code <= middle
        self.low, self.high = (self.low, middle) if one else (middle + 1, self.high)
        while self.low >> 24 == self.high >> 24:
            self.low, self.high = self.low << 8 & 0xFFFFFFFF, self.high << 8 & 0xFFFFFFFF | 255
            self.code = self.code << 8 & 0xFFFFFFFF | self.next()
        return int(one)

    def modelled(self, *context):
        bit = self.bit(limited(self.models[context][0], 32, 65504))
        learn(self.models[context], bit)
        return bit

    def flag(self, f, expected, *contexts):
        models, w = [self.models[f, context] for context in contexts], self.weights[f, expected]
        x = [STRETCH[m[0] >> 4] for m in models]
        p = SQUASH[limited(sum(x[i] * w[i] + 128 >> 8 for i in (0, 1)) + 128 >> 8, -2047, 2047) + 2048]
        bit = self.bit(p)
        error = (65535 * bit - p) * (10 + max(0, 40 - w[2])) + 128 >> 8
        for i in (0, 1):
            w[i] = limited(w[i] + (x[i] * error + 2048 >> 12), -131072, 131071)
            learn(models[i], bit)
        w[2] = min(40, w[2] + 1)
        return bit

    def sample(self, kind, expected, usual, near, around):
        contexts = expected, (expected, kind), (usual, expected, 0)
        if not self.flag(0, *contexts):
            return 0, 0
        negative, n, bits = self.bit(32768), 0, 1
        for v in (1, 2):
            if not self.flag(v, *contexts):
                return v, negative
        while n < 28 and self.flag(3 + min(n, 12), *contexts):
            n += 1
        for i in range(n):
            bits = bits * 2 + (self.modelled(64 + 4 * n + (2 + (bits & 1)) * i) if i < 2 else self.bit(32768))
        return 2 + bits, negative
