/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: growth, the cap at its edges, printf, handing over. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

static void test_append(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    assert_null(b.p);
    buf_add(&b, NULL, 0);
    buf_add(&b, "ab", 2);
    buf_add_str(&b, "cd");
    buf_add_char(&b, '\0');
    buf_add_i64(&b, INT64_MIN);
    buf_add_i64(&b, 0);
    buf_add_i64(&b, INT64_MAX);
    buf_printf(&b, "|%s|%d", "x", 5);
    assert_int_equal(b.len, 5 + 20 + 1 + 19 + 4);
    assert_memory_equal(b.p, "abcd\0-922337203685477580809223372036854775807|x|5", b.len + 1);
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.p, "");
    for (int i = 0; i < 10000; i++) {
        buf_printf(&b, "%03d", i % 1000);
        assert_int_equal(b.p[b.len], 0);
    }
    assert_int_equal(b.len, 30000);
    assert_memory_equal(b.p + 29997, "999", 3);
    buf_done(&b);
    assert_null(b.p);
}

static void test_cap(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_add(&b, "0123456789", 10);
    assert_false(b.is_over);
    assert_int_equal(buf_reserve(&b, 0), 0);
    buf_add_char(&b, 'x');
    assert_true(b.is_over);
    assert_string_equal(b.p, "0123456789");
    buf_clear(&b);
    assert_false(b.is_over);
    buf_printf(&b, "%s", "0123456789");
    assert_false(b.is_over);
    assert_int_equal(b.len, 10);
    buf_clear(&b);
    buf_add_str(&b, "abc");
    buf_printf(&b, "%s", "12345678"); /* one too many: nothing of it */
    assert_true(b.is_over);
    assert_string_equal(b.p, "abc");
    buf_add_str(&b, "d"); /* what fits is still taken, the mark stays */
    assert_string_equal(b.p, "abcd");
    assert_true(b.is_over);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -E2BIG);
    assert_int_equal(buf_reserve(&b, 7), -E2BIG);
    assert_int_equal(buf_reserve(&b, 6), 0);
    assert_true(b.cap <= 11);
    buf_done(&b);

    buf_init(&b, 100); /* the first allocation is not above the cap, the printf room is not either */
    buf_printf(&b, "%099d", 1);
    buf_printf(&b, "%02d", 1);
    assert_true(b.is_over);
    assert_int_equal(b.len, 99);
    buf_done(&b);
}

static void test_take(void **state)
{
    struct buf b;
    size_t len = 7;
    char *p;

    (void)state;
    buf_init(&b, 50);
    p = buf_take(&b, &len);
    assert_string_equal(p, "");
    assert_int_equal(len, 0);
    mem_free(p);
    buf_add_str(&b, "hello");
    p = buf_take(&b, &len);
    assert_string_equal(p, "hello");
    assert_int_equal(len, 5);
    mem_free(p);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.max, 50);
    buf_add_str(&b, "again");
    p = buf_take(&b, NULL);
    assert_string_equal(p, "again");
    mem_free(p);
}

/* What one buffer leaves behind, the next may take: never its contents, never beyond its own cap. */
static void test_storage_is_used_again(void **state)
{
    struct buf b[12];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_LEN(b); i++) {
            buf_init(&b[i], i % 3 == 0 ? 2000 : 0);
            assert_int_equal(buf_reserve(&b[i], 10), 0);
            assert_string_equal(b[i].p, "");
            assert_true(b[i].max == 0 || b[i].cap <= b[i].max + 1);
            for (size_t k = 0; k < 600 * (i + 1) && !b[i].is_over; k++)
                buf_add_char(&b[i], (char)('a' + i));
            assert_true(b[i].is_over == (i % 3 == 0 && 600 * (i + 1) > 2000));
        }
        for (size_t i = 0; i < ARRAY_LEN(b); i++) {
            for (size_t k = 0; k < b[i].len; k++)
                assert_int_equal(b[i].p[k], 'a' + (int)i);
            buf_done(&b[i]);
        }
    }
}

static void test_digits(void **state)
{
    static const int64_t rows[] = {0, 7, -7, 10, 1234567890123, INT64_MAX, INT64_MIN};
    char space[BUF_I64_BYTES], expected[32];
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)snprintf(expected, sizeof(expected), "%lld", (long long)rows[i]);
        assert_string_equal(buf_i64(space, rows[i]), expected);
        buf_clear(&b);
        buf_add_i64(&b, rows[i]);
        assert_string_equal(b.p, expected);
    }
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append), cmocka_unit_test(test_cap),
        cmocka_unit_test(test_take),   cmocka_unit_test(test_storage_is_used_again),
        cmocka_unit_test(test_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
