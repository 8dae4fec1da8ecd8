/* SPDX-License-Identifier: Apache-2.0 */
/* Two byte loops shared by the scanner, struct text and the log: one well-formed UTF-8 character, and the run of bytes
 * that a JSON string holds as they are. Private to src/base; no state, any thread. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes of the well-formed character at p (1-4), 0 when there is none before `end`.
 * source  Unicode 15 table 3-7 */
static inline int utf8_length(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    unsigned lo = 0x80;
    unsigned hi = 0xbf;
    int more;

    if (p >= end)
        return 0;
    if (u[0] < 0x80)
        return 1;
    if (u[0] >= 0xc2 && u[0] <= 0xdf) {
        more = 1;
    } else if (u[0] >= 0xe0 && u[0] <= 0xef) {
        more = 2;
        lo = u[0] == 0xe0 ? 0xa0 : 0x80; /* no overlong forms */
        hi = u[0] == 0xed ? 0x9f : 0xbf; /* no surrogates */
    } else if (u[0] >= 0xf0 && u[0] <= 0xf4) {
        more = 3;
        lo = u[0] == 0xf0 ? 0x90 : 0x80;
        hi = u[0] == 0xf4 ? 0x8f : 0xbf; /* up to U+10FFFF */
    } else {
        return 0;
    }
    if (end - p <= more || u[1] < lo || u[1] > hi)
        return 0;
    for (int i = 2; i <= more; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

/* First byte at or after p that is a quote, a backslash, a control character or not ASCII; `end` when there is none. */
static inline const char *plain_run_end(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);

    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash));
        int mask;

        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
        mask = _mm_movemask_epi8(stop) | _mm_movemask_epi8(v); /* the sign bit says: not ASCII */
        if (mask != 0)
            return p + __builtin_ctz((unsigned)mask);
        p += 16;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80)
        p++;
    return p;
}

/* Value of a hexadecimal digit, -1 when it is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of a \u escape at p (which has 4 bytes), -1 when one is no digit. */
static inline int hex_four(const char *p)
{
    int v = 0;

    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

#endif
