/* Conversion of spectra to integer samples, bit-exact with samples.py, which describes it. */

#include "../../util/native.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* adding and subtracting this constant rounds a double below 2^51 to an integer, half to even */
static const double WHOLE = 6755399441055744.0;

#define FILL(type, name) \
    EXPORT_FOR("avx2", "default") void edgefuse_samples_##name(const double *sums, const double *mean, int64_t pixels, int64_t bands, double unit, double low, \
        double high, type *out) \
    { \
        for (int64_t i = 0; i < pixels; i++, sums += bands, out += bands) \
            for (int64_t k = 0; k < bands; k++) { \
                double v = (sums[k] + mean[k]) * unit; \
                v = v < low ? low : v; \
                v = v > high ? high : v; \
                out[k] = (type)(int32_t)((v + WHOLE) - WHOLE); \
            } \
    }

FILL(uint8_t, uint8)
FILL(int8_t, int8)
FILL(uint16_t, uint16)
FILL(int16_t, int16)
FILL(int32_t, int32)
