/* Covariances of points with what low-resolution pixels see, compiled: what covariance.py does with NumPy, without ever holding the
   covariances with all cells.

   Some columns of points at a time against a row of cells, then weighted across and down into the low-resolution pixels. */

#include <math.h>

#include "../util/native.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno")
#endif

#define COLUMNS 16 /* that points' columns are a multiple of */
#define MOST 16    /* features */

typedef struct {
    const float *points;             /* (rows, features + 1, columns); the last: their squares' sum */
    const float *cells;              /* (height, width, features + 1), times -2; the last: their squares' sum, and what blunts the cusp */
    const float *scale_points, *scale_cells; /* (rows, columns), (height, width) */
    const float *near_y, *near_x;    /* (rows, height), (columns / COLUMNS, width, COLUMNS) */
    const float *down, *across;      /* (height, low_rows), (low_columns, width) */
    const int32_t *down_from, *down_to, *across_from, *across_to; /* where each of their rows is not zero */
    float *out;                      /* (rows, low_rows low_columns, columns) */
    int32_t rows, columns, height, width, low_rows, low_columns, features;
} Covariance;

#define LANES 4
#include "covariance.h"

#ifdef GCC_ON_X86
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES 8
#include "covariance.h"
#pragma GCC pop_options
#endif

/* scratch: (width + low_rows low_columns) COLUMNS floats. */
EXPORT void edgefuse_covariance(const Covariance *a, float *scratch)
{
    for (int row = 0; row < a->rows; row++)
        for (int column = 0; column < a->columns; column += COLUMNS) WIDEST(compare, a, row, column, scratch);
}
