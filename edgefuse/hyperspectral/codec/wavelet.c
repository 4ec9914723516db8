/* Integer wavelet lifting, bit-exact with wavelet.py, which describes it. */

#include "../../util/native.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* one lifting step: add a multiple (in 4096ths) of the neighbours' sum to every second sample of a line, from `first`; samples are vectors of `depth` */
INLINE void lift(int32_t *line, int32_t length, ptrdiff_t apart, int32_t first, int32_t depth, int64_t factor, int32_t undo)
{
    for (int32_t i = first; i < length; i += 2) {
        /* mirrored at both ends */
        const int32_t *a = line + (i ? i - 1 : 1) * apart, *b = line + (i + 1 < length ? i + 1 : i - 1) * apart;
        int32_t *x = line + i * apart;
        for (int32_t k = 0; k < depth; k++) {
            const uint32_t part = (uint32_t)((factor * (int32_t)((uint32_t)a[k] + (uint32_t)b[k]) + 2048) >> 12);
            x[k] = (int32_t)(undo ? (uint32_t)x[k] - part : (uint32_t)x[k] + part);
        }
    }
}

INLINE void lines(int32_t *data, int32_t count, ptrdiff_t between, int32_t length, ptrdiff_t apart, int32_t depth, int32_t steps,
    const int32_t *factors, int32_t undo)
{
    if (length < 2) return;
    for (int32_t i = 0; i < count; i++)
        for (int32_t s = 0; s < steps; s++) lift(data + i * between, length, apart, (s + !undo) & 1, depth, factors[undo ? steps - 1 - s : s], undo);
}

INLINE int32_t halved(int32_t size, int32_t times) { return ((size - 1) >> times) + 1; }

/* transform height x width x depth in place; samples of level l are 2^l apart */
EXPORT_FOR("avx2", "default") void edgefuse_wavelet(int32_t *data, int32_t height, int32_t width, int32_t depth, int32_t levels,
    const int32_t *factors, int32_t steps, int32_t inverse)
{
    for (int32_t i = 0; i < levels; i++) {
        const int32_t l = inverse ? levels - 1 - i : i, h = halved(height, l), w = halved(width, l);
        const ptrdiff_t across = (ptrdiff_t)depth << l, down = across * width;
        for (int32_t turn = 0; turn < 2; turn++) {
            /* forward: columns, then rows; the inverse applies the same steps in reverse order */
            if (turn == inverse) lines(data, w, across, h, down, depth, steps, factors, inverse);
            else lines(data, h, down, w, across, depth, steps, factors, inverse);
        }
    }
}
