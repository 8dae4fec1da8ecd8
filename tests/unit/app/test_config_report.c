/* SPDX-License-Identifier: Apache-2.0 */
/* What a report says beside the line of the file: secrets are masked, the environment and flags go by their names, the
 * hooks have their own words. */
#include "config_testing.h"

#include <errno.h>

#include "base/check.h"

static void test_a_key_in_the_file_is_a_warning_and_masked(void **state)
{
    struct config_reading r =
        config_read("providers:\n  p: {api: openai, base_url: http://h, api_key: sk-abc, ca_file: }\n"
                    "models: {m: {provider: p}}\n",
                    NULL);

    (void)state;
    assert_non_null(r.config);
    assert_string_equal(r.config->providers[0].api_key, "sk-abc");
    assert_string_equal(r.report,
                        "tutti.yaml:2:40: warning: providers.p.api_key is written in the file: prefer ${env:NAME} or "
                        "${file:PATH}\n"
                        "  p: {api: openai, base_url: http://h, api_key: ******, ca_file: }\n"
                        "                                       ^~~~~~~\n"
                        "1 problem (0 errors, 1 warning) in tutti.yaml.\n");
    config_reading_done(&r);
}

static void test_dedupe_without_a_journal_is_a_warning(void **state)
{
    static const struct {
        const char *more;
        bool is_warned;
    } cases[] = {{"journal: {enabled: false}\njobs: {dedupe: 2h}\n", true},
                 {"journal: {enabled: false}\n", false}, /* the default gives way */
                 {"journal: {enabled: false}\njobs: {dedupe: 0s}\n", false},
                 {"jobs: {dedupe: 2h}\n", false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[512];
        struct config_reading r;

        snprintf(text, sizeof(text), "%s%s",
                 "providers: {p: {api: openai, base_url: http://h}}\nmodels: {m: {provider: p}}\n", cases[i].more);
        r = config_read(text, NULL);
        assert_non_null(r.config);
        assert_string_equal(r.report, !cases[i].is_warned ? ""
                                                          : "tutti.yaml:4:16: warning: jobs.dedupe: has no effect with "
                                                            "journal.enabled: false, which keeps no job ids\n"
                                                            "jobs: {dedupe: 2h}\n"
                                                            "               ^~\n"
                                                            "1 problem (0 errors, 1 warning) in tutti.yaml.\n");
        config_reading_done(&r);
    }
}

/* Whatever is wrong with a line, a secret in it is not shown. */
static void test_no_secret_is_ever_shown(void **state)
{
    static const char *const texts[] = {
        "providers: {p: {api_key: hunter2, apikey: hunter2}}\n",
        "providers: {p: {api_key: [hunter2]}}\n",
        "providers:\n  p:\n    api_key: |\n      hunter2\n",
        "providers:\n  p:\n    api_key: \"hun\\tter2\"\n    api_keys: [hunter2]\n",
        "kafka: {properties: {sasl.password: hunter2, ssl.key.password: \"hunter2\", x.secret: 'hunter2, hunter2'}} "
        "}\n",
        "redis: {url: 'redis://u:hunter2@h/0', x: 1}\njournal: {url: 'http://u:hunter2@h'}\n",
        "providers:\n  p:\n    api_key: >-\n      hunter2 ${X}\n",
        "providers:\n  p:\n    api_key:\n      hunter2\n  q:\n    api_key:\n      - hunter2\n",
        "api_key : hunter2: x\n",
        "a: {\"api_key\": \"hunter2\\\"hunter2\" b}\n",
        "api-key: hunter2 hunter2, hunter2\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct config_reading r = config_read(texts[i], NULL);

        assert_null(r.config);
        assert_true(strlen(r.report) > 0);
        if (strstr(r.report, "hunter2") != NULL)
            fail_msg("%s", r.report);
        config_reading_done(&r);
    }
}

static void test_the_environment_and_flags_name_themselves(void **state)
{
    static const char *const env[] = {"TUTTI_JOBS__DEADLINE=soon", "TUTTI_KAFKA__BROKRS=x", "TUTTI_MODELS__M__NAME=x",
                                      "TUTTI_REDIS__URL=ftp://u:hunter2@h", NULL};
    static const char *const sets[] = {"retry.attemps=3", "log.level=loud", "models.m.name=x", "kafka"};
    struct config_input in = {.env = env, .sets = sets, .n_sets = 4};
    struct config_reading r = config_read(CONFIG_BASE, &in);

    (void)state;
    assert_null(r.config);
    cut_summary(r.report);
    assert_string_equal(
        r.report, "TUTTI_KAFKA__BROKRS: error: no such option (did you mean 'TUTTI_KAFKA__BROKERS'?)\n"
                  "TUTTI_MODELS__M__NAME: error: no such option; what stands below kafka.properties, providers and "
                  "models is set in the "
                  "file: write ${env:NAME} there\n"
                  "--set retry.attemps: error: no such option (did you mean 'retry.attempts'?)\n"
                  "--set models.m.name: error: no such option, or one that is set in the file only (kafka.properties, "
                  "providers, models)\n"
                  "--set kafka: error: write --set KEY=VALUE\n"
                  "TUTTI_JOBS__DEADLINE: error: jobs.deadline: 'soon' is not a duration: write a number with its unit, "
                  "like 250ms, 5s, "
                  "2m or 1h\n"
                  "TUTTI_REDIS__URL: error: redis.url: the value is not a URL that begins with redis:// or rediss://\n"
                  "--set log.level: error: log.level: 'loud' is not one of debug, info, warn, error\n");
    config_reading_done(&r);
}

static int refuse_property(const char *name, const char *value, char *err, size_t err_size)
{
    if (strcmp(name, "foo.bar") != 0)
        return 0;
    (void)snprintf(err, err_size, "No such configuration property: \"%s\" (%s)", name, value);
    return -EINVAL;
}

static int refuse_redis_url(const char *url, const char **why)
{
    if (strstr(url, ":99999") == NULL)
        return 0;
    *why = "the port is no number from 1 to 65535";
    return -EINVAL;
}

static void test_hooks_have_a_say(void **state)
{
    static const struct config_hooks hooks = {.check_property = refuse_property, .check_redis_url = refuse_redis_url};
    struct config_input in = {.hooks = &hooks};
    struct config_reading r = config_read(
        CONFIG_BASE "kafka: {properties: {client.id: a, foo.bar: b}}\nredis: {url: 'redis://h:99999'}\n", &in);

    (void)state;
    assert_null(r.config);
    cut_summary(r.report);
    assert_string_equal(r.report,
                        "tutti.yaml:5:36: error: kafka.properties: No such configuration property: \"foo.bar\" (b)\n"
                        "kafka: {properties: {client.id: a, foo.bar: b}}\n"
                        "                                   ^~~~~~~\n"
                        "tutti.yaml:6:15: error: redis.url: 'redis://h:99999' is not a Redis URL: the port is no "
                        "number from 1 to 65535\n"
                        "redis: {url: 'redis://h:99999'}\n"
                        "              ^~~~~~~~~~~~~~~\n");
    config_reading_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_in_the_file_is_a_warning_and_masked),
        cmocka_unit_test(test_dedupe_without_a_journal_is_a_warning),
        cmocka_unit_test(test_no_secret_is_ever_shown),
        cmocka_unit_test(test_the_environment_and_flags_name_themselves),
        cmocka_unit_test(test_hooks_have_a_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
