/* Convolution of one picture: the compiled version of convolution.py, in one pass and without a copy for each tap.

   Sums four outputs of sixteen columns at a time, in registers, over all taps. */

#include "../util/native.h"

#define COLUMNS 16
#define OUTPUTS 4

typedef struct {
    const float *x, *weight, *bias;                   /* (inputs, height, width); (outputs, inputs / groups, kernel, kernel); (outputs) */
    float *y;                                         /* (outputs, out_height, out_width) */
    int32_t inputs, height, width, outputs, out_height, out_width;
    int32_t kernel, dilation, stride, groups, relu;   /* kernel: odd; groups: 1 or `inputs` */
} Convolution;

static int64_t reach_of(const Convolution *c) { return (int64_t)c->dilation * (c->kernel / 2); }

static int64_t phase_of(const Convolution *c) { return (c->width + 2 * reach_of(c) + c->stride - 1) / c->stride; }

static int64_t rows_for(const Convolution *c, int64_t rows) { return (rows - 1) * c->stride + 1 + 2 * reach_of(c); }

/* whether every size is positive, and every product that the kernel computes as int fits one */
static int sound(const Convolution *c, int32_t rows)
{
    const int64_t most = INT32_MAX;
    if (rows < 1 || c->inputs < 1 || c->height < 1 || c->width < 1 || c->outputs < 1 || c->out_height < 1 || c->out_width < 1) return 0;
    if (c->kernel < 1 || c->kernel % 2 == 0 || c->dilation < 1 || c->stride < 1 || c->groups < 1) return 0;
    if (c->inputs % c->groups || c->outputs % c->groups) return 0;
    if ((int64_t)c->kernel * c->kernel > most || (int64_t)c->inputs / c->groups * c->kernel * c->kernel > most) return 0;
    if ((int64_t)c->kernel * c->dilation > most || 2 * reach_of(c) + c->width + c->stride > most) return 0;
    return ((int64_t)c->out_height - 1) * c->stride < c->height && ((int64_t)c->out_width - 1) * c->stride < c->width
        && (int64_t)c->out_height * c->stride + 2 * reach_of(c) <= most;
}

/* Bytes of scratch for `rows` rows of output: the taps' places, and the rows they need with their padding, columns of each of the
   stride's phases together. -1: sizes that don't fit together, or overflow. */
EXPORT int64_t edgefuse_convolution_scratch(const Convolution *c, int32_t rows)
{
    int64_t padded;
    if (!sound(c, rows)) return -1;
    const int64_t taps = (int64_t)c->inputs / c->groups * c->kernel * c->kernel;
    if (__builtin_mul_overflow(rows_for(c, rows), c->stride * phase_of(c), &padded)) return -1;
    if (__builtin_mul_overflow(padded, (int64_t)c->inputs * (int64_t)sizeof(float), &padded)) return -1;
    if (__builtin_add_overflow(padded, taps * (int64_t)sizeof(ptrdiff_t), &padded)) return -1;
    return padded;
}

#define LANES 4
#include "convolution.h"

#ifdef GCC_ON_X86
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES 8
#include "convolution.h"
#pragma GCC pop_options
#endif

/* Rows `top` to `bottom` of y. */
EXPORT void edgefuse_convolution(const Convolution *c, int32_t top, int32_t bottom, void *scratch)
{
    WIDEST(convolve, c, top, bottom, scratch);
}
