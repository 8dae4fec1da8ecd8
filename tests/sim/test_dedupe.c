/* SPDX-License-Identifier: Apache-2.0 */
/* Job ids held against each other, on virtual time: of several records with one id and run, one is worked on, whoever
 * reads them and whenever a worker dies (D-23). */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/metrics.h"
#include "sim/behaviour.h"

#define SECOND INT64_C(1000000)
#define HOUR   (3600 * SECOND)

static void setup_dedupe(struct script *s, const struct line *lines, int n, int n_partitions)
{
    world_init(&s->world, 11, n_partitions);
    s->lines = lines;
    s->n = n;
    s->world.ledger.decide = follow;
    s->world.ledger.arg = s;
    s->world.dedupe_us = HOUR;
}

static void add(struct world *w, int partition, const char *id)
{
    world_job(w, partition, "{\"job_id\":\"%s\",\"prompt\":\"JOB:%s\",\"models\":[\"a\",\"b\"]}", id, id);
}

static void finish(struct world *w, int n_results, int n_requests)
{
    struct tally t;

    assert_true(world_run_until_done(w, 600 * SECOND));
    t = world_tally(w);
    assert_int_equal(t.ok + t.partial + t.failed, n_results);
    assert_int_equal(t.doubled + t.strays + t.dead, 0);
    assert_int_equal(t.missing, w->n_appended - n_results);
    assert_int_equal(w->ledger.n, n_requests);
    assert_int_equal(ledger_paid_again(&w->ledger), 0);
    assert_int_equal(journal_store_count(w->store), 0);
}

static void test_d23_five_copies_are_one_job(void **state)
{
    struct script s;
    int64_t before = metric_get(METRIC_JOBS_DUPLICATE);

    (void)state;
    setup_dedupe(&s, NULL, 0, 1);
    for (int i = 0; i < 5; i++)
        add(&s.world, 0, "x");
    world_add_worker(&s.world, 0, 1);
    finish(&s.world, 1, 2);
    assert_int_equal(metric_get(METRIC_JOBS_DUPLICATE) - before, 4);
    world_done(&s.world);
}

/* At any moment of the first copy's life, and whichever worker has it. */
static void test_d23_a_crash_between_answer_and_commit(void **state)
{
    static const int64_t moments[] = {1000, 150000, 210000, 260000, 330000, 450000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct script s;
        int before;

        setup_dedupe(&s, NULL, 0, 2);
        for (int k = 0; k < 5; k++)
            add(&s.world, k % 2, "x");
        world_add_worker(&s.world, 0, 1);
        world_add_worker(&s.world, 1, 1);
        world_run(&s.world, moments[i]);
        before = s.world.ledger.in_flight;
        world_crash(&s.world.crews[0]);
        world_crash(&s.world.crews[1]);
        world_run(&s.world, SECOND);
        world_add_worker(&s.world, 1, 1); /* the copies' reader is back before the first one's may be */
        world_run(&s.world, 5 * SECOND);
        world_add_worker(&s.world, 0, 1);
        finish(&s.world, 1, 2 + before); /* only what was in flight is asked again */
        world_done(&s.world);
    }
}

