/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner: verdicts and error places, values, pull-style walking, repair, depth, misuse that must not crash. */
#include "base/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* Without the NUL, so that ASan sees a byte read too far. */
static char *exact(const char *s)
{
    size_t len = strlen(s);
    char *p = mem_alloc(len);

    memcpy(p, s, len);
    return p;
}

static const struct {
    const char *json;
    int error;
    size_t at;
} verdicts[] = {
    {"null", 0, 0},
    {" \n\t\r true \n", 0, 0},
    {"-0", 0, 0},
    {"-0.0e-00", 0, 0},
    {"1E+5", 0, 0},
    {"123456789012345678901234567890", 0, 0},
    {"1e999", 0, 0},
    {"\"\"", 0, 0},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\uaBc9\"", 0, 0},
    {"\"\\ud800\\u0000\"", 0, 0}, /* grammatical */
    {"\"\x7f\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"", 0, 0},
    {"[]", 0, 0},
    {"{}", 0, 0},
    {" [ 1 , [ ] , { \"a\" : { } } ] ", 0, 0},
    {"{\"a\":1,\"a\":2}", 0, 0},

    {"", -EINVAL, 0},
    {"   ", -EINVAL, 3},
    {"\xef\xbb\xbf{}", -EINVAL, 0},
    {"nul", -EINVAL, 0},
    {"True", -EINVAL, 0},
    {"tru\0", -EINVAL, 0},
    {"nullx", -EINVAL, 4},
    {"1 2", -EINVAL, 2},
    {"01", -EINVAL, 0},
    {"-01", -EINVAL, 1},
    {"-", -EINVAL, 1},
    {"+1", -EINVAL, 0},
    {"1.", -EINVAL, 2},
    {".5", -EINVAL, 0},
    {"1e", -EINVAL, 2},
    {"1e+", -EINVAL, 3},
    {"1.e1", -EINVAL, 2},
    {"0x10", -EINVAL, 1},
    {"NaN", -EINVAL, 0},
    {"Infinity", -EINVAL, 0},
    {"'a'", -EINVAL, 0},
    {"\"", -EINVAL, 1},
    {"\"a", -EINVAL, 2},
    {"\"a\\", -EINVAL, 3},
    {"\"a\\\"", -EINVAL, 4},
    {"\"a\\q\"", -EINVAL, 2},
    {"\"\\u12g4\"", -EINVAL, 1},
    {"\"\\u123", -EINVAL, 1},
    {"\"\\U0041\"", -EINVAL, 1},
    {"\"a\nb\"", -EINVAL, 2},
    {"\"0123456789abcdef0123456789\x1f\"", -EINVAL, 27},
    {"[1,]", -EINVAL, 3},
    {"[,1]", -EINVAL, 1},
    {"[1 2]", -EINVAL, 3},
    {"[1", -EINVAL, 2},
    {"[", -EINVAL, 1},
    {"[1}", -EINVAL, 2},
    {"]", -EINVAL, 0},
    {"{", -EINVAL, 1},
    {"{\"a\"", -EINVAL, 4},
    {"{\"a\":", -EINVAL, 5},
    {"{\"a\":}", -EINVAL, 5},
    {"{\"a\":1", -EINVAL, 6},
    {"{\"a\":1,}", -EINVAL, 7},
    {"{\"a\" 1}", -EINVAL, 5},
    {"{a:1}", -EINVAL, 1},
    {"{1:1}", -EINVAL, 1},
    {"{,}", -EINVAL, 1},
    {"{\"a\":1]", -EINVAL, 6},
    {"{\"a\":1 \"b\":2}", -EINVAL, 7},
    {"[1]/* */", -EINVAL, 3},
    {"\f1", -EINVAL, 0},

    {"\"\x80\"", -EILSEQ, 1},
    {"\"ab\xc1\xbf\"", -EILSEQ, 3},
    {"\"\xe0\x9f\xbf\"", -EILSEQ, 1},
    {"\"\xed\xa0\x80\"", -EILSEQ, 1},
    {"\"\xf0\x8f\xbf\xbf\"", -EILSEQ, 1},
    {"\"\xf4\x90\x80\x80\"", -EILSEQ, 1},
    {"\"\xf5\x80\x80\x80\"", -EILSEQ, 1},
    {"\"\xe2\x82\"", -EILSEQ, 1},
    {"\"\xe2\x82", -EILSEQ, 1},
    {"\"0123456789abcdef\xff\"", -EILSEQ, 17},
    {"{\"\xff\":1}", -EILSEQ, 2},
};

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        AUTO_FREE char *json = exact(verdicts[i].json);
        struct scan s;
        int r;

        scan_init(&s, json, strlen(verdicts[i].json));
        (void)scan_skip(&s, NULL);
        r = scan_end(&s);
        if (r != verdicts[i].error || s.error_at != verdicts[i].at || (r < 0) != (s.why != NULL))
            fail_msg("row %zu %s: %d at %zu, %s", i, verdicts[i].json, r, s.error_at, s.why);
        assert_int_equal(s.error, r);
        if (r < 0) { /* sticky */
            assert_int_equal(scan_skip(&s, NULL), r);
            assert_int_equal(scan_fail(&s, -E2BIG, "later"), r);
            assert_int_equal(scan_peek(&s), SCAN_NOTHING);
        }
    }
}

