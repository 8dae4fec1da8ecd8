/* SPDX-License-Identifier: Apache-2.0 */
/* The command line as a user meets it: what is printed where, and the exit code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/build_id.h"
#include "cli/cli.h"

enum { WORDS_MAX = 8 };

struct run {
    int code;
    char *out;
    char *err;
};

static struct run run_tutti(const char *const *words, const char *const *env)
{
    static const char *const no_env[] = {NULL};
    const char *argv[WORDS_MAX + 2] = {"tutti"};
    struct run r = {0};
    size_t out_len;
    size_t err_len;
    FILE *out = open_memstream(&r.out, &out_len);
    FILE *err = open_memstream(&r.err, &err_len);
    int argc = 1;

    while (words[argc - 1] != NULL) {
        argv[argc] = words[argc - 1];
        argc++;
    }
    r.code = cli_main(argc, argv, env == NULL ? no_env : env, out, err);
    (void)fclose(out);
    (void)fclose(err);
    return r;
}

static void run_done(struct run *r)
{
    free(r->out);
    free(r->err);
}

static void test_mistakes_are_one_line_with_a_way_on(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        int code;
        const char *err;
    } cases[] = {
        {{NULL}, 64, "tutti: name a command; see 'tutti help'\n"},
        {{"confg"}, 64, "tutti: unknown command 'confg' (did you mean 'config'?); see 'tutti help'\n"},
        {{"xyzzy"}, 64, "tutti: unknown command 'xyzzy'; see 'tutti help'\n"},
        {{"--confg", "x"}, 64, "tutti: unknown flag '--confg' (did you mean '--config'?); see 'tutti help'\n"},
        {{"config", "check", "--jsn"},
         64,
         "tutti config: unknown flag '--jsn' (did you mean '--json'?); see 'tutti config --help'\n"},
        {{"config", "check", "-x"}, 64, "tutti config: unknown flag '-x'; see 'tutti config --help'\n"},
        {{"config", "check", "-c"}, 64, "tutti config: --config needs a value: FILE; see 'tutti config --help'\n"},
        {{"config", "check", "--json=1"}, 64, "tutti config: --json takes no value; see 'tutti config --help'\n"},
        {{"config", "check", "--set", "x"}, 64, "tutti config: write --set KEY=VALUE; see 'tutti config --help'\n"},
        {{"config"},
         64,
         "tutti config: name what to do: check, show, explain KEY or docs; see 'tutti config --help'\n"},
        {{"config", "chekc"},
         64,
         "tutti config: unknown word 'chekc' (did you mean 'check'?); see 'tutti config --help'\n"},
        {{"config", "check", "x.yaml"},
         64,
         "tutti config: check takes no argument 'x.yaml': name the file with -c; see 'tutti config --help'\n"},
        {{"config", "explain", "kafka.brokerz"},
         64,
         "tutti config: unknown key 'kafka.brokerz' (did you mean 'kafka.brokers'?); see 'tutti config --help'\n"},
        {{"version", "x"}, 64, "tutti version: takes no argument 'x'; see 'tutti version --help'\n"},
        {{"help", "exitcodes"},
         64,
         "tutti help: unknown topic 'exitcodes' (did you mean 'exit-codes'?); see 'tutti help --help'\n"},
        {{"config", "check", "-c", "/nonexistent.yaml"},
         66,
         "/nonexistent.yaml: error: cannot read the file: No such file or directory\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct run r = run_tutti(cases[i].words, NULL);

        assert_string_equal(r.err, cases[i].err);
        assert_string_equal(r.out, "");
        assert_int_equal(r.code, cases[i].code);
        run_done(&r);
    }
}

static int count_lines(const char *s)
{
    int n = 0;

    for (; *s != '\0'; s++)
        n += *s == '\n';
    return n;
}

static void test_help_of_each_command_begins_with_examples(void **state)
{
    (void)state;
    for (const struct cli_command *m = cli_commands(); m->name != NULL; m++) {
        const char *words[] = {m->name, "--help", NULL};
        struct run r = run_tutti(words, NULL);

        assert_int_equal(r.code, 0);
        assert_true(count_lines(r.out) <= 24);
        assert_true(strstr(r.out, "tutti ") < strstr(r.out, "usage: "));
        assert_non_null(strstr(m->examples, m->name));
        for (const char *line = r.out; *line != '\0'; line += strcspn(line, "\n") + 1)
            assert_true(strcspn(line, "\n") <= 120);
        run_done(&r);
    }
}

static void test_mistakes_in_the_commands_that_try_things(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        int code;
        const char *err;
    } cases[] = {
        {{"dev", "--port", "x"}, 64, "tutti dev: --port takes a port number, not 'x'; see 'tutti dev --help'\n"},
        {{"dev", "--port", "70000"},
         64,
         "tutti dev: --port takes a port number, not '70000'; see 'tutti dev --help'\n"},
        {{"dev", "x"}, 64, "tutti dev: takes no argument, 'x' was given; see 'tutti dev --help'\n"},
        {{"dev", "-c", "x"},
         64,
         "tutti dev: has no --config: it brings its own configuration; change an option with --set; see 'tutti dev "
         "--help'\n"},
        {{"submit"}, 64, "tutti submit: name a FILE of jobs, or - for stdin; see 'tutti submit --help'\n"},
        {{"submit", "a", "b"}, 64, "tutti submit: takes one FILE; see 'tutti submit --help'\n"},
        {{"submit", "--wiat", "a"},
         64,
         "tutti submit: unknown flag '--wiat' (did you mean '--wait'?); see 'tutti submit --help'\n"},
        {{"submit", "/no/such/file"}, 66, "tutti submit: /no/such/file: No such file or directory\n"},
        {{"tail"},
         64,
         "tutti tail: name what to follow: jobs, results, calls, dlq, model-stats or batches; see 'tutti tail "
         "--help'\n"},
        {{"tail", "call"}, 64, "tutti tail: unknown topic 'call' (did you mean 'calls'?); see 'tutti tail --help'\n"},
        {{"tail", "calls", "--since", "1"},
         64,
         "tutti tail: --since takes a duration like 10m, or all; not '1'; see 'tutti tail --help'\n"},
        {{"tail", "calls", "-n", "x"},
         64,
         "tutti tail: -n takes a number up to 100000, not 'x'; see 'tutti tail --help'\n"},
        {{"tail", "calls", "--where", "status"},
         64,
         "tutti tail: write --where KEY=VALUE, at most 16 times; see 'tutti tail --help'\n"},
        {{"init", "a", "b"}, 64, "tutti init: takes one DIR; see 'tutti init --help'\n"},
        {{"init", "--json"}, 64, "tutti init: has no --json; see 'tutti init --help'\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct run r = run_tutti(cases[i].words, NULL);

        assert_string_equal(r.err, cases[i].err);
        assert_string_equal(r.out, "");
        assert_int_equal(r.code, cases[i].code);
        run_done(&r);
    }
}

static void test_help_is_short_and_on_stdout(void **state)
{
    static const char *const ways[][WORDS_MAX] = {{"--help"}, {"-h"}, {"help"}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct run r = run_tutti(ways[i], NULL);

        assert_int_equal(r.code, 0);
        assert_string_equal(r.err, "");
        assert_true(count_lines(r.out) <= 24);
        assert_non_null(strstr(r.out, "tutti config check"));
        for (const struct cli_command *m = cli_commands(); m->name != NULL; m++)
            assert_non_null(strstr(r.out, m->name));
        run_done(&r);
    }
}

static void test_every_command_has_help_with_examples_first(void **state)
{
    (void)state;
    for (const struct cli_command *m = cli_commands(); m->name != NULL; m++) {
        const char *behind[WORDS_MAX] = {m->name, "--help"};
        const char *before[WORDS_MAX] = {"help", m->name};
        struct run a = run_tutti(behind, NULL);
        struct run b = run_tutti(before, NULL);

        assert_int_equal(a.code, 0);
        assert_string_equal(a.out, b.out);
        assert_memory_equal(a.out, "tutti ", 6);
        assert_true(count_lines(m->examples) >= 2);
        assert_non_null(strstr(a.out, "usage: tutti "));
        run_done(&a);
        run_done(&b);
    }
}

static void test_version(void **state)
{
    static const char *const text[WORDS_MAX] = {"version"};
    static const char *const flag[WORDS_MAX] = {"--version"};
    static const char *const json[WORDS_MAX] = {"--json", "version"};
    char expected[256];
    struct run r = run_tutti(text, NULL);
    struct run f = run_tutti(flag, NULL);

    (void)state;
    (void)snprintf(expected, sizeof(expected), "tutti %s (%s)\n", build_version, build_commit);
    assert_string_equal(r.out, expected);
    assert_string_equal(f.out, expected);
    run_done(&r);
    run_done(&f);
    r = run_tutti(json, NULL);
    (void)snprintf(expected, sizeof(expected), "{\"version\":\"%s\",\"commit\":\"%s\"}\n", build_version, build_commit);
    assert_string_equal(r.out, expected);
    run_done(&r);
}

/* A configuration in a file of its own; unlink() it. */
static void write_config(char *path, const char *text)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static const char good[] = "providers: {p: {api: openai, base_url: http://h/v1}}\n"
                           "models: {m: {provider: p, limits: {requests_per_minute: 60, tokens_per_minute: 100k}}}\n";

