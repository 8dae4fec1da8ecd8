/* SPDX-License-Identifier: Apache-2.0 */
/* Routing under everything at once, by seed: keys that are refused, used up and limited, breakers, chains of fallbacks,
 * crashes, rebalances and journal outages. Each call is paid for once whoever answers it, each key's pool keeps its own
 * limits, no two records share an id, and nobody waits for ever. SIM_SEEDS=n and SIM_SEED=s widen or replay. */
#include <stdio.h>
#include <stdlib.h>

#include <uthash.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/route_script.h"

enum { JOBS = 300, PARTITIONS = 4, RPM = 120, SLOTS = 3 };

/* A phase of half a minute in which a model or a key is in trouble. */
static struct play decide(const struct entry *e, int nth, void *arg)
{
    struct route *r = arg;
    struct world *w = &r->script.world;
    struct play p = {.latency_us = rng_between(&w->rng, 1000, 4000000)};
    uint64_t phase = (uint64_t)(e->at_us / (30 * SECOND)) * 7 + w->seed, dice = rng_below(&w->rng, 100);
    bool is_first_key = strcmp(e->api_key, r->keys[phase % KEYS].secret) == 0;

    (void)nth;
    if (phase % 5 == 1 && is_first_key && dice < 80)
        p.act = ACT_429, p.retry_after_s = (int64_t)rng_below(&w->rng, 40);
    else if (phase % 5 == 2 && is_first_key)
        p.act = dice < 50 ? ACT_401 : ACT_QUOTA, p.retry_after_s = 20;
    else if (phase % 5 >= 3 && e->model[2] == (char)('a' + phase % 3) && dice < 90)
        p.act = dice < 60 ? ACT_500 : dice < 80 ? ACT_RESET : ACT_SILENCE;
    else if (dice < 8)
        p.act = (enum act)rng_between(&w->rng, ACT_429, ACT_MAX - 1);
    return p;
}

static void add_jobs(struct world *w)
{
    for (int i = 0; i < JOBS; i++)
        switch (rng_below(&w->rng, 8)) {
        case 0:
            world_job(w, i % PARTITIONS, "{\"prompt\":\"JOB:%d x\",\"models\":[\"a\"],\"deadline_ms\":%d}", i,
                      (int)rng_between(&w->rng, 1000, 200000));
            break;
        case 1:
            world_job(w, i % PARTITIONS, "{\"prompt\":\"JOB:m%d x\",\"models\":[\"a\",\"b\"],\"merge\":\"first\"}", i);
            break;
        case 2:
            world_job(w, i % PARTITIONS,
                      "{\"prompt\":\"JOB:m%d x\",\"models\":[{\"model\":\"a\",\"samples\":3},\"prov/m-x\"],"
                      "\"merge\":\"vote\"}",
                      i);
            break;
        default:
            world_job(w, i % PARTITIONS, "{\"prompt\":\"JOB:%d x\",\"models\":[\"a\"]}", i);
        }
}

static void disturb(struct world *w)
{
    struct crew *c = &w->crews[rng_below(&w->rng, 2)];
    int first = c->index * 2;

    switch (rng_below(&w->rng, 5)) {
    case 0:
    case 1:
        world_crash(c);
        world_run(w, rng_between(&w->rng, 0, 3 * SECOND));
        CHECK(world_add_worker(w, first, 2) == c);
        break;
    case 2:
        assert_true(world_take_away(c, first, rng_below(&w->rng, 2) == 0));
        broker_mem_assign(c->broker, first);
        break;
    case 3:
        journal_mem_set_down(c->journal, true);
        world_run(w, rng_between(&w->rng, 100000, 5 * SECOND));
        journal_mem_set_down(c->journal, false);
        break;
    default:
        break;
    }
}

/* Jobs with one call are tagged by their number: whoever answered it, there is one paid answer. */
static void check_paid(const struct world *w)
{
    int paid[JOBS] = {0};

    for (int i = 0; i < w->ledger.n; i++) {
        const struct entry *e = &w->ledger.entries[i];

        if (e->tag[0] != 'm' && e->is_paid && e->act == ACT_OK && ++paid[strtol(e->tag, NULL, 10)] > 1)
            fail_msg("seed %llu: job %s was paid for twice", (unsigned long long)w->seed, e->tag);
    }
    assert_int_equal(w->ledger.paid_twice, 0);
}

