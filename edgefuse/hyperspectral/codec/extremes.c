/* Order statistics of a tile's bands and the search for pixels with an outlier, with the same decisions as extremes.py, which describes them. */

#include "../../util/native.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#define WIDTH 32 /* bands that are looked at together: most pixels then change nothing in the tails */
#define ISOLATED 4.0 /* as extremes.py's; a power of two, so that dividing by it is exact */

/* whether a pixel's largest distance from the middle, in halves of the range, is beyond 1 and either beyond `certain`, or beyond ISOLATED
   times its distance number `usual` in ascending order: more than `usual` bands then are below an ISOLATED-th of it */
INLINE int32_t outlying(const double *distances, int64_t bands, int64_t usual, double certain)
{
    double most = 0;
    for (int64_t k = 0; k < bands; k++) most = distances[k] > most ? distances[k] : most;
    if (!(most > 1)) return 0;
    if (most > certain) return 1;
    int64_t below = 0;
    for (int64_t k = 0; k < bands; k++) below += distances[k] < most / ISOLATED;
    return below > usual;
}

/* bits: an unsigned integer as wide as `type`. NaN, which no comparison finds, stays once it is in. */
#define EXTREMES(type, name, bits) \
    EXPORT_FOR("avx2", "default") void edgefuse_extremes_##name(const type *pixels, int64_t count, int64_t bands, type *low, type *high) \
    { \
        memcpy(low, pixels, (size_t)bands * sizeof(type)); \
        memcpy(high, pixels, (size_t)bands * sizeof(type)); \
        for (int64_t i = 1; i < count; i++) { \
            const type *x = pixels + i * bands; \
            for (int64_t k = 0; k < bands; k++) { \
                low[k] = (low[k] <= x[k]) | (low[k] != low[k]) ? low[k] : x[k]; \
                high[k] = (high[k] >= x[k]) | (high[k] != high[k]) ? high[k] : x[k]; \
            } \
        } \
    } \
    /* updates the `size` smallest samples (size, bands) of `width` bands with those of a pixel, number `i` */ \
    INLINE void keep_low_##name(type *kept, const type *x, int64_t i, int64_t bands, int64_t width, int64_t size) \
    { \
        type row[WIDTH]; \
        bits fewer = i < size; \
        for (int64_t k = 0; k < width; k++) fewer |= (bits)(x[k] < kept[(size - 1) * bands + k]); \
        if (!fewer) return; \
        for (int64_t k = 0; k < width; k++) row[k] = x[k]; \
        /* a sample is inserted at its place, and pushes the others on */ \
        for (int64_t j = 0; j < size && j < i; j++, kept += bands) \
            for (int64_t k = 0; k < width; k++) { \
                const type a = kept[k], b = row[k]; \
                kept[k] = b < a ? b : a; \
                row[k] = b < a ? a : b; \
            } \
        if (i < size) \
            for (int64_t k = 0; k < width; k++) kept[k] = row[k]; \
    } \
    INLINE void keep_high_##name(type *kept, const type *x, int64_t i, int64_t bands, int64_t width, int64_t size) \
    { \
        type row[WIDTH]; \
        bits more = i < size; \
        for (int64_t k = 0; k < width; k++) more |= (bits)(x[k] > kept[(size - 1) * bands + k]); \
        if (!more) return; \
        for (int64_t k = 0; k < width; k++) row[k] = x[k]; \
        for (int64_t j = 0; j < size && j < i; j++, kept += bands) \
            for (int64_t k = 0; k < width; k++) { \
                const type a = kept[k], b = row[k]; \
                kept[k] = b > a ? b : a; \
                row[k] = b > a ? a : b; \
            } \
        if (i < size) \
            for (int64_t k = 0; k < width; k++) kept[k] = row[k]; \
    } \
    INLINE void keep_##name(type *lows, type *highs, const type *pixels, int64_t count, int64_t bands, int64_t width, int64_t size) \
    { \
        for (int64_t i = 0; i < count; i++) { \
            keep_low_##name(lows, pixels + i * bands, i, bands, width, size); \
            keep_high_##name(highs, pixels + i * bands, i, bands, width, size); \
        } \
    } \
    /* lows: the (size, bands) smallest samples of each band, ascending; highs: the largest, descending; both zeros before */ \
    EXPORT_FOR("avx2", "default") void edgefuse_tails_##name(const type *pixels, int64_t count, int64_t bands, int64_t size, type *lows, \
        type *highs) \
    { \
        int64_t at = 0; \
        for (; at + WIDTH <= bands; at += WIDTH) keep_##name(lows + at, highs + at, pixels + at, count, bands, WIDTH, size); \
        if (at < bands) keep_##name(lows + at, highs + at, pixels + at, count, bands, bands - at, size); \
    } \
    /* found: count; distances: bands, is overwritten */ \
    EXPORT_FOR("avx2", "default") void edgefuse_outlying_##name(const type *pixels, int64_t count, int64_t bands, const type *least, \
        const type *most, const double *middle, const double *half, int64_t usual, double certain, double *distances, uint8_t *found) \
    { \
        for (int64_t i = 0; i < count; i++) { \
            const type *x = pixels + i * bands; \
            bits beyond = 0; \
            for (int64_t k = 0; k < bands; k++) beyond |= (bits)((x[k] < least[k]) | (x[k] > most[k])); \
            found[i] = 0; \
            if (!beyond) continue; \
            for (int64_t k = 0; k < bands; k++) { \
                const double distance = __builtin_fabs((double)x[k] - middle[k]) / half[k]; \
                distances[k] = distance > 0 ? distance : 0; /* NaN where a band's range is unknown */ \
            } \
            found[i] = (uint8_t)outlying(distances, bands, usual, certain); \
        } \
    }

EXTREMES(uint8_t, uint8, uint8_t)
EXTREMES(int8_t, int8, uint8_t)
EXTREMES(uint16_t, uint16, uint16_t)
EXTREMES(int16_t, int16, uint16_t)
EXTREMES(uint32_t, uint32, uint32_t)
EXTREMES(int32_t, int32, uint32_t)
EXTREMES(float, float32, uint32_t)
EXTREMES(double, float64, uint64_t)
