/* Blends in bands, row by row; gives the same bits as band_rows.py, which explains what is computed.

   Plain C99 that compilers vectorise: each loop processes one row of bytes, and a dozen rows fit into the smallest first-level cache. */

#include "../util/native.h"

typedef uint8_t u8;
typedef uint16_t u16;

typedef struct {
    const u8 *visible, *infrared;                              /* luma, height x width, contiguous */
    const u8 *small_visible, *small_infrared, *small_fused;    /* reduced by `factor` */
    const u8 *visible_weights, *infrared_weights;              /* of the details, in 255ths, reduced by `factor`; NULL: weight 1 */
    const u8 *bgr;                                             /* the visible frame in colour; NULL: `out` is luma */
    u8 *out;
    int64_t bgr_stride, out_stride;                            /* bytes from row to row */
    int32_t height, width, out_width, factor;                  /* width: a multiple of `factor`, 2 or 4; out_width: at most that */
    int32_t noise;                                             /* noise threshold in levels */
    int32_t gain, core;                                        /* amplification of a detail above `core` levels, in 16ths */
    int32_t chroma, blue, green, red;                          /* chroma: weight in 128ths; others: weights in luma, same scale */
} Job;

INLINE u8 most(u8 a, u8 b) { return a > b ? a : b; }
INLINE u8 least(u8 a, u8 b) { return a < b ? a : b; }
INLINE u8 minus(u8 a, u8 b) { return (u8)(most(a, b) - b); }        /* saturates, like all arithmetic here */
INLINE u8 plus(u8 a, u8 b) { return (u8)(least(a, (u8)~b) + b); }

/* Row y of `small` enlarged f times, bilinear, rounded half up: OpenCV's INTER_LINEAR_EXACT. v: scratch, columns + 2. */
INLINE void enlarge_by(const int f, const u8 *small, int rows, int columns, int y, u16 *restrict v, u8 *restrict out)
{
    /* at / 2f is the distance of the row's centre from the first small row's centre */
    const int at = 2 * y + 1 - f, k = at < 0 ? -1 : at / (2 * f);
    const u16 below = (u16)(at - 2 * f * k), above = (u16)(2 * f - below);
    const u8 *restrict a = small + (ptrdiff_t)(k < 0 ? 0 : k) * columns;
    const u8 *restrict b = small + (ptrdiff_t)(k + 1 < rows ? k + 1 : rows - 1) * columns;
    for (int i = 0; i < columns; i++) v[i + 1] = (u16)(above * a[i] + below * b[i]);
    v[0] = v[1];
    v[columns + 1] = v[columns];
    for (int i = 0; i < columns; i++) {
        const u16 before = v[i], here = v[i + 1], after = v[i + 2];
#pragma GCC unroll 8
        for (int j = 0; j < f; j++) {
            const u16 left = j < f / 2, w = (u16)(left ? 2 * j + 1 + f : 2 * j + 1 - f);
            const u16 sum = (u16)(left ? (2 * f - w) * before + w * here : (2 * f - w) * here + w * after);
            out[f * i + j] = (u8)((u16)(sum + 2 * f * f) / (4 * f * f));
        }
    }
}

INLINE void enlarge(int f, const u8 *small, int height, int width, int y, u16 *restrict v, u8 *restrict out)
{
    switch (f) {
    case 2: enlarge_by(2, small, height / 2, width / 2, y, v, out); break;
    case 4: enlarge_by(4, small, height / 4, width / 4, y, v, out); break;
    }
}

/* d times a weight in 255ths, rounded to nearest: (n + n / 256) / 256 equals n / 255 for all n = product of two bytes + 128. */
INLINE u8 weighed(u8 d, u8 weight)
{
    const u16 n = (u16)((u16)d * weight + 128);
    return (u8)((u16)(n + (n >> 8)) >> 8);
}

INLINE u8 strengthened(u8 d, u8 core, u16 gain) { return plus(d, (u8)((u16)(minus(d, core) * gain) >> 4)); }

