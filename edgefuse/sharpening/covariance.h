/* The kernel of covariance.c, included once for each vector width of LANES floats; NAMED appends the width to each name. */

#define Lanes NAMED(Lanes)
#define UnalignedLanes NAMED(UnalignedLanes)
#define distances NAMED(distances)
#define similarities NAMED(similarities)

typedef float Lanes __attribute__((vector_size(4 * LANES)));
typedef float UnalignedLanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define EACH(index, n) _Pragma("GCC unroll 8") for (int index = 0; index < (n); index++)
#define VECTORS (COLUMNS / LANES)

/* Squared distances of COLUMNS points from a row of cells. */
INLINE void distances(const int features, const float *point, ptrdiff_t next, const float *cell, int width, float *to)
{
    Lanes own[MOST + 1][VECTORS];
    for (int k = 0; k <= features; k++) EACH(v, VECTORS) own[k][v] = *(const UnalignedLanes *)(point + k * next + v * LANES);
    for (int c = 0; c < width; c++, cell += features + 1, to += COLUMNS) {
        Lanes total[VECTORS];
        EACH(v, VECTORS) total[v] = own[features][v] + cell[features];
        for (int k = 0; k < features; k++) EACH(v, VECTORS) total[v] += own[k][v] * cell[k];
        EACH(v, VECTORS) *(UnalignedLanes *)(to + v * LANES) = total[v];
    }
}

/* Converts squared feature distances to covariances: near * scale / (1 + distance), for each cell of the row. */
static __attribute__((noinline)) void similarities(float *restrict at, const float *restrict near, const float *restrict scale, int width)
{
#if LANES == 8
    /* near / (1 + sqrt(at)): both by a 12-bit approximation and a Newton step, in half the time of a square root and a division */
    const __m256 one = _mm256_set1_ps(1), two = _mm256_set1_ps(2), half = _mm256_set1_ps(0.5f), more = _mm256_set1_ps(1.5f);
    for (ptrdiff_t i = 0; i < width * COLUMNS; i += 8) {
        const __m256 square = _mm256_loadu_ps(at + i);
        __m256 root = _mm256_rsqrt_ps(square);
        root = _mm256_mul_ps(root, _mm256_fnmadd_ps(_mm256_mul_ps(half, square), _mm256_mul_ps(root, root), more));
        const __m256 below = _mm256_fmadd_ps(square, root, one);
        __m256 share = _mm256_rcp_ps(below);
        share = _mm256_mul_ps(share, _mm256_fnmadd_ps(below, share, two));
        const __m256 large = _mm256_broadcast_ss(scale + i / COLUMNS);
        _mm256_storeu_ps(at + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(near + i), large), share));
    }
#else
    for (int c = 0; c < width; c++)
        for (int i = c * COLUMNS; i < (c + 1) * COLUMNS; i++) at[i] = scale[c] * near[i] / (1 + sqrtf(at[i]));
#endif
}

/* Covariances of COLUMNS points of row `row`, from `column` on, with all low-resolution pixels. */
static void NAMED(compare)(const Covariance *a, int row, int column, float *restrict scratch)
{
    const int width = a->width, features = a->features, low_columns = a->low_columns;
    const ptrdiff_t next = a->columns;
    const float *point = a->points + (ptrdiff_t)row * (features + 1) * next + column;
    const float *near = a->near_x + (ptrdiff_t)column * width;
    float *out = a->out + (ptrdiff_t)row * a->low_rows * a->low_columns * next + column;
    float *sums = scratch + width * COLUMNS;
    memset(sums, 0, (size_t)(a->low_rows * low_columns * COLUMNS) * sizeof(float));
    for (int r = 0; r < a->height; r++) {
        const float *cell = a->cells + (ptrdiff_t)r * width * (features + 1);
        const float near_y = a->near_y[row * a->height + r];
        if (features == 8) distances(8, point, next, cell, width, scratch);
        else if (features == 4) distances(4, point, next, cell, width, scratch);
        else distances(features, point, next, cell, width, scratch);
        similarities(scratch, near, a->scale_cells + (ptrdiff_t)r * width, width);
        const float *down = a->down + (ptrdiff_t)r * a->low_rows, *across = a->across;
        const int first = a->down_from[r], last = a->down_to[r];
        for (int x = 0; x < low_columns; x++, across += width) {
            const int begin = a->across_from[x], end = a->across_to[x];
            Lanes total[VECTORS];
            EACH(v, VECTORS) total[v] = (Lanes){0};
            for (int c = begin; c < end; c++)
                EACH(v, VECTORS) total[v] += across[c] * *(const UnalignedLanes *)(scratch + c * COLUMNS + v * LANES);
            EACH(v, VECTORS) total[v] *= near_y;
            float *to = sums + (first * low_columns + x) * COLUMNS;
            for (int y = first; y < last; y++, to += low_columns * COLUMNS)
                EACH(v, VECTORS) *(UnalignedLanes *)(to + v * LANES) += down[y] * total[v];
        }
    }
    const float *scale = a->scale_points + (ptrdiff_t)row * next + column;
    for (int i = 0; i < a->low_rows * low_columns; i++)
        EACH(v, VECTORS)
            *(UnalignedLanes *)(out + i * next + v * LANES) =
                *(const UnalignedLanes *)(scale + v * LANES) * *(const UnalignedLanes *)(sums + i * COLUMNS + v * LANES);
}

#undef Lanes
#undef UnalignedLanes
#undef distances
#undef similarities
#undef EACH
#undef VECTORS
#undef LANES
