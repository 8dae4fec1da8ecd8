/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti status`: how a running service does, by its own word. Main thread. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "base/buf.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/doc.h"
#include "cli/service.h"
#include "cli/table.h"

enum { WHY_BYTES = 256, PARTS_MAX = 10, HTTP_OK = 200 };

/* --- words --- */

/* "3d 4h", "2h 5m", "4m 12s", "9s" */
static const char *duration(char out[32], int64_t ms)
{
    long long s = ms / 1000;

    if (s >= 86400)
        (void)snprintf(out, 32, "%lldd %lldh", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        (void)snprintf(out, 32, "%lldh %lldm", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        (void)snprintf(out, 32, "%lldm %llds", s / 60, s % 60);
    else
        (void)snprintf(out, 32, "%llds", s);
    return out;
}

/* A number with `decimals`, "-" for null; factor: 100 for shares. */
static void add_real(struct table *t, const json_t *o, const char *key, double factor, int decimals, const char *unit)
{
    if (doc_is_null(o, key))
        table_add(t, NULL);
    else
        table_addf(t, "%.*f%s", decimals, json_number_value(json_object_get(o, key)) * factor, unit);
}

/* --- parts --- */

static void print_checks(const json_t *doc, FILE *out)
{
    const json_t *check;
    size_t i;

    json_array_foreach(json_object_get(doc, "checks"), i, check)
    {
        if (strcmp(doc_str(check, "level"), "ok") != 0)
            (void)fprintf(out, "  %-9s %s: %s\n", doc_str(check, "level"), doc_str(check, "name"),
                          doc_str(check, "text"));
    }
}

static void print_models(const json_t *doc, FILE *out)
{
    static const char *const heads[] = {"MODEL",     "CALLS/S",  "P50 MS",   "P95 MS",   "ERRORS", "429/MIN",
                                        "IN FLIGHT", "REQ LEFT", "TOK LEFT", "USD/HOUR", "STATE",  NULL};
    struct table t;
    const json_t *m;
    size_t i;

    table_init(&t, heads, "lrrrrrrrrrl");
    json_array_foreach(json_object_get(doc, "models"), i, m)
    {
        table_add(&t, doc_str(m, "model"));
        add_real(&t, m, "calls_per_s", 1, 1, "");
        add_real(&t, m, "p50_ms", 1, 0, "");
        add_real(&t, m, "p95_ms", 1, 0, "");
        add_real(&t, m, "error_ratio", 100, 0, "%");
        table_addf(&t, "%" PRId64, doc_int(m, "rate_limited_last_minute"));
        table_addf(&t, "%" PRId64, doc_int(m, "calls_in_flight"));
        add_real(&t, m, "requests_available_ratio", 100, 0, "%");
        add_real(&t, m, "tokens_available_ratio", 100, 0, "%");
        add_real(&t, m, "cost_usd_per_hour", 1, 2, "");
        table_addf(&t, "%s%s", doc_is_true(m, "available") ? "" : "not available: ", doc_str(m, "reason"));
    }
    (void)fputc('\n', out);
    table_print(&t, 0, out);
    table_done(&t);
}

static int by_name(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    int r = strcmp(doc_str(x, "topic"), doc_str(y, "topic"));

    return r != 0 ? r : (doc_int(x, "partition") > doc_int(y, "partition")) * 2 - 1;
}

static void print_partitions(const json_t *doc, FILE *out)
{
    static const char *const heads[] = {"PARTITION", "WORKER", "OFFSET", "LAG", "JOBS", "OLDEST", "", NULL};
    const json_t *parts = json_object_get(doc, "partitions");
    size_t n = json_array_size(parts);
    AUTO_FREE const json_t **rows = mem_zero(sizeof(*rows) * (n + 1));
    struct table t;
    char age[32];

    for (size_t i = 0; i < n; i++)
        rows[i] = json_array_get(parts, i);
    qsort(rows, n, sizeof(*rows), by_name);
    table_init(&t, heads, "llrrrrl");
    for (size_t i = 0; i < n && i < PARTS_MAX; i++) {
        const json_t *p = rows[i];

        table_addf(&t, "%s/%" PRId64, doc_str(p, "topic"), doc_int(p, "partition"));
        table_add(&t, doc_str(p, "worker_id"));
        table_addf(&t, "%" PRId64, doc_int(p, "offset"));
        add_real(&t, p, "lag", 1, 0, "");
        table_addf(&t, "%" PRId64, doc_int(p, "jobs"));
        table_add(&t, doc_is_null(p, "oldest_age_ms") ? NULL : duration(age, doc_int(p, "oldest_age_ms")));
        table_add(&t, doc_is_true(p, "stalled")    ? "held back by its oldest job"
                      : doc_is_true(p, "revoking") ? "leaving"
                                                   : "");
    }
    if (n > 0) {
        (void)fputc('\n', out);
        table_print(&t, 0, out);
    }
    if (n > PARTS_MAX)
        (void)fprintf(out, "and %zu more partitions; --json has them all\n", n - PARTS_MAX);
    table_done(&t);
}

static void print_errors(const json_t *doc, FILE *out)
{
    const json_t *e;
    bool is_first = true;
    size_t i;

    json_array_foreach(json_object_get(doc, "errors"), i, e)
    {
        if (doc_int(e, "last_minute") == 0)
            continue;
        (void)fprintf(out, "%s %s %" PRId64 " (%s)", is_first ? "\nErrors of the last minute:" : ",",
                      doc_str(e, "error_code"), doc_int(e, "last_minute"), doc_str(e, "models"));
        is_first = false;
    }
    if (!is_first)
        (void)fputc('\n', out);
}

static void print_status(const struct cli *c, const json_t *doc)
{
    char up[32];

    (void)fprintf(c->out, "%s\n", doc_str(doc, "verdict"));
    print_checks(doc, c->out);
    (void)fprintf(c->out, "tutti %s (%s), group %s, slot %s, up %s, %s\n", doc_str(doc, "version"),
                  doc_str(doc, "build"), doc_str(doc, "group"), doc_is_null(doc, "slot") ? "-" : doc_str(doc, "slot"),
                  duration(up, doc_int(doc, "uptime_ms")), doc_str(doc, "config"));
    print_models(doc, c->out);
    print_partitions(doc, c->out);
    print_errors(doc, c->out);
}

/* --- asking --- */

static int unreachable(const struct cli *c, const struct service *s, const char *why)
{
    if (s->unknown != NULL)
        (void)fprintf(c->err, "tutti status: %s\n", why);
    else
        (void)fprintf(c->err, "tutti status: no service at %s: %s\n", s->url, why);
    if (cli_flag(c, "url") == NULL && s->unknown == NULL)
        (void)fprintf(c->err, "It is looked for at admin.listen; --url names another address.\n");
    return CLI_UNAVAILABLE;
}

static int show(const struct cli *c, const struct service *s)
{
    char why[WHY_BYTES];
    json_auto_t *doc = NULL;
    struct buf body;
    int status, code = CLI_OK;

    buf_init(&body, 0);
    status = service_get(s, "/api/v1/status", &body, why, sizeof(why));
    if (status == HTTP_OK)
        doc = json_loadb(body.p, body.len, 0, NULL);
    if (status < 0)
        code = unreachable(c, s, why);
    else if (doc == NULL || !json_is_string(json_object_get(doc, "state")))
        code = unreachable(c, s, "it does not answer like a tutti");
    else if (c->is_json)
        (void)fwrite(body.p, 1, body.len, c->out); /* cli_main() tests the stream */
    else
        print_status(c, doc);
    if (code == CLI_OK && strcmp(doc_str(doc, "state"), "not_ready") == 0)
        code = CLI_SOME_FAILED;
    buf_done(&body);
    return code;
}

/* For health checks: /readyz and nothing else. */
static int look(const struct service *s)
{
    char why[WHY_BYTES];
    struct buf body;
    int status;

    buf_init(&body, 0);
    status = service_get(s, "/readyz", &body, why, sizeof(why));
    buf_done(&body);
    return status < 0 ? CLI_UNAVAILABLE : status == HTTP_OK ? CLI_OK : CLI_SOME_FAILED;
}

int cmd_status(struct cli *c)
{
    struct config *config = NULL;
    struct service s;
    int code = CLI_OK;

    if (c->n_args > 0)
        return cli_usage(c, "takes no argument, '%s' was given", c->args[0]);
    if (cli_flag(c, "quiet") != NULL && c->is_json)
        return cli_usage(c, "--quiet prints nothing, --json does");
    if (cli_flag(c, "url") == NULL)
        code = service_config(c, &config);
    if (code == CLI_OK)
        code = service_find(&s, c, config);
    if (code == CLI_OK)
        code = cli_flag(c, "quiet") != NULL ? look(&s) : show(c, &s);
    config_free(config);
    return code;
}