/* Adds the chosen detail to `fused`, which holds the enlarged smaller bands. */
INLINE void choose(const Job *j, const int noisy, const int weighs_a, const int weighs_b, const u8 *restrict a, const u8 *restrict base_a,
                   const u8 *restrict b, const u8 *restrict base_b, const u8 *restrict weight_a, const u8 *restrict weight_b,
                   u8 *restrict fused)
{
    /* copied to locals, because the compiler must assume that a stored byte may change *j */
    const u8 noise = (u8)j->noise, core = (u8)j->core;
    const u16 gain = (u16)j->gain;
    const int width = j->width;
    for (int x = 0; x < width; x++) {
        u8 pa = minus(a[x], base_a[x]), na = minus(base_a[x], a[x]), pb = minus(b[x], base_b[x]), nb = minus(base_b[x], b[x]);
        if (weighs_a) pa = weighed(pa, weight_a[x]), na = weighed(na, weight_a[x]);
        if (weighs_b) pb = weighed(pb, weight_b[x]), nb = weighed(nb, weight_b[x]);
        const u8 p = most(pa, pb), n = most(na, nb);
        u8 up = minus(p, n), down = minus(n, p);
        if (noisy) {
            up = minus(up, least((u8)(minus(up, least(pa, pb)) >> 1), noise));
            down = minus(down, least((u8)(minus(down, least(na, nb)) >> 1), noise));
        }
        fused[x] = minus(plus(fused[x], strengthened(up, core, gain)), strengthened(down, core, gain));
    }
}

#if defined(__GNUC__) && (__GNUC__ >= 12 || defined(__clang__)) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VECTORS 1 /* explicit vectors, because compilers do not vectorise three-byte pixels well */
typedef u8 Bytes __attribute__((vector_size(16)));
typedef u16 Words __attribute__((vector_size(16)));
#endif

/* Writes each of n bytes three times. */
INLINE void thrice(const u8 *restrict in, int n, u8 *restrict out)
{
    int x = 0;
#ifdef VECTORS
    for (; x + 16 <= n; x += 16) {
        Bytes v, three;
        memcpy(&v, in + x, 16);
        three = __builtin_shufflevector(v, v, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5);
        memcpy(out + 3 * x, &three, 16);
        three = __builtin_shufflevector(v, v, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10);
        memcpy(out + 3 * x + 16, &three, 16);
        three = __builtin_shufflevector(v, v, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15);
        memcpy(out + 3 * x + 32, &three, 16);
    }
#endif
    for (; x < n; x++) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = in[x];
}

