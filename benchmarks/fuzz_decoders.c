/* Feeds the compiled decoders of a tile with damaged streams, thousands a second, without Python between two inputs. fuzz.py compiles this
   program together with the decoders and the sanitizers: fuzz_decoders CASES FIRST COUNT.

   CASES holds the coder's tables and streams that an encoder wrote (fuzz.py writes it). An input is determined by its number: one of the
   streams, some of its bytes changed, cut or replaced by noise. Buffers are allocated in exactly their sizes, so that the address sanitizer
   notices the first byte beyond them. The first error ends the program, which then prints the input's number. */

#include <stdio.h>

#include <sanitizer/common_interface_defs.h>

#include "../edgefuse/hyperspectral/codec/entropy_coder.h"

int64_t edgefuse_entropy_decode(Job *job);
int64_t edgefuse_entropy_v1_decode(Job *job);
void edgefuse_wavelet(int32_t *data, int32_t height, int32_t width, int32_t depth, int32_t levels, const int32_t *factors, int32_t steps,
    int32_t inverse);
void edgefuse_samples_int16(const double *sums, const double *mean, int64_t pixels, int64_t bands, double unit, double low, double high,
    int16_t *out);

typedef struct {
    Job job;
    int32_t version, levels;
    uint8_t *stream;
    int64_t size;
} Case;

static int64_t current;

static void tell(void) { fprintf(stderr, "input %lld\n", (long long)current); }

static FILE *cases_file;

static void *taken(int64_t size)
{
    void *data = malloc((size_t)(size ? size : 1));
    if (!data || fread(data, 1, (size_t)size, cases_file) != (size_t)size) {
        fprintf(stderr, "the cases can't be read\n");
        exit(3);
    }
    return data;
}

static int64_t number(void)
{
    int64_t *read = taken(8), value = *read;
    free(read);
    return value;
}

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static int64_t below(uint64_t *state, int64_t most) { return most > 0 ? (int64_t)(next(state) % (uint64_t)most) : 0; }

/* change `size` bytes */
static void change(uint64_t *state, uint8_t *bytes, int64_t size)
{
    static const uint8_t extremes[] = {0, 1, 127, 128, 254, 255};
    for (int64_t k = 1 + below(state, 6); k && size; k--) {
        /* the first bytes decide about all that follow, the last ones are raw bits */
        const int64_t way = below(state, 4);
        const int64_t at = way == 0 ? below(state, least(size > 8 ? 8 : (int32_t)size, 8)) : way == 1 ? size - 1 - below(state, size > 8 ? 8 : size)
            : below(state, size);
        switch (below(state, 4)) {
        case 0: bytes[at] ^= (uint8_t)(1 << below(state, 8)); break;
        case 1: bytes[at] = extremes[below(state, sizeof extremes)]; break;
        case 2: bytes[at] = (uint8_t)next(state); break;
        default:
            for (int64_t i = at, value = below(state, 2) ? 255 : 0; i < size && i < at + 16; i++) bytes[i] = (uint8_t)value;
        }
    }
}

/* Decode one input. */
static void feed(const Case *of, uint64_t state, const int32_t *factors, int32_t steps)
{
    const Job *job = &of->job;
    const int64_t pixels = (int64_t)job->height * job->width, samples = pixels * job->planes;
    const int64_t size = below(&state, 4) ? of->size : below(&state, of->size + 40);
    uint8_t *bytes = malloc((size_t)size);
    int32_t *out = calloc((size_t)samples, sizeof *out);
    double *sums = malloc((size_t)samples * sizeof *sums), *mean = calloc((size_t)job->planes, sizeof *mean);
    int16_t *shown = malloc((size_t)samples * sizeof *shown);
    const int noise = below(&state, 10) == 0;
    for (int64_t i = 0; i < size; i++) bytes[i] = i < of->size && !noise ? of->stream[i] : (uint8_t)next(&state);
    change(&state, bytes, size);
    Job mine = *job;
    mine.bytes = bytes;
    mine.size = size;
    mine.out = out;
    if ((of->version == 1 ? edgefuse_entropy_v1_decode(&mine) : edgefuse_entropy_decode(&mine)) < 0) abort();
    if (!job->exact) edgefuse_wavelet(out, job->height, job->width, job->planes, of->levels, factors, steps, 1);
    /* sums as basis.py makes them: integers below 2^52 */
    for (int64_t i = 0; i < samples; i++) sums[i] = (double)out[i] * (double)(1 + below(&state, 1 << 20));
    edgefuse_samples_int16(sums, mean, pixels, job->planes, 1e-3, -32768, 32767, shown);
    free(shown);
    free(mean);
    free(sums);
    free(out);
    free(bytes);
}

int main(int argc, char **argv)
{
    if (argc != 4 || !(cases_file = fopen(argv[1], "rb"))) return 3;
    const int64_t first = atoll(argv[2]), count = atoll(argv[3]);
    const void *parts[6];
    for (int i = 0; i < 6; i++) parts[i] = taken(number());
    const Tables tables = {parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]};
    const int64_t steps = number();
    const int32_t *factors = taken(4 * steps);
    const int64_t case_count = number();
    Case *cases = calloc((size_t)case_count, sizeof *cases);
    for (int64_t i = 0; i < case_count; i++) {
        Job *job = &cases[i].job;
        job->tables = &tables;
        job->height = (int32_t)number();
        job->width = (int32_t)number();
        job->planes = (int32_t)number();
        job->bias = (int32_t)number();
        job->exact = (int32_t)number();
        job->room = number();
        job->band_count = (int32_t)number();
        job->bands = taken(job->band_count * (int64_t)sizeof *job->bands);
        cases[i].version = (int32_t)number();
        cases[i].levels = (int32_t)number();
        cases[i].size = number();
        cases[i].stream = taken(cases[i].size);
    }
    __sanitizer_set_death_callback(tell);
    for (current = first; current < first + count; current++)
        feed(cases + current % case_count, (uint64_t)current * 0x2545f4914f6cdd1dull + 7, factors, (int32_t)steps);
    return 0;
}
