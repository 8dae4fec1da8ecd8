/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the configuration again: what counts as a change, what keeps its value, what stays in place in the registry
 * and among the pools. That workers take it up is seen in tests/live/test_reload.py. */
#include "app/reload.h"

#include <stdlib.h>
#include <unistd.h>

#include "app/config_diff.h"
#include "app/config_table.h"
#include "app/wire.h"
#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "unit/app/config_testing.h"

#define PROVIDERS "providers: {p: {api: openai, base_url: 'http://h/v1', api_keys: [a, b]}}\n"

static struct config *read_config(const char *text)
{
    struct config_reading r = config_read(text, NULL);

    if (r.config == NULL)
        fail_msg("%s", r.report);
    mem_free(r.report);
    return r.config;
}

/* --- what differs --- */

static void expect_diff(const struct config *before, const struct config *after, const char *changed,
                        const char *restart)
{
    struct buf c, r;
    struct config_diff d;

    buf_init(&c, 0);
    buf_init(&r, 0);
    d = config_diff(before, after, &c, &r);
    assert_string_equal(c.len > 0 ? c.p : "", changed);
    assert_string_equal(r.len > 0 ? r.p : "", restart);
    assert_int_equal(d.n_changed > 0, *changed != '\0');
    assert_int_equal(d.n_restart > 0, *restart != '\0');
    buf_done(&c);
    buf_done(&r);
}

static void test_names_what_changed(void **state)
{
#define MODELS "models: {m: {provider: p, limits: {requests_per_minute: 60}, price: {input: 1, output: 2}}}\n"
    static const struct {
        const char *text, *changed, *restart;
    } cases[] = {
        {PROVIDERS MODELS, "", ""},
        {PROVIDERS "models: {m: {provider: p, limits: {requests_per_minute: 30, concurrency: 4}, price: {input: 1, "
                   "output: 3}}}\n",
         "models.m.limits.requests_per_minute,models.m.limits.concurrency,models.m.price.output", ""},
        {PROVIDERS "models: {n: {provider: p, params: {a: 1}}}\n", "models.n (new),models.m (gone)", ""},
        {"providers: {p: {api: openai, base_url: 'http://h/v1', api_keys: [a, c]}, q: {api: gemini, base_url: "
         "'http://g'}}\n" MODELS,
         "providers.p.api_keys,providers.q (new)", ""},
        {PROVIDERS MODELS "log: {level: debug}\njobs: {default_models: [m]}\nbreaker: {open_for: 1s}\n",
         "jobs.default_models,breaker.open_for,log.level", ""},
        {PROVIDERS MODELS "kafka: {group: g, properties: {linger.ms: 5}}\nworkers: 2\nlog: {level: warn}\n",
         "log.level", "kafka.group,kafka.properties,workers"},
        {PROVIDERS MODELS "redis: {url: 'redis://u:secret@h:1'}\n", "", "redis.url"},
        {PROVIDERS MODELS "journal: {url: 'redis://h:1', enabled: false}\n", "", "journal.enabled,journal.url"},
    };
    struct config *before = read_config(PROVIDERS MODELS);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config *after = read_config(cases[i].text);

        expect_diff(before, after, cases[i].changed, cases[i].restart);
        config_free(after);
    }
    config_free(before);
}

/* A value of this type that no configuration of this test has. */
static void disturb(const struct option *o, void *base)
{
    static const char *const words[] = {"other"};
    static const struct config_pair pairs[] = {{"other", "1"}};
    void *field = (char *)base + o->offset;

    switch (o->type) {
    case OPT_STRING:
    case OPT_SECRET:
    case OPT_URL:
    case OPT_PATH:
        *(const char **)field = "other";
        break;
    case OPT_BOOL:
        *(bool *)field = !*(bool *)field;
        break;
    case OPT_ENUM:
        ++*(int *)field;
        break;
    case OPT_LIST:
        *(struct config_list *)field = (struct config_list){words, 1};
        break;
    case OPT_MAP_TEXT:
    case OPT_MAP_JSON:
        *(struct config_map *)field = (struct config_map){pairs, 1};
        break;
    default:
        ++*(int64_t *)field;
        break;
    }
}

