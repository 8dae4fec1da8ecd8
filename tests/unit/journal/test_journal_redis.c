/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal against a real redis-server: what it remembers, who owns what, outages, restarts. Takes some
 * seconds: keys have to run out and servers to stand still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "impl/journal_redis.h"
#include "unit/redis/redis_rig.h"
#include "unit/redis/redis_server.h"

/* One server, a plain connection beside the journals, and the loop they all run on. */
struct bench {
    struct redis_server server;
    struct rig rig;
    char url[64];
};

struct asked {
    struct claim c;
    struct bench *b;
    int n; /* answers */
};

static void bench_open(struct bench *b)
{
    server_init(&b->server);
    server_start(&b->server, NULL);
    rig_init(&b->rig);
    (void)snprintf(b->url, sizeof(b->url), "redis://127.0.0.1:%d", b->server.port);
    rig_open(&b->rig, b->url);
    assert_true(rig_wait(&b->rig, &b->rig.n_up, 1, 10000));
}

static void bench_close(struct bench *b)
{
    rig_done(&b->rig);
    server_done(&b->server);
}

/* Runs the loop for a while. */
static void run_ms(struct bench *b, int ms)
{
    int never = 0;

    (void)rig_wait(&b->rig, &never, 1, ms);
}

/* Runs the loop until is_down is `is_down`; true when it is. */
static bool wait_down(struct bench *b, const struct journal *j, bool is_down, int ms)
{
    for (; ms > 0 && j->is_down != is_down; ms -= 5)
        run_ms(b, 5);
    return j->is_down == is_down;
}

static struct journal *open_journal(struct bench *b, const char *slot, int64_t liveness_ms, const char *spool_dir)
{
    struct journal_redis_conf conf = {
        .group = "g", .slot = slot, .ttl_ms = 60000, .spool_dir = spool_dir, .liveness_ms = liveness_ms};
    struct journal *j;
    const char *why;

    CHECK(redis_conf_parse(b->url, &conf.redis, &why) == 0);
    j = journal_redis_new(b->rig.loop, &b->rig.rng, &conf);
    redis_conf_done(&conf.redis);
    return j;
}

/* A journal that is ready and past the grace of a server that has just started. */
static struct journal *ready_journal(struct bench *b, const char *slot, int64_t liveness_ms)
{
    struct journal *j = open_journal(b, slot, liveness_ms, NULL);

    assert_true(j->is_down);
    assert_true(wait_down(b, j, false, 10000));
    return j;
}

static const struct position *at(int64_t offset)
{
    static struct position p[4];
    static int next;

    next = (next + 1) % 4;
    p[next] = (struct position){.topic = "tutti.jobs", .partition = 3, .offset = offset};
    return &p[next];
}

static void on_claimed(struct claim *c, void *arg)
{
    struct asked *a = arg;

    (void)c;
    a->n++;
    loop_stop(a->b->rig.loop);
}

static void ask(struct bench *b, struct journal *j, int64_t offset, int digest, struct asked *a)
{
    *a = (struct asked){.b = b};
    a->c.pos = *at(offset);
    memset(a->c.digest, digest, sizeof(a->c.digest));
    a->c.arena = arena_new(4096);
    a->c.done = on_claimed;
    a->c.arg = a;
    j->ops->claim(j, &a->c);
    CHECK(a->n == 0);
}

static void ask_done(struct asked *a)
{
    arena_free(a->c.arena);
}

/* Claims, waits; the caller looks and calls ask_done(). */
static struct asked *claim(struct bench *b, struct journal *j, int64_t offset, int digest)
{
    static struct asked a;

    ask(b, j, offset, digest, &a);
    assert_true(rig_wait(&b->rig, &a.n, 1, 10000));
    assert_int_equal(a.n, 1);
    return &a;
}

static void expect_claim(struct bench *b, struct journal *j, int64_t offset, int digest, enum claim_result result,
                         int deliveries, int n_recalls)
{
    struct asked *a = claim(b, j, offset, digest);

    assert_int_equal(a->c.result, result);
    if (result == CLAIM_OURS) {
        assert_int_equal(a->c.deliveries, deliveries);
        assert_int_equal(a->c.n_recalls, n_recalls);
    }
    ask_done(a);
}