static void test_check_says_ok_and_what_is_promised(void **state)
{
    char path[] = "/tmp/tutti-cli-XXXXXX";
    const char *words[WORDS_MAX] = {"config", "check", "-c", path};
    const char *json[WORDS_MAX] = {"config", "--json", "check", path + 0};
    char expected[512];
    struct run r;

    (void)state;
    write_config(path, good);
    r = run_tutti(words, NULL);
    assert_int_equal(r.code, 0);
    assert_string_equal(r.err, "");
    (void)snprintf(expected, sizeof(expected),
                   "%s: ok\n"
                   "  m: requests_per_minute 60: B 1, r 1.0/s, U* 97.5 %%\n"
                   "  m: tokens_per_minute 100000: B 5000, r 1570.2/s, U* 94.2 %%\n",
                   path);
    assert_string_equal(r.out, expected);
    run_done(&r);
    (void)snprintf(expected, sizeof(expected), "--config=%s", path);
    json[3] = expected;
    r = run_tutti(json, NULL);
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.out,
                           "\"ok\":true,\"errors\":0,\"warnings\":0,\"problems\":[],\"limits\":[{\"model\":\"m\","
                           "\"limit\":\"requests_per_minute\",\"per_minute\":60,\"bucket\":1,"
                           "\"rate_per_second\":0.975207,\"utilisation\":0.975207}"));
    run_done(&r);
    (void)unlink(path);
}