static void test_only_the_same_id_and_run_is_the_same_job(void **state)
{
    static const struct {
        const char *first, *second;
        int n_results;
    } cases[] = {
        {"\"job_id\":\"x\"", "\"job_id\":\"x\"", 1},
        {"\"job_id\":\"x\"", "\"job_id\":\"x\",\"run\":0", 1},
        {"\"job_id\":\"x\"", "\"job_id\":\"x\",\"run\":1", 2},
        {"\"job_id\":\"x\"", "\"job_id\":\"y\"", 2},
        {"\"batch_id\":\"b\",\"custom_id\":\"c\"", "\"batch_id\":\"b\",\"custom_id\":\"c\"", 1},
        {"\"batch_id\":\"b\",\"custom_id\":\"c\"", "\"job_id\":\"b/c\"", 1},
        {"\"batch_id\":\"b\",\"custom_id\":\"c\"", "\"batch_id\":\"b\"", 2},
        {"\"batch_id\":\"b\"", "\"batch_id\":\"b\"", 2}, /* no id of their own */
        {"\"labels\":{}", "\"labels\":{}", 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s;

        setup_dedupe(&s, NULL, 0, 1);
        world_job(&s.world, 0, "{\"prompt\":\"p\",\"models\":[\"a\"],%s}", cases[i].first);
        world_job(&s.world, 0, "{\"prompt\":\"q\",\"models\":[\"a\"],%s}", cases[i].second);
        world_add_worker(&s.world, 0, 1);
        finish(&s.world, cases[i].n_results, cases[i].n_results);
        world_done(&s.world);
    }
}

static void test_a_cloudevents_id_is_a_job_id(void **state)
{
    static const char value[] = "{\"prompt\":\"p\",\"models\":[\"a\"]}";
    static const struct message_header id = {.name = "ce_id", .value = "e-1", .value_len = 3};
    struct script s;

    (void)state;
    setup_dedupe(&s, NULL, 0, 1);
    for (int i = 0; i < 2; i++) {
        struct message m = {.ts_ms = loop_wall_ms(s.world.loop),
                            .value = value,
                            .value_len = strlen(value),
                            .headers = &id,
                            .n_headers = 1};

        world_append(&s.world, 0, &m);
    }
    world_add_worker(&s.world, 0, 1);
    finish(&s.world, 1, 1);
    world_done(&s.world);
}

static void test_it_is_remembered_for_its_time(void **state)
{
    static const struct {
        int64_t dedupe_us, later_us;
        int n_results;
    } cases[] = {{HOUR, 59 * 60 * SECOND, 1}, {HOUR, 61 * 60 * SECOND, 2}, {0, 0, 2}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s;

        setup_dedupe(&s, NULL, 0, 1);
        s.world.dedupe_us = cases[i].dedupe_us;
        world_add_worker(&s.world, 0, 1);
        add(&s.world, 0, "x");
        world_run(&s.world, cases[i].later_us);
        add(&s.world, 0, "x");
        finish(&s.world, cases[i].n_results, 2 * cases[i].n_results);
        world_done(&s.world);
    }
}

static void test_a_failed_first_one_counts_too(void **state)
{
    static const struct line lines[] = {{NULL, -1, {.act = ACT_401, .latency_us = 1000}}};
    struct script s;

    (void)state;
    setup_dedupe(&s, lines, 1, 1);
    add(&s.world, 0, "x");
    world_add_worker(&s.world, 0, 1);
    finish(&s.world, 1, 2);
    add(&s.world, 0, "x");
    finish(&s.world, 1, 2);
    assert_int_equal(world_tally(&s.world).failed, 1);
    world_done(&s.world);
}

/* What is no job never takes an id: the mended record may use it. */
static void test_a_dead_letter_takes_no_id(void **state)
{
    struct script s;
    struct tally t;

    (void)state;
    setup_dedupe(&s, NULL, 0, 1);
    world_job(&s.world, 0, "{\"job_id\":\"x\",\"promt\":\"p\"}");
    world_job(&s.world, 0, "{\"job_id\":\"x\",\"prompt\":\"p\"}");
    world_add_worker(&s.world, 0, 1);
    assert_true(world_run_until_done(&s.world, 60 * SECOND));
    t = world_tally(&s.world);
    assert_int_equal(t.dead, 1);
    assert_int_equal(t.ok, 1);
    world_done(&s.world);
}

static void test_nobody_is_asked_before_the_journal_answers(void **state)
{
    struct script s;

    (void)state;
    setup_dedupe(&s, NULL, 0, 1);
    world_add_worker(&s.world, 0, 1);
    add(&s.world, 0, "x");
    add(&s.world, 0, "x");
    world_run(&s.world, 600); /* claimed; the identity is on its way */
    journal_mem_set_down(s.world.crews[0].journal, true);
    world_run(&s.world, 600 * SECOND);
    assert_int_equal(s.world.ledger.n, 0);
    journal_mem_set_down(s.world.crews[0].journal, false);
    finish(&s.world, 1, 2);
    world_done(&s.world);
}

/* The next owner of a partition finds its own record's position, not another's. */
static void test_a_position_that_moves_stays_the_first(void **state)
{
    static const int64_t moments[] = {700, 100000, 260000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct script s;

        setup_dedupe(&s, NULL, 0, 2);
        add(&s.world, 0, "x");
        world_add_worker(&s.world, 0, 1);
        world_run(&s.world, moments[i]);
        assert_true(world_take_away(&s.world.crews[0], 0, i % 2 == 1));
        add(&s.world, 1, "x");
        world_add_worker(&s.world, 0, 2);
        assert_true(world_run_until_done(&s.world, 600 * SECOND));
        assert_int_equal(world_tally(&s.world).ok, 1);
        assert_int_equal(world_count(&s.world, OUT_RESULTS, 0, s.world.appended[0].offset), 1);
        assert_int_equal(ledger_paid_again(&s.world.ledger), 0);
        world_done(&s.world);
    }
}

static void test_a_crash_while_the_question_is_open(void **state)
{
    struct script s;

    (void)state;
    setup_dedupe(&s, NULL, 0, 1);
    add(&s.world, 0, "x");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 700);
    world_crash(&s.world.crews[0]);
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, 700);
    assert_true(world_leave(&s.world.crews[0]));
    world_add_worker(&s.world, 0, 1);
    finish(&s.world, 1, 2);
    world_done(&s.world);
}

/* A job that was taken up before its copy came is not dropped for it later, when its time is over and a crash makes it
 * ask again: the money for its first answer is spent. */
