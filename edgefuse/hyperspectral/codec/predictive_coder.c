/* Predictive coder of a tile's words, bit-exact with predictive_coder_python.py. predictive_coder.py describes the algorithm. */

#include <stdlib.h>

#include "range_coder.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* as in predictive_coder.py */
typedef struct {
    void *words;            /* pixels x bands, of `item` bytes */
    uint8_t *bytes;
    const int32_t *weights; /* bands x taps, in 16384ths */
    const int32_t *bias;    /* bands */
    const int32_t *kinds, *shifts;
    const uint8_t *skipped; /* pixels x bands; NULL: no sample is skipped */
    const uint16_t *rate;   /* adaptation rate by update count, in 32768ths */
    int64_t size, line_step, pixel_step;
    int32_t lines, length, bands, item, dropped, taps[5];
} Predicted;

enum { MARGIN = 64, LEVELS = 160, NODES = 64, SPECTRAL = 32, USUAL = 40, TOP = 1 << 30, LARGEST = 1 << 28, PAST = 2 };
enum { FLOATS, SIGNED, UNSIGNED };

typedef struct {
    RangeCoder r;
    const uint16_t *rate;
    Slot all[LEVELS][NODES], near[LEVELS / 2 * SPECTRAL][NODES], usual[LEVELS * USUAL][NODES], signs[27], mantissa[64][16][4];
} Coder;

/* code up to 64 raw bits, the lowest 32 first */
INLINE uint64_t code_word(Coder *c, const int encode, int count, uint64_t bits)
{
    uint64_t whole = 0;
    for (int at = 0; count > 0; at += 32, count -= 32) {
        const int n = count > 32 ? 32 : count;
        whole |= (uint64_t)code_plain(&c->r, encode, n, (uint32_t)(bits >> at & ((1ull << n) - 1))) << at;
    }
    return whole;
}

INLINE int length_of(uint64_t v) { return v ? 64 - __builtin_clzll(v) : 0; }

/* 4 log2(v + 1), rounded down */
INLINE int level_of(uint64_t v)
{
    const int l = length_of(v + 1) - 1;
    return 4 * l + (int)((l >= 2 ? (v + 1) >> (l - 2) : (v + 1) << (2 - l)) & 3);
}

INLINE int clipped(int v, int most) { return v < 0 ? 0 : v > most ? most : v; }
INLINE uint64_t ones(int count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }
INLINE int fraction(const Predicted *p) { return p->item == 8 ? 52 : 23; }
INLINE int middle(const Predicted *p) { return p->item == 8 ? 1023 : 127; }

/* the number of a word of a float among all floats, in ascending order; integers are their own */
INLINE uint64_t ordered(const Predicted *p, int kind, uint64_t word, int width)
{
    if (kind != FLOATS) return word;
    word >>= p->dropped;
    return word >> (width - 1) ? ~word & ones(width) : word | 1ull << (width - 1);
}

INLINE uint64_t word_of(const Predicted *p, int kind, uint64_t number, int width)
{
    if (kind != FLOATS) return number;
    return (number >> (width - 1) ? number & ~(1ull << (width - 1)) : ~number & ones(width)) << p->dropped;
}

/* a word's value as a fixed-point number: times 2^shift for floats, divided by 2^shift for integers */
INLINE int32_t fixed(const Predicted *p, int kind, int shift, uint64_t word)
{
    if (kind != FLOATS) {
        int64_t v = p->item == 8 ? (int64_t)word : kind == UNSIGNED ? (int64_t)word : (int64_t)(int32_t)(uint32_t)word;
        v >>= shift;
        return (int32_t)(v > TOP ? TOP : v < -TOP ? -TOP : v);
    }
    const int bits = fraction(p), exponent = (int)(word >> bits) & (2 * middle(p) + 1);
    if (!exponent || exponent == 2 * middle(p) + 1) return 0;
    const uint64_t mantissa = (word & ones(bits)) | 1ull << bits;
    const int whole = exponent - middle(p) + shift; /* exponent of the result */
    if (whole < 0) return 0;
    const int32_t v = whole >= 30 ? TOP : (int32_t)(whole >= bits ? mantissa << (whole - bits) : mantissa >> (bits - whole));
    return word >> (p->item * 8 - 1) & 1 ? -v : v;
}

