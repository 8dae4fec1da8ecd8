/* SPDX-License-Identifier: Apache-2.0 */
/* Suggestions: edits, swaps, prefixes, and when to stay silent. */
#include "base/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"

static void test_nearest(void **state)
{
    static const char *const words[] = {"providers", NULL, "concurrency", "retry", "models", "gpt-4o", "gpt-4o-mini"};
    static const struct {
        const char *word;
        const char *nearest;
    } rows[] = {
        {"providers", "providers"},
        {"provider", "providers"},
        {"provdiers", "providers"}, /* neighbours swapped: one edit */
        {"rtery", "retry"},
        {"trery", NULL}, /* two edits are more than a third of five */
        {"rety", "retry"},
        {"conncurency", "concurrency"},
        {"cnocurrnecy", "concurrency"},
        {"modles", "models"},
        {"gpt-4", "gpt-4o"},
        {"gpt-4o-mnii", "gpt-4o-mini"},
        {"conc", "concurrency"}, /* prefix */
        {"models_extra_long", "models"},
        {"co", NULL},
        {"", NULL},
        {"zebra", NULL},
        {"xx", NULL},
    };
    char big[5000];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *nearest = names_nearest(rows[i].word, words, ARRAY_LEN(words));

        if (rows[i].nearest == NULL)
            assert_null(nearest);
        else {
            assert_non_null(nearest);
            assert_string_equal(nearest, rows[i].nearest);
        }
    }
    assert_null(names_nearest("x", NULL, 0));
    memset(big, 'm', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_null(names_nearest(big, words, ARRAY_LEN(words)));
    assert_null(names_nearest("zzz", (const char *const[]){big}, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nearest)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