static void record(struct journal *j, int64_t offset, const char *key, int attempt, bool is_done, const char *bytes,
                   size_t len)
{
    struct recall r = {.call_key = key, .attempt = attempt, .is_done = is_done, .bytes = text_slice(bytes, len)};

    j->ops->record(j, at(offset), &r);
}

static const struct recall *find(const struct asked *a, const char *key, bool is_done, int attempt)
{
    for (int i = 0; i < a->c.n_recalls; i++) {
        const struct recall *r = &a->c.recalls[i];

        if (strcmp(r->call_key, key) == 0 && r->is_done == is_done && r->attempt == attempt)
            return r;
    }
    return NULL;
}

static void on_stopped(void *arg)
{
    ++*(int *)arg;
}

static void stop(struct bench *b, struct journal *j, bool is_leaving)
{
    int n = 0;

    j->ops->stop(j, is_leaving, on_stopped, &n);
    for (int i = 0; i < 1000 && n == 0; i++)
        run_ms(b, 5);
    assert_int_equal(n, 1);
    j->ops->free(j);
}

static void test_remembers(void **state)
{
    static const char first[] = "pa\0id\xff";
    struct bench b;
    struct journal *one, *two;
    struct asked *a;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 2000);
    two = ready_journal(&b, "2", 2000);
    one->ops->announce(one, "1");
    expect_claim(&b, one, 7, 1, CLAIM_OURS, 1, 0);
    record(one, 7, "answer:0:0:0:0", 2, true, first, sizeof(first));
    record(one, 7, "answer:1:0:0:0", 1, false, "timeout", 7);
    record(one, 7, "answer:1:0:0:0", 2, false, "", 0);
    one->ops->decide(one, at(7), TEXT_LIT("early"));
    one->ops->decide(one, at(7), TEXT_LIT("final"));
    record(two, 7, "answer:0:0:0:0", 1, true, "late", 4); /* the first writer wins, whoever it is */
    expect_claim(&b, two, 7, 1, CLAIM_OWNER_ALIVE, 0, 0);
    expect_claim(&b, two, 8, 1, CLAIM_OURS, 1, 0);
    stop(&b, one, true);
    a = claim(&b, two, 7, 1); /* it withdrew: no waiting */
    assert_int_equal(a->c.result, CLAIM_OURS);
    assert_int_equal(a->c.deliveries, 1); /* progress was made */
    assert_int_equal(a->c.n_recalls, 3);
    assert_non_null(find(a, "answer:0:0:0:0", true, 2));
    assert_memory_equal(find(a, "answer:0:0:0:0", true, 2)->bytes.p, first, sizeof(first));
    assert_int_equal(find(a, "answer:0:0:0:0", true, 2)->bytes.len, sizeof(first));
    assert_non_null(find(a, "answer:1:0:0:0", false, 1));
    assert_int_equal(find(a, "answer:1:0:0:0", false, 2)->bytes.len, 0);
    assert_true(text_is(a->c.decision, "final"));
    ask_done(a);
    stop(&b, two, true);
    bench_close(&b);
}

