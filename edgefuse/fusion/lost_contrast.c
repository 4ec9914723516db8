/* Finds where a picture loses the infrared frame's contrast; gives the same bits as lost_contrast.py, which explains what is computed. */

#include "../util/no_fused_multiply_add.h"

#include "../util/native.h"

#include <math.h>

typedef uint8_t u8;

enum { BORDER = 4 };

/* Computes the integral images of x and of its squares, with the edge repeated by BORDER. They may wrap around; sums over boxes do not. */
static void sums(const u8 *x, int height, int width, uint32_t *restrict sum, uint32_t *restrict squares)
{
    const int h = height + 2 * BORDER, w = width + 2 * BORDER, row = w + 1;
    for (int i = 0; i <= w; i++) sum[i] = squares[i] = 0;
    for (int y = 0; y < h; y++) {
        const int from = y < BORDER ? 0 : y - BORDER < height ? y - BORDER : height - 1;
        const u8 *restrict line = x + (ptrdiff_t)from * width;
        const uint32_t *restrict above = sum + (ptrdiff_t)y * row, *restrict above2 = squares + (ptrdiff_t)y * row;
        uint32_t *restrict here = sum + (ptrdiff_t)(y + 1) * row, *restrict here2 = squares + (ptrdiff_t)(y + 1) * row;
        uint32_t s = 0, s2 = 0;
        here[0] = here2[0] = 0;
        for (int i = 0; i < w; i++) {
            const int at = i < BORDER ? 0 : i - BORDER < width ? i - BORDER : width - 1;
            const uint32_t v = line[at];
            s += v;
            s2 += v * v;
            here[i + 1] = above[i + 1] + s;
            here2[i + 1] = above2[i + 1] + s2;
        }
    }
}

INLINE int32_t box(const uint32_t *restrict at, ptrdiff_t row, int first, int size)
{
    const uint32_t *restrict top = at + first * row + first, *restrict bottom = top + size * row;
    return (int32_t)(bottom[size] - top[size] - bottom[0] + top[0]);
}

/* Difference d of a cell. at: the cell in the integral image, before the border is added. */
INLINE float difference(const uint32_t *restrict at, ptrdiff_t row, int centre, int size)
{
    const int cells = centre * centre, ring = size * size - cells;
    const int32_t middle = box(at, row, BORDER - centre / 2, centre), around = box(at, row, BORDER - size / 2, size) - middle;
    return (float)(middle * ring - around * cells) * (1.0f / (float)(ring * cells));
}

INLINE float contrast(const uint32_t *restrict at, const uint32_t *restrict at2, ptrdiff_t row, int centre, int size, float d)
{
    const int ring = size * size - centre * centre;
    const int32_t around = box(at, row, BORDER - size / 2, size) - box(at, row, BORDER - centre / 2, centre);
    const int32_t squares = box(at2, row, BORDER - size / 2, size) - box(at2, row, BORDER - centre / 2, centre);
    const float s = sqrtf((float)(squares * ring - around * around)) * (1.0f / (float)ring);
    return d / (s + 4.0f);
}

INLINE float least(float a, float b) { return a < b ? a : b; }

INLINE u8 value(const uint32_t *restrict a, const uint32_t *restrict a2, const uint32_t *restrict f, const uint32_t *restrict f2,
                      ptrdiff_t row, int centre, int size, float keep, float d)
{
    const float rise = least((d - 15.0f) * 0.1f, 1.0f);
    if (!(rise > 0)) return 0;
    const float c = contrast(a, a2, row, centre, size, d);
    const float k = contrast(f, f2, row, centre, size, difference(f, row, centre, size));
    const float missing = least((keep - k / c) * 4.0f, 1.0f);
    if (!(missing > 0)) return 0;
    return (u8)(least(c, 2.0f) * missing * rise * 127.0f);
}

/* Computes the plane of one scale: d for a whole row, vectorised, then the rest for the few cells with a large d. */
INLINE void plane_of(const uint32_t *restrict a, const uint32_t *restrict a2, const uint32_t *restrict f, const uint32_t *restrict f2,
                     int height, int width, const int centre, const int size, float keep, u8 *restrict out, float *restrict d)
{
    const ptrdiff_t row = width + 2 * BORDER + 1;
    for (int y = 0; y < height; y++) {
        const ptrdiff_t at = y * row;
        u8 *restrict to = out + (ptrdiff_t)y * width;
        for (int x = 0; x < width; x++) d[x] = difference(a + at + x, row, centre, size);
        for (int x = 0; x < width; x++)
            to[x] = d[x] > 15.0f ? value(a + at + x, a2 + at + x, f + at + x, f2 + at + x, row, centre, size, keep, d[x]) : 0;
    }
}

/* out: three planes of height x width; scratch: 4 (height + 9) (width + 9) + width numbers. */
EXPORT_FOR("avx2", "default") void edgefuse_lost_contrast(const u8 *infrared, const u8 *fused, int32_t height, int32_t width, float keep, u8 *out,
                                                 uint32_t *scratch)
{
    const ptrdiff_t plane = (ptrdiff_t)(width + 2 * BORDER + 1) * (height + 2 * BORDER + 1), cells = (ptrdiff_t)height * width;
    uint32_t *a = scratch, *a2 = a + plane, *f = a2 + plane, *f2 = f + plane;
    float *d = (float *)(f2 + plane);
    sums(infrared, height, width, a, a2);
    sums(fused, height, width, f, f2);
    plane_of(a, a2, f, f2, height, width, 1, 5, keep, out, d);
    plane_of(a, a2, f, f2, height, width, 3, 7, keep, out + cells, d);
    plane_of(a, a2, f, f2, height, width, 5, 9, keep, out + 2 * cells, d);
}
