/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations that are accepted: values, defaults, references, the environment and flags over the file. */
#include "config_testing.h"

#include <stdlib.h>
#include <unistd.h>

static const char whole[] =
    "kafka:\n"
    "  brokers: k1:9092,k2:9092\n"
    "  group: team-a\n"
    "  topics: {jobs: [urgent, bulk], results: r, calls: c, dead_letters: d}\n"
    "  start: latest\n"
    "  on_gap: stop\n"
    "  slot: pod-3\n"
    "  delivery: at_least_once\n"
    "  commit_interval: 1.5s\n"
    "  prefetch_bytes: 4MiB\n"
    "  properties:\n"
    "    security.protocol: SASL_SSL\n"
    "    socket.timeout.ms: 1000\n"
    "redis: {url: 'rediss://u:p@r:6380/2', when_down: closed}\n"
    "journal: {enabled: false, url: redis://j, ttl: 3d}\n"
    "providers:\n"
    "  openai: {api: openai, base_url: \"https://api.openai.com/v1/\", api_key: \"${env:KEY}\"}\n"
    "  local: {api: openai, base_url: http://localhost:8000/v1}\n"
    "models:\n"
    "  chatgpt:\n"
    "    provider: openai\n"
    "    name: gpt-4o\n"
    "    aliases: [gpt-4o, big]\n"
    "    limits: {requests_per_minute: 500, tokens_per_minute: 300k, concurrency: 10, largest_call: 20k}\n"
    "    price: {input: 2.50, output: 10, cached_input: 0.000000001}\n"
    "    max_output_tokens: 2k\n"
    "    max_answer_bytes: 2MiB\n"
    "    params: {temperature: 0.7, stop: [a, \"1\"], n: 1, x: {y: null, z: true}, quoted: \"0.5\", s: a b}\n"
    "    timeout: {connect: 1s, first_byte: 2s, idle: 3s, total: 4s}\n"
    "  gpt-4.1: {provider: local}\n"
    "jobs: {default_models: [big, gpt-4.1], deadline: 10m, max_in_flight: 7, max_bytes: 2KiB}\n"
    "retry: {attempts: 2, base: 10ms, cap: 1m}\n"
    "shutdown: {grace: 0}\n"
    "log: {level: debug, format: json}\n"
    "workers: 3\n";

static void test_every_value_arrives(void **state)
{
    static const char *const env[] = {"OTHER=x", "KEY=sk-1", NULL};
    struct config_input in = {.env = env};
    struct config_reading r = config_read(whole, &in);
    const struct config *c = r.config;
    const struct config_model *m;

    (void)state;
    assert_string_equal(r.report, "");
    assert_non_null(c);
    assert_string_equal(c->path, "tutti.yaml");
    assert_string_equal(c->kafka.brokers, "k1:9092,k2:9092");
    assert_string_equal(c->kafka.group, "team-a");
    assert_int_equal(c->kafka.jobs.n, 2);
    assert_string_equal(c->kafka.jobs.items[1], "bulk");
    assert_string_equal(c->kafka.results, "r");
    assert_string_equal(c->kafka.calls, "c");
    assert_string_equal(c->kafka.dead_letters, "d");
    assert_int_equal(c->kafka.start, CONFIG_START_LATEST);
    assert_int_equal(c->kafka.on_gap, CONFIG_GAP_STOP);
    assert_string_equal(c->kafka.slot, "pod-3");
    assert_int_equal(c->kafka.delivery, CONFIG_AT_LEAST_ONCE);
    assert_int_equal(c->kafka.commit_interval_us, 1500000);
    assert_int_equal(c->kafka.prefetch_bytes, 4 << 20);
    assert_int_equal(c->kafka.properties.n, 2);
    assert_string_equal(c->kafka.properties.pairs[1].name, "socket.timeout.ms");
    assert_string_equal(c->kafka.properties.pairs[1].value, "1000");
    assert_string_equal(c->redis.url, "rediss://u:p@r:6380/2");
    assert_false(c->journal.is_enabled);
    assert_string_equal(c->journal.url, "redis://j");
    assert_int_equal(c->journal.ttl_us, INT64_C(3) * 86400 * 1000000);
    assert_int_equal(c->n_providers, 2);
    assert_string_equal(c->providers[0].name, "openai");
    assert_string_equal(c->providers[0].api_name, "openai");
    assert_string_equal(c->providers[0].base_url, "https://api.openai.com/v1");
    assert_string_equal(c->providers[0].api_key, "sk-1");
    assert_null(c->providers[1].api_key);
    assert_int_equal(c->n_models, 2);
    m = &c->models[0];
    assert_string_equal(m->id, "chatgpt");
    assert_ptr_equal(m->provider, &c->providers[0]);
    assert_string_equal(m->name, "gpt-4o");
    assert_int_equal(m->aliases.n, 2);
    assert_int_equal(m->limits.requests_per_minute, 500);
    assert_int_equal(m->limits.tokens_per_minute, 300000);
    assert_int_equal(m->limits.concurrency, 10);
    assert_int_equal(m->limits.largest_call, 20000);
    assert_int_equal(m->price.input, 2500000000);
    assert_int_equal(m->price.output, 10000000000);
    assert_int_equal(m->price.cached_input, 1);
    assert_int_equal(m->max_output_tokens, 2000);
    assert_int_equal(m->max_answer_bytes, 2 << 20);
    assert_int_equal(m->timeout.connect_us, 1000000);
    assert_int_equal(m->timeout.total_us, 4000000);
    assert_string_equal(c->models[1].name, "gpt-4.1"); /* the id, when the file names none */
    assert_ptr_equal(c->models[1].provider, &c->providers[1]);
    assert_int_equal(c->jobs.default_models.n, 2);
    assert_int_equal(c->jobs.deadline_us, 600000000);
    assert_int_equal(c->jobs.max_in_flight, 7);
    assert_int_equal(c->jobs.max_bytes, 2048);
    assert_int_equal(c->retry.attempts, 2);
    assert_int_equal(c->retry.base_us, 10000);
    assert_int_equal(c->retry.cap_us, 60000000);
    assert_int_equal(c->shutdown_grace_us, 0);
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_int_equal(c->log_format, LOG_FORMAT_JSON);
    assert_int_equal(c->workers, 3);
    config_reading_done(&r);
}

