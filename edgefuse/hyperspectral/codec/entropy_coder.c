/* Entropy coder of planes of integers, bit-exact with entropy_coder_python.py. entropy_coder.py describes the algorithm. */

#include "entropy_coder.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* a tenth of the time */
#endif

/* as in entropy_coder_python.py */
enum { TABLES = 3, MODELS = LEVELS * LEVELS, BITS = 256, PLAIN = 10, MORE = 22, EMPTY = 160, SURE = 32700, BEGUN = 5 };

/* eight lanes, vectorised if the compiler supports it */
typedef int16_t V __attribute__((vector_size(16)));

/* probability that a symbol exceeds 0, 1, 2, ..., in 32768ths */
typedef struct { V more[2]; } Model;

/* adaptation shift by update count: an update moves a model by 2^-shift of its error */
static const uint8_t PACES[] = {1, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
    5, 5, 5, 5, 5, 5, 6};
static const V PLACES[2] = {{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 11, 12, 13, 14, 15}};
static const V FLOOR[2] = {{15, 14, 13, 12, 11, 10, 9, 8}, {7, 6, 5, 4, 3, 2, 1, 0}}; /* keeps every symbol's probability above zero */

typedef struct {
    RangeCoder r;
    const Tables *t;
    uint16_t dither;
    uint8_t seen[TABLES][MODELS];
    Slot bits[BITS];
    Model models[TABLES][MODELS];
} Coder;

typedef struct {
    int index[TABLES];
    V v[2];
    uint16_t bounds[SYMBOLS + 1]; /* cumulative bounds of the symbols, descending from WHOLE to 0 */
} Guess;

INLINE int code_slot(Coder *c, const int encode, int bit, int context)
{
    Slot *s = c->bits + context;
    bit = code_bit(&c->r, encode, bit, s->p >> 1);
    learn_slot(c->t->rate, s, bit);
    return bit;
}

INLINE V middle(V a, V b) { return b + ((a - b) >> 1); }

INLINE void guess(const Coder *c, Guess *g)
{
    const Model *a = c->models[0] + g->index[0], *b = c->models[1] + g->index[1], *d = c->models[2] + g->index[2];
    for (int h = 0; h < 2; h++) g->v[h] = middle(middle(a->more[h], b->more[h]), d->more[h]) + FLOOR[h];
    g->bounds[0] = WHOLE;
    memcpy(g->bounds + 1, g->v, sizeof g->v);
}

INLINE void learn(Coder *c, const Guess *g, int symbol)
{
    const V all = (V){0} + (int16_t)symbol, sure = (V){0} + SURE;
    const V target[2] = {(V)(PLACES[0] < all) & sure, (V)(PLACES[1] < all) & sure};
    /* dithered rounding: with plain truncation small probabilities would never decay */
    c->dither = (uint16_t)(c->dither + 0x9e37);
    for (int k = 0; k < TABLES; k++) {
        Model *m = c->models[k] + g->index[k];
        uint8_t *seen = c->seen[k] + g->index[k];
        const int pace = PACES[*seen];
        const int16_t chance = (int16_t)(c->dither >> (16 - pace));
        *seen = (uint8_t)(*seen + (*seen < sizeof PACES - 1));
        for (int h = 0; h < 2; h++) m->more[h] += (target[h] - m->more[h] + chance) >> pace;
    }
}

INLINE int code_symbol(Coder *c, const int encode, const Guess *g, int symbol)
{
    if (!encode) {
        const V at = (V){0} + (int16_t)peek(&c->r);
        const V above = -((V)(at < g->v[0]) + (V)(at < g->v[1]));
        uint64_t sums[2];
        memcpy(sums, &above, sizeof sums);
        symbol = (int)(((sums[0] + sums[1]) * 0x0001000100010001ull) >> 48);
    }
    code_share(&c->r, encode, g->bounds[symbol + 1], g->bounds[symbol]);
    learn(c, g, symbol);
    return symbol;
}

