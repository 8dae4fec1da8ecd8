/* SPDX-License-Identifier: Apache-2.0 */
/* Slices plain and escaped: comparing, decoding, escaping, cutting, and damaged input under ASan. */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/scan.h"

static struct text escaped(const char *s)
{
    return (struct text){.p = s, .len = strlen(s), .is_escaped = true};
}

/* A copy whose last byte is the last of its allocation: reading behind it is caught by ASan. */
static struct text exact(const char *bytes, size_t len, bool is_escaped)
{
    char *p = mem_alloc(len);

    memcpy(p, bytes, len);
    return (struct text){.p = p, .len = len, .is_escaped = is_escaped};
}

static const struct {
    const char *in;
    const char *plain;
} decoded[] = {
    {"", ""},
    {"abc", "abc"},
    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
    {"\\u0041\\u00e9\\u20AC", "A\xc3\xa9\xe2\x82\xac"},
    {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
    {"\\udbff\\udfff", "\xf4\x8f\xbf\xbf"},
    {"x\\ud83dy", "x\xef\xbf\xbdy"}, /* lone surrogates */
    {"\\ude00", "\xef\xbf\xbd"},
    {"\\ud83d\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
    {"a\\u0000b", "a\xef\xbf\xbd"
                  "b"},
    {"\\uffff", "\xef\xbf\xbf"},
    {"\xc3\xa9\\n\xf0\x9f\x98\x80", "\xc3\xa9\n\xf0\x9f\x98\x80"},
    /* damaged: kept as it stands, never read beyond */
    {"\\", "\\"},
    {"\\u", "\\u"},
    {"\\u12", "\\u12"},
    {"\\uzzzz", "\\uzzzz"},
    {"\\q", "\\q"},
    {"\\ud83d\\u", "\xef\xbf\xbd\\u"},
    {"\\ud83d\\", "\xef\xbf\xbd\\"},
};

static void test_decode(void **state)
{
    struct arena *a = arena_new(256);
    struct buf b;
    size_t len = 9;

    (void)state;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(decoded); i++) {
        struct text t = exact(decoded[i].in, strlen(decoded[i].in), true);

        assert_string_equal(text_decode(a, t, &len), decoded[i].plain);
        assert_int_equal(len, strlen(decoded[i].plain));
        assert_true(text_is(t, decoded[i].plain));
        assert_true(text_equal(t, text_of(decoded[i].plain)));
        assert_true(text_equal(text_of(decoded[i].plain), t));
        assert_true(text_equal(t, t));
        assert_false(text_equal(t, text_of("something else")));
        buf_clear(&b);
        text_add_plain(&b, t);
        assert_int_equal(b.len, len);
        assert_true(len == 0 || memcmp(b.p, decoded[i].plain, len) == 0);
        mem_free((void *)t.p);
    }
    assert_null(text_decode(a, TEXT_NONE, &len));
    assert_int_equal(len, 0);
    assert_string_equal(text_decode(a, TEXT_LIT("a\\n"), NULL), "a\\n");
    buf_done(&b);
    arena_free(a);
}

static void test_compare(void **state)
{
    static const struct {
        const char *a, *b; /* both escaped */
        bool is_equal;
    } rows[] = {
        {"a\\nb", "a\\u000ab", true},
        {"\\u0061", "a", true},
        {"\\/", "/", true},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", true},
        {"a", "ab", false},
        {"\\u0061b", "a", false},
        {"", "", true},
        {"", "a", false},
        {"\\u00e9x", "\\u00e9y", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(text_equal(escaped(rows[i].a), escaped(rows[i].b)), rows[i].is_equal);
        assert_int_equal(text_equal(escaped(rows[i].b), escaped(rows[i].a)), rows[i].is_equal);
    }
    assert_true(text_is(TEXT_LIT("abc"), "abc"));
    assert_false(text_is(TEXT_LIT("abc"), "ab"));
    assert_false(text_is(TEXT_LIT("ab"), "abc"));
    assert_false(text_is(TEXT_NONE, ""));
    assert_true(text_is(text_slice("", 0), ""));
    assert_true(text_equal(TEXT_NONE, text_of(NULL)));
    assert_false(text_equal(TEXT_NONE, TEXT_LIT("")));
    assert_false(text_equal(TEXT_LIT("\\n"), escaped("\\n")));
}

static void test_blank(void **state)
{
    (void)state;
    assert_true(text_is_blank(TEXT_NONE));
    assert_true(text_is_blank(TEXT_LIT("")));
    assert_true(text_is_blank(TEXT_LIT(" \t\r\n")));
    assert_true(text_is_blank(escaped(" \\n\\t\\u0020\\r")));
    assert_false(text_is_blank(escaped(" \\n.")));
    assert_false(text_is_blank(TEXT_LIT("\\n")));
    assert_false(text_is_blank(TEXT_LIT("\xc3\xa9")));
}

static void test_copy(void **state)
{
    struct arena *a = arena_new(256);
    struct text t = text_copy(a, escaped("a\\n"));

    (void)state;
    assert_string_equal(t.p, "a\\n");
    assert_true(t.is_escaped);
    assert_null(text_copy(a, TEXT_NONE).p);
    arena_free(a);
}

static void test_escape(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        const char *out;
    } rows[] = {
        {"", 0, ""},
        {"plain text, more than sixteen bytes", 35, "plain text, more than sixteen bytes"},
        {"\"\\/\b\f\n\r\t\x01\x1f\x7f", 11, "\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f"},
        {"a\0b", 3, "a\\ufffdb"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc3\xa9\"\xc3\xa9x\n", 7, "\xc3\xa9\\\"\xc3\xa9x\\n"},
        {"\xc3", 1, "\\ufffd"},
        {"\x80x", 2, "\\ufffdx"},
        {"\xed\xa0\x80", 3, "\\ufffd\\ufffd\\ufffd"}, /* a surrogate in UTF-8 */
        {"\xc0\xaf", 2, "\\ufffd\\ufffd"},            /* overlong */
        {"\xf4\x90\x80\x80", 4, "\\ufffd\\ufffd\\ufffd\\ufffd"},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct text t = exact(rows[i].in, rows[i].len, false);

        buf_clear(&b);
        text_add_escaped(&b, t);
        buf_add_char(&b, '|');
        assert_int_equal(b.len, strlen(rows[i].out) + 1);
        assert_memory_equal(b.p, rows[i].out, b.len - 1);
        mem_free((void *)t.p);
    }
    buf_clear(&b);
    text_add_escaped(&b, TEXT_NONE);
    text_add_escaped(&b, escaped("a\\n"));
    assert_string_equal(b.p, "a\\n");
    buf_done(&b);
}

/* Every byte value in every place of a 40 byte text goes through escaping, the scanner and decoding. */
static void test_round_trip(void **state)
{
    struct arena *a = arena_new(4096);
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    for (int c = 1; c < 0x80; c++) {
        for (size_t at = 0; at < 40; at++) {
            char plain[40];
            struct text t;
            struct scan s;

            memset(plain, 'x', sizeof(plain));
            plain[at] = (char)c;
            buf_clear(&b);
            buf_add_char(&b, '"');
            text_add_escaped(&b, text_slice(plain, sizeof(plain)));
            buf_add_char(&b, '"');
            scan_init(&s, b.p, b.len);
            assert_int_equal(scan_string(&s, &t, NULL), 0);
            assert_int_equal(scan_end(&s), 0);
            assert_true(text_equal(t, text_slice(plain, sizeof(plain))));
        }
    }
    buf_done(&b);
    arena_free(a);
}

static void test_cut(void **state)
{
    static const struct {
        const char *in;
        bool is_escaped;
        size_t max;
        size_t len;
    } rows[] = {
        {"abcdef", false, 3, 3},
        {"abcdef", false, 6, 6},
        {"abcdef", false, 99, 6},
        {"abcdef", false, 0, 0},
        {"a\xc3\xa9z", false, 2, 1},
        {"a\xc3\xa9z", false, 3, 3},
        {"\xf0\x9f\x98\x80z", false, 3, 0},
        {"\xf0\x9f\x98\x80z", false, 4, 4},
        {"\x80\x80\x80\x80\x80\x80", false, 5, 5}, /* not UTF-8: anywhere */
        {"ab\\ncd", true, 3, 2},
        {"ab\\ncd", true, 4, 4},
        {"ab\\ncd", true, 2, 2},
        {"\\u00e9x", true, 5, 0},
        {"\\u00e9x", true, 6, 6},
        {"\\ud83d\\ude00x", true, 6, 0},
        {"\\ud83d\\ude00x", true, 11, 0},
        {"\\ud83d\\ude00x", true, 12, 12},
        {"\\\\\\\\x", true, 3, 2}, /* an escaped backslash is no beginning of an escape */
        {"\\\\u1234", true, 3, 3},
        {"a\xc3\xa9z", true, 2, 1},
        {"a\xc3\xa9z", true, 3, 3},
        {"0123456789abcdef0123456789abcdef\\n", true, 33, 32},
        {"ab\\", true, 2, 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct text t = exact(rows[i].in, strlen(rows[i].in), rows[i].is_escaped);
        struct text cut = text_cut(t, rows[i].max);

        if (cut.len != rows[i].len || cut.p != t.p || cut.is_escaped != t.is_escaped)
            fail_msg("row %zu: %zu", i, cut.len);
        mem_free((void *)t.p);
    }
    assert_null(text_cut(TEXT_NONE, 5).p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode), cmocka_unit_test(test_compare), cmocka_unit_test(test_blank),
        cmocka_unit_test(test_copy),   cmocka_unit_test(test_escape),  cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