static void test_params_are_kept_as_json(void **state)
{
    static const struct config_pair expected[] = {
        {"temperature", "0.7"},           {"stop", "[\"a\",\"1\"]"}, {"n", "1"},
        {"x", "{\"y\":null,\"z\":true}"}, {"quoted", "\"0.5\""},     {"s", "\"a b\""},
    };
    static const char *const env[] = {"KEY=k", NULL};
    struct config_input in = {.env = env};
    struct config_reading r = config_read(whole, &in);
    const struct config_map *params = &r.config->models[0].params;

    (void)state;
    assert_int_equal(params->n, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < params->n; i++) {
        assert_string_equal(params->pairs[i].name, expected[i].name);
        assert_string_equal(params->pairs[i].value, expected[i].value);
    }
    config_reading_done(&r);
}

static void test_defaults(void **state)
{
    struct config_reading r = config_read(CONFIG_BASE, NULL);
    const struct config *c = r.config;

    (void)state;
    assert_string_equal(r.report, "");
    assert_string_equal(c->kafka.brokers, "localhost:9092");
    assert_string_equal(c->kafka.group, "tutti");
    assert_int_equal(c->kafka.jobs.n, 1);
    assert_string_equal(c->kafka.jobs.items[0], "tutti.jobs");
    assert_string_equal(c->kafka.results, "tutti.results");
    assert_string_equal(c->kafka.calls, "tutti.calls");
    assert_string_equal(c->kafka.dead_letters, "dlq.tutti.jobs");
    assert_int_equal(c->kafka.delivery, CONFIG_EXACTLY_ONCE);
    assert_null(c->kafka.slot);
    assert_int_equal(c->kafka.commit_interval_us, 200000);
    assert_string_equal(c->journal.url, "redis://localhost:6379/0"); /* redis.url */
    assert_true(c->journal.is_enabled);
    assert_int_equal(c->journal.ttl_us, 0);
    assert_int_equal(c->models[0].limits.requests_per_minute, 0);
    assert_int_equal(c->models[0].limits.largest_call, 0);
    assert_int_equal(c->models[0].price.input, -1);
    assert_int_equal(c->models[0].max_output_tokens, 1024);
    assert_int_equal(c->models[0].max_answer_bytes, 1 << 20);
    assert_int_equal(c->models[0].timeout.connect_us, 5000000);
    assert_int_equal(c->models[0].timeout.first_byte_us, 60000000);
    assert_int_equal(c->models[0].timeout.idle_us, 30000000);
    assert_int_equal(c->models[0].timeout.total_us, 120000000);
    assert_int_equal(c->jobs.deadline_us, 300000000);
    assert_int_equal(c->retry.attempts, 4);
    assert_int_equal(c->shutdown_grace_us, 25000000);
    assert_int_equal(c->log_level, LOG_INFO);
    assert_int_equal(c->log_format, LOG_FORMAT_AUTO);
    assert_int_equal(c->workers, 0);
    config_reading_done(&r);
}

