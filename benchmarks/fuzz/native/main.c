/* Feeds the compiled coders of tiles with damaged streams and with samples, many thousands a second, without Python between two inputs:
   fuzz_decoders entropy|predictive CASES FIRST COUNT. decoders.py compiles it together with the coders and the sanitizers.

   CASES holds the coders' tables and the subbands of some shapes. An input is determined by its number. Buffers are allocated in exactly
   their sizes. The first error ends the program, which then prints the input's number. */

#include "common.h"

#include <sanitizer/common_interface_defs.h>

static int64_t current;

static void tell(void) { fprintf(stderr, "input %lld\n", (long long)current); }

void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    tell();
    exit(4);
}

void *taken(int64_t size)
{
    void *data = malloc((size_t)size);
    if (!data) fail("out of memory");
    return data;
}

void *read_bytes(FILE *file, int64_t size)
{
    void *data = malloc((size_t)(size ? size : 1));
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) {
        fprintf(stderr, "the cases can't be read\n");
        exit(3);
    }
    return data;
}

int64_t read_number(FILE *file)
{
    int64_t *read = read_bytes(file, 8), value = *read;
    free(read);
    return value;
}

void change(uint64_t *state, uint8_t *bytes, int64_t size)
{
    static const uint8_t extremes[] = {0, 1, 127, 128, 254, 255};
    for (int64_t k = 1 + below(state, 6); k && size; k--) {
        /* the first bytes decide about all that follow, the last ones are raw bits */
        const int64_t way = below(state, 4), few = size > 8 ? 8 : size;
        const int64_t at = way == 0 ? below(state, few) : way == 1 ? size - 1 - below(state, few) : below(state, size);
        switch (below(state, 4)) {
        case 0: bytes[at] ^= (uint8_t)(1 << below(state, 8)); break;
        case 1: bytes[at] = extremes[below(state, sizeof extremes)]; break;
        case 2: bytes[at] = (uint8_t)next(state); break;
        default:
            for (int64_t i = at, value = below(state, 2) ? 255 : 0; i < size && i < at + 16; i++) bytes[i] = (uint8_t)value;
        }
    }
}

uint8_t *damaged(uint64_t *state, const uint8_t *stream, int64_t *size)
{
    const int64_t whole = *size;
    *size = below(state, 4) ? whole : below(state, whole + 40);
    uint8_t *bytes = taken(*size);
    const int noise = below(state, 10) == 0;
    for (int64_t i = 0; i < *size; i++) bytes[i] = i < whole && !noise ? stream[i] : (uint8_t)next(state);
    change(state, bytes, *size);
    return bytes;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 5 ? fopen(argv[2], "rb") : NULL;
    if (!file) {
        fprintf(stderr, "usage: fuzz_decoders entropy|predictive CASES FIRST COUNT\n");
        return 3;
    }
    const int predictive = !strcmp(argv[1], "predictive");
    const int64_t first = atoll(argv[3]), count = atoll(argv[4]);
    (predictive ? read_predictive_cases : read_entropy_cases)(file);
    fclose(file);
    __sanitizer_set_death_callback(tell);
    for (current = first; current < first + count; current++)
        (predictive ? feed_predictive : feed_entropy)((uint64_t)current * 0x2545f4914f6cdd1dull + 7);
    return 0;
}