/* D-21: what the manual says of each option, "reload" or not, is what a reload does. */
static void test_every_option_is_reloaded_or_kept_as_the_manual_says(void **state)
{
    size_t n;
    const struct option *all = option_all(&n);
    struct config *before = read_config(PROVIDERS MODELS);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct config *after = read_config(PROVIDERS MODELS);
        bool is_reloaded = (all[i].flags & OPT_RELOAD) != 0;
        const char *entry = all[i].home == HOME_MODEL ? "models.m" : "providers.p";
        char name[128];

        (void)snprintf(name, sizeof(name), "%s%s", all[i].home == HOME_CONFIG ? "" : entry,
                       all[i].home == HOME_CONFIG ? all[i].path : strchr(all[i].path, '*') + 1);
        disturb(&all[i], all[i].home == HOME_CONFIG     ? (void *)after
                         : all[i].home == HOME_PROVIDER ? (void *)after->providers
                                                        : (void *)after->models);
        expect_diff(before, after, is_reloaded ? name : "", is_reloaded ? "" : name);
        config_keep(after, before);
        expect_diff(before, after, is_reloaded ? name : "", "");
        config_free(after);
    }
    config_free(before);
}

static void test_a_long_list_is_cut(void **state)
{
    struct config *before = read_config(PROVIDERS MODELS), *after;
    struct buf text, changed, restart;

    (void)state;
    buf_init(&text, 0);
    buf_init(&changed, 0);
    buf_init(&restart, 0);
    buf_add_str(&text, PROVIDERS "models:\n  m: {provider: p, limits: {requests_per_minute: 60}, price: {input: 1, "
                                 "output: 2}}\n");
    for (int i = 0; i < 100; i++)
        buf_printf(&text, "  m%d: {provider: p}\n", i);
    after = read_config(text.p);
    assert_int_equal(config_diff(before, after, &changed, &restart).n_changed, 100);
    assert_non_null(strstr(changed.p, "models.m0 (new),models.m1 (new),"));
    assert_non_null(strstr(changed.p, " and 76 more"));
    config_free(before);
    config_free(after);
    buf_done(&text);
    buf_done(&changed);
    buf_done(&restart);
}

/* --- generations --- */

static int pool_of(const struct wiring *w, const char *model, int key)
{
    const struct model *m = registry_find(&w->registry, text_of(model));

    assert_non_null(m);
    return m->pools[key];
}

static void test_pools_keep_their_places(void **state)
{
    struct config *first = read_config(PROVIDERS "models: {a: {provider: p, limits: {requests_per_minute: 60}},"
                                                 " b: {provider: p, limits: {concurrency: 3}}}\n");
    struct config *second = read_config(PROVIDERS "models: {c: {provider: p, limits: {concurrency: 9}},"
                                                  " b: {provider: p, limits: {requests_per_minute: 10}}}\n");
    struct config *third = read_config(PROVIDERS "models: {a: {provider: p, limits: {requests_per_minute: 7}}}\n");
    struct wiring w[3];

    (void)state;
    wiring_init(&w[0], first);
    wiring_init_after(&w[1], second, &w[0]);
    wiring_init_after(&w[2], third, &w[1]);
    assert_int_equal(w[0].n_pools, 4); /* two keys, each a meter of its own */
    assert_int_equal(w[1].n_pools, 6);
    assert_int_equal(w[2].n_pools, 6);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(pool_of(&w[1], "b", k), pool_of(&w[0], "b", k));
        assert_int_equal(pool_of(&w[1], "c", k), 4 + k);
        assert_int_equal(pool_of(&w[2], "a", k), pool_of(&w[0], "a", k));
    }
    for (int g = 1; g < 3; g++)
        for (int i = 0; i < w[g - 1].n_pools; i++)
            assert_string_equal(w[g].pools[i].id, w[g - 1].pools[i].id);
    assert_int_equal(w[1].pools[0].requests_per_minute, 60); /* nobody's now: a job in hand may still ask */
    assert_int_equal(w[1].pools[pool_of(&w[1], "b", 0)].requests_per_minute, 10);
    assert_int_equal(w[1].pools[pool_of(&w[1], "b", 0)].concurrency, 0);
    assert_int_equal(w[2].pools[0].requests_per_minute, 7);
    assert_int_equal(registry_find(&w[2].registry, text_of("a"))->limit_rpm, 14);
    for (int g = 0; g < 3; g++)
        wiring_done(&w[g]);
    config_free(first);
    config_free(second);
    config_free(third);
}

