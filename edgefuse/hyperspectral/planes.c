/* Planes of integers into few bytes and back: planes.py compiled, the same bytes to the last bit. That module says what is done, and why. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3") /* unrolls the guesses of a mix: a fifth of the time */
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

/* as in planes.py */
enum { INPUTS = 2, SLOTS = 1024, FLAGS = 16, SETS = 24, BITS = 256, PAD = 2, MOST_BANDS = 32, LONGEST = 28, TILE = 64 };
enum { SLOW = 60, LEARN = 10, WARM = 40, FIRST_WEIGHT = 36000, ONE = 256, EMPTY = 160 };

typedef struct {
    const int16_t *stretch;
    const uint16_t *squash, *cost, *rate;
    const uint8_t *level;
} Tables;

typedef struct {
    int32_t y, x, step, height, width;      /* samples (y + step i, x + step j) of the plane */
    int32_t type, parent, sibling;
    int32_t offset, stride;                 /* its magnitudes in the padded memory */
    int32_t gain, inverse;                  /* 4096ths: to units of the quantiser, and back */
} Band;

typedef struct {
    const Tables *tables;
    const Band *bands;
    const int32_t *in;     /* height x width x planes, for an encoder */
    int32_t *out;          /* the same, for a decoder: zeros at first */
    uint8_t *bytes;
    int64_t size;          /* of bytes */
    int64_t room;          /* magnitudes of all bands of a plane, padded */
    int32_t height, width, planes, band_count, scale /* 65536ths, on top of gain */, lambda, bias, exact;
} Job;

typedef struct { uint16_t p, n; } Slot;

typedef struct {
    const Tables *t;
    uint32_t low, high, code;
    uint8_t *at;
    const uint8_t *end;
    int overflow, set, index[INPUTS];
    Slot slots[FLAGS][INPUTS][SLOTS], bits[BITS];
    int32_t weights[FLAGS][SETS][INPUTS];
    uint8_t seen[FLAGS][SETS];
} Coder;

typedef struct { int32_t st[INPUTS], p; Slot *slot[INPUTS]; int32_t *w; uint8_t *seen; } Guess;

INLINE int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

INLINE void put(Coder *c, uint32_t p, int bit)
{
    const uint32_t middle = c->low + (uint32_t)(((uint64_t)(c->high - c->low) * p) >> 16);
    if (bit) c->high = middle; else c->low = middle + 1;
    while (!((c->low ^ c->high) >> 24)) {
        if (c->at < c->end) *c->at++ = (uint8_t)(c->high >> 24); else c->overflow = 1;
        c->low <<= 8;
        c->high = c->high << 8 | 255;
    }
}

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

INLINE int code_bit(Coder *c, const int encode, uint32_t p, int bit)
{
    if (!encode) return get(c, p);
    put(c, p, bit);
    return bit;
}

INLINE void learn_slot(const Tables *t, Slot *s, int bit)
{
    s->p = (uint16_t)(s->p + (((-bit & 65535) - (int32_t)s->p) * (int32_t)t->rate[s->n] >> 15));
    s->n = (uint16_t)(s->n + (s->n < SLOW));
}

INLINE int code_slot(Coder *c, const int encode, int bit, int context)
{
    Slot *s = c->bits + context;
    bit = code_bit(c, encode, s->p < 32 ? 32 : s->p > 65504 ? 65504 : s->p, bit);
    learn_slot(c->t, s, bit);
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
        learn_slot(c->t, g->slot[i], bit);
    }
}

INLINE int code_mixed(Coder *c, const int encode, int flag, int bit)
{
    Guess g;
    guess(c, flag, &g);
    bit = code_bit(c, encode, (uint32_t)g.p, bit);
    learn(c, &g, bit);
    return bit;
}

/* v >= 0: how often v + 1 can be halved, then its lower bits */
INLINE int32_t code_tail(Coder *c, const int encode, int32_t v)
{
    uint32_t whole = (uint32_t)v + 1;
    int n = 0, length = 0;
    if (encode) while (whole >> (length + 1)) length++;
    while (n < LONGEST && code_mixed(c, encode, 3 + least(n, 12), n < length)) n++;
    if (!encode) whole = 1;
    for (int i = n - 1; i >= 0; i--) {
        const int depth = n - 1 - i;
        const uint32_t above = encode ? whole >> (i + 1) : whole;
        int bit = encode ? (whole >> i) & 1 : 0;
        if (depth < 2) bit = code_slot(c, encode, bit, 64 + (n * 2 + depth) * 2 + (depth ? (int)(above & 1) : 0));
        else bit = code_bit(c, encode, 32768, bit);
        if (!encode) whole = whole << 1 | (uint32_t)bit;
    }
    return (int32_t)(whole - 1);
}

/* 0, 1 or 2: which of them costs least, distortion and bits, for a magnitude v that is next to `nearest` of them */
INLINE int32_t cheapest(Coder *c, const Job *job, const Guess *zero, int64_t v, int32_t nearest)
{
    const uint16_t *cost = c->t->cost;
    const int64_t lambda = job->lambda, one = v - ONE - job->bias, two = v - 2 * ONE - job->bias;
    Guess g;
    guess(c, 1, &g);
    const int32_t some = cost[zero->p >> 4] + 64;
    const int64_t j0 = v * v * 256 + lambda * cost[(65535 - zero->p) >> 4];
    const int64_t j1 = one * one * 256 + lambda * (some + cost[(65535 - g.p) >> 4]);
    int64_t j2 = INT64_MAX;
    if (nearest == 2) {
        Guess h;
        guess(c, 2, &h);
        j2 = two * two * 256 + lambda * (some + cost[g.p >> 4] + cost[(65535 - h.p) >> 4]);
    }
    if (j0 < j1) return j0 < j2 ? 0 : 2;
    return j1 < j2 ? 1 : 2;
}

