/* SPDX-License-Identifier: Apache-2.0 */
/* xoshiro256** seeded by splitmix64 (Blackman and Vigna, public domain algorithms, prng.di.unimi.it). Never for
 * secrets. One generator per worker; not thread safe. */
#include "base/rng.h"

#include <stddef.h>
#include <sys/random.h>

#include "base/check.h"

static uint64_t rotate_left(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_LEN(r->s); i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t rng_entropy(void)
{
    uint64_t seed;

    /* Up to 256 bytes come whole and uninterrupted once the pool is ready (getrandom(2)). */
    CHECK(getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
    return seed;
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t first_fair;
    uint64_t x;

    CHECK(n >= 1);
    first_fair = -n % n; /* 2^64 mod n: below it some remainders would come once too often */
    do
        x = rng_u64(r);
    while (x < first_fair);
    return x % n;
}

double rng_unit(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

int64_t rng_between(struct rng *r, int64_t lo, int64_t hi)
{
    uint64_t span = (uint64_t)hi - (uint64_t)lo;

    CHECK(lo <= hi);
    if (span == UINT64_MAX)
        return (int64_t)rng_u64(r);
    return (int64_t)((uint64_t)lo + rng_below(r, span + 1));
}
