/* What the fuzz tests of the compiled decoders share: random numbers, damaged bytes, and the report of a failure. */

#ifndef EDGEFUSE_FUZZ_COMMON_H
#define EDGEFUSE_FUZZ_COMMON_H

#include <stdio.h>
#include <stdlib.h>

#include "../../../edgefuse/util/native.h"

/* splitmix64 */
static inline uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline int64_t below(uint64_t *state, int64_t most) { return most > 0 ? (int64_t)(next(state) % (uint64_t)most) : 0; }

/* a number of up to `bits` bits, small ones as likely as large ones, either sign */
static inline int64_t number_of(uint64_t *state, int bits)
{
    const int64_t size = (int64_t)(next(state) >> (63 - below(state, bits)) >> 1);
    return next(state) & 1 ? -size : size;
}

/* memory of exactly `size` bytes, so that the address sanitizer notices the first byte beyond it */
void *taken(int64_t size);

/* print the input's number and what is wrong, and end */
void fail(const char *what);

/* change some of `size` bytes */
void change(uint64_t *state, uint8_t *bytes, int64_t size);

/* a part of `stream` with changed bytes, or noise; `size` gets its size. The caller frees it. */
uint8_t *damaged(uint64_t *state, const uint8_t *stream, int64_t *size);

/* one input each; the state is made from the input's number. `read_...` reads what Python has written into the file of cases. */
void read_entropy_cases(FILE *file);
void feed_entropy(uint64_t state);
void read_predictive_cases(FILE *file);
void feed_predictive(uint64_t state);

/* `size` bytes from the file of cases; the caller keeps them */
void *read_bytes(FILE *file, int64_t size);
int64_t read_number(FILE *file);

#endif
