/* Computes the mask of targets and blends them; gives the same bits as target_steps.py. targets.py explains what is computed. */

#include "../util/no_fused_multiply_add.h"

#include "boxes.h"

typedef uint8_t u8;

typedef struct {
    int32_t height, width; /* of planes at an eighth of the size; a quarter has twice as many rows and columns */
    float edge, base, warm, ramp, flatter, rise, brightest;
    float detail, own_more; /* in 255ths */
} Pull;

#if defined(__GNUC__) && (__GNUC__ >= 12 || defined(__clang__))
#define VECTORS 1 /* explicit vectors, because compilers do not vectorise interleaved stores */
typedef float Four __attribute__((vector_size(16)));
#endif

enum { AROUND = 12, SPREAD = 2 };

INLINE float least(float a, float b) { return a < b ? a : b; }
INLINE float most(float a, float b) { return a > b ? a : b; }
INLINE int within(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

/* Sums over 3 x 3 cells; the edge is repeated. column: scratch, width + 2. */
INLINE void sum_of_nine(const float *restrict x, int height, int width, float *restrict column, float *restrict out)
{
    for (int y = 0; y < height; y++) {
        const float *restrict a = x + (ptrdiff_t)within(y - 1, height) * width, *restrict b = x + (ptrdiff_t)y * width;
        const float *restrict c = x + (ptrdiff_t)within(y + 1, height) * width;
        float *restrict to = out + (ptrdiff_t)y * width;
        for (int i = 0; i < width; i++) column[i + 1] = (a[i] + b[i]) + c[i];
        column[0] = column[1];
        column[width + 1] = column[width];
        for (int i = 0; i < width; i++) to[i] = (column[i] + column[i + 1]) + column[i + 2];
    }
}

/* Row y of `small` enlarged to twice its size, bilinear; the edge is repeated. column: scratch, width + 2. */
INLINE void enlarge_twice(const float *restrict small, int height, int width, int y, float *restrict column, float *restrict out)
{
    const int here = y / 2, other = within(y % 2 ? here + 1 : here - 1, height);
    const float *restrict a = small + (ptrdiff_t)here * width, *restrict b = small + (ptrdiff_t)other * width;
    for (int i = 0; i < width; i++) column[i + 1] = 0.75f * a[i] + 0.25f * b[i];
    column[0] = column[1];
    column[width + 1] = column[width];
    int i = 0;
#ifdef VECTORS
    for (; i + 4 <= width; i += 4) {
        Four before, here, after;
        memcpy(&before, column + i, 16), memcpy(&here, column + i + 1, 16), memcpy(&after, column + i + 2, 16);
        const Four middle = 0.75f * here, left = middle + 0.25f * before, right = middle + 0.25f * after;
        const Four low = __builtin_shufflevector(left, right, 0, 4, 1, 5), high = __builtin_shufflevector(left, right, 2, 6, 3, 7);
        memcpy(out + 2 * i, &low, 16), memcpy(out + 2 * i + 4, &high, 16);
    }
#endif
    for (; i < width; i++) {
        const float middle = 0.75f * column[i + 1];
        out[2 * i] = middle + 0.25f * column[i];
        out[2 * i + 1] = middle + 0.25f * column[i + 2];
    }
}

/* The smallest level, at least `from`, above which at most `budget` cells lie. */
static float first_level(const u8 *lost, int cells, float from, int32_t budget)
{
    int32_t counts[256] = {0}, above = cells;
    for (int i = 0; i < cells; i++) counts[lost[i]]++;
    int level = 0;
    while ((above -= counts[level]) > budget) level++;
    return most(from, (float)level);
}

/* Computes the mask: 0 up to level `from`, or the level above which at most `budget` cells lie; 1 from 1 / scale above it; times the factor
   from the evidence; averaged over 3 x 3. lost: lost contrast in 127ths. evidence: may be NULL. scratch: a plane and width + 2 numbers. */
EXPORT_FOR("avx2", "default") void edgefuse_target_mask(const u8 *lost, const float *evidence, int32_t height, int32_t width, int32_t budget,
                                                        float from, float scale, float gate, float rise, float *out, float *scratch)
{
    const int cells = height * width;
    const float begin = first_level(lost, cells, from, budget);
    float *restrict raw = scratch;
    for (int i = 0; i < cells; i++) raw[i] = most(least(((float)lost[i] - begin) * scale, 1.0f), 0.0f);
    if (evidence)
        for (int i = 0; i < cells; i++) raw[i] = raw[i] * most(least((evidence[i] - gate) * rise, 1.0f), 0.0f);
    sum_of_nine(raw, height, width, scratch + cells, out);
    for (int i = 0; i < cells; i++) out[i] = out[i] * (1.0f / 9);
}

/* Computes slope and offset from the 3 x 3 sums of the guide, the mask, their product and the guide's square. The offset replaces the product. */
INLINE void coefficients(const float *restrict guide, const float *restrict mask, float *restrict product, const float *restrict square,
                         int cells, float edge, float *restrict slope)
{
    for (int i = 0; i < cells; i++) {
        const float g = guide[i] * (1.0f / 9), m = mask[i] * (1.0f / 9);
        const float own = (product[i] * (1.0f / 9) - g * m) / ((square[i] * (1.0f / 9) - g * g) + edge);
        slope[i] = own;
        product[i] = m - own * g;
    }
}

/* Computes slope and offset of the guided filter, averaged over 3 x 3. scratch: 5 planes and a row. */
static void guided(const Pull *p, const float *restrict mask, const u8 *restrict guide, float *restrict slope, float *restrict offset,
                   float *restrict scratch)
{
    const int height = p->height, width = p->width, cells = height * width;
    float *restrict a = scratch, *restrict mean_guide = a + cells, *restrict mean_mask = mean_guide + cells;
    float *restrict product = mean_mask + cells, *restrict square = product + cells, *restrict row = square + cells;
    for (int i = 0; i < cells; i++) a[i] = (float)guide[i];
    sum_of_nine(a, height, width, row, mean_guide);
    for (int i = 0; i < cells; i++) a[i] = a[i] * a[i];
    sum_of_nine(a, height, width, row, square);
    for (int i = 0; i < cells; i++) a[i] = (float)guide[i] * mask[i];
    sum_of_nine(a, height, width, row, product);
    sum_of_nine(mask, height, width, row, mean_mask);
    coefficients(mean_guide, mean_mask, product, square, cells, p->edge, a);
    sum_of_nine(a, height, width, row, slope);
    sum_of_nine(product, height, width, row, offset);
    for (int i = 0; i < cells; i++) slope[i] = slope[i] * (1.0f / 9), offset[i] = offset[i] * (1.0f / 9);
}

/* Maximum over 5 x 5 cells; the edge is repeated. column: scratch, width + 4. */
static void largest(const u8 *restrict x, int height, int width, u8 *restrict column, u8 *restrict out)
{
    for (int y = 0; y < height; y++) {
        u8 *restrict to = out + (ptrdiff_t)y * width;
        for (int i = 0; i < width; i++) column[SPREAD + i] = 0;
        for (int k = -SPREAD; k <= SPREAD; k++) {
            const u8 *restrict row = x + (ptrdiff_t)within(y + k, height) * width;
            for (int i = 0; i < width; i++) column[SPREAD + i] = column[SPREAD + i] > row[i] ? column[SPREAD + i] : row[i];
        }
        for (int k = 0; k < SPREAD; k++) column[k] = column[SPREAD], column[SPREAD + width + k] = column[SPREAD + width - 1];
        for (int i = 0; i < width; i++) {
            u8 v = column[i];
            for (int k = 1; k <= 2 * SPREAD; k++) v = v > column[i + k] ? v : column[i + k];
            to[i] = v;
        }
    }
}

/* Computes the brightness that the patch has around a target, and the infrared frame's mean over 25 x 25 cells.
   scratch: 3 planes and width + 24 numbers. */
static void levels(const Pull *p, const u8 *restrict base, const u8 *restrict infrared, float *restrict out, float *restrict around,
                   uint32_t *restrict scratch)
{
    const int height = p->height, width = p->width, cells = height * width;
    uint32_t *restrict plane = scratch, *restrict own = plane + cells, *restrict fused = own + cells, *restrict row = fused + cells;
    for (int i = 0; i < cells; i++) plane[i] = infrared[i];
    box_sums(plane, height, width, AROUND, row, own);
    for (int i = 0; i < cells; i++) plane[i] = base[i];
    box_sums(plane, height, width, AROUND, row, fused);
    u8 *restrict hottest = (u8 *)plane;
    largest(infrared, height, width, (u8 *)row, hottest);
    const float share = 1.0f / ((2 * AROUND + 1) * (2 * AROUND + 1));
    for (int i = 0; i < cells; i++) {
        const float mean = (float)(int32_t)own[i] * share;
        around[i] = mean;
        out[i] = least((float)(int32_t)fused[i] * share, (p->brightest - (float)hottest[i]) + mean);
    }
}

/* Blends one row of a quarter, all in floats. less: the reduction of the visible details' weight. The mask replaces slope. */
INLINE void pull_floats(const Pull *p, int n, float *restrict slope, const float *restrict offset, const float *restrict level,
                        const float *restrict around, const float *restrict infrared, float *restrict fused, float *restrict less)
{
    const float strength = p->base, detail = p->detail, more = p->own_more;
    const float warm = p->warm, ramp = p->ramp, flatter = p->flatter, rise = p->rise;
    for (int i = 0; i < n; i++) {
        const float own = infrared[i], now = fused[i];
        const float share = most(least(slope[i] * own + offset[i], 1.0f), 0.0f);
        const float excess = own - around[i], above = most(excess - warm, 0.0f);
        const float patch = most(least(level[i] + (excess * flatter + above * rise), 255.0f), 0.0f);
        const float body = least(above * ramp, 1.0f);
        slope[i] = share;
        fused[i] = ((patch - now) * share * strength + now) + 0.5f;
        less[i] = (body * more + detail) * share + 0.5f;
    }
}

INLINE void to_floats(const u8 *restrict x, int n, float *restrict out)
{
    for (int i = 0; i < n; i++) out[i] = (float)x[i];
}

/* Converts to bytes, rounding down; values are 0 to 255. */
INLINE void to_bytes(const float *restrict x, int n, u8 *restrict out)
{
    for (int i = 0; i < n; i++) out[i] = (u8)(int32_t)x[i];
}

/* Aligns the mask with the infrared frame's edges, and blends the patch into the fused quarter, in place.

   mask, infrared, base: at an eighth of the size; quarter (the infrared frame), fused, drawn (the aligned mask) and less: at a quarter.
   less: the reduction of the visible details' weight, in 255ths. scratch: 9 planes of an eighth and 16 rows. */
EXPORT_FOR("avx2", "default") void edgefuse_pull(const Pull *p, const float *mask, const u8 *infrared, const u8 *base, const u8 *quarter,
                                                 u8 *fused, float *drawn, u8 *less, float *scratch)
{
    const int height = p->height, width = p->width, cells = height * width, wide = 2 * width;
    float *restrict slope = scratch, *restrict offset = slope + cells, *restrict level = offset + cells;
    float *restrict around = level + cells, *restrict rest = around + cells;
    guided(p, mask, infrared, slope, offset, rest);
    levels(p, base, infrared, level, around, (uint32_t *)rest);
    float *restrict column = rest, *restrict rows = column + width + 2;
    for (int y = 0; y < 2 * height; y++) {
        const float *planes[4] = {slope, offset, level, around};
        for (int k = 0; k < 4; k++) enlarge_twice(planes[k], height, width, y, column, rows + k * wide);
        const ptrdiff_t at = (ptrdiff_t)y * wide;
        float *own = rows + 4 * wide, *now = own + wide, *lost = now + wide;
        to_floats(quarter + at, wide, own);
        to_floats(fused + at, wide, now);
        pull_floats(p, wide, rows, rows + wide, rows + 2 * wide, rows + 3 * wide, own, now, lost);
        memcpy(drawn + at, rows, (size_t)wide * sizeof *rows);
        to_bytes(now, wide, fused + at);
        to_bytes(lost, wide, less + at);
    }
}
