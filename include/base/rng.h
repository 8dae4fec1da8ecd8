/* SPDX-License-Identifier: Apache-2.0 */
/* A seeded generator (xoshiro256**, seeded by splitmix64). Not for secrets. One per worker; not thread safe. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
/* A seed from the system's entropy. */
uint64_t rng_entropy(void);
uint64_t rng_u64(struct rng *r);
/* Uniform in [0, n), n >= 1. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* Uniform in [0, 1). */
double rng_unit(struct rng *r);
/* Uniform in [lo, hi]. */
int64_t rng_between(struct rng *r, int64_t lo, int64_t hi);

#endif