static void test_computed_defaults_give_way(void **state)
{
    static const struct {
        const char *limits;
        int64_t largest_call;
        int64_t total_us;
        int64_t idle_us;
    } cases[] = {
        {"limits: {tokens_per_minute: 1M}", 50000, 120000000, 30000000}, /* 5 % */
        {"limits: {tokens_per_minute: 30k}", 2048, 120000000, 30000000}, /* twice max_output_tokens */
        {"limits: {tokens_per_minute: 3k}", 1500, 120000000, 30000000},  /* at most half */
        {"timeout: {total: 20s}", 0, 20000000, 20000000},                /* parts are lowered to total */
        {"timeout: {total: 299s}", 0, 299000000, 30000000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        struct config_reading r;

        (void)snprintf(text, sizeof(text),
                       "providers: {p: {api: openai, base_url: http://h/v1}}\nmodels: {m: {provider: p, %s}}\n",
                       cases[i].limits);
        r = config_read(text, NULL);
        assert_string_equal(r.report, "");
        assert_int_equal(r.config->models[0].limits.largest_call, cases[i].largest_call);
        assert_int_equal(r.config->models[0].timeout.total_us, cases[i].total_us);
        assert_int_equal(r.config->models[0].timeout.idle_us, cases[i].idle_us);
        config_reading_done(&r);
    }
}

static void test_a_short_deadline_lowers_the_default_total(void **state)
{
    struct config_reading r = config_read(CONFIG_BASE "jobs: {deadline: 3s}\nretry: {cap: 100ms}\n", NULL);

    (void)state;
    assert_string_equal(r.report, "");
    assert_int_equal(r.config->models[0].timeout.total_us, 3000000);
    assert_int_equal(r.config->models[0].timeout.connect_us, 3000000);
    assert_int_equal(r.config->retry.base_us, 100000);
    config_reading_done(&r);
}

static void test_null_and_nothing_mean_the_default(void **state)
{
    struct config_reading r = config_read(
        CONFIG_BASE "kafka:\njournal: {url: null, ttl: ~}\nredis:\n  ca_file:\njobs: {default_models: []}\n", NULL);

    (void)state;
    assert_string_equal(r.report, "");
    assert_string_equal(r.config->kafka.group, "tutti");
    assert_null(r.config->redis.ca_file);
    assert_int_equal(r.config->jobs.default_models.n, 0);
    config_reading_done(&r);
}

static void test_flag_beats_environment_beats_file(void **state)
{
    static const char *const env[] = {"TUTTI_KAFKA__GROUP=from-env",
                                      "TUTTI_KAFKA__BROKERS=env:1",
                                      "TUTTI_JOBS__MAX_IN_FLIGHT=1k",
                                      "TUTTI_KAFKA__TOPICS__JOBS=a,b",
                                      "TUTTI_WORKERS=2",
                                      "TUTTI_PORT=tcp://10.0.0.1:80",
                                      "TUTTI_SERVICE_HOST=10.0.0.1",
                                      "TUTTI_REDIS__URL=redis://h/${env:X}",
                                      NULL};
    static const char *const sets[] = {"kafka.group=from-flag", "journal.enabled=false", "log.level=warn"};
    struct config_input in = {.env = env, .sets = sets, .n_sets = 3};
    struct config_reading r =
        config_read(CONFIG_BASE "kafka: {group: from-file, brokers: 'file:1', start: latest}\n", &in);

    (void)state;
    assert_string_equal(r.report, "");
    assert_string_equal(r.config->kafka.group, "from-flag");
    assert_string_equal(r.config->kafka.brokers, "env:1");
    assert_int_equal(r.config->kafka.start, CONFIG_START_LATEST);
    assert_int_equal(r.config->jobs.max_in_flight, 1000);
    assert_int_equal(r.config->kafka.jobs.n, 2);
    assert_string_equal(r.config->kafka.jobs.items[1], "b");
    assert_int_equal(r.config->workers, 2);
    assert_string_equal(r.config->redis.url, "redis://h/${env:X}"); /* a variable's text is not expanded */
    assert_false(r.config->journal.is_enabled);
    assert_int_equal(r.config->log_level, LOG_WARN);
    config_reading_done(&r);
}

static void test_a_redis_password_needs_no_user(void **state)
{
    static const char *const env[] = {"TUTTI_REDIS__URL=rediss://:secret@h:1/0", NULL};
    struct config_input in = {.env = env};
    struct config_reading r = config_read(CONFIG_BASE, &in);

    (void)state;
    assert_string_equal(r.report, "");
    assert_string_equal(r.config->redis.url, "rediss://:secret@h:1/0");
    config_reading_done(&r);
}

static void test_references(void **state)
{
    static const struct {
        const char *group;
        const char *expected;
    } cases[] = {
        {"${env:A}", "alpha"},           {"x-${env:A}-${env:B}", "x-alpha-beta"},
        {"${env:NONE:-gamma}", "gamma"}, {"${env:EMPTY:-gamma}", "gamma"},
        {"${env:A:-gamma}", "alpha"},
    };
    static const char *const env[] = {"A=alpha", "B=beta", "EMPTY=", NULL};
    struct config_input in = {.env = env};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        struct config_reading r;

        (void)snprintf(text, sizeof(text), CONFIG_BASE "kafka: {group: \"%s\"}\n", cases[i].group);
        r = config_read(text, &in);
        assert_string_equal(r.report, "");
        assert_string_equal(r.config->kafka.group, cases[i].expected);
        config_reading_done(&r);
    }
}

