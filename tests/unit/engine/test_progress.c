/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of the batches of one assigned partition: what is committed counts once, whatever was aborted before, and
 * memory is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/check.h"
#include "base/mem.h"
#include "engine/stats.h"

static size_t limit(struct broker *b, enum output o)
{
    (void)b;
    (void)o;
    return 1 << 20;
}

static const struct broker_ops ops = {.name = "rig", .limit = limit};
static struct broker broker = {.ops = &ops};
static struct env env = {.broker = &broker, .group = "g", .worker_id = "w", .build = "x"};
static const struct broker_part part = {.topic = "tutti.jobs", .partition = 5, .epoch = 7};

/* A finished job without calls. */
static struct job *job_of(struct arena *a, const char *batch_id, enum job_status status)
{
    struct job *j = arena_zero(a, sizeof(*j));

    j->arena = a;
    j->env = &env;
    j->status = status;
    j->ended_ms = 1000;
    j->spec.batch_id = text_of(arena_strdup(a, batch_id));
    return j;
}

/* The records of a commit batch. */
static struct record *records(struct progress *p, uint64_t number, struct arena *a)
{
    struct stats_origin o = {.env = &env, .incarnation = "00c0ffee00c0ffee", .number = number, .arena = a};

    return progress_records(p, &o, NULL);
}

static void check(const struct record *r, const char *key, int total, int ok)
{
    json_t *json;

    assert_non_null(r);
    assert_int_equal(r->key_len, strlen(key));
    assert_memory_equal(r->key, key, r->key_len);
    json = json_loadb(r->value, r->value_len, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(json, "jobs_total")), total);
    assert_int_equal(json_integer_value(json_object_get(json, "jobs_ok")), ok);
    json_decref(json);
}

static void test_what_was_aborted_counts_once(void **state)
{
    struct arena *a = arena_new(4096);
    struct progress *p = progress_new(&env, "00c0ffee00c0ffee", &part);
    struct job *x = job_of(a, "x", JOB_OK), *x2 = job_of(a, "x", JOB_FAILED), *y = job_of(a, "y/1", JOB_OK);
    struct record *r;

    (void)state;
    progress_add(p, x, 1, a);
    r = records(p, 1, a);
    check(r, "x/5/00c0ffee00c0ffee-7", 1, 1);
    assert_null(r->next);
    progress_add(p, x, 2, a); /* the first was aborted */
    progress_add(p, x2, 2, a);
    progress_add(p, y, 2, a);
    r = records(p, 2, a);
    check(r, "x/5/00c0ffee00c0ffee-7", 2, 1);
    check(r->next, "y/1/5/00c0ffee00c0ffee-7", 1, 1);
    assert_null(r->next->next);
    progress_commit(p, x);
    progress_commit(p, x2);
    progress_commit(p, y);
    progress_add(p, job_of(a, "y/1", JOB_FAILED), 3, a);
    r = records(p, 3, a);
    check(r, "y/1/5/00c0ffee00c0ffee-7", 2, 1); /* x did not change */
    assert_null(r->next);
    assert_null(records(p, 4, a));
    progress_commit(p, job_of(a, "never told of", JOB_OK));
    progress_free(p);
    arena_free(a);
}

static void test_an_escaped_id_is_the_same_id(void **state)
{
    struct arena *a = arena_new(4096);
    struct progress *p = progress_new(&env, "00c0ffee00c0ffee", &part);
    struct job *j = job_of(a, "b\\u0075", JOB_OK);

    (void)state;
    j->spec.batch_id.is_escaped = true;
    progress_add(p, j, 1, a);
    progress_commit(p, j);
    progress_add(p, job_of(a, "bu", JOB_OK), 2, a);
    check(records(p, 2, a), "bu/5/00c0ffee00c0ffee-7", 2, 2);
    progress_free(p);
    arena_free(a);
}

static void add_many(struct progress *p, int from, int n, uint64_t number, bool is_committed)
{
    struct arena *a = arena_new(4096);

    for (int i = from; i < from + n; i++) {
        struct job *j;
        char id[24];

        snprintf(id, sizeof(id), "b%d", i);
        j = job_of(a, id, JOB_OK);
        progress_add(p, j, number, a);
        if (is_committed)
            progress_commit(p, j);
    }
    arena_free(a);
}

static void test_the_oldest_idle_batch_is_forgotten(void **state)
{
    struct arena *a = arena_new(4096);
    struct progress *p = progress_new(&env, "00c0ffee00c0ffee", &part);

    (void)state;
    add_many(p, 0, PROGRESS_BATCHES_MAX, 1, true);
    add_many(p, 0, 1, 2, true); /* b0 is used again: b1 is the oldest */
    add_many(p, -1, 1, 3, true);
    add_many(p, 0, 1, 4, false);
    check(records(p, 4, a), "b0/5/00c0ffee00c0ffee-7", 3, 3);
    add_many(p, 1, 1, 5, false); /* forgotten: b1 begins anew, b2 has to go */
    check(records(p, 5, a), "b1/5/00c0ffee00c0ffee-7-2", 1, 1);
    progress_free(p);
    arena_free(a);
}

/* A commit batch with more batches than are kept: each is told of, and committed. */
static void test_those_of_the_commit_batch_stay(void **state)
{
    struct arena *a = arena_new(4096);
    struct progress *p = progress_new(&env, "00c0ffee00c0ffee", &part);
    struct job *first = job_of(a, "first", JOB_OK);
    int n = 0;

    (void)state;
    progress_add(p, first, 1, a);
    add_many(p, 0, PROGRESS_BATCHES_MAX + 100, 1, false);
    for (struct record *r = records(p, 1, a); r != NULL; r = r->next)
        n++;
    assert_int_equal(n, PROGRESS_BATCHES_MAX + 101);
    progress_commit(p, first);
    progress_add(p, first, 2, a);
    check(records(p, 2, a), "first/5/00c0ffee00c0ffee-7", 2, 2);
    add_many(p, -1, 1, 3, false); /* now they may go */
    check(records(p, 3, a), "b-1/5/00c0ffee00c0ffee-7-102", 1, 1);
    progress_free(p);
    progress_free(NULL);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_aborted_counts_once),
        cmocka_unit_test(test_an_escaped_id_is_the_same_id),
        cmocka_unit_test(test_the_oldest_idle_batch_is_forgotten),
        cmocka_unit_test(test_those_of_the_commit_batch_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
