"""Port of predictive_coder.c to Python, line by line, for machines without the compiled core: the same bytes, a hundred times slower."""

from __future__ import annotations

from collections import defaultdict

from edgefuse.hyperspectral.codec.prediction_plan import Plan, Skipped, Words
from edgefuse.hyperspectral.codec.range_coder_python import RangeCoder

_LEVELS, _SPECTRAL, _USUAL = 160, 32, 40
_TOP, _LARGEST = 1 << 30, 1 << 28
Key = tuple[int, ...]


class _Coder(RangeCoder):
    """Range coder with the models of a prediction error, by context."""

    def __init__(self, source: bytes | None) -> None:
        super().__init__(source)
        self.slots: defaultdict[Key, list[int]] = defaultdict(lambda: [32768, 0])

    def modelled(self, key: Key, bit: int) -> int:
        slot = self.slots[key]
        bit = self.bit(bit, slot[0] >> 1)
        self.learn(slot, bit)
        return bit

    def length(self, contexts: tuple[Key, Key, Key], length: int) -> int:
        """Code a length of up to 63 bits with the mean of three models."""
        node = 1
        for i in range(5, -1, -1):
            a, b, d = (self.slots[(*key, node)] for key in contexts)
            bit = self.bit(length >> i & 1, a[0] + b[0] + 2 * d[0] >> 3)
            for slot in (a, b, d):
                self.learn(slot, bit)
            node = node * 2 + bit
        return node - 64


def level_of(v: int) -> int:
    """Return 4 log2(v + 1), rounded down to quarters of the distance between powers of two."""
    length = (v + 1).bit_length() - 1
    return 4 * length + ((v + 1 >> length - 2 if length >= 2 else v + 1 << 2 - length) & 3)


class _Words:
    """Conversions of a band's words: to and from their numbers in ascending order, and to and from fixed-point numbers."""

    def __init__(self, item: int, kind: int, shift: int, dropped: int) -> None:
        self.floats, self.signed, self.shift, self.dropped = kind == 0, kind == 1 or item == 8, shift, dropped if kind == 0 else 0
        self.width, self.bits = item * 8 - self.dropped, item * 8
        self.fraction, self.middle = (52, 1023) if item == 8 else (23, 127)
        self.ones, self.sign = (1 << self.width) - 1, 1 << self.width - 1

    def ordered(self, word: int) -> int:
        if not self.floats:
            return word
        word >>= self.dropped
        return ~word & self.ones if word & self.sign else word | self.sign

    def word(self, number: int) -> int:
        if not self.floats:
            return number
        return (number & ~self.sign if number & self.sign else ~number & self.ones) << self.dropped

    def fixed(self, word: int) -> int:
        if not self.floats:
            value = word - (1 << self.bits) if self.signed and word >> self.bits - 1 else word
            return max(-_TOP, min(_TOP, value >> self.shift))
        exponent = word >> self.fraction & 2 * self.middle + 1
        if exponent in (0, 2 * self.middle + 1):
            return 0
        whole = exponent - self.middle + self.shift
        if whole < 0:
            return 0
        mantissa = word & (1 << self.fraction) - 1 | 1 << self.fraction
        value = _TOP if whole >= 30 else mantissa << whole - self.fraction if whole >= self.fraction else mantissa >> self.fraction - whole
        return -value if word >> self.bits - 1 else value

    def nearest(self, v: int) -> int:
        if not self.floats:
            return max(-1 << 31, min(1 << 31, v)) << self.shift & (1 << self.bits) - 1
        size, sign = abs(v), int(v < 0) << self.bits - 1
        length = size.bit_length() - 1
        exponent = length - self.shift + self.middle
        if not size or exponent <= 0:
            return sign
        rest = size ^ 1 << length
        rest = rest << self.fraction - length if self.fraction >= length else rest >> length - self.fraction
        return sign | min(exponent, 2 * self.middle) << self.fraction | rest


class _Pixel:
    """What is known of a pixel: fixed-point values, sizes and signs of the prediction errors. The last two stay 0, for index -1 and -2."""

    def __init__(self, bands: int) -> None:
        self.values, self.sizes, self.signs = [0] * bands, [0] * (bands + 2), [0] * (bands + 2)