/* Every prefix of a valid document is an error, none crashes. */
static void test_prefixes(void **state)
{
    static const char json[] =
        "{\"a\":[1.5e-3,true,false,null,\"x\\u00e9\\n\xe2\x82\xac\"],\"b\":{\"c\":{}},\"d\":[[]]}";

    (void)state;
    for (size_t len = 0; len < sizeof(json); len++) {
        char *p = mem_alloc(len);
        struct scan s;

        memcpy(p, json, len);
        scan_init(&s, p, len);
        (void)scan_skip(&s, NULL);
        assert_int_equal(scan_end(&s) == 0, len == sizeof(json) - 1);
        assert_true(s.error_at <= len);
        mem_free(p);
        if (len == sizeof(json) - 1)
            break;
    }
}

static void test_walk(void **state)
{
    static const char json[] = " { \"id\" : \"x\\n\", \"n\" : [ 1 , -2 ] , \"skip\" : { \"deep\" : [ { } ] } ,"
                               " \"f\" : 1.5 , \"yes\" : true , \"no\" : false, \"nil\" : null, \"\\u006bey\": [] } ";
    struct text key, id = TEXT_NONE, skipped = TEXT_NONE, nil = TEXT_LIT("unset");
    struct arena *a = arena_new(256);
    int64_t numbers[2] = {0};
    bool yes = false, no = true, has_key = false;
    double f = 0;
    size_t n = 0;
    struct scan s;

    (void)state;
    scan_init(&s, json, sizeof(json) - 1);
    assert_int_equal(scan_peek(&s), SCAN_OBJECT);
    assert_int_equal(scan_enter_object(&s), 0);
    while (scan_next_key(&s, &key)) {
        if (text_is(key, "id")) {
            assert_int_equal(scan_peek(&s), SCAN_STRING);
            scan_string(&s, &id, NULL);
        } else if (text_is(key, "n")) {
            if (scan_enter_array(&s) == 0)
                while (scan_next_item(&s))
                    scan_int(&s, &numbers[n++]);
        } else if (text_is(key, "f")) {
            assert_int_equal(scan_peek(&s), SCAN_NUMBER);
            scan_double(&s, &f);
        } else if (text_is(key, "yes")) {
            assert_int_equal(scan_peek(&s), SCAN_TRUE);
            scan_bool(&s, &yes);
        } else if (text_is(key, "no")) {
            assert_int_equal(scan_peek(&s), SCAN_FALSE);
            scan_bool(&s, &no);
        } else if (text_is(key, "nil")) {
            assert_int_equal(scan_peek(&s), SCAN_NULL);
            scan_text(&s, a, &nil);
        } else if (text_is(key, "key")) { /* compared decoded */
            assert_true(key.is_escaped);
            has_key = true;
            scan_skip(&s, NULL);
        } else {
            scan_skip(&s, &skipped);
        }
    }
    assert_int_equal(scan_peek(&s), SCAN_NOTHING);
    assert_int_equal(scan_end(&s), 0);
    assert_true(id.is_escaped);
    assert_true(text_is(id, "x\n"));
    assert_int_equal(n, 2);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[1], -2);
    assert_true(text_is(skipped, "{ \"deep\" : [ { } ] }"));
    assert_true(f == 1.5);
    assert_true(yes && !no && has_key);
    assert_null(nil.p);
    arena_free(a);
}

