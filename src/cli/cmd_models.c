/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti models ls`: what is configured, and what a running service says of it. Nobody is called to find out. Main
 * thread. */
#include <string.h>

#include "app/config.h"
#include "app/config_table.h"
#include "base/buf.h"
#include "base/json_write.h"
#include "cli/cli.h"
#include "cli/doc.h"
#include "cli/service.h"

enum { WHY_BYTES = 256, REASON_BYTES = 512, HTTP_OK = 200 };

/* A model, by the configuration and by the service. */
struct seen {
    const struct config_model *model;
    const json_t *live; /* the service's word; NULL: there is none, or it does not know the model */
    bool is_available;
    char reason[REASON_BYTES];
};

struct listing {
    const struct cli *c;
    const struct config *config;
    struct service service;
    json_t *doc; /* /api/v1/status; NULL: nobody answered */
    char why[WHY_BYTES];
    int n_available;
};

static bool has_key(const struct config_provider *p)
{
    return p->api_keys.n > 0 || (p->api_key != NULL && *p->api_key != '\0');
}

static const json_t *live_of(const json_t *doc, const char *id)
{
    const json_t *m;
    size_t i;

    json_array_foreach(json_object_get(doc, "models"), i, m)
    {
        if (strcmp(doc_str(m, "model"), id) == 0)
            return m;
    }
    return NULL;
}

/* D-47: never a guess. Registry and key are known here; breaker and last outcome only to a service that runs. */
static void judge(const struct listing *l, struct seen *s)
{
    const struct config_provider *p = s->model->provider;
    bool wants_key = strncmp(p->base_url, "https:", 6) == 0; /* a local server may take none */

    s->live = live_of(l->doc, s->model->id);
    s->is_available = false;
    if (s->live != NULL) {
        s->is_available = doc_is_true(s->live, "available");
        (void)snprintf(s->reason, sizeof(s->reason), "%s", doc_str(s->live, "reason"));
    } else if (l->doc != NULL) {
        (void)snprintf(s->reason, sizeof(s->reason), "the running service does not have it: reload or restart it");
    } else if (!has_key(p) && wants_key) {
        (void)snprintf(s->reason, sizeof(s->reason), "no API key is configured for the provider %s", p->name);
    } else {
        s->is_available = true;
        (void)snprintf(s->reason, sizeof(s->reason), "configured; no service tells how it does");
    }
}

/* --- text --- */

static void add_count(struct buf *b, const char *before, int64_t n, const char *after)
{
    char text[48];

    if (n <= 0)
        return;
    option_write_number(OPT_COUNT, n, text, sizeof(text));
    buf_printf(b, "%s%s%s", b->len > 0 ? ", " : before, text, after);
}

static void add_usd(struct buf *b, int64_t nano)
{
    struct json_write w;

    jw_init(&w, b);
    if (nano >= 0)
        jw_usd(&w, nano);
    else
        buf_add_str(b, "?");
}

static void print_names(const struct cli *c, const char *heading, const struct config_list *names)
{
    for (size_t i = 0; i < names->n; i++)
        (void)fprintf(c->out, "%s%s", i == 0 ? heading : ", ", names->items[i]);
}

static void print_money(const struct cli *c, const struct config_price *p)
{
    struct buf b;

    buf_init(&b, 0);
    if (p->input < 0 && p->output < 0) {
        buf_add_str(&b, "price unknown");
    } else {
        buf_add_str(&b, "price ");
        add_usd(&b, p->input);
        buf_add_str(&b, " in, ");
        add_usd(&b, p->output);
        buf_add_str(&b, " out");
        if (p->cached_input >= 0) {
            buf_add_str(&b, ", ");
            add_usd(&b, p->cached_input);
            buf_add_str(&b, " cached");
        }
        buf_add_str(&b, " (USD per million tokens)");
    }
    (void)fprintf(c->out, "; %s\n", b.p);
    buf_done(&b);
}

static void print_limits(const struct cli *c, const struct config_limits *limits)
{
    struct buf b;

    buf_init(&b, 0);
    add_count(&b, "", limits->requests_per_minute, " requests/min");
    add_count(&b, "", limits->tokens_per_minute, " tokens/min");
    add_count(&b, "", limits->concurrency, " at a time");
    (void)fprintf(c->out, "    limits %s", b.len > 0 ? b.p : "none");
    buf_done(&b);
}

static void print_live(const struct cli *c, const json_t *live)
{
    if (live == NULL)
        return;
    (void)fprintf(c->out, "    breaker %s; %lld calls, %lld answered; last outcome %s\n", doc_str(live, "breaker"),
                  (long long)doc_int(live, "calls_total"), (long long)doc_int(live, "calls_ok"),
                  doc_is_null(live, "last_outcome") ? "none yet" : doc_str(live, "last_outcome"));
}

static void print_model(const struct listing *l, const struct seen *s)
{
    const struct cli *c = l->c;
    const struct config_model *m = s->model;
    const struct config_provider *p = m->provider;

    (void)fprintf(c->out, "%s  %s: %s\n", m->id, s->is_available ? "available" : "NOT available", s->reason);
    (void)fprintf(c->out, "    provider %s (%s), name %s", p->name, p->api_name, m->name);
    if (p->api_keys.n > 1)
        (void)fprintf(c->out, ", %zu keys", p->api_keys.n);
    else
        (void)fprintf(c->out, ", %s", has_key(p) ? "key present" : "no key");
    print_names(c, "; also called ", &m->aliases);
    (void)fputc('\n', c->out);
    print_limits(c, &m->limits);
    print_money(c, &m->price);
    if (m->fallbacks.n > 0) {
        print_names(c, "    when it fails: ", &m->fallbacks);
        (void)fputc('\n', c->out);
    }
    print_live(c, s->live);
}

static void print_summary(const struct listing *l)
{
    const struct config *config = l->config;

    (void)fprintf(l->c->out, "\n%zu model%s, %d available", config->n_models, config->n_models == 1 ? "" : "s",
                  l->n_available);
    if (l->doc != NULL)
        (void)fprintf(l->c->out, ", by the service at %s (group %s).\n", l->service.url, doc_str(l->doc, "group"));
    else
        (void)fprintf(l->c->out, ", by the configuration alone (%s): no service at %s: %s.\n", config->path,
                      l->service.url, l->why);
}

/* --- JSON --- */

static void kv_list(struct json_write *w, const char *key, const struct config_list *list)
{
    jw_key(w, key);
    jw_open(w, '[');
    for (size_t i = 0; i < list->n; i++)
        jw_str(w, list->items[i]);
    jw_close(w, ']');
}

static void kv_limit(struct json_write *w, const char *key, int64_t limit)
{
    jw_kv_int_opt(w, key, limit > 0 ? limit : -1);
}

static void kv_live(struct json_write *w, const char *key, const json_t *live)
{
    if (live == NULL || doc_is_null(live, key))
        jw_kv_null(w, key);
    else if (json_is_integer(json_object_get(live, key)))
        jw_kv_int(w, key, doc_int(live, key));
    else
        jw_kv_str(w, key, doc_str(live, key));
}

static void write_model(struct json_write *w, const struct seen *s)
{
    const struct config_model *m = s->model;

    jw_open(w, '{');
    jw_kv_str(w, "model", m->id);
    kv_list(w, "aliases", &m->aliases);
    jw_kv_str(w, "provider", m->provider->name);
    jw_kv_str(w, "dialect", m->provider->api_name);
    jw_kv_str(w, "vendor_model", m->name);
    jw_kv_bool(w, "key_present", has_key(m->provider));
    jw_kv_int(w, "keys", m->provider->api_keys.n > 0 ? (int64_t)m->provider->api_keys.n : has_key(m->provider));
    kv_limit(w, "requests_per_minute", m->limits.requests_per_minute);
    kv_limit(w, "tokens_per_minute", m->limits.tokens_per_minute);
    kv_limit(w, "concurrency", m->limits.concurrency);
    jw_kv_usd_opt(w, "price_input_usd", m->price.input);
    jw_kv_usd_opt(w, "price_output_usd", m->price.output);
    jw_kv_usd_opt(w, "price_cached_input_usd", m->price.cached_input);
    kv_list(w, "fallbacks", &m->fallbacks);
    jw_kv_bool(w, "available", s->is_available);
    jw_kv_str(w, "reason", s->reason);
    kv_live(w, "breaker", s->live);
    kv_live(w, "last_outcome", s->live);
    kv_live(w, "last_outcome_at_ms", s->live);
    kv_live(w, "calls_total", s->live);
    kv_live(w, "calls_ok", s->live);
    jw_close(w, '}');
}

/* --- the command --- */

static int list_models(struct listing *l)
{
    const struct cli *c = l->c;
    struct json_write w;
    struct buf b;

    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_str(&w, "service", l->doc != NULL ? l->service.url : NULL);
    jw_kv_str(&w, "config", l->config->path);
    jw_key(&w, "models");
    jw_open(&w, '[');
    for (size_t i = 0; i < l->config->n_models; i++) {
        struct seen s = {.model = &l->config->models[i]};

        judge(l, &s);
        l->n_available += s.is_available;
        if (c->is_json)
            write_model(&w, &s);
        else
            print_model(l, &s);
    }
    jw_close(&w, ']');
    jw_close(&w, '}');
    if (c->is_json)
        (void)fprintf(c->out, "%s\n", b.p);
    else
        print_summary(l);
    buf_done(&b);
    return CLI_OK;
}

static void ask_service(struct listing *l)
{
    struct buf body;
    int status;

    buf_init(&body, 0);
    status = service_get(&l->service, "/api/v1/status", &body, l->why, sizeof(l->why));
    if (status == HTTP_OK)
        l->doc = json_loadb(body.p, body.len, 0, NULL);
    if (l->doc == NULL && status >= 0)
        (void)snprintf(l->why, sizeof(l->why), "it does not answer like a tutti");
    buf_done(&body);
}

int cmd_models(struct cli *c)
{
    static const char *const words[] = {"ls"};
    struct listing l = {.c = c};
    struct config *config = NULL;
    int code;

    if (c->n_args == 0)
        return cli_usage(c, "name what to do: ls");
    if (strcmp(c->args[0], "ls") != 0)
        return cli_unknown(c, "word", c->args[0], words, 1);
    if (c->n_args > 1)
        return cli_usage(c, "ls takes no argument, '%s' was given", c->args[1]);
    code = service_config(c, &config);
    if (code == CLI_OK)
        code = service_find(&l.service, c, config);
    if (code == CLI_OK) {
        l.config = config;
        ask_service(&l);
        code = list_models(&l);
        json_decref(l.doc);
    }
    config_free(config);
    return code;
}
