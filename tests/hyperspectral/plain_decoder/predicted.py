"""Predicted tiles: floats and 32-bit integers (efz.md, efz-coding.md)."""

import math

import numpy as np

from tests.hyperspectral.plain_decoder.apart import decode_mask, restore_singles
from tests.hyperspectral.plain_decoder.fields import Fields, plain, to_type
from tests.hyperspectral.plain_decoder.planes import decode_planes, decode_row
from tests.hyperspectral.plain_decoder.range_coder import RangeDecoder, learn, limited


class Words:
    """Conversions of a band's words; integers are those of Python, modulo 2^bits."""

    def __init__(self, kind, item, shift, dropped):
        self.floats, self.signed, self.shift, self.dropped = kind == 0, kind != 2, shift, dropped if kind == 0 else 0
        self.bits, self.fraction, self.middle = item * 8, (23, 52)[item == 8], (127, 1023)[item == 8]
        self.ones, self.sign = (1 << self.bits - self.dropped) - 1, 1 << self.bits - self.dropped - 1

    def flipped(self, number, sign):
        """Words to ordinal numbers (the sign is set in negative ones), and back (it is set in positive ones)."""
        return number ^ (self.ones if bool(number & self.sign) == sign else self.sign)

    def predicted(self, t):
        if not self.floats:
            return (limited(t, -1 << 31, 1 << 31) << self.shift) & self.ones
        n = abs(t).bit_length() - 1
        exponent = n - self.shift + self.middle
        rest = 0 if n < 0 else (abs(t) ^ 1 << n) << self.fraction >> n
        word = (min(exponent, 2 * self.middle) << self.fraction | rest if t and exponent > 0 else 0) | (t < 0) << self.bits - 1
        return self.flipped(word >> self.dropped, True)

    def value(self, word):
        negative = word >> self.bits - 1
        if not self.floats:
            return limited((word - (negative << self.bits if self.signed else 0)) >> self.shift, -1 << 30, 1 << 30)
        exponent = (word >> self.fraction) & 2 * self.middle + 1
        if exponent in (0, 2 * self.middle + 1) or exponent - self.middle + self.shift < 0:
            return 0
        mantissa, whole = word & (1 << self.fraction) - 1 | 1 << self.fraction, exponent - self.middle + self.shift
        value = min(1 << 30, mantissa << whole >> self.fraction if whole < 31 else 1 << 30)
        return -value if negative else value


def quarters(v):
    n = (v + 1).bit_length() - 1
    return 4 * n + ((v + 1 << 2 >> n) & 3)


def decode_error(c, bands, b, at, left, above, corner, right, mean):
    """Decode an error: its size, and 1 if it is negative. Pixels are (values, sizes, signs)."""
    around = 2 * left[1][b] + 2 * above[1][b] + right[1][b] + corner[1][b]
    before = 2 * at[1][b - 1] + at[1][b - 2]
    everything = quarters((3 * around + 5 * before + (mean >> 2) if bands > 1 else 6 * around + (mean >> 1)) >> 2)
    near, clipped = quarters(around) >> 1, min(everything, 159)
    spectral = limited((quarters(before) >> 1) - near + 16, 0, 31)
    usual = limited((quarters(mean >> 3) >> 1) - (everything >> 1) + 20, 0, 39)
    node = 1
    for _ in range(6):
        contexts = (1, clipped, node), (2, min(near, 79), spectral, node), (3, clipped, usual, node)
        models = [c.models[context] for context in contexts]
        bit = c.bit(models[0][0] + models[1][0] + 2 * models[2][0] >> 3)
        for model in models:
            learn(model, bit)
        node = node * 2 + bit
    symbol, size = node - 64, 1
    length = symbol + (c.raw(1) if symbol == 63 else 0)
    for _ in range(min(length - 1, 2)):
        size = size * 2 + c.modelled(4, symbol, limited(4 * length - everything + 8, 0, 15), size)
    rest = length - 3
    if rest > 0:
        low = c.raw(min(rest, 32))
        size = size << rest | low | (c.raw(rest - 32) << 32 if rest > 32 else 0)
    return (size, c.modelled(5, at[2][b - 1], left[2][b], above[2][b])) if length else (0, 0)