static void test_integers(void **state)
{
    static const struct {
        const char *json;
        int r;
        int64_t value;
    } rows[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {" 42 ", 0, 42},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", -ENOMSG, 0},
        {"-9223372036854775809", -ENOMSG, 0},
        {"99999999999999999999999999", -ENOMSG, 0},
        {"1.0", -ENOMSG, 0},
        {"1e2", -ENOMSG, 0},
        {"\"1\"", -ENOMSG, 0},
        {"null", -ENOMSG, 0},
        {"01", -EINVAL, 0},
        {"-", -EINVAL, 0},
        {"x", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *json = exact(rows[i].json);
        int64_t value = -7;
        struct scan s;

        scan_init(&s, json, strlen(rows[i].json));
        assert_int_equal(scan_int(&s, &value), rows[i].r);
        assert_int_equal(value, rows[i].r == 0 ? rows[i].value : -7);
        assert_int_equal(scan_end(&s), rows[i].r);
    }
}

static void test_doubles(void **state)
{
    static const struct {
        const char *json;
        int r;
        double value;
    } rows[] = {
        {"0", 0, 0},           {"-1.25e-2", 0, -0.0125},
        {"1E3", 0, 1000},      {"0.1", 0, 0.1},
        {"1e-999", 0, 0},      {"1e999", -ENOMSG, 0},
        {"true", -ENOMSG, 0},  {"1.", -EINVAL, 0},
        {"5e-324", 0, 5e-324}, {"17976931348623157e292", 0, 17976931348623157e292},
    };
    char big[600];
    double value = 0;
    struct scan s;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *json = exact(rows[i].json);

        value = -7;
        scan_init(&s, json, strlen(rows[i].json));
        assert_int_equal(scan_double(&s, &value), rows[i].r);
        assert_true(value == (rows[i].r == 0 ? rows[i].value : -7.0));
    }
    memset(big, '1', sizeof(big));
    scan_init(&s, big, sizeof(big));
    assert_int_equal(scan_double(&s, &value), -ENOMSG);
    scan_init(&s, big, 300);
    assert_int_equal(scan_double(&s, &value), 0);
    assert_true(value > 1e299 && !isinf(value));
}

static void test_strings_in_need_of_repair(void **state)
{
    static const struct {
        const char *json;
        bool needs_repair;
        const char *repaired;
    } rows[] = {
        {"\"\"", false, ""},
        {"\"a\\n\"", false, "a\\n"},
        {"\"\\ud83d\\ude00\"", false, "\\ud83d\\ude00"},
        {"\"\\uD83D\\uDE00\\udbff\\udfff\"", false, "\\uD83D\\uDE00\\udbff\\udfff"},
        {"\"\\ud83d\"", true, "\\ufffd"},
        {"\"\\ude00\"", true, "\\ufffd"},
        {"\"\\ude00\\ud83d\"", true, "\\ufffd\\ufffd"},
        {"\"\\ud83d\\n\\ude00\"", true, "\\ufffd\\n\\ufffd"},
        {"\"\\ud83dx\"", true, "\\ufffdx"},
        {"\"\\ud83d\\ud83d\\ude00\"", true, "\\ufffd\\ud83d\\ude00"},
        {"\"a\\u0000b\"", true, "a\\ufffdb"},
        {"\"\\\\ud83d\"", false, "\\\\ud83d"}, /* a backslash and letters */
        {"\"\\\\\\ud83d\\\\\"", true, "\\\\\\ufffd\\\\"},
        {"\"\\ud7ff\\ue000\"", false, "\\ud7ff\\ue000"},
    };
    struct arena *a = arena_new(256);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *json = exact(rows[i].json);
        bool needs_repair = !rows[i].needs_repair;
        struct text t;
        struct scan s;

        scan_init(&s, json, strlen(rows[i].json));
        assert_int_equal(scan_string(&s, &t, &needs_repair), 0);
        assert_int_equal(needs_repair, rows[i].needs_repair);
        assert_int_equal(t.is_escaped, memchr(t.p, '\\', t.len) != NULL);
        t = scan_repair(a, t);
        assert_int_equal(t.len, strlen(rows[i].repaired));
        assert_memory_equal(t.p, rows[i].repaired, t.len);

        scan_init(&s, json, strlen(rows[i].json));
        assert_int_equal(scan_text(&s, a, &t), 0);
        assert_int_equal(t.len, strlen(rows[i].repaired));
        assert_memory_equal(t.p, rows[i].repaired, t.len);
        assert_int_equal(t.p == json + 1, !rows[i].needs_repair); /* a copy only when there is something to repair */
    }
    assert_null(scan_repair(a, TEXT_NONE).p);
    arena_free(a);
}

