/* SPDX-License-Identifier: Apache-2.0 */
/* What `tutti tail` says of a record beyond copying its fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/tail_print.h"
#include "impl/broker_client.h"

/* A sum without every price in it is a lower bound, and the line says so. */
static void test_an_incomplete_cost_of_a_batch_is_at_least(void **state)
{
    static const struct {
        const char *value;
        bool is_least;
    } cases[] = {
        {"{\"batch_id\":\"b\",\"jobs_total\":2,\"cost_usd\":0.5,\"cost_complete\":false}", true},
        {"{\"batch_id\":\"b\",\"jobs_total\":2,\"cost_usd\":0.5,\"cost_complete\":true}", false},
        {"{\"batch_id\":\"b\",\"jobs_total\":2,\"cost_usd\":null,\"cost_complete\":false}", false},
    };
    const struct tail_look look = {.width = 200};
    const struct kafka_read r = {.topic = "t"};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *value = json_loads(cases[i].value, 0, NULL);
        struct buf b;

        buf_init(&b, 0);
        tail_line_batch(&b, &r, value, &look);
        assert_int_equal(strstr(b.p, "at least") != NULL, cases[i].is_least);
        buf_done(&b);
        json_decref(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_incomplete_cost_of_a_batch_is_at_least),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
