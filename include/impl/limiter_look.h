/* SPDX-License-Identifier: Apache-2.0 */
/* What Redis holds about pools of limits, read from outside: nothing is changed, and no limiter is needed for it. */
#ifndef IMPL_LIMITER_LOOK_H
#define IMPL_LIMITER_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool_conf;

/* One pool as the fleet has left it, brought up to now by the limits of its pool_conf. */
struct pool_look {
    bool is_known;      /* used within the last two days; else all is 0 */
    int64_t req_bucket; /* 0: not limited */
    int64_t req_level;
    int64_t tok_bucket; /* 0: not limited */
    int64_t tok_level;  /* below 0: more was used than estimated */
    int64_t tok_held;   /* granted to calls under way, which may give some back */
    int64_t in_flight;  /* calls of all workers */
    int64_t workers;    /* heard of within 10 s */
    int64_t waiting;    /* of those, with calls that wait */
    int64_t pause_us;   /* rest of a pause */
};

/* Reads them all: out[n] for pools[n]. At most 5 s. 0, or a negative errno with why[size].
 * thread  one that may block; it has a loop of its own meanwhile */
int limiter_look(const char *url, const char *ca_file, const struct pool_conf *pools, int n, struct pool_look *out,
                 char *why, size_t size);

#endif