static void test_depth(void **state)
{
    char json[2 * (SCAN_DEPTH_MAX + 1)];
    struct scan s;

    (void)state;
    for (int depth = SCAN_DEPTH_MAX; depth <= SCAN_DEPTH_MAX + 1; depth++) {
        memset(json, '[', (size_t)depth);
        memset(json + depth, ']', (size_t)depth);
        scan_init(&s, json, (size_t)depth * 2);
        (void)scan_skip(&s, NULL);
        assert_int_equal(scan_end(&s), depth > SCAN_DEPTH_MAX ? -E2BIG : 0);
        scan_init(&s, json, (size_t)depth * 2);
        for (int i = 0; i < depth && scan_enter_array(&s) == 0; i++)
            if (i < depth - 1)
                assert_int_equal(scan_next_item(&s), s.error == 0);
        assert_int_equal(s.error, depth > SCAN_DEPTH_MAX ? -E2BIG : 0);
    }
}

static void test_wrong_types(void **state)
{
    static const char *const values[] = {"{}", "[]", "\"s\"", "1", "true", "null"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        size_t len = strlen(values[i]);
        struct text t = TEXT_NONE;
        int64_t n = 0;
        double d = 0;
        bool b = false;
        struct scan s;

        scan_init(&s, values[i], len);
        assert_int_equal(scan_enter_object(&s), i == 0 ? 0 : -ENOMSG);
        scan_init(&s, values[i], len);
        assert_int_equal(scan_enter_array(&s), i == 1 ? 0 : -ENOMSG);
        scan_init(&s, values[i], len);
        assert_int_equal(scan_string(&s, &t, NULL), i == 2 ? 0 : -ENOMSG);
        scan_init(&s, values[i], len);
        assert_int_equal(scan_int(&s, &n), i == 3 ? 0 : -ENOMSG);
        scan_init(&s, values[i], len);
        assert_int_equal(scan_double(&s, &d), i == 3 ? 0 : -ENOMSG);
        scan_init(&s, values[i], len);
        assert_int_equal(scan_bool(&s, &b), i == 4 ? 0 : -ENOMSG);
        assert_int_equal(s.error_at, 0);
    }
}

/* A caller that forgets a value, takes two, or asks in the wrong place gets an error, not an accepted document. */
static void test_misuse(void **state)
{
    struct text key, t;
    int64_t n;
    struct scan s;

    (void)state;
    scan_init(&s, "{\"a\":,\"b\":1}", 12);
    assert_int_equal(scan_enter_object(&s), 0);
    assert_true(scan_next_key(&s, &key));
    assert_false(scan_next_key(&s, &key)); /* the value of a was not taken */
    assert_int_equal(scan_end(&s), -EINVAL);

    scan_init(&s, "[1 2]", 5);
    assert_int_equal(scan_enter_array(&s), 0);
    assert_true(scan_next_item(&s));
    assert_int_equal(scan_int(&s, &n), 0);
    assert_int_equal(scan_int(&s, &n), -EINVAL);

    scan_init(&s, "[\"a\"]", 5);
    assert_int_equal(scan_enter_array(&s), 0);
    assert_false(scan_next_key(&s, &key));
    assert_int_equal(s.error, -EINVAL);

    scan_init(&s, "1", 1);
    assert_false(scan_next_item(&s));
    assert_int_equal(scan_end(&s), -EINVAL);

    scan_init(&s, "[1]", 3);
    assert_int_equal(scan_enter_array(&s), 0);
    assert_int_equal(scan_end(&s), -EINVAL); /* not at the end */

    scan_init(&s, "[1", 2);
    assert_int_equal(scan_enter_array(&s), 0);
    assert_true(scan_next_item(&s));
    assert_int_equal(scan_int(&s, &n), 0);
    assert_int_equal(scan_end(&s), -EINVAL); /* left open */

    scan_init(&s, NULL, 0);
    assert_int_equal(scan_skip(&s, &t), -EINVAL);
    scan_init(&s, "{}", 2);
    assert_int_equal(scan_fail(&s, -ENOMSG, "mine"), -ENOMSG);
    assert_int_equal(scan_enter_object(&s), -ENOMSG);
    assert_string_equal(s.why, "mine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_walk),     cmocka_unit_test(test_integers),
        cmocka_unit_test(test_doubles),  cmocka_unit_test(test_strings_in_need_of_repair),
        cmocka_unit_test(test_depth),    cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
