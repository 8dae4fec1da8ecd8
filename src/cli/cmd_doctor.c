/* SPDX-License-Identifier: Apache-2.0 */
/* tutti doctor: looks at everything the service will need and says what to do about what is wrong. Pays nothing, makes
 * nothing. Main thread. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "app/config.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "impl/broker_kafka.h"
#include "impl/broker_probe.h"
#include "impl/http_probe.h"
#include "impl/redis_probe.h"

enum { DESCRIPTORS_LEAST = 4096 };
#define TTL_AUTO_MS (INT64_C(8) * 24 * 3600 * 1000)

struct doctor {
    struct cli *c;
    const struct config *config;
    char subject[128];
    struct buf out;
    struct json_write json;
    int n[FINDING_FAILURE + 1];
};

static void found(void *arg, enum finding_kind kind, const char *what, const char *fix)
{
    static const char *const words[] = {
        [FINDING_OK] = "ok", [FINDING_WARNING] = "warning", [FINDING_FAILURE] = "failed"};
    struct doctor *d = arg;

    d->n[kind]++;
    if (d->c->is_json) {
        jw_open(&d->json, '{');
        jw_kv_str(&d->json, "subject", d->subject);
        jw_kv_str(&d->json, "result", words[kind]);
        jw_kv_str(&d->json, "what", what);
        jw_kv_str(&d->json, "fix", fix);
        jw_close(&d->json, '}');
        return;
    }
    (void)fprintf(d->c->out, "%-8s %-18s %s\n", words[kind], d->subject, what);
    if (fix != NULL)
        (void)fprintf(d->c->out, "%27s %s\n", "->", fix);
    (void)fflush(d->c->out); /* the next question may take seconds */
}

static void subject(struct doctor *d, const char *kind, const char *name)
{
    (void)snprintf(d->subject, sizeof(d->subject), "%s%s%s", kind, *name != '\0' ? " " : "", name);
}

static void look_at_process(struct doctor *d)
{
    struct rlimit limit;
    char what[96];

    subject(d, "process", "");
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    (void)snprintf(what, sizeof(what), "up to %llu open files", (unsigned long long)limit.rlim_max);
    if (limit.rlim_max < DESCRIPTORS_LEAST)
        found(d, FINDING_WARNING, what, "raise it (LimitNOFILE=65536): each call under way is a connection");
    else
        found(d, FINDING_OK, what, NULL);
}

static void look_at_kafka(struct doctor *d)
{
    const struct config_kafka *k = &d->config->kafka;
    struct kafka_property *properties = mem_zero(sizeof(*properties) * (k->properties.n + 1));
    struct kafka_conf conf = {.brokers = k->brokers,
                              .group = k->group,
                              .topics = k->jobs.items,
                              .n_topics = (int)k->jobs.n,
                              .outputs = {[OUT_RESULTS] = k->results,
                                          [OUT_CALLS] = k->calls,
                                          [OUT_DEAD_LETTERS] = k->dead_letters,
                                          [OUT_MODEL_STATS] = k->model_stats,
                                          [OUT_BATCHES] = k->batches},
                              .commit_interval_us = k->commit_interval_us,
                              .prefetch_bytes = k->prefetch_bytes,
                              .slot = "doctor",
                              .properties = properties,
                              .n_properties = (int)k->properties.n};
    int64_t ttl_ms = d->config->journal.ttl_us > 0 ? d->config->journal.ttl_us / 1000 : TTL_AUTO_MS;

    for (size_t i = 0; i < k->properties.n; i++)
        properties[i] = (struct kafka_property){k->properties.pairs[i].name, k->properties.pairs[i].value};
    subject(d, "kafka", "");
    kafka_probe(&conf, k->control, d->config->journal.is_enabled ? ttl_ms : 0, found, d);
    mem_free(properties);
}

static void look_at_redis(struct doctor *d)
{
    const struct config *c = d->config;

    subject(d, "redis", "");
    redis_probe(c->redis.url, c->redis.ca_file, found, d);
    if (c->journal.is_enabled && strcmp(c->journal.url, c->redis.url) != 0) {
        subject(d, "journal", "");
        redis_probe(c->journal.url, c->redis.ca_file, found, d);
    }
}

static void look_at_providers(struct doctor *d)
{
    for (size_t i = 0; i < d->config->n_providers; i++) {
        const struct config_provider *p = &d->config->providers[i];

        subject(d, "provider", p->name);
        if (p->api_key == NULL && p->api_keys.n == 0)
            found(d, FINDING_WARNING, "no key is configured", "set api_key, unless the server takes none");
        http_probe(p->base_url, p->ca_file, found, d);
    }
}

/* A failure anywhere is the service's failure to start: 69. */
static int conclude(struct doctor *d)
{
    if (d->c->is_json) {
        jw_close(&d->json, ']');
        jw_kv_int(&d->json, "failures", d->n[FINDING_FAILURE]);
        jw_kv_int(&d->json, "warnings", d->n[FINDING_WARNING]);
        jw_close(&d->json, '}');
        buf_add_char(&d->out, '\n');
        (void)fwrite(d->out.p, 1, d->out.len, d->c->out); /* cli_main() tests the stream */
    } else {
        (void)fprintf(d->c->out, "%d ok, %d warnings, %d failed\n", d->n[FINDING_OK], d->n[FINDING_WARNING],
                      d->n[FINDING_FAILURE]);
    }
    buf_done(&d->out);
    return d->n[FINDING_FAILURE] > 0 ? CLI_UNAVAILABLE : CLI_OK;
}

int cmd_doctor(struct cli *c)
{
    struct config *config;
    struct doctor d = {.c = c};
    int code;

    if (c->n_args > 0)
        return cli_usage(c, "takes no argument '%s'", c->args[0]);
    code = cli_load_config(c, &config);
    if (code != CLI_OK)
        return code;
    d.config = config;
    log_configure(LOG_ERROR, LOG_FORMAT_AUTO);
    buf_init(&d.out, 0);
    jw_init(&d.json, &d.out);
    if (c->is_json) {
        jw_open(&d.json, '{');
        jw_key(&d.json, "findings");
        jw_open(&d.json, '[');
    }
    look_at_process(&d);
    look_at_kafka(&d);
    look_at_redis(&d);
    look_at_providers(&d);
    code = conclude(&d);
    config_free(config);
    return code;
}
