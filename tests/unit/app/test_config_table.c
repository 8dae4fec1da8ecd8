/* SPDX-License-Identifier: Apache-2.0 */
/* The option table itself: its rows make sense, ranges hold at both ends, the manual and the sample file follow it. */
#include "config_testing.h"

#include <stdlib.h>

#include "app/config_table.h"

static void test_rows_make_sense(void **state)
{
    size_t n;
    const struct option *all = option_all(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        const struct option *o = &all[i];
        bool is_number = o->type >= OPT_INT && o->type <= OPT_MONEY;

        assert_ptr_equal(option_find(o->path), o); /* no path twice */
        assert_false(option_is_section(o->path));
        assert_true(strlen(o->path) < 64);
        assert_non_null(o->help);
        assert_true(o->help[strlen(o->help) - 1] == '.');
        assert_null(strchr(o->help, '|')); /* it stands in a table */
        assert_true(o->max == 0 || (is_number && o->min < o->max));
        assert_true(!is_number || o->type == OPT_MONEY || o->max > 0); /* every number has a range */
        assert_true((o->type == OPT_ENUM || o->type == OPT_URL) == (o->words != NULL));
        assert_true((o->form == NULL) == (o->form_help == NULL));
        assert_true((o->flags & OPT_REQUIRED) == 0 || o->fallback == NULL);
        assert_true((strncmp(o->path, "models.*.", 9) == 0) == (o->home == HOME_MODEL));
        assert_true((strncmp(o->path, "providers.*.", 12) == 0) == (o->home == HOME_PROVIDER));
    }
}

static void set_one(const struct option *o, const char *value, struct config_reading *out)
{
    char entry[256];
    const char *const sets[] = {entry};
    struct config_input in = {.sets = sets, .n_sets = 1};

    (void)snprintf(entry, sizeof(entry), "%s=%s", o->path, value);
    *out = config_read(CONFIG_BASE, &in);
}

/* Both ends of each range are accepted by the reader, one step beyond is not. */
static void test_ranges_hold_at_both_ends(void **state)
{
    size_t n;
    const struct option *all = option_all(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        int64_t ends[] = {all[i].min, all[i].max, all[i].min - 1, all[i].max + 1};

        if (all[i].home != HOME_CONFIG || all[i].max == 0)
            continue;
        for (size_t k = 0; k < 4; k++) {
            struct config_reading r;
            char value[32];

            if (ends[k] < 0)
                continue;
            option_write_number(all[i].type, ends[k], value, sizeof(value));
            set_one(&all[i], value, &r);
            assert_true((strstr(r.report, "out of range") != NULL) == (k >= 2));
            config_reading_done(&r);
        }
    }
}

static void test_numbers_are_written_as_they_are_read(void **state)
{
    static const struct {
        enum option_type type;
        int64_t v;
        const char *text;
    } cases[] = {
        {OPT_DURATION, 0, "0"},          {OPT_DURATION, 200000, "200ms"}, {OPT_DURATION, 90000000, "90s"},
        {OPT_DURATION, 300000000, "5m"}, {OPT_DURATION, 1, "1us"},        {OPT_SIZE, 512 * 1024, "512KiB"},
        {OPT_SIZE, 1000, "1000"},        {OPT_COUNT, 2000, "2k"},         {OPT_COUNT, 1500, "1500"},
        {OPT_INT, 2000, "2000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];

        option_write_number(cases[i].type, cases[i].v, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

static void test_explain(void **state)
{
    static const struct {
        const char *key;
        const char *first; /* first line; NULL: unknown */
        int rows;
        const char *nearest;
    } cases[] = {
        {"kafka.brokers", "kafka.brokers\n", 1, NULL},
        {"kafka.topics", "kafka.topics.jobs\n", 4, NULL},
        {"models.*.price.input", "models.*.price.input\n", 1, NULL},
        {"models.gpt-4.1.price.input", "models.*.price.input\n", 1, NULL},
        {"models.gpt-4.1.limits", "models.*.limits.requests_per_minute\n", 4, NULL},
        {"workers", "workers\n", 1, NULL},
        {"kafka.brokerz", NULL, 0, "kafka.brokers"},
        {"kafka.brokers.x", NULL, 0, "kafka.brokers"},
        {"", NULL, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *nearest = NULL;
        struct buf b;
        int rows = 0;
        int r;

        buf_init(&b, 0);
        r = config_explain(cases[i].key, &b, &nearest);
        assert_int_equal(r, cases[i].first == NULL ? -2 /* ENOENT */ : 0);
        if (cases[i].first == NULL) {
            assert_int_equal(b.len, 0);
            assert_true(nearest == cases[i].nearest || strcmp(nearest, cases[i].nearest) == 0);
        } else {
            assert_memory_equal(b.p, cases[i].first, strlen(cases[i].first));
            for (const char *p = b.p; (p = strstr(p, "  type     ")) != NULL; p++)
                rows++;
            assert_int_equal(rows, cases[i].rows);
        }
        buf_done(&b);
    }
}

static void test_the_manual_is_up_to_date(void **state)
{
    char *manual = read_repository_file("docs/configuration.md");
    struct buf b;

    (void)state;
    assert_non_null(manual);
    buf_init(&b, 0);
    config_write_docs(&b);
    if (strcmp(manual, b.p) != 0)
        fail_msg("stale: tutti config docs > docs/configuration.md");
    buf_done(&b);
    mem_free(manual);
}

static void test_the_manual_names_every_option(void **state)
{
    size_t n;
    const struct option *all = option_all(&n);
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    config_write_docs(&b);
    for (size_t i = 0; i < n; i++) {
        char row[128];

        (void)snprintf(row, sizeof(row), "\n| `%s` | ", all[i].path);
        assert_non_null(strstr(b.p, row));
    }
    buf_done(&b);
}

static void test_the_sample_is_accepted(void **state)
{
    static const char *const env[] = {"OPENAI_API_KEY=sk", NULL};
    struct config_input in = {.env = env};
    char *sample = read_repository_file("config/tutti.yaml");
    struct config_reading r;

    (void)state;
    assert_non_null(sample);
    r = config_read(sample, &in);
    assert_string_equal(r.report, "");
    assert_int_equal(r.config->n_models, 2);
    config_reading_done(&r);
    mem_free(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_make_sense),
        cmocka_unit_test(test_ranges_hold_at_both_ends),
        cmocka_unit_test(test_numbers_are_written_as_they_are_read),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_the_manual_is_up_to_date),
        cmocka_unit_test(test_the_manual_names_every_option),
        cmocka_unit_test(test_the_sample_is_accepted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
