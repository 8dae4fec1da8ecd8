/* SPDX-License-Identifier: Apache-2.0 */
/* Commas, escaping, unknown values as null, dollars without trailing zeros. */
#include "base/json_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"

static void test_document(void **state)
{
    struct text escaped = {.p = "a\\nb", .len = 4, .is_escaped = true};
    struct json_write w;
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_str(&w, "a", "x\"y");
    jw_kv_str(&w, "b", NULL);
    jw_kv_text(&w, "c", escaped);
    jw_kv_text(&w, "d", TEXT_NONE);
    jw_kv_text(&w, "e", TEXT_LIT(""));
    jw_kv_int(&w, "f", -1);
    jw_kv_int_opt(&w, "g", -1);
    jw_kv_int_opt(&w, "h", 0);
    jw_kv_usd_opt(&w, "i", -1);
    jw_kv_usd_opt(&w, "j", 2500000);
    jw_kv_bool(&w, "k", true);
    jw_kv_null(&w, "l");
    jw_kv_raw(&w, "m", TEXT_LIT("[1,{}]"));
    jw_kv_raw(&w, "n", TEXT_NONE);
    jw_key(&w, "o");
    jw_open(&w, '[');
    jw_open(&w, '{');
    jw_close(&w, '}');
    jw_open(&w, '[');
    jw_close(&w, ']');
    jw_int(&w, 1);
    jw_bool(&w, false);
    jw_null(&w);
    jw_text(&w, escaped);
    jw_raw(&w, TEXT_LIT("1e5"));
    jw_str(&w, "z");
    jw_close(&w, ']');
    jw_key_text(&w, TEXT_LIT("p\n\""));
    jw_int(&w, 2);
    jw_close(&w, '}');
    assert_string_equal(
        b.p, "{\"a\":\"x\\\"y\",\"b\":null,\"c\":\"a\\nb\",\"d\":null,\"e\":\"\",\"f\":-1,\"g\":null,\"h\":0,"
             "\"i\":null,\"j\":0.0025,\"k\":true,\"l\":null,\"m\":[1,{}],\"n\":null,"
             "\"o\":[{},[],1,false,null,\"a\\nb\",1e5,\"z\"],\"p\\n\\\"\":2}");
    buf_done(&b);
}

static void test_usd(void **state)
{
    static const struct {
        int64_t nano;
        const char *json;
    } rows[] = {
        {0, "0"},
        {2500000, "0.0025"},
        {INT64_C(3000000000), "3"},
        {1234567890, "1.23456789"},
        {1, "0.000000001"},
        {100, "0.0000001"},
        {100000000, "0.1"},
        {1000000001, "1.000000001"},
        {-2500000000, "-2.5"},
        {INT64_MAX, "9223372036.854775807"},
        {INT64_MIN, "-9223372036.854775808"},
    };
    struct json_write w;
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_clear(&b);
        jw_init(&w, &b);
        jw_usd(&w, rows[i].nano);
        assert_string_equal(b.p, rows[i].json);
    }
    buf_done(&b);
}

/* Whatever the cap, nothing is written beyond it, and the buffer says that something is missing. */
static void test_cap(void **state)
{
    static const char whole[] = "{\"plain\":\"0123456789\",\"escaped\":\"a\\nb\\\"c\",\"number\":-1234567,\"raw\":[1]}";

    (void)state;
    for (size_t cap = 1; cap < 80; cap++) {
        struct json_write w;
        struct buf b;

        buf_init(&b, cap);
        jw_init(&w, &b);
        jw_open(&w, '{');
        jw_kv_str(&w, "plain", "0123456789");
        jw_kv_str(&w, "escaped", "a\nb\"c");
        jw_kv_int(&w, "number", -1234567);
        jw_kv_raw(&w, "raw", TEXT_LIT("[1]"));
        jw_close(&w, '}');
        assert_true(b.len <= cap);
        assert_true(b.is_over == (cap < sizeof(whole) - 1));
        if (!b.is_over)
            assert_string_equal(b.p, whole);
        buf_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_usd),
        cmocka_unit_test(test_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
