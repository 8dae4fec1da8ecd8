/* SPDX-License-Identifier: Apache-2.0 */
/* The memory journal where it must not differ from the Redis one: who writes first, and what is counted. */
#include "impl/journal_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "loop.h"

static void on_claimed(struct claim *c, void *arg)
{
    (void)c;
    ++*(int *)arg;
}

static void test_first_decision_wins(void **state)
{
    static const struct position pos = {.topic = "t", .partition = 1, .offset = 2};
    struct loop *l = loop_new_sim(0);
    struct journal_store *store = journal_store_new();
    struct journal *one = journal_mem_new(l, store, "1", 0), *two = journal_mem_new(l, store, "2", 0);
    int n = 0;
    struct claim c = {.pos = pos, .arena = arena_new(1024), .done = on_claimed, .arg = &n};

    (void)state;
    one->ops->decide(one, &pos, TEXT_LIT("decided"));
    two->ops->decide(two, &pos, TEXT_LIT("late"));
    two->ops->claim(two, &c);
    loop_run(l);
    assert_int_equal(n, 1);
    assert_true(text_is(c.decision, "decided"));
    one->ops->free(one);
    two->ops->free(two);
    journal_store_free(store);
    arena_free(c.arena);
    loop_free(l);
}

static void test_counts_workers_that_are_down(void **state)
{
    struct loop *l = loop_new_sim(0);
    struct journal *one = journal_mem_new(l, NULL, "1", 0), *two = journal_mem_new(l, NULL, "2", 0);

    (void)state;
    journal_mem_set_down(one, true);
    journal_mem_set_down(one, true);
    journal_mem_set_down(two, true);
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 2);
    journal_mem_set_down(one, false);
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 1);
    two->ops->free(two);
    assert_int_equal(metric_get(METRIC_JOURNAL_DOWN), 0);
    one->ops->free(one);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_decision_wins),
        cmocka_unit_test(test_counts_workers_that_are_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
