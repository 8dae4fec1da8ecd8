/* SPDX-License-Identifier: Apache-2.0 */
/* Fields and values of the Redis journal: round trips and damaged bytes. */
#include "journal/journal_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"

static void test_round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 9, 16384, 16385, 131072, 131073, 200000};
    struct arena *a = arena_new(4096);
    char *bytes = mem_zero(200000);

    (void)state;
    for (size_t i = 0; i < 200000; i++)
        bytes[i] = (char)(i % 97);
    for (size_t i = 0; i < ARRAY_LEN(sizes) * 2; i++) {
        struct recall in = {.call_key = i % 4 < 2 ? "answer:0:0:1:0" : "a:b",
                            .attempt = i == 3 ? 2000000000 : (int)i,
                            .is_done = i % 2 == 0,
                            .bytes = text_slice(bytes, sizes[i / 2])};
        struct recall out;
        struct buf field, value;

        buf_init(&field, 0);
        buf_init(&value, 0);
        journal_field_add(&field, &in);
        journal_value_add(&value, in.attempt, in.bytes);
        assert_int_equal(value.p[0], sizes[i / 2] > 16384 && sizes[i / 2] <= 131072 ? 'z' : 'p');
        assert_int_equal(journal_recall_read(a, field.p, field.len, value.p, value.len, &out), 0);
        assert_string_equal(out.call_key, in.call_key);
        assert_int_equal(out.attempt, in.attempt);
        assert_int_equal(out.is_done, in.is_done);
        assert_int_equal(out.bytes.len, in.bytes.len);
        assert_memory_equal(out.bytes.p, in.bytes.p, in.bytes.len);
        buf_done(&field);
        buf_done(&value);
    }
    mem_free(bytes);
    arena_free(a);
}

static void test_damaged(void **state)
{
    static const struct {
        const char *field, *value;
        size_t value_len;
    } rows[] = {
        {"", "p\0\0\0\0\0\0\0\0", 9},
        {"D", "p\0\0\0\0\0\0\0\0", 9},
        {"X1", "p\0\0\0\0\0\0\0\0", 9},
        {"F1", "p\0\0\0\0\0\0\0\0", 9},
        {"Dk", "", 0},
        {"Dk", "p\0\0\0\0\0\0\0", 8},
        {"Dk", "p\0\0\0\0\1\0\0\0", 9},
        {"Dk", "p\0\0\0\0\0\0\0\0x", 10},
        {"Dk", "q\0\0\0\0\0\0\0\0", 9},
        {"Dk", "z\0\0\0\0\xff\xff\xff\x7fx", 10},
        {"Dk", "z\0\0\0\0\5\0\0\0abcde", 14},
        {"Dk", "z\0\0\0\0\0\0\0\0", 9},
    };
    struct arena *a = arena_new(4096);
    struct recall out;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_not_equal(
            journal_recall_read(a, rows[i].field, strlen(rows[i].field), rows[i].value, rows[i].value_len, &out), 0);
    arena_free(a);
}

static void test_random_damage(void **state)
{
    char *bytes = mem_zero(50000);
    struct buf value;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    buf_init(&value, 0);
    journal_value_add(&value, 1, text_slice(bytes, 50000));
    for (int i = 0; i < 3000; i++) {
        struct arena *a = arena_new(4096);
        char *bad = mem_strndup(value.p, value.len);
        struct text out;
        int attempt;

        bad[rng_below(&rng, value.len)] = (char)rng_u64(&rng);
        (void)journal_value_read(a, bad, 1 + rng_below(&rng, value.len), &attempt, &out);
        (void)journal_value_read(a, bad, value.len, &attempt, &out);
        mem_free(bad);
        arena_free(a);
    }
    buf_done(&value);
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_random_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
