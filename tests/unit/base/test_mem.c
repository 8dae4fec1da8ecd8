/* SPDX-License-Identifier: Apache-2.0 */
/* Heap helpers and arenas: contents, alignment, growth, big requests, accounting. */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"

static void test_heap_helpers(void **state)
{
    AUTO_FREE char *copy = mem_strdup("abc");
    AUTO_FREE char *part = mem_strndup("abcdef", 4);
    AUTO_FREE char *empty = mem_strndup(NULL, 0);
    char *p = mem_alloc(0);
    char *q;

    (void)state;
    assert_string_equal(copy, "abc");
    assert_string_equal(part, "abcd");
    assert_string_equal(empty, "");
    assert_null(mem_strdup(NULL));
    p = mem_resize(p, 8);
    memcpy(p, "1234567", 8);
    p = mem_resize(p, 4000);
    assert_string_equal(p, "1234567");
    q = TAKE(p);
    assert_null(p);
    mem_free(q);
    mem_free(NULL);
    q = mem_zero(100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(q[i], 0);
    mem_free(q);
}

static void test_arena_keeps_everything_it_gave(void **state)
{
    static const size_t first[] = {0, 1, 256, 4096};
    enum { N = 2000 };
    unsigned char **given = mem_alloc(N * sizeof(*given));

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(first); k++) {
        struct arena *a = arena_new(first[k]);
        size_t total = 0;

        for (size_t i = 0; i < N; i++) {
            size_t bytes = i % 97 == 0 ? 5000 + i : i % 61;

            given[i] = arena_alloc(a, bytes);
            assert_int_equal((uintptr_t)given[i] % _Alignof(max_align_t), 0);
            memset(given[i], (int)(i % 251), bytes);
            total += bytes;
        }
        for (size_t i = 0; i < N; i++) {
            size_t bytes = i % 97 == 0 ? 5000 + i : i % 61;

            for (size_t j = 0; j < bytes; j++)
                assert_int_equal(given[i][j], i % 251);
        }
        assert_true(arena_bytes(a) >= total);
        arena_free(a);
    }
    mem_free(given);
    arena_free(NULL);
}

static void test_arena_bytes(void **state)
{
    struct arena *a = arena_new(4096);
    size_t before = arena_bytes(a);

    (void)state;
    assert_int_equal(before, 4096); /* one malloc of the size class, headers included */
    for (int i = 0; i < 100; i++)
        arena_alloc(a, 16);
    assert_int_equal(arena_bytes(a), before);
    arena_alloc(a, 1000000); /* a block of its own: the current one goes on */
    assert_in_range(arena_bytes(a), before + 1000000, before + 1000100);
    before = arena_bytes(a);
    arena_alloc(a, 16);
    assert_int_equal(arena_bytes(a), before);
    arena_free(a);
}

static void test_arena_text(void **state)
{
    struct arena *a = arena_new(256);
    char *zeroed = arena_zero(a, 300);

    (void)state;
    for (int i = 0; i < 300; i++)
        assert_int_equal(zeroed[i], 0);
    assert_string_equal(arena_strdup(a, "x"), "x");
    assert_null(arena_strdup(a, NULL));
    assert_memory_equal(arena_copy(a, "a\0b", 3), "a\0b\0", 4);
    assert_string_equal(arena_copy(a, NULL, 0), "");
    assert_string_equal(arena_printf(a, "%d-%s", 7, "seven"), "7-seven");
    assert_string_equal(arena_join(a, "one", "", "-", "two", NULL), "one-two");
    assert_int_equal(strlen(arena_printf(a, "%1000d", 1)), 1000);
    arena_free(a);
}

/* Blocks go from one arena to the next; several at once never share one. */
static void test_blocks_are_used_again(void **state)
{
    struct arena *a[20];
    char *text[20][50];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            a[i] = arena_new((size_t)1 << (8 + i % 10));
            for (int k = 0; k < 50; k++) {
                size_t len = (size_t)(37 * k * (i + 1)) % 9000;

                text[i][k] = arena_alloc(a[i], len + 1);
                memset(text[i][k], 'a' + (i + k) % 26, len);
                text[i][k][len] = '\0';
            }
        }
        for (int i = 0; i < 20; i++) {
            for (int k = 0; k < 50; k++) {
                size_t len = (size_t)(37 * k * (i + 1)) % 9000;

                assert_int_equal(strlen(text[i][k]), len);
                assert_true(len == 0 || (text[i][k][0] == 'a' + (i + k) % 26 && text[i][k][len - 1] == text[i][k][0]));
            }
            arena_free(a[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap_helpers),          cmocka_unit_test(test_arena_keeps_everything_it_gave),
        cmocka_unit_test(test_arena_bytes),           cmocka_unit_test(test_arena_text),
        cmocka_unit_test(test_blocks_are_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
