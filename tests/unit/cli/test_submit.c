/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines may be sent, and how those that were sent are ticked off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "app/builtin.h"
#include "app/config.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/submit_file.h"
#include "cli/submit_wait.h"
#include "impl/broker_client.h"

/* Checks a text as a file of jobs against the built-in configuration; *out_err: what was told. */
static void check(struct submit_file *f, const char *text, const char *batch_id, char **out_err)
{
    const struct builtin builtin = {.brokers = BUILTIN_BROKERS, .sim = BUILTIN_SIM};
    struct cli c = {.command = cli_find_command("submit")};
    struct config *config = NULL;
    struct buf yaml;
    size_t len;

    c.err = open_memstream(out_err, &len);
    memset(f, 0, sizeof(*f));
    buf_init(&f->bytes, 0);
    buf_add_str(&f->bytes, text);
    buf_init(&yaml, 0);
    builtin_write(&builtin, &yaml);
    assert_int_equal(cli_parse_config(&c, yaml.p, &config), CLI_OK);
    submit_file_check(f, &c, config, "jobs.jsonl", batch_id, true);
    (void)fclose(c.err);
    buf_done(&yaml);
    config_free(config);
}

static void test_bad_lines_are_named_good_ones_kept(void **state)
{
    struct submit_file f;
    char *err;

    (void)state;
    check(&f,
          "{\"prompt\": \"a\"}\r\n"
          "\n"
          "   \n"
          "{\"prompt\": \"a\", \"job_id\": \"x\"}\n"
          "{\"prompt\": \"a\", \"job_id\": \"x\", \"run\": 1}\n"
          "{\"prompt\": \"a\", \"job_id\": \"x\"}\n"
          "{\"prompt\": \"a\", \"custom_id\": \"row\", \"models\": [\"gpt-99\"]}\n"
          "[]",
          NULL, &err);
    assert_int_equal(f.n, 4);
    assert_int_equal(f.n_bad, 2);
    assert_int_equal(f.lines[0].len, strlen("{\"prompt\": \"a\"}"));
    assert_null(f.lines[0].key);
    assert_string_equal(f.lines[3].key, "row");
    assert_int_equal(f.lines[3].number, 7);
    assert_non_null(strstr(err, "jobs.jsonl:6: /job_id: the job id of line 4 again"));
    assert_non_null(strstr(err, "jobs.jsonl:7: warning: the configuration has no model 'gpt-99'\n"));
    assert_non_null(strstr(err, "jobs.jsonl:8: "));
    free(err);
    submit_file_done(&f);
}

static void test_a_batch_id_is_put_into_each_job(void **state)
{
    struct submit_file f;
    char *err;

    (void)state;
    check(&f, " { \"prompt\": \"a\"}\n{\"prompt\": \"a\", \"batch_id\": \"mine\"}\n{}\n", "n\"1", &err);
    assert_int_equal(f.n, 1);
    assert_string_equal(f.lines[0].value, "{\"batch_id\":\"n\\\"1\",\"prompt\": \"a\"}");
    assert_non_null(strstr(err, "jobs.jsonl:2: /batch_id: the key is given twice"));
    assert_non_null(strstr(err, "jobs.jsonl:3: "));
    free(err);
    submit_file_done(&f);
}

static struct kafka_read read_of(const char *value)
{
    return (struct kafka_read){.topic = "tutti.results", .message = {.value = value, .value_len = strlen(value)}};
}

static void test_each_job_is_ticked_off_once(void **state)
{
    static const char *const results[] = {
        "{\"source_topic\":\"tutti.jobs\",\"source_partition\":1,\"source_offset\":7,\"status\":\"ok\",\"cost_usd\":0."
        "5,"
        "\"cost_complete\":true}",
        "{\"source_topic\":\"tutti.jobs\",\"source_partition\":1,\"source_offset\":7,\"status\":\"ok\",\"cost_usd\":0."
        "5,"
        "\"cost_complete\":true}", /* at least once */
        "{\"source_topic\":\"tutti.jobs\",\"source_partition\":1,\"source_offset\":8,\"status\":\"ok\"}", /* another's
                                                                                                           */
        "{\"source_topic\":\"other\",\"source_partition\":0,\"source_offset\":3,\"status\":\"ok\"}",
        "{\"source_topic\":\"tutti.jobs\",\"source_partition\":0,\"source_offset\":3,\"status\":\"partial\",\"cost_"
        "usd\":null}",
        "no JSON",
    };
    static const struct message_header headers[] = {
        {"__dlq.errors.topic", "tutti.jobs", 10}, {"__dlq.errors.partition", "2", 1}, {"__dlq.errors.offset", "9", 1}};
    struct submitted jobs[] = {{2, 9, false}, {1, 7, false}, {0, 3, false}};
    struct submit_wait w = {.jobs_topic = "tutti.jobs", .jobs = jobs, .n = 3};
    struct kafka_read dead = {.topic = "dlq.tutti.jobs", .message = {.headers = headers, .n_headers = 3}};
    char *err;
    size_t len;

    (void)state;
    w.err = open_memstream(&err, &len);
    submit_wait_begin(&w, 0);
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct kafka_read r = read_of(results[i]);

        submit_wait_take(&w, &r, false);
    }
    assert_int_equal(w.n_over, 2);
    assert_true(w.ok == 1 && w.partial == 1 && w.failed == 0 && w.dead == 0);
    assert_false(w.is_cost_complete);
    submit_wait_tell(&w, 9999);
    (void)fflush(w.err);
    assert_int_equal(len, 0); /* nothing within ten seconds */
    submit_wait_tell(&w, 10000);
    submit_wait_take(&w, &dead, true);
    submit_wait_take(&w, &dead, true);
    assert_true(w.n_over == 3 && w.dead == 1);
    submit_wait_end(&w, 20000);
    (void)fclose(w.err);
    assert_string_equal(err, "2/3  66%  ok 1  partial 1  failed 0  0.2/s  $0.500000 at least  ETA 5s\n"
                             "3/3  100%  ok 1  partial 1  failed 0  dead letters 1  0.1/s  $0.500000 at least\n");
    free(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_lines_are_named_good_ones_kept),
        cmocka_unit_test(test_a_batch_id_is_put_into_each_job),
        cmocka_unit_test(test_each_job_is_ticked_off_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
