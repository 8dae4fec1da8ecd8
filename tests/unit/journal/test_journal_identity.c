/* SPDX-License-Identifier: Apache-2.0 */
/* Who was first with a job id: the same answers from both journals, and the Redis one through an outage. Takes some
 * seconds: a server has to be missed. */
#include "journal_bench.h"

#include "impl/journal_mem.h"

#define HOUR_US INT64_C(3600000000)

struct question {
    struct identify i;
    struct bench *b;
    int n; /* answers */
};

static void on_identified(struct identify *i, void *arg)
{
    struct question *q = arg;

    (void)i;
    q->n++;
    loop_stop(q->b->rig.loop);
}

static void put(struct bench *b, struct journal *j, struct question *q, const char *job_id, int64_t offset)
{
    *q = (struct question){.b = b,
                           .i = {.pos = *at(offset), .job_id = job_id, .ttl_us = HOUR_US, .done = on_identified}};
    q->i.arg = q;
    list_init(&q->i.link);
    j->ops->identify(j, &q->i);
    CHECK(q->n == 0);
}

static bool is_taken(struct bench *b, struct journal *j, const char *job_id, int64_t run, int64_t offset,
                     int64_t ttl_us)
{
    struct question q = {
        .b = b, .i = {.pos = *at(offset), .job_id = job_id, .run = run, .ttl_us = ttl_us, .done = on_identified}};

    q.i.arg = &q;
    list_init(&q.i.link);
    j->ops->identify(j, &q.i);
    CHECK(rig_wait(&b->rig, &q.n, 1, 10000));
    return q.i.is_taken;
}

static void first_one_wins(struct bench *b, struct journal *one, struct journal *two)
{
    char id[201] = {0};

    memset(id, 'i', 200);
    for (int again = 0; again < 2; again++) {
        assert_false(is_taken(b, one, "x", 0, 1, HOUR_US)); /* the same position: also the second time */
        assert_false(is_taken(b, two, "x", 0, 1, HOUR_US)); /* and from its next owner */
        assert_true(is_taken(b, one, "x", 0, 2, HOUR_US));
        assert_true(is_taken(b, two, "x", 0, 3, HOUR_US));
    }
    assert_false(is_taken(b, two, "x", 1, 3, HOUR_US));
    assert_false(is_taken(b, two, "y", 0, 2, HOUR_US));
    assert_false(is_taken(b, one, id, 0, 4, HOUR_US));
    assert_true(is_taken(b, two, id, 0, 5, HOUR_US));
    assert_false(is_taken(b, one, "brief", 0, 6, 20000));
    run_ms(b, 60);
    assert_false(is_taken(b, two, "brief", 0, 7, HOUR_US));
}

static void test_first_one_wins_in_redis(void **state)
{
    struct bench b;
    struct journal *one, *two, *other;
    struct journal_redis_conf conf = {.group = "h", .slot = "1"};
    struct answer keys;
    const char *why;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 60000);
    two = ready_journal(&b, "2", 60000);
    first_one_wins(&b, one, two);
    CHECK(redis_conf_parse(b.url, &conf.redis, &why) == 0);
    other = journal_redis_new(b.rig.loop, &b.rig.rng, &conf);
    redis_conf_done(&conf.redis);
    assert_true(wait_down(&b, other, false, 10000));
    assert_false(is_taken(&b, other, "x", 0, 9, HOUR_US)); /* another group works on it for itself */
    keys = rig_ask(&b.rig, "EVAL local\tn=0;for\t_,k\tin\tipairs(redis.call('KEYS','tutti:id:*'))do\tif\t#k>60\tthen\t"
                           "n=n+1\tend\tend\treturn\tn 0");
    assert_int_equal(keys.type, REDIS_INT);
    assert_int_equal(keys.i, 0); /* however long the id is */
    stop(&b, one, true);
    stop(&b, two, true);
    stop(&b, other, true);
    bench_close(&b);
}

static void test_first_one_wins_in_memory(void **state)
{
    struct bench b;
    struct journal_store *store = journal_store_new();
    struct journal *one, *two;

    (void)state;
    bench_open(&b);
    one = journal_mem_new(b.rig.loop, store, "1", 0);
    two = journal_mem_new(b.rig.loop, store, "2", 0);
    first_one_wins(&b, one, two);
    one->ops->free(one);
    two->ops->free(two);
    journal_store_free(store);
    bench_close(&b);
}

/* Redis took the identity, and we never heard so: asked again it is still ours. */
static void test_asked_again_after_a_lost_answer(void **state)
{
    struct bench b;
    struct journal *one, *two;
    struct question first, copies[2], gone;

    (void)state;
    bench_open(&b);
    one = ready_journal(&b, "1", 60000);
    two = ready_journal(&b, "2", 60000);
    (void)kill(b.server.pid, SIGSTOP);
    put(&b, one, &first, "x", 1);
    for (int i = 0; i < 2; i++)
        put(&b, one, &copies[i], "x", 2 + i);
    put(&b, one, &gone, "z", 7);
    run_ms(&b, 50);
    one->ops->unidentify(one, &gone.i);
    assert_true(wait_down(&b, one, true, 5000));
    run_ms(&b, 50);
    assert_int_equal(first.n, 0);
    (void)kill(b.server.pid, SIGCONT);
    assert_true(wait_down(&b, one, false, 10000));
    for (int i = 0; i < 2; i++)
        assert_true(rig_wait(&b.rig, &copies[i].n, 1, 10000));
    run_ms(&b, 50);
    assert_int_equal(first.n, 1);
    assert_false(first.i.is_taken);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(copies[i].n, 1);
        assert_true(copies[i].i.is_taken);
    }
    assert_int_equal(gone.n, 0);
    assert_true(wait_down(&b, two, false, 10000));
    assert_true(is_taken(&b, two, "x", 0, 8, HOUR_US));
    assert_false(is_taken(&b, two, "z", 0, 7, HOUR_US)); /* Redis may have taken it before: the same position */
    stop(&b, one, true);
    stop(&b, two, true);
    bench_close(&b);
}

static void test_taken_back_before_it_was_sent(void **state)
{
    struct bench b;
    struct journal *j;
    struct question q, open;

    (void)state;
    bench_open(&b);
    j = ready_journal(&b, "1", 60000);
    put(&b, j, &q, "x", 1);
    j->ops->unidentify(j, &q.i);
    run_ms(&b, 50);
    assert_int_equal(q.n, 0);
    assert_false(is_taken(&b, j, "x", 0, 2, HOUR_US));
    put(&b, j, &open, "y", 3); /* freed with the question open */
    j->ops->free(j);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_one_wins_in_redis),
        cmocka_unit_test(test_first_one_wins_in_memory),
        cmocka_unit_test(test_asked_again_after_a_lost_answer),
        cmocka_unit_test(test_taken_back_before_it_was_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
