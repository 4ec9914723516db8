/* Decoder for planes of integers in version 1 of .efz, bit-exact with entropy_coder_v1_python.py. */

#include "entropy_coder.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* unrolls the guesses of a mix: a fifth of the time */
#endif

enum { INPUTS = 2, SLOTS = 1024, FLAGS = 16, BITS = 256, LONGEST = 28, LEARN = 10, WARM = 40, FIRST_WEIGHT = 36000 };

typedef struct {
    const Tables *t;
    uint32_t low, high, code;
    const uint8_t *at, *end;
    int set, index[INPUTS];
    Slot slots[FLAGS][INPUTS][SLOTS], bits[BITS];
    int32_t weights[FLAGS][LEVELS][INPUTS];
    uint8_t seen[FLAGS][LEVELS];
} Coder;

typedef struct { int32_t st[INPUTS], p; Slot *slot[INPUTS]; int32_t *w; uint8_t *seen; } Guess;

INLINE int get(Coder *c, uint32_t p)
{
    const uint32_t middle = c->low + (uint32_t)(((uint64_t)(c->high - c->low) * p) >> 16);
    const int bit = c->code <= middle;
    if (bit) c->high = middle; else c->low = middle + 1;
    while (!((c->low ^ c->high) >> 24)) {
        c->low <<= 8;
        c->high = c->high << 8 | 255;
        c->code = c->code << 8 | (c->at < c->end ? *c->at++ : 0);
    }
    return bit;
}

INLINE int get_slot(Coder *c, int context)
{
    Slot *s = c->bits + context;
    const int bit = get(c, s->p < 32 ? 32 : s->p > 65504 ? 65504 : s->p);
    learn_slot(c->t->rate, s, bit);
    return bit;
}

INLINE void guess(Coder *c, int flag, Guess *g)
{
    int32_t dot = 0;
    g->w = c->weights[flag][c->set];
    g->seen = c->seen[flag] + c->set;
    for (int i = 0; i < INPUTS; i++) {
        g->slot[i] = c->slots[flag][i] + c->index[i];
        g->st[i] = c->t->stretch[g->slot[i]->p >> 4];
        dot += (g->st[i] * g->w[i] + 128) >> 8;
    }
    dot = (dot + 128) >> 8;
    g->p = c->t->squash[(dot > 2047 ? 2047 : dot < -2047 ? -2047 : dot) + 2048];
}

INLINE void learn(Coder *c, Guess *g, int bit)
{
    const int32_t pace = LEARN + (*g->seen < WARM ? WARM - *g->seen : 0);
    const int32_t miss = (((bit << 16) - bit - g->p) * pace + 128) >> 8;
    if (*g->seen < WARM) (*g->seen)++;
    for (int i = 0; i < INPUTS; i++) {
        const int32_t w = g->w[i] + ((g->st[i] * miss + 2048) >> 12);
        g->w[i] = w > 131071 ? 131071 : w < -131072 ? -131072 : w;
        learn_slot(c->t->rate, g->slot[i], bit);
    }
}

INLINE int get_mixed(Coder *c, int flag)
{
    Guess g;
    guess(c, flag, &g);
    const int bit = get(c, (uint32_t)g.p);
    learn(c, &g, bit);
    return bit;
}

/* Exp-Golomb code: the number of halvings of v + 1, then its lower bits */
INLINE int32_t get_tail(Coder *c)
{
    uint32_t whole = 1;
    int n = 0;
    while (n < LONGEST && get_mixed(c, 3 + least(n, 12))) n++;
    for (int depth = 0; depth < n; depth++) {
        const int bit = depth < 2 ? get_slot(c, 64 + (n * 2 + depth) * 2 + (depth ? (int)(whole & 1) : 0)) : get(c, 32768);
        whole = whole << 1 | (uint32_t)bit;
    }
    return (int32_t)(whole - 1);
}

