/* Types and helpers shared by entropy_coder.c and entropy_coder_v1.c. */

#include <stdlib.h>

#include "range_coder.h"

/* as in entropy_coder.py */
enum { PAD = 2, MOST_BANDS = 32, ONE = 256, LEVELS = 24, SYMBOLS = 16, TILE = 64 };

typedef struct {
    const int16_t *stretch, *first;
    const uint16_t *squash, *cost, *rate;
    const uint8_t *level;
} Tables;

typedef struct {
    int32_t y, x, step, height, width;      /* samples (y + step i, x + step j) of the plane */
    int32_t type, parent, sibling;
    int32_t offset, stride;                 /* of its padded magnitudes in the plane's buffer */
    int32_t gain, inverse;                  /* scale to quantiser units and its inverse, in 4096ths */
} Band;

typedef struct {
    const Tables *tables;
    const Band *bands;
    const int32_t *in;     /* encoder: samples, height x width x planes */
    int32_t *out;          /* decoder: output of the same shape, zero at first */
    uint8_t *bytes;
    int64_t size;          /* of bytes */
    int64_t room;          /* padded magnitudes of all subbands of a plane */
    int32_t height, width, planes, band_count, scale /* in 65536ths, in addition to gain */, lambda, bias, exact;
} Job;

/* padded magnitudes of the current plane and of the two previous ones */
typedef struct { uint16_t *now, *last, *before; } Magnitudes;

INLINE int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
INLINE int32_t level_of(const Tables *t, int32_t v) { return least(t->level[least(v, 4095)], LEVELS - 1); }

INLINE int32_t sample_of(const Job *job, const Band *b, int32_t value, int negative)
{
    const int64_t magnitude = job->exact ? value : (int64_t)value * ONE + job->bias;
    const int64_t made = negative ? -magnitude : magnitude;
    return job->exact ? (int32_t)made : (int32_t)(uint32_t)((uint64_t)(made * b->inverse + 2048) >> 12);
}

/* weighted sums of the magnitudes around each sample of a row, except those of the row itself; `planes`: previous planes only */
INLINE void look_around(int32_t *restrict around, int32_t *restrict planes, int32_t n, ptrdiff_t s, const uint16_t *restrict q,
    const uint16_t *restrict p, const uint16_t *restrict r, const uint16_t *restrict parent, const uint16_t *restrict sibling, ptrdiff_t t)
{
    for (int x = 0; x < n; x++) {
        planes[x] = 4 * p[x] + p[x - 1] + p[x + 1] + p[x - s] + p[x + s] + 2 * r[x] + ((r[x - 1] + r[x + 1] + r[x - s] + r[x + s]) >> 1);
        around[x] = 6 * q[x - s] + 3 * (q[x - s - 1] + q[x - s + 1]) + 2 * q[x - 2 * s] + planes[x] + 1;
    }
    if (sibling) for (int x = 0; x < n; x++)
        around[x] += 2 * sibling[x] + ((sibling[x - 1] + sibling[x + 1] + sibling[x - t] + sibling[x + t]) >> 1);
    if (parent) for (int x = 0; x < n; x++) around[x] += 2 * parent[x / 2];
}