static void test_big_values(void **state)
{
    enum { BIG = 1024 * 1024 };
    struct bench b;
    struct journal *j;
    struct asked *a;
    char *soft = mem_alloc(BIG), *hard = mem_alloc(BIG);
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (int i = 0; i < BIG; i++) {
        soft[i] = (char)('a' + i / 7 % 13);
        hard[i] = (char)rng_u64(&rng);
    }
    bench_open(&b);
    j = ready_journal(&b, "1", 2000);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    record(j, 1, "soft", 1, true, soft, BIG);
    record(j, 1, "hard", 1, true, hard, BIG);
    record(j, 1, "edge", 1, true, soft, 16384);
    record(j, 1, "over", 1, true, soft, 16385);
    a = claim(&b, j, 1, 1);
    assert_int_equal(a->c.n_recalls, 4);
    assert_memory_equal(find(a, "soft", true, 1)->bytes.p, soft, BIG);
    assert_memory_equal(find(a, "hard", true, 1)->bytes.p, hard, BIG);
    assert_int_equal(find(a, "edge", true, 1)->bytes.len, 16384);
    assert_int_equal(find(a, "over", true, 1)->bytes.len, 16385);
    ask_done(a);
    assert_true(rig_ask(&b.rig, "HSTRLEN tutti:j:{g/tutti.jobs/3/1} Dsoft").i < 100000);
    assert_int_equal(rig_ask(&b.rig, "HSTRLEN tutti:j:{g/tutti.jobs/3/1} Dhard").i, BIG + 9);
    stop(&b, j, true);
    bench_close(&b);
    mem_free(soft);
    mem_free(hard);
}

static void test_another_record_at_the_position(void **state)
{
    struct bench b;
    struct journal *old, *new;

    (void)state;
    bench_open(&b);
    old = ready_journal(&b, "1", 2000);
    new = ready_journal(&b, "2", 2000);
    expect_claim(&b, old, 1, 1, CLAIM_OURS, 1, 0);
    record(old, 1, "k", 1, true, "of the old topic", 16);
    expect_claim(&b, old, 1, 1, CLAIM_OURS, 1, 1);
    expect_claim(&b, new, 1, 2, CLAIM_OURS, 1, 0); /* whoever owned the other record */
    record(old, 1, "k", 1, true, "late, of the old topic", 22);
    run_ms(&b, 20);
    expect_claim(&b, new, 1, 2, CLAIM_OURS, 2, 0);
    stop(&b, old, true);
    stop(&b, new, true);
    bench_close(&b);
}

static void test_deliveries_count_up_without_progress(void **state)
{
    struct bench b;
    struct journal *j;

    (void)state;
    bench_open(&b);
    for (int i = 1; i <= 3; i++) { /* the record that kills the process */
        j = ready_journal(&b, "1", 2000);
        j->ops->announce(j, "1");
        expect_claim(&b, j, 1, 1, CLAIM_OURS, i, 0);
        j->ops->free(j);
    }
    j = ready_journal(&b, "1", 2000);
    j->ops->announce(j, "1");
    record(j, 1, "k", 1, false, "x", 1);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 1); /* not held by us when recorded, but known to Redis */
    stop(&b, j, true);
    bench_close(&b);
}