/* --- the file --- */

static char path[64];

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");

    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static int make_file(void **state)
{
    int fd;

    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/tutti-reload-XXXXXX");
    fd = mkstemp(path);
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static struct config *load(const struct config_input *in)
{
    struct config_report report;
    struct config *c = NULL;

    config_report_init(&report, "tutti");
    CHECK(config_load(in, &report, &c) == 0);
    config_report_done(&report);
    return c;
}

static void test_a_bad_file_changes_nothing(void **state)
{
    static const char good[] = PROVIDERS "models: {m: {provider: p}}\nlog: {level: error}\n";
    static const char *const bad[] = {
        PROVIDERS "models: {m: {provider: q}, n: {providr: p}}\n",
        "models: [\n",
        "",
        PROVIDERS "models: {m: {provider: p, limits: {requests_per_minute: 1}}}\n",
    };
    const struct config_input in = {.path = path};
    struct wiring wiring;
    struct reload *r;
    struct config *c;

    (void)state;
    write_file(good);
    c = load(&in);
    wiring_init(&wiring, c);
    r = reload_new(&in, c, &wiring);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        metric_set(METRIC_RELOAD_OK, 1);
        write_file(bad[i]);
        assert_null(reload_now(r, NULL, 0));
        assert_int_equal(metric_get(METRIC_RELOAD_OK), 0);
    }
    metric_set(METRIC_RELOAD_TIME, 0);
    write_file(good); /* well read, and nothing to do */
    assert_null(reload_now(r, NULL, 0));
    assert_int_equal(metric_get(METRIC_RELOAD_OK), 1);
    assert_true(metric_get(METRIC_RELOAD_TIME) > 0);
    reload_free(r);
    wiring_done(&wiring);
    config_free(c);
}

static void test_a_good_file_is_in_force(void **state)
{
    const struct config_input in = {.path = path};
    const struct wiring *second, *third;
    struct wiring wiring;
    struct reload *r;
    struct config *c;

    (void)state;
    write_file(PROVIDERS "models: {m: {provider: p, price: {input: 1, output: 1}}}\nlog: {level: error}\nworkers: 1\n");
    c = load(&in);
    wiring_init(&wiring, c);
    wiring.has_local_limits = true;
    r = reload_new(&in, c, &wiring);
    write_file(PROVIDERS "models: {m: {provider: p, price: {input: 5, output: 1}, aliases: [x]}}\nworkers: 7\n"
                         "kafka: {group: other}\nlog: {level: warn}\njobs: {deadline: 1m}\n");
    second = reload_now(r, NULL, 0);
    assert_non_null(second);
    assert_true(second->has_local_limits);
    assert_int_equal(registry_find(&second->registry, text_of("x"))->price.input, 5 * INT64_C(1000000000));
    assert_int_equal(second->config->jobs.deadline_us, INT64_C(60000000));
    assert_int_equal(second->config->workers, 1);
    assert_string_equal(second->config->kafka.group, "tutti");
    assert_true(log_is_on(LOG_WARN));
    assert_int_equal(registry_find(&wiring.registry, text_of("m"))->price.input,
                     INT64_C(1000000000)); /* jobs in hand */
    write_file(PROVIDERS "models: {n: {provider: p}}\nlog: {level: error}\nworkers: 1\n");
    third = reload_now(r, NULL, 0);
    assert_non_null(third);
    assert_null(registry_find(&third->registry, text_of("m")));
    assert_non_null(registry_find(&third->registry, text_of("n")));
    reload_free(r);
    wiring_done(&wiring);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_what_changed),
        cmocka_unit_test(test_every_option_is_reloaded_or_kept_as_the_manual_says),
        cmocka_unit_test(test_a_long_list_is_cut),
        cmocka_unit_test(test_pools_keep_their_places),
        cmocka_unit_test_setup_teardown(test_a_bad_file_changes_nothing, make_file, remove_file),
        cmocka_unit_test_setup_teardown(test_a_good_file_is_in_force, make_file, remove_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
