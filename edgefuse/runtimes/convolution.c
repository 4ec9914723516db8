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

/* Bytes of scratch for `rows` rows of output: the taps' places, and the rows they need with their padding, columns of each of the
   stride's phases together. */
static int64_t phase_of(const Convolution *c) { return (c->width + 2 * c->dilation * (c->kernel / 2) + c->stride - 1) / c->stride; }

static int64_t rows_for(const Convolution *c, int64_t rows) { return (rows - 1) * c->stride + 1 + 2 * c->dilation * (c->kernel / 2); }

EXPORT int64_t edgefuse_convolution_scratch(const Convolution *c, int32_t rows)
{
    const int64_t taps = (int64_t)c->inputs / c->groups * c->kernel * c->kernel;
    return taps * (int64_t)sizeof(ptrdiff_t) + c->inputs * rows_for(c, rows) * c->stride * phase_of(c) * (int64_t)sizeof(float);
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
