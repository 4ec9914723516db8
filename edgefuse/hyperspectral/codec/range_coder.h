/* Range coder with adaptive bit models and raw bits, shared by the coders; bit-exact with range_coder_python.py. */

#ifndef EDGEFUSE_RANGE_CODER_H
#define EDGEFUSE_RANGE_CODER_H

#include "../../util/native.h"

/* as in range_coder_python.py */
enum { WHOLE = 1 << 15, SLOW = 60 };

/* adaptive bit model: probability of a 1 in 65536ths, and update count */
typedef struct { uint16_t p, n; } Slot;

typedef struct {
    uint8_t *begin, *front, *back, *end; /* range-coded bytes grow from the front, raw bits from the back */
    uint64_t low, pool;
    int64_t waiting;                     /* pending bytes of 255 that a carry may still change */
    uint32_t range, code;
    int started, pooled, overflow;
    uint8_t cache;
} RangeCoder;

/* `rate`: adaptation rate by update count, in 32768ths */
INLINE void learn_slot(const uint16_t *rate, Slot *s, int bit)
{
    s->p = (uint16_t)(s->p + (((-bit & 65535) - (int32_t)s->p) * (int32_t)rate[s->n] >> 15));
    s->n = (uint16_t)(s->n + (s->n < SLOW));
}

INLINE void shift_in(RangeCoder *r) { r->code = r->code << 8 | (r->front < r->end ? *r->front++ : 0); }

static inline void shift_out(RangeCoder *r)
{
    const int carry = (int)(r->low >> 32);
    if (carry || (uint32_t)r->low < 0xff000000u) {
        if (r->started) {
            if (r->back - r->front <= r->waiting) r->overflow = 1;
            else {
                *r->front++ = (uint8_t)(r->cache + carry);
                for (; r->waiting; r->waiting--) *r->front++ = (uint8_t)(255 + carry);
            }
        }
        r->started = 1;
        r->waiting = 0;
        r->cache = (uint8_t)(r->low >> 24);
    } else if (r->started) r->waiting++;
    else {
        r->started = 1;
        r->cache = 255;
    }
    r->low = (uint32_t)r->low << 8;
}

INLINE void open_coder(RangeCoder *r, const int encode, uint8_t *bytes, int64_t size)
{
    memset(r, 0, sizeof *r);
    r->range = 0xffffffffu;
    r->begin = r->front = bytes;
    r->end = r->back = bytes + size;
    if (!encode) for (int i = 0; i < 4; i++) shift_in(r);
}

/* shift bytes out or in until the range has at least 24 bits */
INLINE void widen(RangeCoder *r, const int encode)
{
    while (r->range < 1u << 24) {
        r->range <<= 8;
        if (encode) shift_out(r); else shift_in(r);
    }
}

/* code a symbol that has from..to of WHOLE; the decoder found it with `peek` */
INLINE void code_share(RangeCoder *r, const int encode, uint32_t from, uint32_t to)
{
    const uint32_t part = r->range >> 15;
    if (encode) r->low += (uint64_t)part * from; else r->code -= part * from;
    r->range = to == WHOLE ? r->range - part * from : part * (to - from);
    widen(r, encode);
}

/* the place of the next symbol, in 0..WHOLE - 1 */
INLINE uint32_t peek(const RangeCoder *r)
{
    const uint32_t v = r->code / (r->range >> 15);
    return v < WHOLE - 1 ? v : WHOLE - 1;
}

/* code a bit whose probability of being 1 is p of WHOLE, limited to 32 from either end */
INLINE int code_bit(RangeCoder *r, const int encode, int bit, uint32_t p)
{
    p = p < 32 ? 32 : p > WHOLE - 32 ? WHOLE - 32 : p;
    const uint32_t part = (r->range >> 15) * p;
    if (!encode) bit = r->code < part;
    if (bit) r->range = part;
    else {
        if (encode) r->low += part; else r->code -= part;
        r->range -= part;
    }
    widen(r, encode);
    return bit;
}

/* code up to 32 raw bits */
INLINE uint32_t code_plain(RangeCoder *r, const int encode, int count, uint32_t bits)
{
    if (encode) {
        r->pool |= (uint64_t)bits << r->pooled;
        r->pooled += count;
        for (; r->pooled >= 8; r->pooled -= 8) {
            if (r->back <= r->front) r->overflow = 1; else *--r->back = (uint8_t)r->pool;
            r->pool >>= 8;
        }
        return bits;
    }
    for (; r->pooled < count; r->pooled += 8) r->pool |= (uint64_t)(r->back > r->begin ? *--r->back : 0) << r->pooled;
    bits = (uint32_t)(r->pool & ((1ull << count) - 1));
    r->pool >>= count;
    r->pooled -= count;
    return bits;
}

/* write the shortest byte string within the range, whatever follows it, then the raw bits; returns the total bytes, -1 if the buffer is too small */
static inline int64_t finish(RangeCoder *r)
{
    int rest = 24;
    uint64_t mask = (1u << 24) - 1;
    while (((r->low + mask) & ~mask) + mask >= r->low + r->range) {
        rest -= 8;
        mask >>= 8;
    }
    r->low = (r->low + mask) & ~mask;
    for (int i = 32; i >= rest; i -= 8) shift_out(r);
    if (r->pooled) code_plain(r, 1, 8 - r->pooled, 0);
    if (r->overflow) return -1;
    memmove(r->front, r->back, (size_t)(r->end - r->back));
    return (r->front - r->begin) + (r->end - r->back);
}

#endif
