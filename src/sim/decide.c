/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a request: a pure function of the seed, the request and how often it came before. Keeps the counts,
 * never a clock. Loop thread. */
#include <math.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "sim/sim_internal.h"

enum { SLOTS_FIRST = 1024 };

#define Z99 2.3263478740408408 /* 99 % of a normal distribution lies below */

void attempts_done(struct attempts *a)
{
    mem_free(a->slots);
    *a = (struct attempts){.cap = 0};
}

/* The slot of the key, or the free one where it belongs. */
static struct attempt_slot *slot_of(const struct attempts *a, uint64_t key)
{
    size_t i = key & (a->cap - 1);

    while (a->slots[i].key != 0 && a->slots[i].key != key)
        i = (i + 1) & (a->cap - 1);
    return &a->slots[i];
}

uint32_t attempts_get(const struct attempts *a, uint64_t key)
{
    return a->cap == 0 ? 0 : slot_of(a, key)->n; /* a free slot counts 0 */
}

static void grow(struct attempts *a)
{
    struct attempts bigger = {.cap = a->cap > 0 ? a->cap * 2 : SLOTS_FIRST, .used = a->used};

    bigger.slots = mem_zero(sizeof(*bigger.slots) * bigger.cap);
    for (size_t i = 0; i < a->cap; i++)
        if (a->slots[i].key != 0)
            *slot_of(&bigger, a->slots[i].key) = a->slots[i];
    mem_free(a->slots);
    *a = bigger;
}

void attempts_add(struct attempts *a, uint64_t key)
{
    struct attempt_slot *slot;

    CHECK(key != 0);
    if (a->used * 2 >= a->cap)
        grow(a);
    slot = slot_of(a, key);
    if (slot->key == 0)
        a->used++;
    slot->key = key;
    slot->n++;
}

static int64_t draw_latency(struct rng *r, const struct sim_model *m)
{
    double u = 1 - rng_unit(r); /* (0, 1] */
    double z = sqrt(-2 * log(u)) * cos(2 * M_PI * rng_unit(r));
    double factor;

    if (m->p99_factor <= 1)
        return m->latency_us;
    factor = exp(log(m->p99_factor) / Z99 * z);
    return (int64_t)((double)m->latency_us * (factor < 100 ? factor : 100));
}

static enum sim_fault draw_fault(struct rng *r, const struct sim_model *m)
{
    int64_t roll = (int64_t)rng_below(r, SIM_SHARE_WHOLE);

    for (int f = SIM_OK + 1; f < SIM_STATUS; f++) {
        roll -= m->shares[f];
        if (roll < 0)
            return (enum sim_fault)f;
    }
    return SIM_OK;
}

/* What the dialects have in common; one may have another status for the same. */
static int status_of(enum sim_fault f)
{
    switch (f) {
    case SIM_E429:
    case SIM_QUOTA:
        return 429;
    case SIM_CONTEXT:
    case SIM_FILTER:
        return 400;
    case SIM_E500:
        return 500;
    case SIM_E503:
    case SIM_OVERLOADED:
        return 503;
    case SIM_RESET:
    case SIM_SILENCE:
        return 0;
    default:
        return 200;
    }
}

struct decision decide(uint64_t seed, uint64_t key, uint32_t attempt, const struct sim_model *m, const struct orders *o)
{
    struct decision d = {.retry_after_ms = o->retry_after_ms, .stall_us = o->stall_us};
    int64_t latency_us;
    struct rng r;

    rng_seed(&r, seed ^ key ^ (uint64_t)attempt << 32);
    latency_us = draw_latency(&r, m); /* drawn also when ordered, so that an order changes nothing else */
    d.fault = draw_fault(&r, m);
    if ((int64_t)attempt <= m->fail_first) {
        d.fault = SIM_STATUS;
        d.status = (int)m->fail_status;
    }
    if (o->has_fault) {
        d.fault = o->fault;
        d.status = o->status;
    }
    if (d.fault != SIM_STATUS)
        d.status = status_of(d.fault);
    d.latency_us = d.status >= 400 && d.status < 500 ? 0 : latency_us; /* refusals come at once */
    if (o->latency_us >= 0)
        d.latency_us = o->latency_us;
    if (d.retry_after_ms < 0 && (d.status == 429 || d.status == 503 || d.status == 529) && d.fault != SIM_QUOTA)
        d.retry_after_ms = m->retry_after_us >= 0 ? m->retry_after_us / 1000 : -1;
    if (d.retry_after_ms < 0 && d.fault == SIM_E429)
        d.retry_after_ms = 1000;
    if (d.stall_us < 0)
        d.stall_us = 5 * 1000000;
    return d;
}