static void test_check_reports_all_and_exits_78(void **state)
{
    static const char bad[] = "kafka: {brokerz: x, properties: {no.such: 1, group.id: g}}\n"
                              "redis: {url: 'redis://h:x'}\n"
                              "providers: {p: {api: openai, base_url: http://h/v1}}\n"
                              "models: {m: {provider: p}}\n";
    char path[] = "/tmp/tutti-cli-XXXXXX";
    const char *words[WORDS_MAX] = {"config", "check", "-c", path};
    const char *json[WORDS_MAX] = {"config", "check", "-c", path, "--json"};
    struct run r;

    (void)state;
    write_config(path, bad);
    r = run_tutti(words, NULL);
    assert_int_equal(r.code, 78);
    assert_string_equal(r.out, "");
    assert_non_null(strstr(r.err, ":1:9: error: unknown key 'brokerz' in kafka (did you mean 'brokers'?)\n"));
    assert_non_null(strstr(r.err, ":1:34: error: kafka.properties: ")); /* librdkafka's words */
    assert_non_null(strstr(r.err, ":1:46: error: kafka.properties: ")); /* one of tutti's own */
    assert_non_null(strstr(r.err, ":2:15: error: redis.url: "));
    assert_non_null(strstr(r.err, "4 problems (4 errors, 0 warnings) in /tmp/tutti-cli-"));
    run_done(&r);
    r = run_tutti(json, NULL);
    assert_int_equal(r.code, 78);
    assert_string_equal(r.err, "");
    assert_non_null(strstr(r.out, "\"ok\":false,\"errors\":4,\"warnings\":0,\"problems\":[{\"severity\":\"error\","
                                  "\"origin\":null,\"line\":1,\"column\":9,\"text\":\"unknown key 'brokerz'"));
    run_done(&r);
    (void)unlink(path);
}

static void test_the_file_is_found_by_the_environment(void **state)
{
    char path[] = "/tmp/tutti-cli-XXXXXX";
    char variable[64];
    const char *env[] = {variable, "TUTTI_KAFKA__GROUP=-bad-\x7f", NULL};
    const char *words[WORDS_MAX] = {"config", "check"};
    const char *set[WORDS_MAX] = {"config", "check", "--set", "kafka.group=g"};
    struct run r;

    (void)state;
    write_config(path, good);
    (void)snprintf(variable, sizeof(variable), "TUTTI_CONFIG=%s", path);
    r = run_tutti(words, env);
    assert_int_equal(r.code, 78);
    assert_memory_equal(r.err, "TUTTI_KAFKA__GROUP: error: kafka.group: ", 40);
    run_done(&r);
    r = run_tutti(set, env); /* a flag beats the variable */
    assert_int_equal(r.code, 0);
    run_done(&r);
    (void)unlink(path);
}

static void test_exit_codes_are_documented(void **state)
{
    static const char *const words[WORDS_MAX] = {"help", "exit-codes"};
    static const int codes[] = {CLI_OK,       CLI_SOME_FAILED,   CLI_USAGE, CLI_BAD_DATA, CLI_NO_INPUT, CLI_UNAVAILABLE,
                                CLI_INTERNAL, CLI_CANNOT_CREATE, CLI_IO,    CLI_STOPPED,  CLI_REFUSED,  CLI_CONFIG};
    struct run r = run_tutti(words, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char line[16];

        (void)snprintf(line, sizeof(line), "\n  %2d  ", codes[i]);
        assert_non_null(strstr(r.out, line));
    }
    run_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes_are_one_line_with_a_way_on),
        cmocka_unit_test(test_help_is_short_and_on_stdout),
        cmocka_unit_test(test_help_of_each_command_begins_with_examples),
        cmocka_unit_test(test_mistakes_in_the_commands_that_try_things),
        cmocka_unit_test(test_every_command_has_help_with_examples_first),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_check_says_ok_and_what_is_promised),
        cmocka_unit_test(test_check_reports_all_and_exits_78),
        cmocka_unit_test(test_the_file_is_found_by_the_environment),
        cmocka_unit_test(test_exit_codes_are_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
