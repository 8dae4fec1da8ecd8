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
        {"kafka.topics", "kafka.topics.jobs\n", 7, NULL},
        {"models.*.price.input", "models.*.price.input\n", 1, NULL},
        {"models.gpt-4.1.price.input", "models.*.price.input\n", 1, NULL},
        {"models.gpt-4.1.limits", "models.*.limits.requests_per_minute\n", 4, NULL},
        {"workers", "workers\n", 1, NULL},
        {"rpm", "models.*.limits.requests_per_minute\n", 1, NULL}, /* LiteLLM's word */
        {"base_url", "providers.*.base_url\n", 1, NULL},
        {"kafka.brokerz", NULL, 0, "kafka.brokers"},
        {"kafka.brokers.x", NULL, 0, "kafka.brokers"},
        {"fallbacks", "models.*.fallbacks\n", 1, NULL},
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

static const char *value_shown(const char *shown, const char *key)
{
    static char value[256];
    char start[160];
    const char *at;

    (void)snprintf(start, sizeof(start), "\"%s\":{\"value\":\"", key);
    at = strstr(shown, start);
    if (at == NULL)
        return NULL;
    (void)snprintf(value, sizeof(value), "%s", at + strlen(start));
    value[strcspn(value, "\"")] = '\0';
    return value;
}

/* D-21: what is shown, what the manual says and what is in effect are one. */
static void test_d21_show_is_the_manual(void **state)
{
    size_t n;
    const struct option *all = option_all(&n);
    struct config_input in = {.is_shown_as_json = true};
    struct config_reading r;
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    in.out_shown = &b;
    r = config_read("providers: {p: {api: openai, base_url: http://h/v1}}\nmodels: {m: {provider: p}}\n", &in);
    assert_string_equal(r.report, "");
    for (size_t i = 0; i < n; i++) {
        char key[128];
        const char *entry = all[i].home == HOME_MODEL      ? "models.m."
                            : all[i].home == HOME_PROVIDER ? "providers.p."
                                                           : "";
        const char *shown;

        (void)snprintf(key, sizeof(key), "%s%s", entry, *entry != '\0' ? strchr(all[i].path, '*') + 2 : all[i].path);
        shown = value_shown(b.p, key);
        assert_non_null(shown);
        if (all[i].fallback == NULL)
            continue;
        if (all[i].type == OPT_LIST)
            assert_memory_equal(shown + 1, all[i].fallback, strlen(all[i].fallback));
        else if (all[i].type == OPT_STRING || all[i].type == OPT_ENUM || all[i].type == OPT_BOOL)
            assert_string_equal(shown, all[i].fallback);
    }
    config_reading_done(&r);
    buf_done(&b);
}

static void test_show_hides_secrets_and_names_origins(void **state)
{
    static const char *const env[] = {"TUTTI_WORKERS=3", "K=sk-secret-1", "PW=hush", NULL};
    static const char *const sets[] = {"log.level=warn"};
    static const char *const lines[] = {
        "  url: redis://***@h:1                      # tutti.yaml:3\n",
        "  properties: {sasl.password: (hidden), linger.ms: 5} # tutti.yaml:4\n",
        "    api_keys: [(hidden), (hidden)]          # tutti.yaml:1\n",
        "  level: warn                               # --set log.level\n",
        "workers: 3                                  # TUTTI_WORKERS\n",
        "      largest_call: 5k                      # computed\n",
        "    ca_file: null                           # not set\n",
        "  grace: 25s                                # default\n",
    };
    struct config_input in = {.env = env, .sets = sets, .n_sets = 1};
    struct config_reading r;
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    in.out_shown = &b;
    r = config_read("providers: {p: {api: openai, base_url: http://h/v1, api_keys: ['${env:K}', '${env:K}2']}}\n"
                    "models: {m: {provider: p, limits: {tokens_per_minute: 100k}}}\n"
                    "redis: {url: 'redis://u:pw@h:1'}\n"
                    "kafka: {properties: {sasl.password: '${env:PW}', linger.ms: 5}}\n",
                    &in);
    assert_string_equal(r.report, "");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (strstr(b.p, lines[i]) == NULL)
            fail_msg("no line '%s' in\n%s", lines[i], b.p);
    assert_null(strstr(b.p, "secret-1"));
    assert_null(strstr(b.p, "hush"));
    assert_null(strstr(b.p, "pw@"));
    config_reading_done(&r);
    buf_done(&b);
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
        cmocka_unit_test(test_d21_show_is_the_manual),
        cmocka_unit_test(test_show_hides_secrets_and_names_origins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