static void test_successor_in_the_slot(void **state)
{
    struct bench b;
    struct journal *zombie, *next;

    (void)state;
    bench_open(&b);
    zombie = ready_journal(&b, "host/a", 2000);
    zombie->ops->announce(zombie, "host/a");
    expect_claim(&b, zombie, 1, 1, CLAIM_OURS, 1, 0);
    expect_claim(&b, zombie, 2, 1, CLAIM_OURS, 1, 0);
    next = ready_journal(&b, "host/a", 2000);
    assert_string_not_equal(journal_redis_incarnation(zombie), journal_redis_incarnation(next));
    expect_claim(&b, next, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    next->ops->announce(next, "host/a");
    expect_claim(&b, next, 1, 1, CLAIM_OURS, 2, 0);
    expect_claim(&b, zombie, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    record(zombie, 2, "k", 1, true, "paid", 4); /* it may add what it paid for */
    zombie->ops->announce(zombie, "host/a");    /* and not come back by saying it again */
    run_ms(&b, 20);
    expect_claim(&b, next, 2, 1, CLAIM_OURS, 1, 1);
    /* nor by reconnecting */
    next->ops->free(next);
    assert_int_equal(rig_ask(&b.rig, "CLIENT KILL TYPE normal SKIPME yes").error, 0);
    assert_true(wait_down(&b, zombie, true, 1000));
    assert_true(wait_down(&b, zombie, false, 10000));
    expect_claim(&b, zombie, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    zombie->ops->free(zombie);
    bench_close(&b);
}

static void test_dead_owner(void **state)
{
    struct bench b;
    struct journal *one, *two;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 400);
    two = ready_journal(&b, "2", 400);
    run_ms(&b, 450); /* past the server's own grace */
    one->ops->announce(one, "1");
    expect_claim(&b, one, 1, 1, CLAIM_OURS, 1, 0);
    run_ms(&b, 900); /* renewed */
    expect_claim(&b, two, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    one->ops->free(one);
    expect_claim(&b, two, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    run_ms(&b, 500);
    expect_claim(&b, two, 1, 1, CLAIM_OURS, 2, 0);
    stop(&b, two, true);
    bench_close(&b);
}

static void test_release_cancel_forget(void **state)
{
    struct bench b;
    struct journal *one, *two;
    struct asked a;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 2000);
    two = ready_journal(&b, "2", 2000);
    expect_claim(&b, one, 1, 1, CLAIM_OURS, 1, 0);
    record(one, 1, "k", 1, true, "v", 1);
    one->ops->release(one, at(1));
    run_ms(&b, 20);
    expect_claim(&b, two, 1, 1, CLAIM_OURS, 1, 1);
    one->ops->release(one, at(1)); /* not ours any more: nothing */
    run_ms(&b, 20);
    expect_claim(&b, one, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);

    ask(&b, one, 2, 1, &a);
    one->ops->cancel(one, &a.c); /* not sent yet */
    ask_done(&a);
    ask(&b, one, 3, 1, &a);
    (void)kill(b.server.pid, SIGSTOP);
    run_ms(&b, 20);
    one->ops->cancel(one, &a.c); /* on its way */
    ask_done(&a);
    (void)kill(b.server.pid, SIGCONT);
    run_ms(&b, 50);
    assert_int_equal(a.n, 0);
    expect_claim(&b, two, 2, 1, CLAIM_OURS, 1, 0);
    expect_claim(&b, two, 3, 1, CLAIM_OURS, 1, 0); /* a claim given back is no crash */

    for (int i = 10; i < 1010; i++) {
        expect_claim(&b, two, i, 1, CLAIM_OURS, 1, 0);
    }
    for (int i = 1; i < 1010; i++)
        two->ops->forget(two, at(i));
    record(two, 5, "late", 1, true, "v", 1); /* of a job that is over: leaves nothing behind */
    run_ms(&b, 50);
    assert_int_equal(rig_ask(&b.rig, "KEYS tutti:j:*").elements, 0);
    expect_claim(&b, two, 1, 1, CLAIM_OURS, 1, 0);
    stop(&b, one, true);
    stop(&b, two, false);
    assert_int_equal(rig_ask(&b.rig, "KEYS tutti:inc:g:2/*").elements, 1);
    assert_int_equal(rig_ask(&b.rig, "KEYS tutti:inc:g:1/*").elements, 1); /* a sign that it has left */
    bench_close(&b);
}

static void test_many_claims_at_once(void **state)
{
    enum { N = 6000 };
    struct bench b;
    struct journal *j;
    struct asked *a = mem_zero(N * sizeof(*a));
    int n = 0;

    (void)state;
    bench_open(&b);
    j = open_journal(&b, "1", 2000, NULL); /* they wait until it is ready */
    for (int i = 0; i < N; i++)
        ask(&b, j, i, 1, &a[i]);
    for (int ms = 0; ms < 10000 && n < N; ms += 20) {
        run_ms(&b, 20);
        n = 0;
        for (int i = 0; i < N; i++)
            n += a[i].n;
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].n, 1);
        assert_int_equal(a[i].c.deliveries, 1);
        ask_done(&a[i]);
    }
    j->ops->free(j);
    bench_close(&b);
    mem_free(a);
}

static void test_outage(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked a;
    int64_t spooled = metric_get(METRIC_JOURNAL_SPOOLED);

    (void)state;
    bench_open(&b);
    j = ready_journal(&b, "1", 2000);
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 0);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    expect_claim(&b, j, 2, 1, CLAIM_OURS, 1, 0);
    server_kill(&b.server);
    record(j, 1, "a", 1, true, "before it is noticed", 20);
    assert_true(wait_down(&b, j, true, 5000));
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 1);
    record(j, 1, "b", 1, true, "while it is away", 16);
    j->ops->decide(j, at(1), TEXT_LIT("decided"));
    record(j, 2, "c", 1, true, "x", 1);
    j->ops->forget(j, at(2));
    ask(&b, j, 3, 1, &a);
    run_ms(&b, 100);
    assert_int_equal(a.n, 0);
    server_start(&b.server, NULL); /* empty, without our functions */
    assert_true(rig_wait(&b.rig, &a.n, 1, 15000));
    assert_int_equal(a.c.result, CLAIM_OURS);
    ask_done(&a);
    assert_false(j->is_down);
    assert_int_equal(metric_get(METRIC_JOURNAL_SPOOLED), spooled + 5);
    a = *claim(&b, j, 1, 1);
    assert_int_equal(a.c.n_recalls, 2);
    assert_true(text_is(a.c.decision, "decided"));
    ask_done(&a);
    expect_claim(&b, j, 2, 1, CLAIM_OURS, 1, 0);
    stop(&b, j, true);
    bench_close(&b);
}

