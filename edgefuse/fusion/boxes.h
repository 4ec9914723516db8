/* Sums over square windows; planes are mirrored about their edge cells. */

#ifndef EDGEFUSE_BOXES_H
#define EDGEFUSE_BOXES_H

#include "../util/native.h"

/* Maps index i to 0..n - 1 by mirroring at the first and the last index, several times if needed. */
static inline int mirrored(int i, int n)
{
    if (n == 1) return 0;
    i = i < 0 ? -i : i;
    i %= 2 * (n - 1);
    return i < n ? i : 2 * (n - 1) - i;
}

/* Sums over 2 reach + 1 cells along each axis; x and out must not overlap. columns: scratch, width + 2 reach. */
static inline void box_sums(const uint32_t *restrict x, int height, int width, int reach, uint32_t *restrict columns, uint32_t *restrict out)
{
    uint32_t *restrict middle = columns + reach;
    for (int i = 0; i < width; i++) middle[i] = 0;
    for (int k = -reach; k <= reach; k++) {
        const uint32_t *restrict row = x + (ptrdiff_t)mirrored(k, height) * width;
        for (int i = 0; i < width; i++) middle[i] += row[i];
    }
    for (int y = 0; y < height; y++) {
        if (y) {
            const uint32_t *restrict in = x + (ptrdiff_t)mirrored(y + reach, height) * width;
            const uint32_t *restrict old = x + (ptrdiff_t)mirrored(y - reach - 1, height) * width;
            for (int i = 0; i < width; i++) middle[i] += in[i] - old[i];
        }
        for (int k = 1; k <= reach; k++) {
            middle[-k] = middle[mirrored(-k, width)];
            middle[width - 1 + k] = middle[mirrored(width - 1 + k, width)];
        }
        uint32_t sum = 0, *restrict to = out + (ptrdiff_t)y * width;
        for (int k = 0; k < 2 * reach + 1; k++) sum += columns[k];
        for (int i = 0; i < width - 1; i++) {
            to[i] = sum;
            sum += columns[i + 2 * reach + 1] - columns[i];
        }
        to[width - 1] = sum;
    }
}

#endif