/* the word whose value is near a fixed-point number */
INLINE uint64_t nearest(const Predicted *p, int kind, int shift, int64_t v)
{
    if (kind != FLOATS) {
        const int64_t most = 1ll << 31;
        const uint64_t word = (uint64_t)(v > most ? most : v < -most ? -most : v) << shift;
        return p->item == 8 ? word : (uint32_t)word;
    }
    const uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v, sign = (uint64_t)(v < 0) << (p->item * 8 - 1);
    const int length = length_of(size) - 1, bits = fraction(p);
    int exponent = length - shift + middle(p);
    if (!size || exponent <= 0) return sign;
    exponent = exponent > 2 * middle(p) ? 2 * middle(p) : exponent;
    const uint64_t rest = size ^ 1ull << length;
    return sign | (uint64_t)exponent << bits | (bits >= length ? rest << (bits - length) : rest >> (length - bits));
}

INLINE int64_t products(const int32_t *restrict weights, const int32_t *restrict values, int count)
{
    int64_t sum = 0;
    for (int i = 0; i < count; i++) sum += (int64_t)weights[i] * values[i];
    return sum;
}

/* code a magnitude's length of up to 63 bits, bit by bit, with the mean of three models */
INLINE int code_length(Coder *c, const int encode, Slot *a, Slot *b, Slot *d, int length)
{
    int node = 1;
    for (int i = 5; i >= 0; i--) {
        const uint32_t p = ((uint32_t)a[node].p + b[node].p + 2 * (uint32_t)d[node].p) >> 3;
        const int bit = code_bit(&c->r, encode, length >> i & 1, p);
        learn_slot(c->rate, a + node, bit);
        learn_slot(c->rate, b + node, bit);
        learn_slot(c->rate, d + node, bit);
        node = node * 2 + bit;
    }
    return node - NODES;
}

/* what is known of a pixel: fixed-point values, sizes and signs of the prediction errors */
typedef struct { int32_t *values; uint32_t *sizes; int8_t *signs; } Pixel;

INLINE Pixel moved(Pixel p, ptrdiff_t pixels, int bands)
{
    return (Pixel){p.values + pixels * (bands + MARGIN), p.sizes + pixels * (bands + PAST), p.signs + pixels * (bands + PAST)};
}

/* code the prediction error of band b; returns it in `size` and `negative` */
INLINE void code_error(Coder *c, const int encode, const Pixel *at, const Pixel *w, const Pixel *n, const Pixel *nw, const Pixel *ne, int bands,
    int b, uint64_t mean, uint64_t *size, int *negative)
{
    const uint64_t around = 2 * (uint64_t)w->sizes[b] + 2 * (uint64_t)n->sizes[b] + ne->sizes[b] + nw->sizes[b];
    const uint64_t before = 2 * (uint64_t)at->sizes[b - 1] + at->sizes[b - 2];
    const uint64_t sum = bands > 1 ? around * 3 + before * 5 + (mean >> 2) : around * 6 + (mean >> 1);
    const int all = level_of(sum >> 2), near = level_of(around) >> 1;
    const int spectral = clipped((level_of(before) >> 1) - near + SPECTRAL / 2, SPECTRAL - 1);
    const int usual = clipped((level_of(mean >> 3) >> 1) - (all >> 1) + USUAL / 2, USUAL - 1);
    int length = encode ? length_of(*size) : 0;
    const int symbol = code_length(c, encode, c->all[clipped(all, LEVELS - 1)], c->near[clipped(near, LEVELS / 2 - 1) * SPECTRAL + spectral],
        c->usual[clipped(all, LEVELS - 1) * USUAL + usual], length > 63 ? 63 : length);
    length = symbol < 63 ? symbol : 63 + (int)code_plain(&c->r, encode, 1, length > 63);
    if (!length) {
        *size = 0;
        return;
    }
    uint64_t v = 1;
    const int modelled = length - 1 < 2 ? length - 1 : 2, rest = length - 1 - modelled;
    Slot *slots = c->mantissa[symbol][clipped(4 * length - all + 8, 15)];
    for (int i = 0; i < modelled; i++) {
        Slot *s = slots + v;
        const int bit = code_bit(&c->r, encode, (int)(*size >> (length - 2 - i) & 1), s->p >> 1);
        learn_slot(c->rate, s, bit);
        v = v * 2 + (uint64_t)bit;
    }
    if (rest) v = v << rest | code_word(c, encode, rest, *size & ones(rest));
    Slot *s = c->signs + (at->signs[b - 1] + 1) * 9 + (w->signs[b] + 1) * 3 + n->signs[b] + 1;
    *negative = code_bit(&c->r, encode, *negative, s->p >> 1);
    learn_slot(c->rate, s, *negative);
    *size = v;
}