/* Requests and calls under way of model a, with each key alone. */
static void check_limits(const struct route *r)
{
    const struct ledger *g = &r->script.world.ledger;

    for (int k = 0; k < KEYS; k++)
        for (int i = 0; i < g->n; i++) {
            const struct entry *e = &g->entries[i];
            int in_window = 0, under_way = 0;

            if (strcmp(e->model, "m-a") != 0 || strcmp(e->api_key, r->keys[k].secret) != 0)
                continue;
            for (int o = 0; o <= i; o++) {
                const struct entry *x = &g->entries[o];

                if (strcmp(x->model, "m-a") != 0 || strcmp(x->api_key, e->api_key) != 0 || x->act == ACT_STALE)
                    continue;
                in_window += x->at_us > e->at_us - 60 * SECOND;
                under_way += x->ended_us == 0 || x->ended_us > e->at_us;
            }
            assert_in_range(in_window, 0, RPM);
            assert_in_range(under_way, 0, SLOTS);
        }
}

struct id {
    UT_hash_handle hh;
    char event_id[40];
};

static void check_ids(const struct world *w)
{
    struct id *ids = NULL, *id, *next;
    int n, n_doubled = 0;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < n; i++) {
        json_t *c = records[i].output == OUT_CALLS ? json_loadb(records[i].value, records[i].value_len, 0, NULL) : NULL;

        if (c == NULL)
            continue;
        HASH_FIND_STR(ids, str(c, "event_id"), id);
        n_doubled += id != NULL;
        if (id == NULL) {
            id = mem_zero(sizeof(*id));
            snprintf(id->event_id, sizeof(id->event_id), "%s", str(c, "event_id"));
            HASH_ADD_STR(ids, event_id, id);
        }
        json_decref(c);
    }
    HASH_ITER(hh, ids, id, next)
    {
        HASH_DEL(ids, id);
        mem_free(id);
    }
    assert_int_equal(n_doubled, 0);
}

static void run_seed(uint64_t seed)
{
    struct route r;
    struct world *w = route_setup(&r, PARTITIONS);
    struct tally t;

    w->seed = seed;
    rng_seed(&w->rng, seed);
    w->ledger.decide = decide;
    route_keys(&r, RPM);
    route_fallbacks(&r);
    for (int k = 0; k < KEYS; k++) {
        w->pools[k].concurrency = SLOTS;
        w->pools[k].slot_return_us = 130 * SECOND;
    }
    w->registry.ad_hoc = w->models[3];
    w->registry.ad_hoc.index = -1;
    w->breaker = (struct health_conf){.failures = 2, .open_us = 5 * SECOND};
    w->retry.attempts = 3;
    w->abort_per_mille = 50;
    add_jobs(w);
    world_add_worker(w, 0, 2);
    world_add_worker(w, 2, 2);
    for (int i = 0; i < 12; i++) {
        world_run(w, rng_between(&w->rng, 100000, 10 * SECOND));
        disturb(w);
    }
    if (!world_run_until_done(w, 7200 * SECOND))
        fail_msg("seed %llu: not done after two hours", (unsigned long long)seed);
    t = world_tally(w);
    assert_int_equal(t.missing + t.doubled + t.strays + t.dead, 0);
    assert_int_equal(t.ok + t.partial + t.failed, JOBS);
    check_paid(w);
    check_limits(&r);
    check_ids(w);
    world_run(w, 5 * SECOND);
    assert_int_equal(journal_store_count(w->store), 0);
    world_done(w);
}

static void test_seeds(void **state)
{
    const char *one = getenv("SIM_SEED"), *many = getenv("SIM_SEEDS");
    int n = many != NULL ? (int)strtol(many, NULL, 10) : 6;

    (void)state;
    if (one != NULL) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    for (int i = 1; i <= n; i++) {
        printf("seed %d\n", i);
        fflush(stdout);
        run_seed((uint64_t)i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
