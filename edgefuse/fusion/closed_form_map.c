/* Computes the blending map in closed form; gives the same bits as closed_form_map.py, which explains what is computed. */

#include "../util/no_fused_multiply_add.h"

#include "boxes.h"

#include <math.h>

typedef uint8_t u8;
typedef uint16_t u16;

enum { REACH = 2, SIDE = 5, AREA = 25, WIDE_REACH = 6, WIDE = 13, ONE = 65535 };

typedef struct {
    float departure[2], deviation[2], bias; /* visible, infrared */
    float low, span;                        /* of the map: the smallest value, and the largest minus the smallest */
} Constants;

/* Sets z to departure |x - mean| + deviation sigma for each cell of row y, or subtracts it from z; sigma is over 5 x 5 cells.
   sums, squares: scratch, width + 4 each. */
INLINE void standing_out(const u8 *x, int height, int width, int y, float mean, float departure, float deviation, const int subtract,
                         int32_t *restrict sums, int32_t *restrict squares, float *restrict z)
{
    const u8 *restrict r0 = x + (ptrdiff_t)mirrored(y - 2, height) * width, *restrict r1 = x + (ptrdiff_t)mirrored(y - 1, height) * width;
    const u8 *restrict r2 = x + (ptrdiff_t)y * width, *restrict r3 = x + (ptrdiff_t)mirrored(y + 1, height) * width;
    const u8 *restrict r4 = x + (ptrdiff_t)mirrored(y + 2, height) * width;
    for (int i = 0; i < width; i++) {
        const int32_t a = r0[i], b = r1[i], c = r2[i], d = r3[i], e = r4[i];
        sums[REACH + i] = a + b + c + d + e;
        squares[REACH + i] = a * a + b * b + c * c + d * d + e * e;
    }
    for (int k = 1; k <= REACH; k++) {
        const int left = REACH + mirrored(-k, width), right = REACH + mirrored(width - 1 + k, width);
        sums[REACH - k] = sums[left], squares[REACH - k] = squares[left];
        sums[REACH + width - 1 + k] = sums[right], squares[REACH + width - 1 + k] = squares[right];
    }
    for (int i = 0; i < width; i++) {
        const int32_t s = sums[i] + sums[i + 1] + sums[i + 2] + sums[i + 3] + sums[i + 4];
        const int32_t s2 = squares[i] + squares[i + 1] + squares[i + 2] + squares[i + 3] + squares[i + 4];
        const float sigma = sqrtf((float)(s2 * AREA - s * s)) * (1.0f / AREA);
        const float out = departure * fabsf((float)r2[i] - mean) + deviation * sigma;
        z[i] = subtract ? z[i] - out : out;
    }
}

/* Approximates tanh to 1e-4 by its continued fraction, with the same bits on every machine; |x| at most 4.97. */
INLINE float rational_tanh(float x)
{
    const float s = x * x;
    const float above = ((s + 378.0f) * s + 17325.0f) * s + 135135.0f, below = ((28.0f * s + 3150.0f) * s + 62370.0f) * s + 135135.0f;
    return x * above / below;
}

static float mean_of(const u8 *x, int cells)
{
    uint32_t sum = 0;
    for (int i = 0; i < cells; i++) sum += x[i];
    return (float)sum / (float)cells;
}

/* scratch: 2 height width + 2 (width + 12) numbers. */
EXPORT_FOR("avx2", "default") void edgefuse_closed_form(const u8 *visible, const u8 *infrared, int32_t height, int32_t width, const Constants *c,
                                                        float *out, uint32_t *scratch)
{
    const int cells = height * width;
    uint32_t *shares = scratch, *once = shares + cells, *row = once + cells;
    int32_t *sums = (int32_t *)row, *squares = sums + width + 2 * WIDE_REACH;
    const float means[2] = {mean_of(visible, cells), mean_of(infrared, cells)};
    for (int y = 0; y < height; y++) {
        float *restrict z = out + (ptrdiff_t)y * width;
        standing_out(visible, height, width, y, means[0], c->departure[0], c->deviation[0], 0, sums, squares, z);
        standing_out(infrared, height, width, y, means[1], c->departure[1], c->deviation[1], 1, sums, squares, z);
        uint32_t *restrict share = shares + (ptrdiff_t)y * width;
        for (int i = 0; i < width; i++) {
            float half = (z[i] + c->bias) * 0.5f;
            half = half < -4.97f ? -4.97f : half;
            half = half > 4.97f ? 4.97f : half;
            share[i] = (uint32_t)(int32_t)((rational_tanh(half) + 1.0f) * (ONE / 2.0f) + 0.5f);
        }
    }
    box_sums(shares, height, width, WIDE_REACH, row, once);
    box_sums(once, height, width, WIDE_REACH, row, shares);
    const float scale = c->span / ((float)ONE * (WIDE * WIDE * WIDE * WIDE));
    for (int i = 0; i < cells; i++) out[i] = (float)shares[i] * scale + c->low;
}