static int32_t get_band(Coder *c, const Job *job, const Band *b, int32_t k, const Magnitudes *m, int32_t average)
{
    const ptrdiff_t s = b->stride, apart = (ptrdiff_t)b->step * job->planes;
    int32_t around[TILE], planes[TILE];
    for (int y = 0; y < b->height; y++) {
        const ptrdiff_t row = b->offset + (y + PAD) * s + PAD, at = ((ptrdiff_t)(b->y + y * b->step) * job->width + b->x) * job->planes + k;
        int32_t *out = job->out + at;
        uint16_t *q = m->now + row;
        const uint16_t *parent = NULL, *sibling = NULL;
        const ptrdiff_t t = b->sibling >= 0 ? job->bands[b->sibling].stride : 0;
        if (b->parent >= 0) parent = m->now + job->bands[b->parent].offset + (y / 2 + PAD) * (ptrdiff_t)job->bands[b->parent].stride + PAD;
        if (b->sibling >= 0) sibling = m->now + job->bands[b->sibling].offset + (y + PAD) * t + PAD;
        for (int x = 0; x < b->width; x++) {
            if (x % TILE == 0) {
                look_around(around, planes, least(TILE, b->width - x), s, q + x, m->last + row + x, m->before + row + x,
                    parent ? parent + x / 2 : NULL, sibling ? sibling + x : NULL, t);
            }
            const int32_t expected = level_of(c->t, (6 * q[x - 1] + 2 * q[x - 2] + around[x % TILE] + (average >> 9)) >> 1);
            c->set = expected;
            c->index[0] = expected * 8 + b->type;
            c->index[1] = level_of(c->t, average >> 7) * LEVELS + expected;
            int32_t value = 0;
            if (get_mixed(c, 0)) {
                const int negative = get(c, 32768);
                value = !get_mixed(c, 1) ? 1 : !get_mixed(c, 2) ? 2 : 3 + get_tail(c);
                out[x * apart] = sample_of(job, b, value, negative);
            }
            q[x] = (uint16_t)least(value, 65535);
            average += (least(value, 4000) * 4096 - average + 16) >> 5;
        }
    }
    return average;
}

/* returns the bytes read; -2: out of memory */
EXPORT int64_t edgefuse_entropy_v1_decode(Job *job)
{
    int32_t averages[MOST_BANDS] = {0};
    int64_t done = -2;
    Coder *c = calloc(1, sizeof *c);
    uint16_t *memory = calloc((size_t)job->room * 3, sizeof *memory);
    Magnitudes m = {memory, memory + job->room, memory + 2 * job->room};
    if (c && memory && job->band_count <= MOST_BANDS) {
        c->t = job->tables;
        c->high = 0xffffffffu;
        c->at = job->bytes;
        c->end = job->bytes + job->size;
        for (int f = 0; f < FLAGS; f++) {
            for (int i = 0; i < INPUTS; i++) for (int s = 0; s < SLOTS; s++) c->slots[f][i][s].p = 32768;
            for (int s = 0; s < LEVELS; s++) for (int i = 0; i < INPUTS; i++) c->weights[f][s][i] = FIRST_WEIGHT;
        }
        for (int i = 0; i < BITS; i++) c->bits[i].p = 32768;
        for (int i = 0; i < 4; i++) c->code = c->code << 8 | (c->at < c->end ? *c->at++ : 0);
        for (int32_t k = 0; k < job->planes; k++) {
            memset(m.now, 0, (size_t)job->room * sizeof *memory);
            for (int32_t i = 0; i < job->band_count; i++) {
                const Band *b = job->bands + i;
                if (!b->height || !b->width) continue;
                averages[i] = get_slot(c, i * 2 + (averages[i] > 40)) ? get_band(c, job, b, k, &m, averages[i]) : 0;
            }
            uint16_t *oldest = m.before;
            m.before = m.last;
            m.last = m.now;
            m.now = oldest;
        }
        done = c->at - job->bytes;
    }
    free(memory);
    free(c);
    return done;
}
