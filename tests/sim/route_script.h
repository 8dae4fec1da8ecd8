/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of breakers, keys and fallbacks share: a provider that acts by model, key and time, three keys, and a
 * few questions to the ledger and the call records. */
#ifndef TESTS_SIM_ROUTE_SCRIPT_H
#define TESTS_SIM_ROUTE_SCRIPT_H

#include "sim/behaviour.h"

#define SECOND INT64_C(1000000)

enum { RULES_MAX = 8, KEYS = 3 };

/* What the provider does; the first one that fits. */
struct rule {
    const char *model;      /* NULL: any */
    const char *api_key;    /* NULL: any */
    int64_t from_us, to_us; /* to_us 0: for ever */
    struct play play;
};

struct route {
    struct script script; /* first */
    struct rule rules[RULES_MAX];
    int n_rules;
    struct provider_key keys[KEYS];
};

static inline struct play route_decide(const struct entry *e, int nth, void *arg)
{
    const struct route *r = arg;

    (void)nth;
    for (int i = 0; i < r->n_rules; i++) {
        const struct rule *u = &r->rules[i];

        if ((u->model == NULL || strcmp(u->model, e->model) == 0) &&
            (u->api_key == NULL || strcmp(u->api_key, e->api_key) == 0) && e->at_us >= u->from_us &&
            (u->to_us == 0 || e->at_us < u->to_us))
            return u->play;
    }
    return (struct play){.act = ACT_OK, .latency_us = 200000};
}

static inline struct world *route_setup(struct route *r, int n_partitions)
{
    memset(r, 0, sizeof(*r));
    world_init(&r->script.world, 7, n_partitions);
    r->script.world.ledger.decide = route_decide;
    r->script.world.ledger.arg = r;
    return &r->script.world;
}

static inline void route_rule(struct route *r, struct rule rule)
{
    assert_true(r->n_rules < RULES_MAX);
    r->rules[r->n_rules++] = rule;
}

/* The provider gets three keys; model "a" a pool of its own with each. */
static inline void route_keys(struct route *r, int64_t requests_per_minute)
{
    static const char *const secrets[KEYS] = {"sk-one-0123456789", "sk-two-0123456789", "sk-three-0123456789"};
    static const char *const ids[KEYS] = {"id-1", "id-2", "id-3"};
    static const char *const pools[KEYS] = {"p1", "p2", "p3"};
    struct world *w = &r->script.world;

    for (int i = 0; i < KEYS; i++) {
        r->keys[i] = (struct provider_key){secrets[i], ids[i]};
        w->pools[i] = (struct pool_conf){.id = pools[i], .requests_per_minute = requests_per_minute};
        w->models[0].pools[i] = i;
        for (int m = 1; m < WORLD_MODELS; m++)
            w->models[m].pools[i] = -1;
    }
    w->n_pools = KEYS;
    w->provider.keys = r->keys;
    w->provider.n_keys = KEYS;
}

/* a falls back to b, then to c. */
static inline void route_fallbacks(struct route *r)
{
    struct model *m = r->script.world.models;

    m[0].fallbacks[0] = &m[1];
    m[0].fallbacks[1] = &m[2];
    m[0].n_fallbacks = 2;
}

static inline int requests_with_key(const struct world *w, const char *api_key)
{
    int n = 0;

    for (int i = 0; i < w->ledger.n; i++)
        n += strcmp(w->ledger.entries[i].api_key, api_key) == 0;
    return n;
}

/* The call record with this number, in the order written; free it. */
static inline json_t *call_record(const struct world *w, int nth)
{
    int n;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < n; i++)
        if (records[i].output == OUT_CALLS && nth-- == 0)
            return json_loadb(records[i].value, records[i].value_len, 0, NULL);
    fail_msg("no such call record");
    return NULL;
}

#endif
