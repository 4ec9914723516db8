/* CRC-32C (Castagnoli), bytewise, as in crc32c.py. */

#include "../util/native.h"

EXPORT uint32_t edgefuse_crc32c(const uint32_t *table, const uint8_t *bytes, int64_t size, uint32_t crc)
{
    crc = ~crc;
    for (int64_t i = 0; i < size; i++) crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
    return ~crc;
}
