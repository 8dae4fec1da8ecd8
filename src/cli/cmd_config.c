/* SPDX-License-Identifier: Apache-2.0 */
/* tutti config: check, show, explain, docs; and the way every command loads its configuration. Connects to nothing.
 * Main thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/config_report.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "cli/cli.h"
#include "impl/broker_kafka.h"
#include "redis.h"

/* The broker's verdict on one property, in a configuration that is right otherwise. */
static int check_property(const char *name, const char *value, char *err, size_t err_size)
{
    static const char *const topic = "tutti.jobs";
    struct kafka_property property = {.name = name, .value = value};
    struct kafka_conf conf = {
        .brokers = "localhost:9092",
        .group = "tutti",
        .topics = &topic,
        .n_topics = 1,
        .outputs = {"tutti.results", "tutti.calls", "dlq.tutti.jobs"},
        .commit_interval_us = 200000,
        .prefetch_bytes = 512 * 1024,
        .slot = "check",
        .properties = &property,
        .n_properties = 1,
    };

    return kafka_conf_check(&conf, err, err_size);
}

static int check_redis_url(const char *url, const char **why)
{
    struct redis_conf conf;
    int r = redis_conf_parse(url, &conf, why);

    if (r == 0)
        redis_conf_done(&conf);
    return r;
}

static const struct config_hooks hooks = {.check_property = check_property, .check_redis_url = check_redis_url};

void cli_config_input(const struct cli *c, struct config_input *out)
{
    *out = (struct config_input){
        .path = c->config_path, .env = c->env, .sets = c->sets, .n_sets = c->n_sets, .hooks = &hooks};
}

/* built_in: NULL, or what is read where there is no file. */
static int load(const struct cli *c, const char *built_in, struct buf *out_shown, struct config_report *report,
                struct config **out)
{
    struct config_input in;
    int r;

    cli_config_input(c, &in);
    in.out_shown = out_shown;
    in.is_shown_as_json = c->is_json;
    config_report_init(report, "tutti");
    if (built_in != NULL && config_find(&in) == NULL)
        r = config_parse(built_in, strlen(built_in), "built-in", &in, report, out);
    else
        r = config_load(&in, report, out);
    return r == 0 ? CLI_OK : r == -ENOENT ? CLI_NO_INPUT : CLI_CONFIG;
}

static void write_out(struct buf *b, FILE *f)
{
    if (b->len > 0)
        (void)fwrite(b->p, 1, b->len, f); /* cli_main() tests the stream */
    buf_done(b);
}

static void print_report(struct config_report *report, FILE *f)
{
    struct buf b;

    buf_init(&b, 0);
    config_report_print(report, &b);
    write_out(&b, f);
}

int cli_load_config(const struct cli *c, struct config **out_config)
{
    struct config_report report;
    int code = load(c, NULL, NULL, &report, out_config);

    print_report(&report, c->err);
    config_report_done(&report);
    return code;
}

int cli_load_config_or(const struct cli *c, const char *text, struct config **out_config, bool *out_is_built_in)
{
    const struct config_input in = {.path = c->config_path, .env = c->env};
    struct config_report report;
    int code = load(c, text, NULL, &report, out_config);

    *out_is_built_in = config_find(&in) == NULL;
    print_report(&report, c->err);
    config_report_done(&report);
    return code;
}

int cli_parse_config(const struct cli *c, const char *text, struct config **out_config)
{
    const struct config_input in = {.sets = c->sets, .n_sets = c->n_sets, .hooks = &hooks};
    struct config_report report;
    int r;

    config_report_init(&report, "built-in");
    r = config_parse(text, strlen(text), "built-in", &in, &report, out_config);
    print_report(&report, c->err);
    config_report_done(&report);
    return r == 0 ? CLI_OK : CLI_CONFIG;
}

typedef void (*promise_writer)(void *to, const struct config_model *m, const char *limit, struct config_promise p);

