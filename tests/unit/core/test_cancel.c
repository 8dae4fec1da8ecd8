/* SPDX-License-Identifier: Apache-2.0 */
/* Commands as bytes: what is understood, what is refused, and that what is written is read again. */
#include "core/cancel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

#define ID_200 \
    "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" \
    "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

static void test_what_is_understood(void **state)
{
    static const struct {
        const char *value;
        struct cancel c;
    } cases[] = {
        {"{\"command\":\"cancel_job\",\"job_id\":\"x\"}", {.id = "x", .run = -1}},
        {" {\"run\": 0, \"job_id\" : \"a\\/b\", \"command\":\"cancel_job\"}\n", {.id = "a/b", .run = 0}},
        {"{\"command\":\"cancel_job\",\"job_id\":\"x\",\"run\":2147483647}", {.id = "x", .run = 2147483647}},
        {"{\"command\":\"cancel_job\",\"job_id\":\"x\",\"run\":null,\"batch_id\":null}", {.id = "x", .run = -1}},
        {"{\"command\":\"cancel_batch\",\"batch_id\":\"\\u00fc \\\"1\\\"\"}",
         {.is_batch = true, .id = "\xc3\xbc \"1\"", .run = -1}},
        {"{\"command\":\"cancel_job\",\"job_id\":\"" ID_200 "\"}", {.id = ID_200, .run = -1}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena *a = arena_new(256);
        struct cancel c;
        const char *why;
        struct buf b;

        assert_int_equal(cancel_read(cases[i].value, strlen(cases[i].value), a, &c, &why), 0);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(c.is_batch, cases[i].c.is_batch);
            assert_string_equal(c.id, cases[i].c.id);
            assert_int_equal(c.run, cases[i].c.run);
            buf_init(&b, 0);
            cancel_write(&c, &b);
            assert_int_equal(cancel_read(b.p, b.len, a, &c, &why), 0);
            buf_done(&b);
        }
        arena_free(a);
    }
}

static void test_what_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "{",
        "[]",
        "null",
        "\"cancel_job\"",
        "{}",
        "{\"command\":\"cancel_job\"}",
        "{\"job_id\":\"x\"}",
        "{\"command\":\"pause\",\"job_id\":\"x\"}",
        "{\"command\":1,\"job_id\":\"x\"}",
        "{\"command\":\"cancel_job\",\"job_id\":\"\"}",
        "{\"command\":\"cancel_job\",\"job_id\":5}",
        "{\"command\":\"cancel_job\",\"job_id\":\"x\"} x",
        "{\"command\":\"cancel_job\",\"job_id\":\"" ID_200 "1\"}",
        "{\"command\":\"cancel_job\",\"job_id\":\"x\",\"run\":-1}",
        "{\"command\":\"cancel_job\",\"job_id\":\"x\",\"run\":1.5}",
        "{\"command\":\"cancel_job\",\"job_id\":\"x\",\"run\":\"1\"}",
        "{\"command\":\"cancel_job\",\"job_id\":\"x\",\"batch_id\":\"b\"}",
        "{\"command\":\"cancel_job\",\"job_id\":\"x\",\"before_ms\":1}", /* a later version's: it may mean less */
        "{\"command\":\"cancel_batch\",\"job_id\":\"x\"}",
        "{\"command\":\"cancel_batch\",\"batch_id\":\"b\",\"run\":1}",
        "{\"command\":\"cancel_job\",\"job_id\":\"\xff\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena *a = arena_new(256);
        struct cancel c = {.run = 77};
        const char *why = NULL;

        if (cancel_read(cases[i], strlen(cases[i]), a, &c, &why) != -EINVAL)
            fail_msg("accepted: %s", cases[i]);
        assert_non_null(why);
        assert_int_equal(c.run, 77);
        arena_free(a);
    }
}

static void test_a_long_value_is_not_read(void **state)
{
    struct arena *a = arena_new(256);
    AUTO_FREE char *value = mem_zero(CANCEL_BYTES_MAX + 64);
    struct cancel c;
    const char *why;

    (void)state;
    memset(value, ' ', CANCEL_BYTES_MAX + 1);
    memcpy(value, "{\"command\":\"cancel_job\",\"job_id\":\"x\"}", 37);
    assert_int_equal(cancel_read(value, CANCEL_BYTES_MAX, a, &c, &why), 0);
    assert_int_equal(cancel_read(value, CANCEL_BYTES_MAX + 1, a, &c, &why), -EINVAL);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_understood),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_a_long_value_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