def _error(c: _Coder, pixels: list[_Pixel], bands: int, b: int, mean: int, size: int, negative: int) -> tuple[int, int]:
    """Code the prediction error of band b of the pixel `pixels[0]`; the others are left, above, above left, above right."""
    at, w, n, nw, ne = pixels
    around = 2 * w.sizes[b] + 2 * n.sizes[b] + ne.sizes[b] + nw.sizes[b]
    before = 2 * at.sizes[b - 1] + at.sizes[b - 2]
    total = around * 3 + before * 5 + (mean >> 2) if bands > 1 else around * 6 + (mean >> 1)
    everything, near = level_of(total >> 2), level_of(around) >> 1
    spectral = min(max((level_of(before) >> 1) - near + _SPECTRAL // 2, 0), _SPECTRAL - 1)
    usual = min(max((level_of(mean >> 3) >> 1) - (everything >> 1) + _USUAL // 2, 0), _USUAL - 1)
    clipped = min(everything, _LEVELS - 1)
    contexts = (0, clipped), (1, min(near, _LEVELS // 2 - 1), spectral), (2, clipped, usual)
    symbol = c.length(contexts, min(size.bit_length(), 63))
    length = symbol if symbol < 63 else 63 + c.plains(1, int(size.bit_length() > 63))
    if not length:
        return 0, negative
    value, modelled = 1, min(length - 1, 2)
    rest, key = length - 1 - modelled, (3, symbol, min(max(4 * length - everything + 8, 0), 15))
    for i in range(modelled):
        value = value * 2 + c.modelled((*key, value), size >> length - 2 - i & 1)
    if rest:
        value = value << rest | c.plains(rest, size & (1 << rest) - 1)
    return value, c.modelled((4, at.signs[b - 1], w.signs[b], n.signs[b]), negative)


def _code(c: _Coder, words: Words, height: int, width: int, plan: Plan, skipped: Skipped | None) -> None:
    bands, item = words.shape[1], words.dtype.itemsize
    of = [_Words(item, int(k), int(s), plan.dropped) for k, s in zip(plan.kinds, plan.shifts, strict=True)]
    weights, bias, means = plan.weights.tolist(), plan.bias.tolist(), [0] * bands
    length, upright, zero = min(height, width), height >= width, _Pixel(bands)
    above: list[_Pixel] = []
    for y in range(max(height, width)):
        line: list[_Pixel] = []
        for x in range(length):
            place = y * width + x if upright else x * width + y
            w = line[-1] if x else above[0] if y else zero
            n = above[x] if y else w
            pixels = [_Pixel(bands), w, n, above[x - 1] if x and y else n, above[x + 1] if y and x + 1 < length else n]
            line.append(pixels[0])
            _pixel(c, words[place], None if skipped is None else skipped[place], pixels, of, plan, weights, bias, means)
        above = line


def _pixel(
    c: _Coder, words: Words, skipped: Skipped | None, pixels: list[_Pixel], of: list[_Words], plan: Plan, weights: list[list[int]],
    bias: list[int], means: list[int],
) -> None:  # fmt: skip
    at, above = pixels[0], pixels[2]
    for b, kind in enumerate(of):
        total, first = 0, 0
        for pixel, count, end in zip(pixels, plan.taps, (b, b + 1, b + 1, b + 1, b + 1), strict=True):
            known = min(count, end)
            total += sum(
                v * t for v, t in zip(pixel.values[end - known : end], weights[b][first + count - known : first + count], strict=True)
            )
            first += count
        total = (total + 8192 >> 14) + bias[b]
        if skipped is not None and skipped[b]:
            at.values[b], at.sizes[b] = max(-_TOP, min(_TOP, total)), above.sizes[b]
            continue
        guess = kind.ordered(kind.nearest(total))
        size = negative = 0
        if c.encodes:
            error = kind.ordered(int(words[b])) - guess & kind.ones
            negative = int(bool(error & kind.sign))
            size = -error & kind.ones if negative else error
        size, negative = _error(c, pixels, len(of), b, means[b], size, negative)
        if not c.encodes:
            words[b] = kind.word(guess + (-size if negative else size) & kind.ones)
        kept = min(size, _LARGEST)
        at.sizes[b], at.signs[b] = kept, (-1 if negative else 1) if size else 0
        means[b] += (kept << 6) - means[b] >> 4
        at.values[b] = kind.fixed(int(words[b]))


def encode(words: Words, height: int, width: int, plan: Plan, skipped: Skipped | None) -> bytes:
    """Encode as `predictive_coder.encode`."""
    coder = _Coder(None)
    _code(coder, words, height, width, plan, skipped)
    return coder.finish()


def decode(data: bytes, out: Words, height: int, width: int, plan: Plan, skipped: Skipped | None) -> None:
    """Decode as `predictive_coder.decode`."""
    _code(_Coder(data), out, height, width, plan, skipped)