static void each_promise(const struct config *conf, promise_writer write, void *to)
{
    for (size_t i = 0; i < conf->n_models; i++) {
        const struct config_model *m = &conf->models[i];

        if (m->limits.requests_per_minute > 0)
            write(to, m, "requests_per_minute", config_promise_requests(m->limits.requests_per_minute));
        if (m->limits.tokens_per_minute > 0)
            write(to, m, "tokens_per_minute",
                  config_promise_tokens(m->limits.tokens_per_minute, m->limits.largest_call));
    }
}

static void print_promise(void *to, const struct config_model *m, const char *limit, struct config_promise p)
{
    buf_printf(to, "  %s: %s %lld: B %lld, r %.1f/s, U* %.1f %%\n", m->id, limit, (long long)p.limit,
               (long long)p.bucket, p.rate, p.utilisation * 100);
}

static void json_promise(void *to, const struct config_model *m, const char *limit, struct config_promise p)
{
    struct json_write *w = to;
    char number[64];

    jw_open(w, '{');
    jw_kv_str(w, "model", m->id);
    jw_kv_str(w, "limit", limit);
    jw_kv_int(w, "per_minute", p.limit);
    jw_kv_int(w, "bucket", p.bucket);
    (void)snprintf(number, sizeof(number), "%.6f", p.rate);
    jw_kv_raw(w, "rate_per_second", text_of(number));
    (void)snprintf(number, sizeof(number), "%.6f", p.utilisation);
    jw_kv_raw(w, "utilisation", text_of(number));
    jw_close(w, '}');
}

static void write_json(struct config_report *report, const struct config *conf, struct buf *b)
{
    struct json_write w;

    jw_init(&w, b);
    jw_open(&w, '{');
    config_report_json(report, &w);
    jw_key(&w, "limits");
    jw_open(&w, '[');
    if (conf != NULL)
        each_promise(conf, json_promise, &w);
    jw_close(&w, ']');
    jw_close(&w, '}');
    buf_add_char(b, '\n');
}

static int run_check(struct cli *c)
{
    struct config_report report;
    struct config *conf = NULL;
    struct buf b;
    int code;

    if (c->n_args > 1)
        return cli_usage(c, "check takes no argument '%s': name the file with -c", c->args[1]);
    code = load(c, NULL, NULL, &report, &conf);
    buf_init(&b, 0);
    if (c->is_json) {
        write_json(&report, conf, &b);
    } else {
        print_report(&report, c->err);
        if (code == CLI_OK) {
            buf_printf(&b, "%s: ok\n", conf->path);
            each_promise(conf, print_promise, &b);
        }
    }
    write_out(&b, c->out);
    config_free(conf);
    config_report_done(&report);
    return code;
}

static int run_explain(struct cli *c)
{
    const char *near = NULL;
    struct buf b;
    int r;

    if (c->n_args != 2)
        return cli_usage(c, "explain takes one KEY, like kafka.delivery");
    buf_init(&b, 0);
    r = config_explain(c->args[1], &b, &near);
    write_out(&b, c->out);
    return r < 0 ? cli_unknown(c, "key", c->args[1], &near, 1) : CLI_OK;
}

static int run_show(struct cli *c)
{
    struct config_report report;
    struct config *conf = NULL;
    struct buf b;
    int code;

    if (c->n_args > 1)
        return cli_usage(c, "show takes no argument '%s': name the file with -c", c->args[1]);
    buf_init(&b, 0);
    code = load(c, NULL, &b, &report, &conf);
    print_report(&report, c->err);
    write_out(&b, c->out);
    config_free(conf);
    config_report_done(&report);
    return code;
}

static int run_docs(struct cli *c)
{
    struct buf b;

    if (c->n_args > 1)
        return cli_usage(c, "docs takes no argument '%s'", c->args[1]);
    buf_init(&b, 0);
    config_write_docs(&b);
    write_out(&b, c->out);
    return CLI_OK;
}

int cmd_config(struct cli *c)
{
    static const char *const words[] = {"check", "show", "explain", "docs"};
    static int (*const runs[])(struct cli *) = {run_check, run_show, run_explain, run_docs};

    if (c->n_args == 0)
        return cli_usage(c, "name what to do: check, show, explain KEY or docs");
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(c->args[0], words[i]) == 0)
            return runs[i](c);
    return cli_unknown(c, "word", c->args[0], words, ARRAY_LEN(words));
}
