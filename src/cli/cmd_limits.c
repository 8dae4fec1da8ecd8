/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti limits ls`: the pools of limits, by a running service or by what Redis holds. Changes neither. Main thread. */
#include <inttypes.h>
#include <string.h>

#include "app/config.h"
#include "app/config_table.h"
#include "app/wire.h"
#include "base/buf.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/doc.h"
#include "cli/service.h"
#include "cli/table.h"
#include "impl/limiter_look.h"

enum { WHY_BYTES = 256, HTTP_OK = 200 };

static const char *const heads[] = {"MODELS",    "PROVIDER",  "REQUESTS/MIN", "LEFT",    "TOKENS/MIN", "LEFT",
                                    "AT A TIME", "IN FLIGHT", "WORKERS",      "WAITING", "PAUSED",     "POOL",
                                    NULL};
static const char aligns[] = "llrrrrrrrrrl";

/* --- in Redis --- */

/* Which models of the registry ask through this pool. */
struct users {
    const char *provider;
    const char *key_id;
    struct buf names;  /* "a, b" */
    struct buf quoted; /* ["a","b"] */
};

static void find_users(struct users *u, const struct registry *r, int pool)
{
    struct json_write w;

    buf_init(&u->names, 0);
    buf_init(&u->quoted, 0);
    jw_init(&w, &u->quoted);
    jw_open(&w, '[');
    u->provider = u->key_id = NULL;
    for (size_t i = 0; i < r->n_models; i++) {
        const struct model *m = &r->models[i];
        bool is_one = false;

        for (int k = 0; k < m->provider->n_keys; k++) {
            if (m->pools[k] != pool)
                continue;
            is_one = true;
            u->key_id = m->provider->keys[k].id;
        }
        if (!is_one)
            continue;
        u->provider = m->provider->id;
        buf_printf(&u->names, "%s%s", u->names.len > 0 ? ", " : "", m->id);
        jw_str(&w, m->id);
    }
    jw_close(&w, ']');
}

static void users_done(struct users *u)
{
    buf_done(&u->names);
    buf_done(&u->quoted);
}

static void add_limit(struct table *t, int64_t limit)
{
    char text[48];

    if (limit > 0)
        option_write_number(OPT_COUNT, limit, text, sizeof(text));
    table_add(t, limit > 0 ? text : NULL);
}

/* "588 of 600": what is left of the bucket. */
static void add_left(struct table *t, bool is_known, int64_t level, int64_t bucket)
{
    if (!is_known || bucket <= 0)
        table_add(t, NULL);
    else
        table_addf(t, "%" PRId64 " of %" PRId64, level, bucket);
}

static void add_number(struct table *t, bool is_known, int64_t n)
{
    if (is_known)
        table_addf(t, "%" PRId64, n);
    else
        table_add(t, NULL);
}

static void add_pause(struct table *t, int64_t ms)
{
    if (ms > 0)
        table_addf(t, "%.1f s", (double)ms / 1000);
    else
        table_add(t, NULL);
}

static void row_of_look(struct table *t, const struct pool_conf *conf, const struct users *u, const struct pool_look *p)
{
    table_add(t, u->names.p);
    table_add(t, u->provider);
    add_limit(t, conf->requests_per_minute);
    add_left(t, p->is_known, p->req_level, p->req_bucket);
    add_limit(t, conf->tokens_per_minute);
    add_left(t, p->is_known, p->tok_level, p->tok_bucket);
    add_limit(t, conf->concurrency);
    add_number(t, p->is_known, p->in_flight);
    add_number(t, p->is_known, p->workers);
    if (p->is_known && p->waiting > 0)
        table_addf(t, "%" PRId64 " worker%s", p->waiting, p->waiting == 1 ? "" : "s");
    else
        table_add(t, p->is_known ? "0" : NULL);
    add_pause(t, p->pause_us / 1000);
    table_add(t, conf->id);
}

static void kv_limit(struct json_write *w, const char *key, int64_t limit)
{
    jw_kv_int_opt(w, key, limit > 0 ? limit : -1);
}

/* The keys of /api/v1/limits; what only a process knows is null. */
static void write_look(struct json_write *w, const struct pool_conf *conf, const struct users *u,
                       const struct pool_look *p)
{
    jw_open(w, '{');
    jw_kv_str(w, "pool", conf->id);
    jw_kv_str(w, "provider", u->provider);
    jw_kv_str(w, "key_id", u->key_id);
    jw_kv_raw(w, "models", text_slice(u->quoted.p, u->quoted.len));
    kv_limit(w, "requests_per_minute", conf->requests_per_minute);
    kv_limit(w, "tokens_per_minute", conf->tokens_per_minute);
    kv_limit(w, "concurrency", conf->concurrency);
    kv_limit(w, "largest_call", conf->largest_call);
    jw_kv_bool(w, "known", p->is_known);
    kv_limit(w, "requests_bucket", p->req_bucket);
    jw_kv_int_opt(w, "requests_available", p->is_known && p->req_bucket > 0 ? p->req_level : -1);
    kv_limit(w, "tokens_bucket", p->tok_bucket);
    if (p->is_known && p->tok_bucket > 0)
        jw_kv_int(w, "tokens_available", p->tok_level);
    else
        jw_kv_null(w, "tokens_available");
    jw_kv_int_opt(w, "tokens_held", p->is_known && p->tok_bucket > 0 ? p->tok_held : -1);
    jw_kv_int_opt(w, "fleet_in_flight", p->is_known ? p->in_flight : -1);
    jw_kv_int_opt(w, "fleet_workers", p->is_known ? p->workers : -1);
    jw_kv_int_opt(w, "fleet_workers_waiting", p->is_known ? p->waiting : -1);
    jw_kv_null(w, "in_flight");
    jw_kv_null(w, "waiting");
    jw_kv_null(w, "waiting_for");
    jw_kv_int(w, "paused_ms", p->pause_us / 1000);
    jw_close(w, '}');
}

static void print_looks(const struct cli *c, const struct wiring *w, const struct pool_look *looks)
{
    struct json_write json;
    struct table t;
    struct buf b;

    buf_init(&b, 0);
    jw_init(&json, &b);
    jw_open(&json, '{');
    jw_kv_str(&json, "source", "redis");
    jw_key(&json, "limits");
    jw_open(&json, '[');
    table_init(&t, heads, aligns);
    for (int i = 0; i < w->n_pools; i++) {
        struct users u;

        find_users(&u, &w->registry, i);
        row_of_look(&t, &w->pools[i], &u, &looks[i]);
        write_look(&json, &w->pools[i], &u, &looks[i]);
        users_done(&u);
    }
    jw_close(&json, ']');
    jw_close(&json, '}');
    if (c->is_json)
        (void)fprintf(c->out, "%s\n", b.p);
    else
        table_print(&t, 0, c->out);
    table_done(&t);
    buf_done(&b);
}

static int look_at_redis(const struct cli *c, const struct config *config, const struct service *s, const char *no_one)
{
    struct pool_look *looks;
    struct wiring w;
    char why[WHY_BYTES];
    int r = 0;

    wiring_init(&w, config);
    looks = mem_zero(sizeof(*looks) * (size_t)(w.n_pools + 1));
    if (w.n_pools > 0)
        r = limiter_look(config->redis.url, config->redis.ca_file, w.pools, w.n_pools, looks, why, sizeof(why));
    if (r == 0 && (w.n_pools > 0 || c->is_json))
        print_looks(c, &w, looks);
    if (w.n_pools == 0)
        (void)fprintf(c->is_json ? c->err : c->out, "No model has limits (%s).\n", config->path);
    else if (r == 0)
        (void)fprintf(c->is_json ? c->err : c->out,
                      "\nAs Redis holds them for the whole fleet (redis.url); no service at %s: %s.\n", s->url, no_one);
    else
        (void)fprintf(c->err, "tutti limits: no service at %s: %s; and Redis at redis.url: %s\n", s->url, no_one, why);
    mem_free(looks);
    wiring_done(&w);
    return r == 0 ? CLI_OK : CLI_UNAVAILABLE;
}

/* --- by a service --- */

static void row_of_doc(struct table *t, const json_t *p)
{
    const json_t *name;
    bool is_known = doc_is_true(p, "known");
    struct buf names;
    size_t i;

    buf_init(&names, 0);
    json_array_foreach(json_object_get(p, "models"), i, name)
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", json_string_value(name) != NULL ? json_string_value(name) : "");
    table_add(t, names.len > 0 ? names.p : NULL);
    table_add(t, doc_str(p, "provider"));
    add_limit(t, doc_int(p, "requests_per_minute"));
    add_left(t, is_known, doc_int(p, "requests_available"), doc_int(p, "requests_bucket"));
    add_limit(t, doc_int(p, "tokens_per_minute"));
    add_left(t, is_known, doc_int(p, "tokens_available"), doc_int(p, "tokens_bucket"));
    add_limit(t, doc_int(p, "concurrency"));
    add_number(t, is_known, doc_int(p, "fleet_in_flight"));
    add_number(t, is_known, doc_int(p, "fleet_workers"));
    if (doc_int(p, "waiting") > 0)
        table_addf(t, "%" PRId64 " for %s", doc_int(p, "waiting"), doc_str(p, "waiting_for"));
    else
        table_add(t, "0");
    add_pause(t, doc_int(p, "paused_ms"));
    table_add(t, doc_str(p, "pool"));
    buf_done(&names);
}

static void print_doc(const struct cli *c, const struct service *s, json_t *doc)
{
    const json_t *limits = json_object_get(doc, "limits"), *p;
    struct table t;
    size_t i;

    if (c->is_json) {
        (void)json_object_set_new(doc, "source", json_string("service"));
        (void)json_object_set_new(doc, "service", json_string(s->url));
        (void)json_dumpf(doc, c->out, JSON_COMPACT);
        (void)fputc('\n', c->out);
        return;
    }
    table_init(&t, heads, aligns);
    json_array_foreach(limits, i, p) row_of_doc(&t, p);
    if (json_array_size(limits) > 0)
        table_print(&t, 0, c->out);
    else
        (void)fprintf(c->out, "No model has limits.\n");
    table_done(&t);
    (void)fprintf(c->out,
                  "\nBy the service at %s. LEFT, IN FLIGHT and WORKERS are the fleet's, WAITING are its own calls.\n",
                  s->url);
}

static int list_limits(const struct cli *c, const struct config *config, const struct service *s)
{
    char why[WHY_BYTES];
    json_auto_t *doc = NULL;
    struct buf body;
    int status;

    buf_init(&body, 0);
    status = service_get(s, "/api/v1/limits", &body, why, sizeof(why));
    if (status == HTTP_OK)
        doc = json_loadb(body.p, body.len, 0, NULL);
    buf_done(&body);
    if (json_is_array(json_object_get(doc, "limits"))) {
        print_doc(c, s, doc);
        return CLI_OK;
    }
    return look_at_redis(c, config, s, status < 0 ? why : "it does not answer like a tutti");
}

int cmd_limits(struct cli *c)
{
    static const char *const words[] = {"ls"};
    struct config *config = NULL;
    struct service s;
    int code;

    if (c->n_args == 0)
        return cli_usage(c, "name what to do: ls");
    if (strcmp(c->args[0], "ls") != 0)
        return cli_unknown(c, "word", c->args[0], words, 1);
    if (c->n_args > 1)
        return cli_usage(c, "ls takes no argument, '%s' was given", c->args[1]);
    code = service_config(c, &config);
    if (code == CLI_OK)
        code = service_find(&s, c, config);
    if (code == CLI_OK) {
        log_configure(LOG_ERROR, LOG_FORMAT_AUTO);
        code = list_limits(c, config, &s);
    }
    config_free(config);
    return code;
}