INLINE int32_t code_magnitude(Coder *c, const int encode, const Guess *g, int32_t v)
{
    int length = 0;
    if (encode && v >= PLAIN) while ((v - PLAIN + 2) >> (length + 1)) length++;
    const int symbol = code_symbol(c, encode, g, v < PLAIN ? v : least(PLAIN - 1 + length, SYMBOLS - 1));
    if (symbol < PLAIN) return symbol;
    int more = 0;
    if (symbol == SYMBOLS - 1) while (more < MORE && code_slot(c, encode, length > SYMBOLS - PLAIN + more, 64 + more)) more++;
    length = symbol - PLAIN + 1 + more;
    uint32_t whole = 1;
    const uint32_t rest = (uint32_t)(v - PLAIN + 2);
    for (int i = 0; i < least(length, 2); i++)
        whole = whole << 1 | (uint32_t)code_slot(c, encode, rest >> (length - 1 - i) & 1, 128 + (length * 2 + i) * 2 + (i ? (int)(whole & 1) : 0));
    if (length > 2) whole = whole << (length - 2) | code_plain(&c->r, encode, length - 2, rest & ((1u << (length - 2)) - 1));
    return (int32_t)whole + PLAIN - 2;
}

/* which of 0, 1 and 2 has the lowest rate-distortion cost for a magnitude v that rounds to `nearest` */
INLINE int32_t cheapest(const Coder *c, const Job *job, const Guess *g, int64_t v, int32_t nearest)
{
    const uint16_t *cost = c->t->cost;
    const int64_t lambda = job->lambda, one = v - ONE - job->bias, two = one - ONE;
    const int64_t j0 = v * v * 256 + lambda * cost[(WHOLE - 1 - g->bounds[1]) >> 3];
    const int64_t j1 = one * one * 256 + lambda * (64 + cost[(g->bounds[1] - g->bounds[2]) >> 3]);
    const int64_t j2 = nearest == 2 ? two * two * 256 + lambda * (64 + cost[(g->bounds[2] - g->bounds[3]) >> 3]) : INT64_MAX;
    if (j0 < j1) return j0 < j2 ? 0 : 2;
    return j1 < j2 ? 1 : 2;
}

INLINE int64_t scaled(const Job *job, const Band *b, int32_t in) { return job->exact ? in : ((((int64_t)in * b->gain) >> 12) * job->scale) >> 16; }

INLINE int32_t code_band(Coder *c, const int encode, const Job *job, const Band *b, int32_t k, const Magnitudes *m, int32_t average)
{
    const ptrdiff_t s = b->stride, apart = (ptrdiff_t)b->step * job->planes;
    int32_t around[TILE], planes[TILE];
    for (int y = 0; y < b->height; y++) {
        const ptrdiff_t row = b->offset + (y + PAD) * s + PAD, at = ((ptrdiff_t)(b->y + y * b->step) * job->width + b->x) * job->planes + k;
        const int32_t *in = encode ? job->in + at : NULL;
        int32_t *out = encode ? NULL : job->out + at;
        uint16_t *q = m->now + row;
        const uint16_t *parent = NULL, *sibling = NULL;
        const ptrdiff_t t = b->sibling >= 0 ? job->bands[b->sibling].stride : 0;
        if (b->parent >= 0) parent = m->now + job->bands[b->parent].offset + (y / 2 + PAD) * (ptrdiff_t)job->bands[b->parent].stride + PAD;
        if (b->sibling >= 0) sibling = m->now + job->bands[b->sibling].offset + (y + PAD) * t + PAD;
        for (int x = 0; x < b->width; x++) {
            if (x % TILE == 0)
                look_around(around, planes, least(TILE, b->width - x), s, q + x, m->last + row + x, m->before + row + x,
                    parent ? parent + x / 2 : NULL, sibling ? sibling + x : NULL, t);
            const int32_t expected = level_of(c->t, (6 * q[x - 1] + 2 * q[x - 2] + around[x % TILE] + (average >> 9)) >> 1);
            Guess g;
            g.index[0] = expected * 8 + b->type;
            g.index[1] = level_of(c->t, average >> 7) * LEVELS + expected;
            g.index[2] = level_of(c->t, 2 * (q[x - 1] + q[x - s])) * LEVELS + level_of(c->t, planes[x % TILE]);
            guess(c, &g);
            int32_t value = 0;
            int negative = 0;
            if (encode) {
                int64_t v = scaled(job, b, in[x * apart]);
                negative = v < 0;
                if (negative) v = -v;
                if (job->exact) value = (int32_t)v;
                else {
                    value = (int32_t)((v + ONE / 2 - (v >= 5 * ONE / 2 ? ONE / 16 : 0)) / ONE);
                    if (value == 1 || value == 2) value = cheapest(c, job, &g, v, value);
                }
            }
            value = code_magnitude(c, encode, &g, value);
            if (value) {
                negative = (int)code_plain(&c->r, encode, 1, (uint32_t)negative);
                if (!encode) out[x * apart] = sample_of(job, b, value, negative);
            }
            q[x] = (uint16_t)least(value, 65535);
            average += (least(value, 4000) * 4096 - average + 16) >> 5;
        }
    }
    return average;
}