/* A claim whose answer was lost is asked again, and counted once. */
static void test_lost_answer(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked a;

    (void)state;
    bench_open(&b);
    j = ready_journal(&b, "1", 8000);
    (void)kill(b.server.pid, SIGSTOP);
    ask(&b, j, 1, 1, &a);
    assert_true(wait_down(&b, j, true, 5000));
    (void)kill(b.server.pid, SIGCONT); /* reads the claim from the dead connection, too */
    assert_true(rig_wait(&b.rig, &a.n, 1, 15000));
    assert_int_equal(a.n, 1);
    assert_int_equal(a.c.deliveries, 1);
    ask_done(&a);
    stop(&b, j, true);
    bench_close(&b);
}

/* While a server stood still the keys of the living ran out with those of the dead: nobody is dead for a while. */
static void test_grace_after_an_outage(void **state)
{
    struct bench b;
    struct journal *one, *two;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 1500);
    two = ready_journal(&b, "2", 1500);
    run_ms(&b, 2000); /* past the server's own grace */
    expect_claim(&b, one, 1, 1, CLAIM_OURS, 1, 0);
    one->ops->free(one); /* or cut off: nobody can tell */
    (void)kill(b.server.pid, SIGSTOP);
    assert_true(wait_down(&b, two, true, 5000)); /* its renewal is not answered for 2 s */
    run_ms(&b, 400);
    (void)kill(b.server.pid, SIGCONT);
    assert_true(wait_down(&b, two, false, 10000));
    assert_int_equal(rig_ask(&b.rig, "PING").error == 0, redis_is_up(b.rig.redis));
    expect_claim(&b, two, 1, 1, CLAIM_OWNER_ALIVE, 0, 0);
    run_ms(&b, 1700);
    expect_claim(&b, two, 1, 1, CLAIM_OURS, 2, 0);
    stop(&b, two, true);
    bench_close(&b);
}

static int64_t spool_bytes(const struct bench *b)
{
    struct stat st;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/journal-g-1.spool", b->server.dir);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void test_restart_with_a_spool(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked *a;

    (void)state;
    bench_open(&b);
    j = open_journal(&b, "1", 2000, b.server.dir);
    assert_true(wait_down(&b, j, false, 10000));
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    server_kill(&b.server);
    assert_true(wait_down(&b, j, true, 5000));
    record(j, 1, "a", 3, true, "paid\0for", 8);
    j->ops->decide(j, at(1), TEXT_LIT("decided"));
    run_ms(&b, 50);
    assert_true(spool_bytes(&b) > 0);
    j->ops->free(j); /* killed */
    server_start(&b.server, NULL);
    j = open_journal(&b, "1", 2000, b.server.dir);
    a = claim(&b, j, 1, 1);
    assert_int_equal(a->c.n_recalls, 1);
    assert_int_equal(find(a, "a", true, 3)->bytes.len, 8);
    assert_true(text_is(a->c.decision, "decided"));
    ask_done(a);
    run_ms(&b, 50);
    assert_int_equal(spool_bytes(&b), 0);
    stop(&b, j, true);
    bench_close(&b);
}

