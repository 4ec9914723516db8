/* Covariances of points with low-resolution pixels: the compiled version of covariance.py, which never stores the covariances with all
   cells.

   Computes COLUMNS points against a row of cells at a time, then sums them, weighted along both axes, to the low-resolution pixels. */

#include <math.h>

#include "../util/native.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno")
#endif

#define COLUMNS 16 /* the number of columns of points is a multiple of it */
#define MOST 16    /* largest number of features */

typedef struct {
    const float *points;             /* (rows, features + 1, columns); the last: sum of their squares */
    const float *cells;              /* (height, width, features + 1), times -2; the last: sum of their squares, plus the cusp's smoothing */
    const float *scale_points, *scale_cells; /* (rows, columns), (height, width) */
    const float *near_y, *near_x;    /* (rows, height), (columns / COLUMNS, width, COLUMNS) */
    const float *down, *across;      /* (height, low_rows), (low_columns, width) */
    const int32_t *down_from, *down_to, *across_from, *across_to; /* first and last nonzero column of each of their rows */
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
