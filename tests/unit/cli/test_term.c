/* SPDX-License-Identifier: Apache-2.0 */
/* Text in columns: widths, lines and snippets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/term.h"

static void test_columns_are_those_of_the_screen(void **state)
{
    static const struct {
        const char *text;
        int columns;
    } cases[] = {
        {"", 0}, {"abc", 3}, {"naïve", 5}, {"日本", 4}, {"a😀b", 4}, {"e\xcc\x81", 1}, {"\xff\xfe", 2}, {"\xe6\x97", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(term_columns(cases[i].text, strlen(cases[i].text)), cases[i].columns);
}

static void test_lines_break_at_blanks_newlines_and_the_edge(void **state)
{
    static const struct {
        const char *text;
        int width;
        const char *lines[5];
    } cases[] = {
        {"one two three", 7, {"one two", "three"}},
        {"one two three", 8, {"one two", "three"}},
        {"a\n\nb", 10, {"a", "", "b"}},
        {"abcdefgh", 3, {"abc", "def", "gh"}},
        {"日本日本", 5, {"日本", "日本"}},
        {"日", 1, {"日"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *s = cases[i].text;
        size_t len = strlen(s), next = 0;

        for (size_t k = 0; cases[i].lines[k] != NULL; k++) {
            size_t n = term_line(s, len, cases[i].width, &next);

            assert_int_equal(n, strlen(cases[i].lines[k]));
            assert_memory_equal(s, cases[i].lines[k], n);
            assert_true(next > 0 || len == 0);
            s += next;
            len -= next;
        }
        assert_int_equal(len, 0);
    }
}

static void test_snippets_fit_on_one_line(void **state)
{
    static const struct {
        const char *text;
        int columns;
        const char *expected;
    } cases[] = {
        {"short", 10, "short"},
        {"\n\n  first line\nsecond", 20, "first line"},
        {"a   b\t c", 20, "a b c"},
        {"0123456789", 10, "0123456789"},
        {"0123456789x", 10, "0123456..."},
        {"日本日本日本", 9, "日本日..."},
        {"\033[31mred\007", 20, "[31mred"},
        {"", 10, ""},
        {"   ", 10, ""},
    };
    char out[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        term_snippet(out, sizeof(out), cases[i].text, strlen(cases[i].text), cases[i].columns);
        assert_string_equal(out, cases[i].expected);
    }
    term_snippet(out, 12, "日本日本日本日本", 24, 100); /* the room is smaller than the columns */
    assert_true(strlen(out) < 12);
}

static void test_a_terminal_gets_no_control_characters(void **state)
{
    char *bytes;
    size_t len;
    FILE *f = open_memstream(&bytes, &len);

    (void)state;
    term_write(f, "a\033[2Jb\n\tc\x7f", 9);
    (void)fclose(f);
    assert_string_equal(bytes, "a?[2Jb\n\tc");
    assert_int_equal(term_width(stdin) > 0 ? 0 : term_width(stdin), 0);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_those_of_the_screen),
        cmocka_unit_test(test_lines_break_at_blanks_newlines_and_the_edge),
        cmocka_unit_test(test_snippets_fit_on_one_line),
        cmocka_unit_test(test_a_terminal_gets_no_control_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