/* What a reference gives is text: it cannot add keys, and is not expanded again. */
static void test_a_reference_gives_text_only(void **state)
{
    static const char *const env[] = {"A=x, group: evil", "B=${env:A}", NULL};
    struct config_input in = {.env = env};
    struct config_reading r =
        config_read(CONFIG_BASE "kafka:\n  properties: {client.id: \"${env:A}\", client.rack: \"${env:B}\","
                                " client.dns.lookup: \"$${env:A}\"}\n",
                    &in);

    (void)state;
    assert_string_equal(r.report, "");
    assert_int_equal(r.config->kafka.properties.n, 3);
    assert_string_equal(r.config->kafka.properties.pairs[0].value, "x, group: evil");
    assert_string_equal(r.config->kafka.properties.pairs[1].value, "${env:A}");
    assert_string_equal(r.config->kafka.properties.pairs[2].value, "${env:A}");
    assert_string_equal(r.config->kafka.group, "tutti");
    config_reading_done(&r);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void test_files_count_from_the_configuration(void **state)
{
    char dir[] = "/tmp/tutti-config-XXXXXX";
    char path[128];
    char yaml[128];
    char expected[128];
    struct config_report report;
    struct config *c = NULL;
    struct config_input in = {.path = yaml};

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/key", dir);
    (void)snprintf(yaml, sizeof(yaml), "%s/t.yaml", dir);
    write_file(path, "sk-file\n");
    write_file(yaml, "providers: {p: {api: openai, base_url: http://h, api_key: '${file:key}', ca_file: key}}\n"
                     "models: {m: {provider: p}}\n"
                     "kafka: {properties: {ssl.ca.location: ca.pem, ssl.key.location: /abs.pem}}\n");
    config_report_init(&report, "tutti");
    assert_int_equal(config_load(&in, &report, &c), 0);
    assert_int_equal(report.n_problems, 0);
    assert_string_equal(c->providers[0].api_key, "sk-file");
    assert_string_equal(c->providers[0].ca_file, path);
    (void)snprintf(expected, sizeof(expected), "%s/ca.pem", dir);
    assert_string_equal(c->kafka.properties.pairs[0].value, expected);
    assert_string_equal(c->kafka.properties.pairs[1].value, "/abs.pem");
    config_free(c);
    config_report_done(&report);
    (void)unlink(path);
    (void)unlink(yaml);
    (void)rmdir(dir);
}

static void test_a_file_that_is_not_there(void **state)
{
    struct config_input in = {.path = "/nonexistent/tutti.yaml"};
    struct config_report report;
    struct config *c = NULL;

    (void)state;
    config_report_init(&report, "tutti");
    assert_int_equal(config_load(&in, &report, &c), -2 /* ENOENT */);
    assert_null(c);
    assert_int_equal(report.n_errors, 1);
    assert_string_equal(report.problems[0].text, "cannot read the file: No such file or directory");
    config_report_done(&report);
}

static void test_what_limits_promise(void **state)
{
    struct config_promise p = config_promise_requests(60);

    (void)state;
    assert_int_equal(p.bucket, 1);
    assert_true(p.utilisation > 0.975 && p.utilisation < 0.976);
    p = config_promise_requests(6000); /* DESIGN 10: 97.2 % while J is 500 ms */
    assert_int_equal(p.bucket, 120);
    assert_true(p.utilisation > 0.9715 && p.utilisation < 0.9725);
    assert_true(p.rate > 97.19 && p.rate < 97.2);
    p = config_promise_tokens(100000, 5000);
    assert_int_equal(p.bucket, 5000);
    assert_true(p.utilisation > 0.942 && p.utilisation < 0.943);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_value_arrives),
        cmocka_unit_test(test_params_are_kept_as_json),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_computed_defaults_give_way),
        cmocka_unit_test(test_a_short_deadline_lowers_the_default_total),
        cmocka_unit_test(test_null_and_nothing_mean_the_default),
        cmocka_unit_test(test_flag_beats_environment_beats_file),
        cmocka_unit_test(test_a_redis_password_needs_no_user),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_a_reference_gives_text_only),
        cmocka_unit_test(test_files_count_from_the_configuration),
        cmocka_unit_test(test_a_file_that_is_not_there),
        cmocka_unit_test(test_what_limits_promise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
