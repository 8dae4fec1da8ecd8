/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal's spool across processes and slots: whose file is whose, what an heir finds, a disk that is full.
 * Takes some seconds: servers have to be missed. */
#include "journal_bench.h"

#include <sys/resource.h>

#include "base/metrics.h"
#include "journal/journal_redis_internal.h"

static struct journal *open_in_group(struct bench *b, const char *group, const char *slot)
{
    struct journal_redis_conf conf = {
        .group = group, .slot = slot, .ttl_ms = 60000, .spool_dir = b->server.dir, .liveness_ms = 1000};
    struct journal *j;
    const char *why;

    CHECK(redis_conf_parse(b->url, &conf.redis, &why) == 0);
    j = journal_redis_new(b->rig.loop, &b->rig.rng, &conf);
    redis_conf_done(&conf.redis);
    return j;
}

static void wait_spool(struct bench *b, int n_files, int64_t bytes)
{
    int n = -1;

    for (int ms = 0; ms < 5000 && (spool_bytes(b, &n) != bytes || n != n_files); ms += 5)
        run_ms(b, 5);
    assert_int_equal(spool_bytes(b, &n), bytes);
    assert_int_equal(n, n_files);
}

/* With leased slots a process that comes back after kill -9 is seldom given the old one. */
static void test_heir_in_another_slot(void **state)
{
    struct bench b;
    struct journal *dead[2], *heir;
    struct asked *a;

    (void)state;
    bench_open(&b);
    for (int i = 0; i < 2; i++) {
        dead[i] = open_in_group(&b, "g", i == 0 ? "1.0" : "2.0");
        assert_true(wait_down(&b, dead[i], false, 10000));
        expect_claim(&b, dead[i], i, 1, CLAIM_OURS, 1, 0);
    }
    server_kill(&b.server);
    for (int i = 0; i < 2; i++) {
        assert_true(wait_down(&b, dead[i], true, 5000));
        record(dead[i], i, "answer:0:0:0:0", 1, true, "paid", 4);
    }
    run_ms(&b, 50);
    for (int i = 0; i < 2; i++)
        dead[i]->ops->free(dead[i]); /* killed */
    server_start(&b.server, NULL);
    heir = open_in_group(&b, "g", "3.0");
    for (int i = 0; i < 2; i++) {
        a = claim(&b, heir, i, 1);
        assert_int_equal(a->c.result, CLAIM_OURS);
        assert_int_equal(a->c.n_recalls, 1);
        ask_done(a);
    }
    wait_spool(&b, 1, 0);
    stop(&b, heir, true);
    bench_close(&b);
}

/* One who starts while others live leaves them what is theirs. */
static void test_living_neighbours_keep_theirs(void **state)
{
    struct bench b;
    struct journal *j[3];
    int64_t bytes;
    int n;

    (void)state;
    bench_open(&b);
    j[0] = open_in_group(&b, "a-b", "c"); /* two names that are one when joined by '-' */
    j[1] = open_in_group(&b, "a", "b-c");
    for (int i = 0; i < 2; i++)
        assert_true(wait_down(&b, j[i], false, 10000));
    server_kill(&b.server);
    for (int i = 0; i < 2; i++) {
        assert_true(wait_down(&b, j[i], true, 5000));
        record(j[i], i, "k", 1, true, "paid", 4);
    }
    run_ms(&b, 50);
    bytes = spool_bytes(&b, &n);
    assert_int_equal(n, 2);
    assert_true(bytes > 0);
    j[2] = open_in_group(&b, "a", "d");
    run_ms(&b, 400);
    wait_spool(&b, 3, bytes);
    j[1]->ops->free(j[1]); /* killed; nobody looks again */
    server_start(&b.server, NULL);
    assert_true(wait_down(&b, j[2], false, 15000));
    assert_true(wait_down(&b, j[0], false, 15000));
    run_ms(&b, 50);
    assert_true(spool_bytes(&b, &n) > 0);
    assert_int_equal(n, 3);
    j[1] = open_in_group(&b, "a-b", "b-c"); /* not of that group either */
    assert_true(wait_down(&b, j[1], false, 15000));
    assert_true(spool_bytes(&b, NULL) > 0);
    for (int i = 0; i < 3; i++)
        stop(&b, j[i], true);
    bench_close(&b);
}

static void on_turn(void *arg)
{
    enum { BIG = 1024 * 1024 };
    struct journal *j = arg;
    const struct journal_redis *r = journal_redis_of(j);
    char *bytes;

    if (r->state < SESSION_REPLAYING || r->retain.bytes > 4 * BIG)
        return;
    bytes = mem_zero(BIG);
    for (int i = 0; i < 4; i++)
        record(j, 2, "busy", 1, true, bytes, BIG);
    mem_free(bytes);
}

/* The file is emptied when its records have arrived, not only once there is nothing else to write: its old decision
 * would come back after newer ones. */
static void test_emptied_while_writes_go_on(void **state)
{
    struct bench b;
    struct journal *j;
    struct hook hook = {.fn = on_turn};

    (void)state;
    bench_open(&b);
    j = open_in_group(&b, "g", "1");
    assert_true(wait_down(&b, j, false, 10000));
    server_kill(&b.server);
    assert_true(wait_down(&b, j, true, 5000));
    j->ops->decide(j, at(1), TEXT_LIT("decided"));
    run_ms(&b, 50);
    assert_true(spool_bytes(&b, NULL) > 0);
    hook.arg = j;
    loop_add_hook(b.rig.loop, &hook);
    server_start(&b.server, NULL);
    assert_true(wait_down(&b, j, false, 15000));
    run_ms(&b, 200); /* never without an unacknowledged write */
    assert_int_equal(spool_bytes(&b, NULL), 0);
    loop_del_hook(&hook);
    stop(&b, j, true);
    bench_close(&b);
}

/* A full disk while Redis is away: counted, said, and kept as soon as there is room. */
static void test_full_disk_while_away(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked *a;
    struct rlimit old, small;
    int64_t failures = metric_get(METRIC_SPOOL_FAILURES);

    (void)state;
    bench_open(&b);
    j = open_in_group(&b, "g", "1");
    assert_true(wait_down(&b, j, false, 10000));
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    server_kill(&b.server);
    assert_true(wait_down(&b, j, true, 5000));
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = 20, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    record(j, 1, "k", 1, true, "paid", 4);
    run_ms(&b, 100);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(metric_get(METRIC_SPOOL_FAILURES), failures + 1);
    run_ms(&b, 1200);
    j->ops->free(j); /* killed */
    server_start(&b.server, NULL);
    j = open_in_group(&b, "g", "1");
    a = claim(&b, j, 1, 1);
    assert_int_equal(a->c.n_recalls, 1);
    ask_done(a);
    stop(&b, j, true);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heir_in_another_slot),
        cmocka_unit_test(test_living_neighbours_keep_theirs),
        cmocka_unit_test(test_emptied_while_writes_go_on),
        cmocka_unit_test(test_full_disk_while_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
