/* SPDX-License-Identifier: Apache-2.0 */
/* Thousands of jobs through crashes, rebalances, aborted commits, journal outages and every kind of provider fault, by
 * seed: each record ends in exactly one terminal record, no paid answer is paid again, no limit is exceeded in any
 * window. SIM_SEEDS=n and SIM_SEED=s widen or replay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "sim/world.h"

enum { JOBS = 400, PARTITIONS = 4 };

static struct play decide(const struct entry *e, int nth, void *arg)
{
    struct world *w = arg;
    struct play p = {.latency_us = rng_between(&w->rng, 1000, 3000000)};
    uint64_t dice = rng_below(&w->rng, 1000);

    (void)e;
    (void)nth;
    if (dice < 20)
        p.act = ACT_429, p.retry_after_s = (int64_t)rng_below(&w->rng, 3);
    else if (dice < 40)
        p.act = ACT_500;
    else if (dice < 50)
        p.act = ACT_RESET;
    else if (dice < 60)
        p.act = ACT_TRUNCATE;
    else if (dice < 65)
        p.act = ACT_SILENCE;
    else if (dice < 75)
        p.act = ACT_EMPTY;
    else if (dice < 80)
        p.act = ACT_BAD_JSON;
    else if (dice < 83)
        p.act = ACT_401;
    else if (dice < 90)
        p.act = ACT_REFUSE;
    return p;
}

static void add_job(struct world *w, int i)
{
    static const char *const merges[] = {"\"concat\"", "\"first\"", "\"none\"", "{\"strategy\":\"concat\"}"};
    int p = i % PARTITIONS;

    switch (rng_below(&w->rng, 12)) {
    case 0:
        world_job(w, p, "{\"prompt\":\"broken %d", i);
        break;
    case 1:
        world_job(w, p, "{\"prompt\":\"JOB:%d x\",\"modles\":[\"a\"]}", i);
        break;
    case 2:
        world_job(w, p, "{\"prompt\":\"JOB:%d x\",\"models\":[\"a\",\"nobody\"],\"quorum\":1}", i);
        break;
    case 3:
        world_job(w, p, "{\"prompt\":\"JOB:%d x\",\"deadline_ms\":20000}", i);
        break;
    default:
        world_job(w, p, "{\"prompt\":\"JOB:%d x\",\"merge\":%s,\"params\":{\"temperature\":0.5}}", i,
                  merges[rng_below(&w->rng, 4)]);
        break;
    }
}

/* Two processes own two partitions each; one dies or a partition moves now and then. */
static void disturb(struct world *w)
{
    struct crew *c = &w->crews[rng_below(&w->rng, 2)];
    int first = c->index * 2;

    switch (rng_below(&w->rng, 6)) {
    case 0:
    case 1:
        world_crash(c);
        world_run(w, rng_between(&w->rng, 0, 3000000));
        CHECK(world_add_worker(w, first, 2) == c);
        break;
    case 2:
    case 3:
        if (broker_mem_owns(c->broker, first)) {
            broker_mem_revoke(c->broker, first, rng_below(&w->rng, 2) == 0);
            for (int i = 0; i < 300 && broker_mem_owns(c->broker, first); i++)
                world_run(w, 100000);
            assert_false(broker_mem_owns(c->broker, first));
            broker_mem_assign(c->broker, first);
        }
        break;
    case 4:
        journal_mem_set_down(c->journal, true);
        world_run(w, rng_between(&w->rng, 100000, 5000000));
        journal_mem_set_down(c->journal, false);
        break;
    default:
        break;
    }
}

static void check_terminal(const struct world *w)
{
    struct tally t = world_tally(w);

    if (t.missing != 0 || t.doubled != 0 || t.strays != 0)
        fail_msg("seed %llu: %d jobs without a terminal record, %d with more than one, %d records of no job",
                 (unsigned long long)w->seed, t.missing, t.doubled, t.strays);
    assert_int_equal(t.ok + t.partial + t.failed + t.dead, JOBS);
    assert_int_equal(t.crash_loops, 0);
}

/* With odd seeds calls go elsewhere: breakers that open quickly, and models that fall back on others. */
static void add_routes(struct world *w)
{
    if (w->seed % 2 == 0)
        return;
    w->breaker = (struct health_conf){.failures = 2, .open_us = 5000000};
    w->retry.attempts = 2;
    w->models[0].fallbacks[0] = &w->models[1];
    w->models[0].fallbacks[1] = &w->models[3];
    w->models[0].n_fallbacks = 2;
    w->models[1].fallbacks[0] = &w->models[3];
    w->models[1].n_fallbacks = 1;
}

static void run_seed(uint64_t seed)
{
    struct world w;

    world_init(&w, seed, PARTITIONS);
    add_routes(&w);
    w.ledger.decide = decide;
    w.ledger.arg = &w;
    w.abort_per_mille = 100;
    w.pools[0] = (struct pool_conf){.id = "pa",
                                    .requests_per_minute = 600,
                                    .tokens_per_minute = 200000,
                                    .concurrency = 60,
                                    .largest_call = 20000,
                                    .slot_return_us = 130000000};
    w.pools[1] = (struct pool_conf){.id = "pb", .requests_per_minute = 900};
    w.n_pools = 2;
    w.models[0].pools[0] = 0;
    w.models[1].pools[0] = 1;
    for (int i = 0; i < JOBS; i++)
        add_job(&w, i);
    world_add_worker(&w, 0, 2);
    world_add_worker(&w, 2, 2);
    for (int i = 0; i < 12; i++) {
        world_run(&w, rng_between(&w.rng, 100000, 6000000));
        disturb(&w);
    }
    if (!world_run_until_done(&w, INT64_C(3600000000)))
        fail_msg("seed %llu: not done after an hour; jobs held %d and %d", (unsigned long long)seed,
                 worker_jobs(w.crews[0].worker), worker_jobs(w.crews[1].worker));
    check_terminal(&w);
    if (w.ledger.paid_twice != 0)
        fail_msg("seed %llu: %d calls paid twice", (unsigned long long)seed, w.ledger.paid_twice);
    assert_in_range(world_max_in_window(&w, 0, 60000000), 1, 600);
    assert_in_range(world_max_in_window(&w, 1, 60000000), 1, 900);
    world_run(&w, 5000000);
    assert_int_equal(journal_store_count(w.store), 0);
    assert_int_equal(worker_jobs(w.crews[0].worker) + worker_jobs(w.crews[1].worker), 0);
    world_done(&w);
}

/* D-51: whatever fails at whichever layer, each job ends exactly once. */
static void test_d51_each_job_ends_exactly_once_whatever_fails(void **state)
{
    const char *one = getenv("SIM_SEED"), *many = getenv("SIM_SEEDS");
    int n = many != NULL ? (int)strtol(many, NULL, 10) : 12;

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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_d51_each_job_ends_exactly_once_whatever_fails)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