/* Writes the weighted luma of each of n pixels three times. */
INLINE void lumas(const Job *j, const u8 *restrict bgr, int n, u16 *restrict out)
{
    const u16 blue = (u16)j->blue, green = (u16)j->green, red = (u16)j->red;
    int x = 0;
#ifdef VECTORS
    for (; x + 16 <= n; x += 16) {
        Bytes u, v, w, plane[3];
        memcpy(&u, bgr + 3 * x, 16);
        memcpy(&v, bgr + 3 * x + 16, 16);
        memcpy(&w, bgr + 3 * x + 32, 16);
        plane[0] = __builtin_shufflevector(u, v, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
        plane[0] = __builtin_shufflevector(plane[0], w, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
        plane[1] = __builtin_shufflevector(u, v, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
        plane[1] = __builtin_shufflevector(plane[1], w, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
        plane[2] = __builtin_shufflevector(u, v, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
        plane[2] = __builtin_shufflevector(plane[2], w, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
        const Bytes none = {0};
        Words sum[2] = {{0}};
#pragma GCC unroll 3
        for (int c = 0; c < 3; c++) {
            const u16 weight = c == 0 ? blue : c == 1 ? green : red;
            sum[0] += weight * (Words)__builtin_shufflevector(plane[c], none, 0, 16, 1, 16, 2, 16, 3, 16, 4, 16, 5, 16, 6, 16, 7, 16);
            sum[1] += weight * (Words)__builtin_shufflevector(plane[c], none, 8, 16, 9, 16, 10, 16, 11, 16, 12, 16, 13, 16, 14, 16, 15, 16);
        }
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const Words luma = sum[half];
            u16 *to = out + 3 * (x + 8 * half);
            Words three;
            three = __builtin_shufflevector(luma, luma, 0, 0, 0, 1, 1, 1, 2, 2);
            memcpy(to, &three, 16);
            three = __builtin_shufflevector(luma, luma, 2, 3, 3, 3, 4, 4, 4, 5);
            memcpy(to + 8, &three, 16);
            three = __builtin_shufflevector(luma, luma, 5, 5, 6, 6, 6, 7, 7, 7);
            memcpy(to + 16, &three, 16);
        }
    }
#endif
    for (; x < n; x++) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = (u16)(blue * bgr[3 * x] + green * bgr[3 * x + 1] + red * bgr[3 * x + 2]);
}

/* Writes BGR = fused luma + weighted chroma; n bytes, three per pixel. Halves are rounded away from 0. */
INLINE void colour(const u8 *restrict bgr, const u16 *restrict luma, const u8 *restrict fused, int n, u16 weight, u8 *restrict out)
{
    for (int x = 0; x < n; x++) {
        const u16 own = (u16)(weight * bgr[x]), grey = luma[x], larger = own > grey ? own : grey;
        const u8 more = (u8)((u16)((u16)(larger - grey) + 64) >> 7), less = (u8)((u16)((u16)(larger - own) + 64) >> 7);
        out[x] = minus(plus(fused[x], more), less);
    }
}

#if defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NEON 1
#include "band_rows_neon.h"
#endif

EXPORT_FOR("avx2", "ssse3", "default") void edgefuse_band_rows(const Job *j, int32_t top, int32_t bottom, u8 *scratch)
{
#ifdef NEON
    if (j->out_width >= BLOCK) {
        blend_in_blocks(j, top, bottom, scratch);
        return;
    }
#endif
    const int w = j->width, shown = j->out_width;
    u8 *restrict base_a = scratch, *restrict base_b = base_a + w, *restrict weight_a = base_b + w, *restrict weight_b = weight_a + w;
    u8 *restrict fused = weight_b + w, *restrict fused3 = fused + w;
    /* w is a multiple of 4: aligned for u16 */
    u16 *restrict luma3 = (u16 *)(void *)(fused3 + 3 * w), *restrict v = luma3 + 3 * w;
    const int weighs_a = j->visible_weights != NULL, weighs_b = j->infrared_weights != NULL;
    for (int y = top; y < bottom; y++) {
        const u8 *luma = j->visible + (ptrdiff_t)y * w, *infrared = j->infrared + (ptrdiff_t)y * w;
        u8 *out = j->out + (ptrdiff_t)(y * j->out_stride);
        enlarge(j->factor, j->small_visible, j->height, w, y, v, base_a);
        enlarge(j->factor, j->small_infrared, j->height, w, y, v, base_b);
        enlarge(j->factor, j->small_fused, j->height, w, y, v, fused);
        if (weighs_a) enlarge(j->factor, j->visible_weights, j->height, w, y, v, weight_a);
        if (weighs_b) enlarge(j->factor, j->infrared_weights, j->height, w, y, v, weight_b);
        switch ((j->noise ? 4 : 0) + 2 * weighs_a + weighs_b) {
        case 0: choose(j, 0, 0, 0, luma, base_a, infrared, base_b, weight_a, weight_b, fused); break;
        case 1: choose(j, 0, 0, 1, luma, base_a, infrared, base_b, weight_a, weight_b, fused); break;
        case 2: choose(j, 0, 1, 0, luma, base_a, infrared, base_b, weight_a, weight_b, fused); break;
        case 3: choose(j, 0, 1, 1, luma, base_a, infrared, base_b, weight_a, weight_b, fused); break;
        case 4: choose(j, 1, 0, 0, luma, base_a, infrared, base_b, weight_a, weight_b, fused); break;
        case 5: choose(j, 1, 0, 1, luma, base_a, infrared, base_b, weight_a, weight_b, fused); break;
        case 6: choose(j, 1, 1, 0, luma, base_a, infrared, base_b, weight_a, weight_b, fused); break;
        default: choose(j, 1, 1, 1, luma, base_a, infrared, base_b, weight_a, weight_b, fused); break;
        }
        if (!j->bgr) {
            memcpy(out, fused, (size_t)shown);
            continue;
        }
        const u8 *bgr = j->bgr + (ptrdiff_t)(y * j->bgr_stride);
        lumas(j, bgr, shown, luma3);
        thrice(fused, shown, fused3);
        colour(bgr, luma3, fused3, 3 * shown, (u16)j->chroma, out);
    }
}

EXPORT int32_t edgefuse_band_scratch(int32_t width)
{
    const int32_t rows = width * 14 + 2 * (width + 2);
#ifdef NEON
    if (block_scratch(width) > rows) return block_scratch(width);
#endif
    return rows;
}
