"""The entropy coder: planes of integers or of wavelet coefficients, and the inverse wavelet (efz-coding.md)."""

import numpy as np

from tests.hyperspectral.plain_decoder.range_coder import LEVEL, FirstDecoder, RangeDecoder

APPROXIMATION = 4096, 5322, 7378, 9958, 13247, 17543
DETAIL, DIAGONAL = (4142, 5406, 7487, 10097, 13428), (3224, 3961, 5629, 7697, 10278)


def subbands(levels):
    """Row, column, distance, type, parent, sibling and gain of each subband."""
    entries = [(0, 0, 1 << levels, 0, None, None, APPROXIMATION[levels])]
    for level in range(levels - 1, -1, -1):
        o, i, kind = 1 << level, len(entries), 1 + 2 * min(level, 2)
        parents = range(i - 3, i) if i > 1 else (None,) * 3
        entries += [(0, o, 2 * o, kind, parents[0], None, DETAIL[level]), (o, 0, 2 * o, kind, parents[1], i, DETAIL[level])]
        entries += [(o, o, 2 * o, kind + 1, parents[2], i + 1, DIAGONAL[level])]
    return entries


def cross(m, y, x):
    return m[y][x - 1] + m[y][x + 1] + m[y - 1][x] + m[y + 1][x]


def decode_planes(data, shape, version, levels=None):
    """Decode planes (K, h, w) of integers; with levels, wavelet coefficients in 256ths of a step."""
    c, out, bands = (FirstDecoder if version == 1 else RangeDecoder)(data), np.zeros(shape, np.int64), subbands(levels or 0)
    average, sizes = [0] * len(bands), [out[0, b[0] :: b[2], b[1] :: b[2]].shape if len(out) else (0, 0) for b in bands]
    # magnitudes with a border of zeros, which neighbours outside are: sample (y, x) is [y + 2][x + 2]
    older = before = now = [[[0] * (w + 5) for _ in range(h + 5)] for h, w in sizes]
    for plane in out:
        older, before, now = before, now, [[[0] * (w + 5) for _ in range(h + 5)] for h, w in sizes]
        for i, (top, left, step, kind, parent, sibling, gain) in enumerate(bands):
            h, w = sizes[i]
            significant = h and w and c.modelled(2 * i + (average[i] > 40))
            average[i] = average[i] if significant or not h or not w else 0
            q, p, r, inverse = now[i], before[i], older[i], (4096 * 4096 + gain // 2) // gain
            for y, x in np.ndindex(h + 2, w + 2) if significant else ():
                if y < 2 or x < 2:
                    continue
                planes = 4 * p[y][x] + cross(p, y, x) + 2 * r[y][x] + (cross(r, y, x) >> 1)
                around = 6 * (q[y][x - 1] + q[y - 1][x]) + 3 * (q[y - 1][x - 1] + q[y - 1][x + 1]) + 2 * (q[y][x - 2] + q[y - 2][x])
                around += planes + (2 * now[parent][y // 2 + 1][x // 2 + 1] if parent is not None else 0)
                if sibling is not None:
                    around += 2 * now[sibling][y][x] + (cross(now[sibling], y, x) >> 1)
                sums = around + 1 + (average[i] >> 9) >> 1, average[i] >> 7, 2 * (q[y][x - 1] + q[y - 1][x]), planes
                value, negative = c.sample(kind, *(min(LEVEL[min(v, 4095)], 23) for v in sums))
                q[y][x] = min(value, 65535)
                average[i] += min(value, 4000) * 4096 - average[i] + 16 >> 5
                if levels is not None and value:
                    value = 256 * value + 9
                value = -value if negative else value
                plane[top + (y - 2) * step, left + (x - 2) * step] = value if levels is None else value * inverse + 2048 >> 12
    return out


def decode_row(data, count, version=4):
    return decode_planes(data, (1, 1, count), version)[0, 0] if count else np.zeros(0, np.int64)


def inverse_wavelet(plane, levels):
    for level in range(levels - 1, -1, -1):
        samples = plane[:: 1 << level, :: 1 << level]
        for x in (samples.T, samples):
            for first, factor in ((0, 1817), (1, 3616), (0, -217), (1, -6497)):
                for i in range(first, len(x) if len(x) > 1 else 0, 2):
                    x[i] -= (x[abs(i - 1)] + x[i + 1 if i + 1 < len(x) else i - 1]) * factor + 2048 >> 12