static void test_what_has_begun_is_no_duplicate_of_a_later_one(void **state)
{
    static const struct line lines[] = {{"m-b", 0, {.act = ACT_SILENCE}}, {NULL, -1, {.latency_us = 1000}}};
    struct script s;
    json_t *r;

    (void)state;
    setup_dedupe(&s, lines, 2, 2);
    add(&s.world, 0, "x");
    world_add_worker(&s.world, 0, 1);
    world_run(&s.world, SECOND);
    world_crash(&s.world.crews[0]); /* one answer of two is journaled */
    world_run(&s.world, 2 * HOUR);
    add(&s.world, 1, "x");
    world_add_worker(&s.world, 1, 1);
    world_run(&s.world, 10 * SECOND);
    world_add_worker(&s.world, 0, 1);
    finish(&s.world, 2, 6); /* a and b in vain; of the copy a, b in vain, b; b */
    r = world_result(&s.world, 0, s.world.appended[0].offset);
    assert_non_null(r);
    assert_int_equal(num(r, "calls_recalled"), 1);
    json_decref(r);
    world_done(&s.world);
}

enum { STORM_IDS = 150, STORM_COPIES = 3, STORM_PARTITIONS = 4 };

static void disturb(struct world *w)
{
    struct crew *c = &w->crews[rng_below(&w->rng, 2)];
    int first = c->index * 2;

    if (rng_below(&w->rng, 2) == 0) {
        world_crash(c);
        world_run(w, rng_between(&w->rng, 0, 2 * SECOND));
        CHECK(world_add_worker(w, first, 2) == c);
    } else if (rng_below(&w->rng, 2) == 0) {
        journal_mem_set_down(c->journal, true);
        world_run(w, rng_between(&w->rng, 0, 2 * SECOND));
        journal_mem_set_down(c->journal, false);
    } else if (broker_mem_owns(c->broker, first) && world_take_away(c, first, rng_below(&w->rng, 2) == 0)) {
        broker_mem_assign(c->broker, first);
    }
}

/* Results of each id; there is never more than one of a position (world_tally). */
static void count_results(const struct world *w, int counts[STORM_IDS])
{
    int n;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    memset(counts, 0, sizeof(*counts) * STORM_IDS);
    for (int i = 0; i < n; i++) {
        json_t *r;

        if (records[i].output != OUT_RESULTS)
            continue;
        r = json_loadb(records[i].value, records[i].value_len, 0, NULL);
        counts[strtol(str(r, "job_id"), NULL, 10)]++;
        json_decref(r);
    }
}

/* Copies on both workers, through crashes, rebalances, outages and aborted commits. Remembered long enough, one of each
 * is worked on; forgotten in between, more may be, but they never all make way for each other. */
static void test_of_all_copies_one_is_left(void **state)
{
    static const struct line lines[] = {{"m-b", 0, {.act = ACT_500, .latency_us = 400000}}};
    static const int64_t times[] = {HOUR, 300000, SECOND};
    const char *seed = getenv("SIM_SEED");
    int counts[STORM_IDS];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct script s;
        struct world *w = &s.world;
        struct tally t;

        setup_dedupe(&s, lines, 1, STORM_PARTITIONS);
        if (seed != NULL)
            rng_seed(&w->rng, strtoull(seed, NULL, 10));
        w->dedupe_us = times[i];
        w->abort_per_mille = 200;
        w->journal_write_us = 2000;
        w->worker.max_in_flight = 20;
        world_add_worker(w, 0, 2);
        world_add_worker(w, 2, 2);
        for (int k = 0; k < STORM_IDS * STORM_COPIES; k++) {
            char id[16];

            snprintf(id, sizeof(id), "%d", k / STORM_COPIES);
            add(w, (int)rng_below(&w->rng, STORM_PARTITIONS), id);
            if (k % 30 == 29) {
                world_run(w, rng_between(&w->rng, 100000, SECOND));
                disturb(w);
            }
        }
        assert_true(world_run_until_done(w, 600 * SECOND));
        t = world_tally(w);
        assert_int_equal(t.doubled + t.strays + t.dead + t.partial + t.failed, 0);
        assert_in_range(ledger_paid_again(&w->ledger), 0, journal_store_lost(w->store, JOURNAL_RECORD)); /* kill -9 */
        count_results(w, counts);
        for (int id = 0; id < STORM_IDS; id++)
            assert_in_range(counts[id], 1, times[i] == HOUR ? 1 : STORM_COPIES);
        world_done(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d23_five_copies_are_one_job),
        cmocka_unit_test(test_d23_a_crash_between_answer_and_commit),
        cmocka_unit_test(test_only_the_same_id_and_run_is_the_same_job),
        cmocka_unit_test(test_a_cloudevents_id_is_a_job_id),
        cmocka_unit_test(test_it_is_remembered_for_its_time),
        cmocka_unit_test(test_a_failed_first_one_counts_too),
        cmocka_unit_test(test_a_dead_letter_takes_no_id),
        cmocka_unit_test(test_nobody_is_asked_before_the_journal_answers),
        cmocka_unit_test(test_a_position_that_moves_stays_the_first),
        cmocka_unit_test(test_a_crash_while_the_question_is_open),
        cmocka_unit_test(test_what_has_begun_is_no_duplicate_of_a_later_one),
        cmocka_unit_test(test_of_all_copies_one_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
