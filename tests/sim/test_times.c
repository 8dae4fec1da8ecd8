/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time of a call goes, on virtual time: each wait shows in its own field and in no other. */
#include <stdio.h>

#include "sim/route_script.h"

/* D-60: two calls, one slot: the second one waits a second for its permit, and only throttle_ms tells. */
static void test_d60_a_wait_for_a_permit_shows_only_as_throttling(void **state)
{
    struct route r;
    struct world *w = route_setup(&r, 1);
    json_t *first, *second;

    (void)state;
    w->pools[0] = (struct pool_conf){.id = "p", .concurrency = 1, .slot_return_us = 130 * SECOND};
    w->n_pools = 1;
    w->models[0].pools[0] = 0;
    route_rule(&r, (struct rule){.play = {ACT_OK, SECOND, 0, NULL}});
    (void)world_add_worker(w, 0, 1);
    for (int i = 0; i < 2; i++)
        (void)world_job(w, 0, "{\"prompt\":\"JOB:j%d\",\"models\":[\"a\"]}", i);
    assert_true(world_run_until_done(w, 60 * SECOND));
    first = call_record(w, 0);
    second = call_record(w, 1);
    assert_in_range(num(first, "throttle_ms"), 0, 100);
    assert_in_range(num(second, "throttle_ms"), 900, 1300);
    assert_string_equal(str(second, "throttle_reason"), "concurrency");
    for (int i = 0; i < 2; i++) {
        const json_t *c = i == 0 ? first : second;

        assert_in_range(num(c, "queue_ms"), 0, 50);
        assert_int_equal(num(c, "duration_ms"), 1000);
        assert_true(json_is_null(json_object_get(c, "connect_ms")) || num(c, "connect_ms") == 0);
        assert_in_range(num(c, "ttft_ms"), 0, 1000);
    }
    json_decref(first);
    json_decref(second);
    world_done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_d60_a_wait_for_a_permit_shows_only_as_throttling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