def decode_words(data, words, skipped, shape, of, taps, weights, bias):
    """Decode words (h, w, B) in place, except for those that are skipped."""
    h, w, bands = shape
    c, means, zero = RangeDecoder(data), [0] * bands, ([0] * bands, [0] * (bands + 2), [0] * (bands + 2))
    if h < w:
        words, skipped, h, w = words.swapaxes(0, 1), skipped.swapaxes(0, 1), w, h
    above = []
    for y in range(h):
        line = []
        for x in range(w):
            left = line[-1] if x else above[0] if y else zero
            up = above[x] if y else left
            at = [0] * bands, [0] * (bands + 2), [0] * (bands + 2)
            near = at, left, up, above[x - 1] if x and y else up, above[x + 1] if y and x + 1 < w else up
            line.append(at)
            for b in range(bands):
                total, first = 8192, 0
                for pixel, count in zip(near, taps, strict=True):
                    end = b + (pixel is not at)
                    known = min(count, end)
                    total += sum(v * t for v, t in zip(pixel[0][end - known : end], weights[b][first + count - known :], strict=False))
                    first += count
                total = (total >> 14) + bias[b]
                if skipped[y, x, b]:
                    at[0][b], at[1][b] = limited(total, -1 << 30, 1 << 30), up[1][b]
                    continue
                size, negative = decode_error(c, bands, b, *near, means[b])
                number = of[b].predicted(total) + (-size if negative else size) & of[b].ones
                word = of[b].flipped(number, False) << of[b].dropped if of[b].floats else number
                words[y, x, b], at[0][b] = word, of[b].value(word)
                at[1][b], at[2][b] = min(size, 1 << 28), (-1 if negative else 1) if size else 0
                means[b] += at[1][b] * 64 - means[b] >> 4
        above = line


def cells(k, error, dtype):
    """The centres of cells of a relative error."""
    error, whole, size = limited(error, 1e-9, 0.5), dtype.kind != "f", np.abs(k)
    exact = math.ceil(4 / error) if whole else 0
    first = math.frexp(exact)[1] - 1 if whole else (-126, -1022)[dtype.itemsize == 8]
    half = error * (1 - 1 / 8) if whole else max(error - 2.0 ** (-23, -51)[dtype.itemsize == 8], error / 2)
    start = 1 + np.arange(8) / 8
    count = np.ceil(1 / (16 * half * start))
    before = np.concatenate([[0], np.cumsum(count)])
    cell = np.maximum(size - exact - 1, 0)
    octave = np.floor(cell / before[8])
    rest = cell - octave * before[8]
    i = np.minimum(np.searchsorted(before, rest, "right") - 1, 7)
    centre = np.ldexp(start[i] + (rest - before[i] + 0.5) * (1 / (8 * count[i])), (octave + first).astype(int))
    return np.copysign(np.where(size <= exact, size, centre), k)


def decode_predicted(f, shape, dtype):
    item, bands = dtype.itemsize, shape[2]
    apart, kinds, grids, corrections = (f.bytes(size) for size in f.take("4I"))
    kinds = plain(kinds, bands, "u1").tolist()
    on = sum(kind > 2 for kind in kinds)
    grids = plain(grids, 2 * on, "<f8").tolist() if on else []
    dropped, *taps, shared = f.take("B5BB")
    sizes = f.take("3I")
    shifts, bias = (plain(f.bytes(n), bands, t).tolist() for n, t in zip(sizes, ("<i2", "<i4"), strict=False))
    rows = (1 if shared else bands, sum(taps))
    weights = np.clip(decode_planes(f.bytes(sizes[2]), (1, *rows), 4)[0], -1 << 18, 1 << 18).tolist() * (bands if shared else 1)
    words, skipped = np.zeros((shape[0] * shape[1], bands), f"u{item}"), np.zeros((shape[0] * shape[1], bands), bool)
    if apart:
        section = Fields(apart)
        for _ in range(section.take("B")):
            size, word = section.take("I"), np.frombuffer(section.bytes(item), words.dtype)[0]
            mask = decode_mask(Fields(section.bytes(size)), shape)
            words[mask], skipped = word, skipped | mask
        restore_singles(section, words, skipped)
    of = [Words(min(kind, 1) if kind > 2 else kind, item, shift, dropped) for kind, shift in zip(kinds, shifts, strict=True)]
    decode_words(f.bytes(), words.reshape(shape), skipped.reshape(shape), shape, of, taps, weights, bias)
    coded = [b for b in range(bands) if kinds[b] > 2]
    numbers = {b: words[~skipped[:, b], b].view(f"i{item}") for b in coded}
    tables = {b: np.unique(numbers[b]) for b in coded if kinds[b] == 6}
    table = decode_row(corrections, sum(map(len, tables.values()))).astype(f"i{item}")
    for b, origin, step in zip(coded, grids[:on], grids[on:], strict=True):
        k = numbers[b].astype(np.float64)
        made = k / step if kinds[b] == 4 else cells(k, step, dtype) if kinds[b] == 5 else origin + k * step
        made = to_type(made, dtype).view(words.dtype)
        if b in tables:
            mine, table = table[: len(tables[b])], table[len(tables[b]) :]
            made += mine[np.searchsorted(tables[b], numbers[b])].view(words.dtype)
        words[~skipped[:, b], b] = made
    return words.view(dtype)
