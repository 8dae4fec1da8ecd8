/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAI-compatible dialect, sending side: POST {base_url}/chat/completions. Never streams, never decodes the
 * prompt (escaped text is copied as it stands), never holds a key outside of sign(). No state; any thread. source
 * reference/providers.md 4.1, 4.8 */
#include "provider/openai.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/json_write.h"
#include "base/mem.h"

enum {
    BODY_BYTES_MAX = 64 * 1024 * 1024, /* far above jobs.max_bytes: only a guard */
    ENVELOPE_BYTES = 256,              /* names and brackets around the texts, so that the body is allocated once */
};

/* The host of a URL (no port, no user), as a slice. */
static struct text host_of(const char *url)
{
    const char *p = strstr(url, "://");
    const char *at;
    size_t len;

    p = p != NULL ? p + 3 : url;
    len = strcspn(p, "/?#");
    at = memchr(p, '@', len);
    if (at != NULL) {
        len -= (size_t)(at + 1 - p);
        p = at + 1;
    }
    return text_slice(p, *p == '[' ? len : strcspn(p, "/?#:"));
}

static bool ends_in(struct text host, const char *suffix)
{
    size_t len = strlen(suffix);

    return host.len >= len && strncasecmp(host.p + host.len - len, suffix, len) == 0;
}

/* How the limit on the answer is spelled. OpenAI's newer models refuse max_tokens and Azure takes both, many compatible
 * servers know only max_tokens. A param of either name settles it for servers that are neither; the value is always
 * the one that was reserved. */
static const char *limit_name(const struct request *q)
{
    static const char old_name[] = "max_tokens";
    static const char new_name[] = "max_completion_tokens";
    struct text host = host_of(q->base_url);

    for (size_t i = 0; i < q->n_params; i++) {
        if (text_is(q->params[i].name, new_name))
            return new_name;
        if (text_is(q->params[i].name, old_name))
            return old_name;
    }
    return ends_in(host, "api.openai.com") || ends_in(host, ".openai.azure.com") ? new_name : old_name;
}

static void add_message(struct json_write *w, const char *role, struct text content)
{
    jw_open(w, '{');
    jw_kv_str(w, "role", role);
    jw_kv_text(w, "content", content);
    jw_close(w, '}');
}

static bool is_one_of(struct text name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text_is(name, names[i]))
            return true;
    return false;
}

static int add_params(struct json_write *w, const struct request *q, const char **why)
{
    static const char *const folded[] = {"max_output_tokens", "max_tokens", "max_completion_tokens"};
    static const char *const dropped[] = {"stream", "stream_options"};
    static const char *const ours[] = {"model", "messages"};

    for (size_t i = 0; i < q->n_params; i++) {
        const struct request_param *p = &q->params[i];

        if (is_one_of(p->name, folded, ARRAY_LEN(folded)) || is_one_of(p->name, dropped, ARRAY_LEN(dropped)))
            continue;
        if (is_one_of(p->name, ours, ARRAY_LEN(ours))) {
            *why = "params may not set model or messages";
            return -EINVAL;
        }
        if (p->name.len == 0 || p->json.p == NULL || p->json.len == 0) {
            *why = "a parameter without name or value";
            return -EINVAL;
        }
        jw_key_text(w, p->name);
        jw_raw(w, p->json);
    }
    return 0;
}

static int add_body(struct buf *b, const struct request *q, const char **why)
{
    struct json_write w;
    int r;

    jw_init(&w, b);
    jw_open(&w, '{');
    jw_kv_str(&w, "model", q->vendor_model);
    jw_key(&w, "messages");
    jw_open(&w, '[');
    if (q->system.p != NULL)
        add_message(&w, "system", q->system);
    add_message(&w, "user", q->messages[0].parts[0].text);
    jw_close(&w, ']');
    if (q->max_output_tokens > 0)
        jw_kv_int(&w, limit_name(q), q->max_output_tokens);
    r = add_params(&w, q, why);
    jw_close(&w, '}');
    if (r == 0 && b->is_over) {
        *why = "the request is larger than 64 MiB";
        r = -E2BIG;
    }
    return r;
}

/* A query of the base URL (Azure's api-version) stays behind the path. */
static const char *url_of(const char *base_url, struct arena *a)
{
    size_t path = strcspn(base_url, "?");
    size_t len = path;

    while (len > 0 && base_url[len - 1] == '/')
        len--;
    return arena_printf(a, "%.*s/chat/completions%s", (int)len, base_url, base_url + path);
}

static void add_header(struct wire *w, const char *name, const char *value)
{
    CHECK(w->n_headers < WIRE_HEADERS_MAX);
    w->headers[w->n_headers++] = (struct http_header){.name = name, .value = value};
}

static int openai_build(const struct request *q, struct arena *a, struct wire *out, const char **why)
{
    struct wire w = {.n_headers = 0};
    struct buf body;
    int r;

    if (q->n_messages == 0 || q->messages[0].parts[0].text.p == NULL) {
        *why = "no prompt";
        return -EINVAL;
    }
    buf_init(&body, BODY_BYTES_MAX);
    (void)buf_reserve(&body, q->messages[0].parts[0].text.len * 9 / 8 + q->system.len + ENVELOPE_BYTES); /* a guess */
    buf_clear(&body); /* not yet too big */
    r = add_body(&body, q, why);
    if (r == 0) {
        w.url = url_of(q->base_url, a);
        w.body = text_slice(arena_copy(a, body.p, body.len), body.len);
        add_header(&w, "Content-Type", "application/json");
        add_header(&w, "Accept", "application/json");
        if (q->idempotency_key != NULL)
            add_header(&w, "Idempotency-Key", q->idempotency_key);
        *out = w;
    }
    buf_done(&body);
    return r;
}

/* A server without keys (Ollama, vLLM) has none configured: then nothing is added. */
static void openai_sign(const char *api_key, int64_t wall_ms, struct arena *a, struct wire *w)
{
    (void)wall_ms;
    if (api_key != NULL && api_key[0] != '\0')
        add_header(w, "Authorization", arena_printf(a, "Bearer %s", api_key));
}

const struct provider_ops openai_ops = {
    .name = "openai",
    .build = openai_build,
    .sign = openai_sign,
    .finish = openai_finish,
};
