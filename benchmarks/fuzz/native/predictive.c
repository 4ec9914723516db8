/* Inputs of the predictive coder of words: any plan that a tile may hold, with streams of the encoder that are damaged or noise. */

#include "common.h"

/* as in predictive_coder.c */
typedef struct {
    void *words;
    uint8_t *bytes;
    const int32_t *weights, *bias, *kinds, *shifts;
    const uint8_t *skipped;
    const uint16_t *rate;
    int64_t size, line_step, pixel_step;
    int32_t lines, length, bands, item, dropped, taps[5];
} Predicted;

enum { FLOATS, SIGNED, UNSIGNED };
/* limits of prediction.py */
enum { MOST_TAPS = 64, MOST_SHIFT = 1100, MOST_INTEGER_SHIFT = 40, MOST_WEIGHT = 1 << 18 };

int64_t edgefuse_predictive_encode(Predicted *job);
int64_t edgefuse_predictive_decode(Predicted *job);

static uint16_t *rate;

void read_predictive_cases(FILE *file) { rate = read_bytes(file, read_number(file)); }

static int64_t words_of(const Predicted *job) { return (int64_t)job->lines * job->length * job->bands; }

/* a plan; its arrays are in memory of exactly their sizes */
static Predicted random_plan(uint64_t *state)
{
    Predicted job = {.rate = rate, .bands = 1 + (int32_t)below(state, below(state, 8) ? 6 : 70), .item = next(state) & 1 ? 4 : 8};
    const int32_t a = 1 + (int32_t)below(state, 7), b = 1 + (int32_t)below(state, 7), upright = next(state) & 1;
    job.lines = a > b ? a : b;
    job.length = a > b ? b : a;
    job.line_step = (int64_t)(upright ? job.length : 1) * job.bands;
    job.pixel_step = (int64_t)(upright ? 1 : job.lines) * job.bands;
    job.dropped = below(state, 3) ? 0 : (int32_t)below(state, 8 * job.item);
    int32_t left = (int32_t)below(state, below(state, 4) ? 12 : MOST_TAPS + 1), total = 0;
    for (int i = 0; i < 5; i++) {
        job.taps[i] = i == 4 && below(state, 2) ? left : (int32_t)below(state, left + 1);
        left -= job.taps[i];
        total += job.taps[i];
    }
    int32_t *weights = taken(4 * (int64_t)job.bands * total), *bias = taken(4 * job.bands), *kinds = taken(4 * job.bands), *shifts = taken(4 * job.bands);
    const int bits = 1 + (int)below(state, 18), whole = (int)below(state, 3);
    for (int32_t i = 0; i < job.bands * total; i++) weights[i] = below(state, 30) ? (int32_t)number_of(state, bits) : next(state) & 1 ? MOST_WEIGHT : -MOST_WEIGHT;
    for (int32_t i = 0; i < job.bands; i++) {
        bias[i] = below(state, 20) ? (int32_t)number_of(state, 31) : next(state) & 1 ? INT32_MAX : INT32_MIN;
        /* float64 has no unsigned integers */
        kinds[i] = whole && job.item == 4 ? SIGNED + (int32_t)below(state, 2) : (int32_t)below(state, 2);
        shifts[i] = kinds[i] != FLOATS ? (int32_t)below(state, MOST_INTEGER_SHIFT + 1)
            : below(state, 4) ? (int32_t)below(state, 60) - 20 : (int32_t)below(state, 2 * MOST_SHIFT + 1) - MOST_SHIFT;
    }
    job.weights = weights;
    job.bias = bias;
    job.kinds = kinds;
    job.shifts = shifts;
    if (below(state, 3) == 0) {
        uint8_t *skipped = taken(words_of(&job));
        for (int64_t i = 0; i < words_of(&job); i++) skipped[i] = below(state, 4) == 0;
        job.skipped = skipped;
    }
    return job;
}

static void give_back(Predicted *job)
{
    free((void *)job->weights);
    free((void *)job->bias);
    free((void *)job->kinds);
    free((void *)job->shifts);
    free((void *)job->skipped);
}

/* a word: a float of any kind, or an integer; words near each other are as likely as others */
static uint64_t random_word(uint64_t *state, const Predicted *job, int kind, uint64_t last)
{
    static const uint64_t doubles[] = {0, 1ull << 63, 0x7ff0000000000000ull, 0xfff8000000000000ull, 1, 0x7fefffffffffffffull, 0x3ff0000000000000ull};
    static const uint32_t singles[] = {0, 1u << 31, 0x7f800000u, 0xffc00000u, 1, 0x7f7fffffu, 0x3f800000u};
    uint64_t word;
    switch (below(state, 8)) {
    case 0: word = job->item == 8 ? doubles[below(state, 7)] : singles[below(state, 7)]; break;
    case 1: word = next(state); break;
    default: word = last + (uint64_t)number_of(state, 1 + (int)below(state, 24));
    }
    if (kind == FLOATS) word &= ~0ull << job->dropped;
    return job->item == 8 ? word : (uint32_t)word;
}

static void *random_words(uint64_t *state, const Predicted *job)
{
    const int64_t count = words_of(job);
    void *words = taken(count * job->item);
    uint64_t last = next(state) & 1 ? 0 : next(state);
    for (int64_t i = 0; i < count; i++) {
        last = random_word(state, job, job->kinds[i % job->bands], last);
        if (job->item == 8) ((uint64_t *)words)[i] = last; else ((uint32_t *)words)[i] = (uint32_t)last;
    }
    return words;
}

/* zeros, and the samples that a decoder knows before */
static void *known_words(const Predicted *job, const void *words)
{
    const int64_t count = words_of(job);
    uint8_t *known = calloc((size_t)count, (size_t)job->item);
    if (!known) fail("out of memory");
    for (int64_t i = 0; job->skipped && i < count; i++)
        if (job->skipped[i]) memcpy(known + i * job->item, (const uint8_t *)words + i * job->item, (size_t)job->item);
    return known;
}

void feed_predictive(uint64_t state)
{
    Predicted job = random_plan(&state);
    const int64_t bytes = words_of(&job) * job.item;
    void *words = random_words(&state, &job), *out = known_words(&job, words);
    uint8_t *stream = NULL;
    int64_t size = 0;
    if (below(&state, 2)) {
        /* the size that predictive_coder.py promises */
        job.size = bytes * 2 + 1024;
        job.words = words;
        job.bytes = stream = taken(job.size);
        size = edgefuse_predictive_encode(&job);
        if (size < 0) fail("the encoder needs more bytes than its buffer has");
    } else change(&state, stream = memset(taken(200), 0, 200), size = 200);
    const int whole = job.words && below(&state, 2);
    uint8_t *mine = whole ? memcpy(taken(size), stream, (size_t)size) : damaged(&state, stream, &size);
    job.words = out;
    job.bytes = mine;
    job.size = size;
    if (edgefuse_predictive_decode(&job) < 0) fail("out of memory");
    if (whole && memcmp(words, out, (size_t)bytes)) fail("words are decoded to others");
    free(mine);
    free(stream);
    free(out);
    free(words);
    give_back(&job);
}
