/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian 32-bit numbers in bytes; header only. */
#ifndef LE32_H
#define LE32_H

#include <stdint.h>

static inline void le32_put(char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(v >> (8 * i) & 0xff);
}

static inline uint32_t le32_get(const char *p)
{
    uint32_t v = 0;

    for (int i = 3; i >= 0; i--)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

#endif
