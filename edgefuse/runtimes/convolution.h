/* The kernel of convolution.c, included once for each vector width of LANES floats; NAMED appends the width to each name. */

#define Lanes NAMED(Lanes)
#define sum NAMED(sum)
#define sum_row NAMED(sum_row)
#define sum_few NAMED(sum_few)
#define split NAMED(split)
#define Anywhere NAMED(Anywhere)

typedef float Lanes __attribute__((vector_size(4 * LANES)));
typedef float Anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define EACH(index, n) _Pragma("GCC unroll 4") for (int index = 0; index < (n); index++)

/* Computes COLUMNS columns of `outputs` (at most OUTPUTS) outputs at once. weight: `taps` weights per output. */
INLINE void sum(const int outputs, int taps, const float *x, const ptrdiff_t *tap, const float *weight, const float *bias, int relu,
                float *y, ptrdiff_t plane)
{
    Lanes total[OUTPUTS][COLUMNS / LANES];
    EACH(o, outputs) EACH(v, COLUMNS / LANES) total[o][v] = bias[o] - (Lanes){0};
    for (int t = 0; t < taps; t++) {
        const Anywhere *row = (const Anywhere *)(x + tap[t]);
        EACH(o, outputs) EACH(v, COLUMNS / LANES) total[o][v] += weight[(ptrdiff_t)o * taps + t] * row[v];
    }
    EACH(o, outputs) EACH(v, COLUMNS / LANES) {
        const Lanes made = total[o][v];
        ((Anywhere *)(y + o * plane))[v] = relu ? (Lanes)((made > 0) & (__typeof__(made > 0))made) : made;
    }
}

/* The same for fewer columns than COLUMNS. */
INLINE void sum_few(int outputs, int columns, int taps, const float *x, const ptrdiff_t *tap, const float *weight, const float *bias,
                    int relu, float *y, ptrdiff_t plane)
{
    for (int o = 0; o < outputs; o++)
        for (int column = 0; column < columns; column++) {
            float total = bias[o];
            for (int t = 0; t < taps; t++) total += weight[(ptrdiff_t)o * taps + t] * x[tap[t] + column];
            y[o * plane + column] = relu && total < 0 ? 0 : total;
        }
}

/* The same for `width` columns. */
INLINE void sum_row(const int outputs, int width, int taps, const float *x, const ptrdiff_t *tap, const float *weight, const float *bias,
                    int relu, float *y, ptrdiff_t plane)
{
    int column = 0;
    for (; column + COLUMNS <= width; column += COLUMNS) sum(outputs, taps, x + column, tap, weight, bias, relu, y + column, plane);
    if (column == width) return;
    /* compute some of the last columns twice, which is faster than fewer columns at a time */
    column = width - COLUMNS;
    if (column > 0) sum(outputs, taps, x + column, tap, weight, bias, relu, y + column, plane);
    else sum_few(outputs, width, taps, x, tap, weight, bias, relu, y, plane);
}

/* Sort a row's columns by phase, after `reach` columns of padding. */
INLINE void split(const int stride, const float *restrict from, int w, float *restrict to, ptrdiff_t phase, int reach)
{
    for (int p = 0; p < stride; p++) {
        float *restrict at = to + (p + reach) % stride * phase + (p + reach) / stride;
        for (int x = 0; x < (w - p + stride - 1) / stride; x++) at[x] = from[x * stride + p];
    }
}

static void NAMED(convolve)(const Convolution *c, int32_t top, int32_t bottom, void *scratch)
{
    const int k = c->kernel, reach = c->dilation * (k / 2), stride = c->stride, w = c->width;
    const int each = c->inputs / c->groups, taps = each * k * k, outputs = c->outputs / c->groups;
    const int plain = reach == 0 && stride == 1;
    const ptrdiff_t phase = (ptrdiff_t)phase_of(c), length = stride * phase, rows = (ptrdiff_t)rows_for(c, bottom - top);
    const ptrdiff_t plane = (ptrdiff_t)c->out_height * c->out_width;
    ptrdiff_t *tap = scratch;
    float *padded = (float *)(tap + taps);
    /* offsets between channels, between output rows, and from an output's first tap to the others */
    const ptrdiff_t channel = plain ? (ptrdiff_t)c->height * w : rows * length, row = plain ? w : stride * length;
    const float *x = plain ? c->x + (ptrdiff_t)top * w : padded;
    for (int t = 0; t < taps; t++) {
        const int dy = t / k % k * c->dilation, dx = t % k * c->dilation;
        tap[t] = t / (k * k) * channel + dy * length + dx % stride * phase + dx / stride;
    }
    if (!plain) {
        const int first = top * stride - reach;
        memset(padded, 0, (size_t)(c->inputs * rows * length) * sizeof(float));
        for (int i = 0; i < c->inputs; i++)
            for (int r = 0; r < rows; r++) {
                if (first + r < 0 || first + r >= c->height) continue;
                const float *restrict from = c->x + ((ptrdiff_t)i * c->height + first + r) * w;
                float *restrict to = padded + (i * rows + r) * length;
                if (stride == 1) memcpy(to + reach, from, (size_t)w * sizeof(float));
                else if (stride == 2) split(2, from, w, to, phase, reach);
                else split(stride, from, w, to, phase, reach);
            }
    }
    for (int y = top; y < bottom; y++)
        for (int g = 0; g < c->groups; g++) {
            const float *first = x + g * each * channel + (y - top) * row;
            for (int o = 0; o < outputs; o += OUTPUTS) {
                const int from = g * outputs + o;
                const float *weight = c->weight + (ptrdiff_t)from * taps, *bias = c->bias + from;
                float *to = c->y + from * plane + (ptrdiff_t)y * c->out_width;
                if (o + OUTPUTS <= outputs) sum_row(OUTPUTS, c->out_width, taps, first, tap, weight, bias, c->relu, to, plane);
                else
                    for (; weight < c->weight + (ptrdiff_t)(g + 1) * outputs * taps; weight += taps, bias++, to += plane)
                        sum_row(1, c->out_width, taps, first, tap, weight, bias, c->relu, to, plane);
            }
        }
}

#undef Lanes
#undef sum
#undef sum_row
#undef sum_few
#undef split
#undef Anywhere
#undef EACH
#undef LANES
