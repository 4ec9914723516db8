/* Inputs of the entropy coder of planes (versions 1 and 2) and of what follows it: the inverse wavelet and the conversion to samples. */

#include "common.h"

#include "../../../edgefuse/hyperspectral/codec/entropy_coder.h"

int64_t edgefuse_entropy_encode(Job *job);
int64_t edgefuse_entropy_decode(Job *job);
int64_t edgefuse_entropy_v1_decode(Job *job);
void edgefuse_wavelet(int32_t *data, int32_t height, int32_t width, int32_t depth, int32_t levels, const int32_t *factors, int32_t steps,
    int32_t inverse);
#define SAMPLES(type, name) \
    void edgefuse_samples_##name(const double *sums, const double *mean, int64_t pixels, int64_t bands, double unit, double low, double high, type *out);
SAMPLES(uint8_t, uint8)
SAMPLES(int8_t, int8)
SAMPLES(uint16_t, uint16)
SAMPLES(int16_t, int16)
SAMPLES(int32_t, int32)

enum { STREAMS = 8 };

/* a plane size, its subbands, and streams that the encoder made of samples of that size */
typedef struct {
    Job job;
    int32_t levels;
    int64_t samples, sizes[STREAMS];
    uint8_t *streams[STREAMS];
} Case;

static Tables tables;
static int32_t *factors, steps;
static Case *cases;
static int64_t case_count;

/* samples as a codec has them: below 2^28 for exact planes, coefficients otherwise; mostly small */
static int32_t *random_samples(uint64_t *state, const Case *of)
{
    int32_t *in = taken(of->samples * (int64_t)sizeof *in);
    const int bits = 1 + (int)below(state, of->job.exact ? 28 : 24), empty = below(state, 4) == 0;
    for (int64_t i = 0; i < of->samples; i++) in[i] = empty && below(state, 20) ? 0 : (int32_t)number_of(state, bits);
    return in;
}

/* the bytes that the encoder makes of `in`, in memory of exactly their size */
static uint8_t *encoded(uint64_t *state, const Case *of, const int32_t *in, int64_t *size)
{
    Job job = of->job;
    job.in = in;
    job.scale = job.exact ? 65536 : 1 + (int32_t)(next(state) >> (44 + below(state, 16)));
    job.lambda = (int32_t)below(state, 1 << 17);
    /* the size that entropy_coder.py promises */
    job.size = of->samples * 8 + 1024;
    uint8_t *buffer = job.bytes = taken(job.size);
    *size = edgefuse_entropy_encode(&job);
    if (*size < 0) fail("the encoder needs more bytes than its buffer has");
    uint8_t *bytes = taken(*size);
    memcpy(bytes, buffer, (size_t)*size);
    free(buffer);
    return bytes;
}

static int32_t *decoded(const Case *of, uint8_t *bytes, int64_t size, int version)
{
    Job job = of->job;
    int32_t *out = calloc((size_t)of->samples, sizeof *out);
    job.bytes = bytes;
    job.size = size;
    job.out = out;
    if (!out || (version == 1 ? edgefuse_entropy_v1_decode(&job) : edgefuse_entropy_decode(&job)) < 0) fail("out of memory");
    return out;
}

void read_entropy_cases(FILE *file)
{
    const void *parts[6];
    for (int i = 0; i < 6; i++) parts[i] = read_bytes(file, read_number(file));
    tables = (Tables){parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]};
    steps = (int32_t)read_number(file);
    factors = read_bytes(file, 4 * (int64_t)steps);
    case_count = read_number(file);
    cases = calloc((size_t)case_count, sizeof *cases);
    uint64_t state = 1;
    for (Case *c = cases; c < cases + case_count; c++) {
        Job *job = &c->job;
        job->tables = &tables;
        job->height = (int32_t)read_number(file);
        job->width = (int32_t)read_number(file);
        job->planes = (int32_t)read_number(file);
        job->bias = (int32_t)read_number(file);
        job->exact = (int32_t)read_number(file);
        job->room = read_number(file);
        job->band_count = (int32_t)read_number(file);
        job->bands = read_bytes(file, job->band_count * (int64_t)sizeof *job->bands);
        c->levels = (int32_t)read_number(file);
        c->samples = (int64_t)job->height * job->width * job->planes;
        for (int i = 0; i < STREAMS; i++) {
            int32_t *in = random_samples(&state, c);
            c->streams[i] = encoded(&state, c, in, c->sizes + i);
            free(in);
        }
    }
}

/* samples through both coders, and through both wavelets */
static void there_and_back(uint64_t *state, const Case *of)
{
    const Job *job = &of->job;
    int32_t *in = random_samples(state, of);
    int64_t size;
    uint8_t *bytes = encoded(state, of, in, &size);
    int32_t *out = decoded(of, bytes, size, 2);
    if (job->exact && memcmp(in, out, (size_t)of->samples * sizeof *in)) fail("exact samples are decoded to others");
    if (!job->exact) {
        memcpy(out, in, (size_t)of->samples * sizeof *in);
        edgefuse_wavelet(out, job->height, job->width, job->planes, of->levels, factors, steps, 0);
        edgefuse_wavelet(out, job->height, job->width, job->planes, of->levels, factors, steps, 1);
        if (memcmp(in, out, (size_t)of->samples * sizeof *in)) fail("the inverse wavelet gives other samples");
    }
    free(out);
    free(bytes);
    free(in);
}

#define CONVERT(type, name, low, high) \
    { \
        type *shown = taken(of->samples * (int64_t)sizeof *shown); \
        edgefuse_samples_##name(sums, mean, (int64_t)job->height * job->width, job->planes, unit, low, high, shown); \
        free(shown); \
        break; \
    }

/* coefficients to samples of one of the types */
static void convert(uint64_t *state, const Case *of, int32_t *out)
{
    const Job *job = &of->job;
    edgefuse_wavelet(out, job->height, job->width, job->planes, of->levels, factors, steps, 1);
    double *sums = taken(of->samples * (int64_t)sizeof *sums), *mean = taken(job->planes * (int64_t)sizeof *mean);
    /* sums as basis.py makes them: integers below 2^52 */
    for (int64_t i = 0; i < of->samples; i++) sums[i] = (double)out[i] * (double)(1 + below(state, 1 << 20));
    for (int32_t k = 0; k < job->planes; k++) mean[k] = (double)number_of(state, 40);
    const double unit = below(state, 2) ? 1e-3 : 1;
    switch (below(state, 5)) {
    case 0: CONVERT(uint8_t, uint8, 0, 255)
    case 1: CONVERT(int8_t, int8, -128, 127)
    case 2: CONVERT(uint16_t, uint16, 0, 65535)
    case 3: CONVERT(int16_t, int16, -32768, 32767)
    default: CONVERT(int32_t, int32, -2147483648.0, 2147483647.0)
    }
    free(mean);
    free(sums);
}

void feed_entropy(uint64_t state)
{
    const Case *of = cases + below(&state, case_count);
    if (below(&state, 4) == 0) {
        there_and_back(&state, of);
        return;
    }
    const int64_t which = below(&state, STREAMS);
    int64_t size = of->sizes[which];
    uint8_t *bytes = damaged(&state, of->streams[which], &size);
    int32_t *out = decoded(of, bytes, size, 1 + (int)below(&state, 2));
    if (!of->job.exact) convert(&state, of, out);
    free(out);
    free(bytes);
}