INLINE int any_in(const Job *job, const Band *b, int32_t k)
{
    const int32_t empty = job->exact ? 0 : EMPTY;
    for (int y = 0; y < b->height; y++) {
        const int32_t *in = job->in + ((ptrdiff_t)(b->y + y * b->step) * job->width + b->x) * job->planes + k;
        for (int x = 0; x < b->width; x++) {
            const int64_t v = scaled(job, b, in[(ptrdiff_t)x * b->step * job->planes]);
            if (v > empty || v < -empty) return 1;
        }
    }
    return 0;
}

static void begin(Coder *c, const int encode, const Job *job)
{
    c->t = job->tables;
    open_coder(&c->r, encode, job->bytes, job->size);
    for (int i = 0; i < BITS; i++) c->bits[i].p = 32768;
    for (int k = 0; k < TABLES; k++) for (int i = 0; i < MODELS; i++) {
        const int expected = k == 0 ? i / 8 : k == 1 ? i % LEVELS : (i / LEVELS + i % LEVELS) / 2 + 1;
        memcpy(c->models[k] + i, c->t->first + least(expected, LEVELS - 1) * SYMBOLS, sizeof(Model));
        c->seen[k][i] = BEGUN;
    }
}

/* encoding: returns the bytes written; -1: buffer too small, -2: out of memory. Decoding: returns 0 or -2 */
INLINE int64_t code(const int encode, const Job *job)
{
    int32_t averages[MOST_BANDS] = {0};
    int64_t done = -2;
    Coder *c = calloc(1, sizeof *c);
    uint16_t *memory = calloc((size_t)job->room * 3, sizeof *memory);
    Magnitudes m = {memory, memory + job->room, memory + 2 * job->room};
    if (c && memory && job->band_count <= MOST_BANDS) {
        begin(c, encode, job);
        for (int32_t k = 0; k < job->planes && !c->r.overflow; k++) {
            memset(m.now, 0, (size_t)job->room * sizeof *memory);
            for (int32_t i = 0; i < job->band_count; i++) {
                const Band *b = job->bands + i;
                if (!b->height || !b->width) continue;
                if (code_slot(c, encode, encode ? any_in(job, b, k) : 0, i * 2 + (averages[i] > 40))) {
                    averages[i] = code_band(c, encode, job, b, k, &m, averages[i]);
                } else averages[i] = 0;
            }
            uint16_t *oldest = m.before;
            m.before = m.last;
            m.last = m.now;
            m.now = oldest;
        }
        done = encode ? finish(&c->r) : 0;
    }
    free(memory);
    free(c);
    return done;
}

EXPORT int64_t edgefuse_entropy_encode(Job *job) { return code(1, job); }
EXPORT int64_t edgefuse_entropy_decode(Job *job) { return code(0, job); }