INLINE int64_t scaled(const Job *job, const Band *b, int32_t in) { return job->exact ? in : ((((int64_t)in * b->gain) >> 12) * job->scale) >> 16; }

typedef struct { uint16_t *now, *last, *before; } Magnitudes;

INLINE int32_t level_of(const uint8_t *level, int32_t v, int32_t most) { return least(level[least(v, 4095)], most); }

/* what a row's samples know before the first of them is coded */
INLINE void look_around(int32_t *restrict around, int32_t n, ptrdiff_t s, const uint16_t *restrict q, const uint16_t *restrict p,
    const uint16_t *restrict r, const uint16_t *restrict parent, const uint16_t *restrict sibling, ptrdiff_t t)
{
    for (int x = 0; x < n; x++)
        around[x] = 6 * q[x - s] + 3 * (q[x - s - 1] + q[x - s + 1]) + 2 * q[x - 2 * s] + 4 * p[x] + p[x - 1] + p[x + 1] + p[x - s] + p[x + s]
            + 2 * r[x] + ((r[x - 1] + r[x + 1] + r[x - s] + r[x + s]) >> 1) + 1;
    if (sibling) for (int x = 0; x < n; x++)
        around[x] += 2 * sibling[x] + ((sibling[x - 1] + sibling[x + 1] + sibling[x - t] + sibling[x + t]) >> 1);
    if (parent) for (int x = 0; x < n; x++) around[x] += 2 * parent[x / 2];
}

INLINE int32_t code_band(Coder *c, const int encode, const Job *job, const Band *b, int32_t k, const Magnitudes *m, int32_t average)
{
    const uint8_t *level = c->t->level;
    const ptrdiff_t s = b->stride, apart = (ptrdiff_t)b->step * job->planes;
    int32_t around[TILE];
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
            if (x % TILE == 0) {
                look_around(around, least(TILE, b->width - x), s, q + x, m->last + row + x, m->before + row + x,
                    parent ? parent + x / 2 : NULL, sibling ? sibling + x : NULL, t);
            }
            const int32_t expected = level_of(level, (6 * q[x - 1] + 2 * q[x - 2] + around[x % TILE] + (average >> 9)) >> 1, 23);
            c->set = expected;
            c->index[0] = expected * 8 + b->type;
            c->index[1] = level_of(level, average >> 7, 23) * 24 + expected;
            int64_t v = 0;
            int32_t value = 0;
            int negative = 0;
            Guess zero;
            guess(c, 0, &zero);
            if (encode) {
                v = scaled(job, b, in[x * apart]);
                negative = v < 0;
                if (negative) v = -v;
                if (job->exact) value = (int32_t)v;
                else {
                    value = (int32_t)((v + ONE / 2 - (v >= 5 * ONE / 2 ? ONE / 16 : 0)) / ONE);
                    if (value == 1 || value == 2) value = cheapest(c, job, &zero, v, value);
                }
            }
            const int some = code_bit(c, encode, (uint32_t)zero.p, value > 0);
            learn(c, &zero, some);
            if (some) {
                negative = code_bit(c, encode, 32768, negative);
                if (!code_mixed(c, encode, 1, value > 1)) value = 1;
                else if (!code_mixed(c, encode, 2, value > 2)) value = 2;
                else value = 3 + code_tail(c, encode, value - 3);
            } else value = 0;
            q[x] = (uint16_t)least(value, 65535);
            average += (least(value, 4000) * 4096 - average + 16) >> 5;
            if (!encode && some) {
                const int64_t magnitude = job->exact ? value : (int64_t)value * ONE + job->bias;
                const int64_t made = negative ? -magnitude : magnitude;
                out[x * apart] = job->exact ? (int32_t)made : (int32_t)(uint32_t)((uint64_t)(made * b->inverse + 2048) >> 12);
            }
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

/* bytes written or read; -1: they don't suffice, -2: no memory */
INLINE int64_t code(const int encode, const Job *job)
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
            for (int s = 0; s < SETS; s++) for (int i = 0; i < INPUTS; i++) c->weights[f][s][i] = FIRST_WEIGHT;
        }
        for (int i = 0; i < BITS; i++) c->bits[i].p = 32768;
        if (!encode) for (int i = 0; i < 4; i++) c->code = c->code << 8 | (c->at < c->end ? *c->at++ : 0);
        for (int32_t k = 0; k < job->planes && !c->overflow; k++) {
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
        /* this and zeros, which a decoder reads behind the end, lie in the range */
        if (encode) { if (c->at < c->end) *c->at++ = (uint8_t)(c->high >> 24); else c->overflow = 1; }
        done = c->overflow ? -1 : c->at - job->bytes;
    }
    free(memory);
    free(c);
    return done;
}

EXPORT int64_t edgefuse_planes_encode(Job *job) { return code(1, job); }
EXPORT int64_t edgefuse_planes_decode(Job *job) { return code(0, job); }
