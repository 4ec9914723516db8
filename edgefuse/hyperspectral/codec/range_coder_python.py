"""Range coder with adaptive bit models and raw bits: port of range_coder.h to Python, for machines without the compiled core."""

from __future__ import annotations

from edgefuse.hyperspectral.codec.entropy_tables import tables

WHOLE, SLOW = 1 << 15, 60


class RangeCoder:
    """Range-coded bytes from the front, raw bits from the back. Decodes `source` if given, else encodes."""

    def __init__(self, source: bytes | None) -> None:
        self.encodes, self.source = source is None, source or b""
        self.at, self.back = 0, len(self.source)  # read positions in `source`
        self.low, self.range, self.code = 0, 0xFFFFFFFF, 0
        self.written = 0  # bytes of output so far; the unbounded integer `low` holds them and the range's lower end
        self.plain, self.pool, self.pooled = bytearray(), 0, 0
        self.rate: list[int] = tables().rate.tolist()
        if not self.encodes:
            for _ in range(4):
                self.code = self.code << 8 | self._next()

    def _next(self) -> int:
        byte = self.source[self.at] if self.at < len(self.source) else 0
        self.at += 1
        return byte

    def _widen(self) -> None:
        """Shift bytes out or in until the range has at least 24 bits."""
        while self.range < 1 << 24:
            self.range <<= 8
            if self.encodes:
                self.low <<= 8
                self.written += 1
            else:
                self.code = (self.code << 8 & 0xFFFFFFFF) | self._next()

    def share(self, begin: int, end: int) -> None:
        """Code a symbol that has begin..end of WHOLE; the decoder found it with `peek`."""
        part = self.range >> 15
        if self.encodes:
            self.low += part * begin
        else:
            self.code = (self.code - part * begin) & 0xFFFFFFFF
        self.range = self.range - part * begin if end == WHOLE else part * (end - begin)
        self._widen()

    def peek(self) -> int:
        """Return the place of the next symbol, in 0..WHOLE - 1."""
        return min(WHOLE - 1, self.code // (self.range >> 15))

    def bit(self, bit: int, p: int) -> int:
        """Code a bit whose probability of being 1 is p of WHOLE, limited to 32 from either end."""
        part = (self.range >> 15) * min(WHOLE - 32, max(32, p))
        if not self.encodes:
            bit = int(self.code < part)
        if bit:
            self.range = part
        else:
            if self.encodes:
                self.low += part
            else:
                self.code -= part
            self.range -= part
        self._widen()
        return bit

    def learn(self, slot: list[int], bit: int) -> None:
        """Update a bit model: the probability of a 1 in 65536ths, and the update count."""
        slot[0] += ((65535 if bit else 0) - slot[0]) * self.rate[slot[1]] >> 15
        slot[1] = min(SLOW, slot[1] + 1)

    def plains(self, count: int, bits: int) -> int:
        """Code `count` raw bits, without a model."""
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
        bits = self.pool & (1 << count) - 1
        self.pool >>= count
        self.pooled -= count
        return bits

    def finish(self) -> bytes:
        """Return the shortest byte string within the range, whatever follows it, then the raw bits."""
        shift = 24
        while True:
            mask = (1 << shift) - 1
            first = (self.low + mask) & ~mask
            if first + mask < self.low + self.range:
                break
            shift -= 8
        if self.pooled:
            self.plains(8 - self.pooled, 0)
        return (first >> shift).to_bytes(self.written + 4 - shift // 8, "big") + bytes(reversed(self.plain))