INLINE void code_pixel(Coder *c, const int encode, const Predicted *job, const Pixel *at, const Pixel *w, const Pixel *n, const Pixel *nw,
    const Pixel *ne, int64_t place, uint64_t *means)
{
    const int *taps = job->taps, total = taps[0] + taps[1] + taps[2] + taps[3] + taps[4];
    uint64_t *words8 = (uint64_t *)job->words + place;
    uint32_t *words4 = (uint32_t *)job->words + place;
    for (int b = 0; b < job->bands; b++) {
        const int kind = job->kinds[b], shift = job->shifts[b], width = job->item * 8 - (kind == FLOATS ? job->dropped : 0);
        const int32_t *weights = job->weights + (ptrdiff_t)b * total;
        int64_t sum = products(weights, at->values + b - taps[0], taps[0]);
        sum += products(weights += taps[0], w->values + b + 1 - taps[1], taps[1]);
        sum += products(weights += taps[1], n->values + b + 1 - taps[2], taps[2]);
        sum += products(weights += taps[2], nw->values + b + 1 - taps[3], taps[3]);
        sum += products(weights += taps[3], ne->values + b + 1 - taps[4], taps[4]);
        sum = ((sum + 8192) >> 14) + job->bias[b];
        if (job->skipped && job->skipped[place + b]) {
            at->values[b] = (int32_t)(sum > TOP ? TOP : sum < -TOP ? -TOP : sum);
            at->sizes[b] = n->sizes[b];
            at->signs[b] = 0;
            continue;
        }
        const uint64_t guess = ordered(job, kind, nearest(job, kind, shift, sum), width);
        uint64_t word = 0, size = 0;
        int negative = 0;
        if (encode) {
            word = job->item == 8 ? words8[b] : words4[b];
            const uint64_t error = (ordered(job, kind, word, width) - guess) & ones(width);
            negative = (int)(error >> (width - 1));
            size = negative ? (0 - error) & ones(width) : error;
        }
        code_error(c, encode, at, w, n, nw, ne, job->bands, b, means[b], &size, &negative);
        if (!encode) {
            word = word_of(job, kind, (guess + (negative ? 0 - size : size)) & ones(width), width);
            if (job->item == 8) words8[b] = word; else words4[b] = (uint32_t)word;
        }
        const uint32_t kept = size > LARGEST ? LARGEST : (uint32_t)size;
        at->sizes[b] = kept;
        at->signs[b] = (int8_t)(size ? negative ? -1 : 1 : 0);
        means[b] += (uint64_t)((((int64_t)kept << 6) - (int64_t)means[b]) >> 4);
        at->values[b] = fixed(job, kind, shift, word);
    }
}

/* encoding: returns the bytes written; -1: buffer too small, -2: out of memory. Decoding: returns 0 or -2 */
INLINE int64_t code(const int encode, const Predicted *job)
{
    const size_t pixels = (size_t)job->length * 2 + 1; /* two lines, and a pixel of zeros */
    const int bands = job->bands;
    int64_t done = -2;
    Coder *c = calloc(1, sizeof *c);
    Pixel memory = {calloc(pixels * (size_t)(bands + MARGIN), 4), calloc(pixels * (size_t)(bands + PAST), 4), calloc(pixels * (size_t)(bands + PAST), 1)};
    uint64_t *means = calloc((size_t)bands, sizeof *means);
    if (c && memory.values && memory.sizes && memory.signs && means) {
        const Pixel zero = {memory.values + MARGIN, memory.sizes + PAST, memory.signs + PAST};
        const Pixel first[2] = {moved(zero, 1, bands), moved(zero, 1 + job->length, bands)};
        c->rate = job->rate;
        open_coder(&c->r, encode, job->bytes, job->size);
        for (Slot *s = &c->all[0][0]; s < (Slot *)(c->mantissa + 64); s++) s->p = 32768;
        for (int y = 0; y < job->lines && !c->r.overflow; y++) for (int x = 0; x < job->length; x++) {
            const Pixel at = moved(first[y & 1], x, bands), up = moved(first[~y & 1], x, bands);
            const Pixel w = x ? moved(at, -1, bands) : y ? up : zero, n = y ? up : w;
            const Pixel nw = x && y ? moved(up, -1, bands) : n, ne = y && x + 1 < job->length ? moved(up, 1, bands) : n;
            code_pixel(c, encode, job, &at, &w, &n, &nw, &ne, y * job->line_step + x * job->pixel_step, means);
        }
        done = encode ? finish(&c->r) : 0;
    }
    free(means);
    free(memory.signs);
    free(memory.sizes);
    free(memory.values);
    free(c);
    return done;
}

EXPORT int64_t edgefuse_predictive_encode(Predicted *job) { return code(1, job); }
EXPORT int64_t edgefuse_predictive_decode(Predicted *job) { return code(0, job); }