static void test_stop_while_away(void **state)
{
    struct bench b;
    struct journal *j;
    struct asked *a;
    int64_t began_us;

    (void)state;
    bench_open(&b);
    j = open_journal(&b, "1", 2000, b.server.dir);
    assert_true(wait_down(&b, j, false, 10000));
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    (void)kill(b.server.pid, SIGSTOP);
    record(j, 1, "a", 1, true, "paid", 4);
    began_us = loop_clock_us(b.rig.loop);
    stop(&b, j, true);
    assert_true(loop_clock_us(b.rig.loop) - began_us < 3000000);
    assert_true(spool_bytes(&b) > 0);
    server_kill(&b.server);
    server_start(&b.server, NULL);
    j = open_journal(&b, "1", 2000, b.server.dir);
    a = claim(&b, j, 1, 1);
    assert_int_equal(a->c.n_recalls, 1);
    ask_done(a);
    stop(&b, j, true);
    bench_close(&b);
}

static void test_functions_flushed_and_memory_full(void **state)
{
    struct bench b;
    struct journal *j;

    (void)state;
    bench_open(&b);
    j = ready_journal(&b, "1", 2000);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    assert_int_equal(rig_ask(&b.rig, "FUNCTION FLUSH").type, REDIS_STATUS);
    record(j, 1, "a", 1, true, "x", 1);
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 1);
    assert_int_equal(rig_ask(&b.rig, "CONFIG SET maxmemory 1").type, REDIS_STATUS);
    record(j, 1, "b", 1, true, "y", 1);
    assert_true(wait_down(&b, j, true, 5000));
    assert_int_equal(rig_ask(&b.rig, "CONFIG SET maxmemory 0").type, REDIS_STATUS);
    assert_true(wait_down(&b, j, false, 5000));
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 2);
    stop(&b, j, true);
    bench_close(&b);
}

static void test_strange_contents(void **state)
{
    static const char *const commands[] = {
        "HSET tutti:j:{g/tutti.jobs/3/1} d 01010101010101010101010101010101 Dk short",
        "HSET tutti:j:{g/tutti.jobs/3/1} Dk2 zAAAABBBBnotzlib",
        "HSET tutti:j:{g/tutti.jobs/3/1} Fnocolon pAAAA",
        "HSET tutti:j:{g/tutti.jobs/3/1} S x",
        "HSET tutti:j:{g/tutti.jobs/3/1} o nonsense",
        "HSET tutti:j:{g/tutti.jobs/3/1} D x X y",
        "HSET tutti:slots:g 1 nonsense",
    };
    struct bench b;
    struct journal *j;

    (void)state;
    bench_open(&b);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        assert_int_equal(rig_ask(&b.rig, commands[i]).type, REDIS_INT);
    j = ready_journal(&b, "1", 200);
    j->ops->announce(j, "1");
    run_ms(&b, 1200); /* past the grace in which even a nonsense owner may be alive */
    expect_claim(&b, j, 1, 1, CLAIM_OURS, 1, 0);
    stop(&b, j, true);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers),
        cmocka_unit_test(test_big_values),
        cmocka_unit_test(test_another_record_at_the_position),
        cmocka_unit_test(test_deliveries_count_up_without_progress),
        cmocka_unit_test(test_successor_in_the_slot),
        cmocka_unit_test(test_dead_owner),
        cmocka_unit_test(test_release_cancel_forget),
        cmocka_unit_test(test_many_claims_at_once),
        cmocka_unit_test(test_outage),
        cmocka_unit_test(test_lost_answer),
        cmocka_unit_test(test_grace_after_an_outage),
        cmocka_unit_test(test_restart_with_a_spool),
        cmocka_unit_test(test_stop_while_away),
        cmocka_unit_test(test_functions_flushed_and_memory_full),
        cmocka_unit_test(test_strange_contents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
