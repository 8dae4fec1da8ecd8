/* SPDX-License-Identifier: Apache-2.0 */
/* The frame in which every dialect builds a request: buffer, headers, URL, and the notes of what is left out. Never
 * holds a key, never decodes the prompt (escaped text is copied as it stands). No state; any thread. */
#include "provider/build.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum {
    BODY_BYTES_MAX = 64 * 1024 * 1024, /* far above jobs.max_bytes: only a guard */
    ENVELOPE_BYTES = 256,              /* names and brackets around the texts, so that the body is allocated once */
};

void build_begin(struct building *b, const struct request *q, const char *api, struct arena *a)
{
    size_t bytes = q->system.len + q->tools.len + ENVELOPE_BYTES;

    *b = (struct building){.q = q, .a = a, .api = api};
    for (int i = 0; i < q->n_messages; i++)
        for (int k = 0; k < q->messages[i].n_parts; k++)
            bytes += q->messages[i].parts[k].text.len * 9 / 8; /* a guess of what escaping adds */
    buf_init(&b->body, BODY_BYTES_MAX);
    (void)buf_reserve(&b->body, bytes);
    buf_clear(&b->body); /* not yet too big */
    jw_init(&b->w, &b->body);
    if (q->n_messages == 0)
        build_fail(b, -EINVAL, "no prompt");
}

void build_fail(struct building *b, int error, const char *why)
{
    if (b->error != 0)
        return;
    b->error = error;
    b->why = why;
}

void build_header(struct wire *w, const char *name, const char *value)
{
    CHECK(w->n_headers < WIRE_HEADERS_MAX);
    w->headers[w->n_headers++] = (struct http_header){.name = name, .value = value};
}

int build_end(struct building *b, const char *url, struct wire *out, const char **why)
{
    if (b->body.is_over)
        build_fail(b, -E2BIG, "the request is larger than 64 MiB");
    if (b->error == 0) {
        b->wire.url = url;
        b->wire.body = text_slice(arena_copy(b->a, b->body.p, b->body.len), b->body.len);
        build_header(&b->wire, "Content-Type", "application/json");
        build_header(&b->wire, "Accept", "application/json");
        if (b->q->idempotency_key != NULL)
            build_header(&b->wire, "Idempotency-Key", b->q->idempotency_key);
        *out = b->wire;
    } else {
        *why = b->why;
    }
    buf_done(&b->body);
    return b->error;
}

/* "/v1", "/v1beta" at the end of the path of a URL of `len` bytes; a host may be called v1.example, too */
static bool has_version(const char *base, size_t len)
{
    size_t at = len;

    while (at > 0 && base[at - 1] != '/')
        at--;
    return at > 1 && base[at - 2] != '/' && len - at >= 2 && base[at] == 'v' && base[at + 1] >= '0' &&
           base[at + 1] <= '9';
}

const char *build_url(struct arena *a, const char *base_url, const char *version, const char *path)
{
    size_t path_len = strcspn(base_url, "?");
    size_t len = path_len;

    while (len > 0 && base_url[len - 1] == '/')
        len--;
    return arena_join(a, arena_copy(a, base_url, len), has_version(base_url, len) ? "" : version, path,
                      base_url + path_len, NULL);
}

void build_drop(struct building *b, struct text name)
{
    for (int i = 0; i < b->wire.n_dropped; i++)
        if (text_equal(b->wire.dropped[i], name))
            return;
    if (b->wire.n_dropped < WIRE_DROPPED_MAX)
        b->wire.dropped[b->wire.n_dropped++] = name;
}

bool build_is_refused(const struct building *b, const char *name)
{
    for (size_t i = 0; i < b->q->n_drop_params; i++)
        if (strcmp(b->q->drop_params[i], name) == 0)
            return true;
    return false;
}

bool build_is_one_of(struct text t, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text_is(t, words[i]))
            return true;
    return false;
}

bool build_takes(struct building *b, const struct request_param *p)
{
    static const char *const folded[] = {"max_output_tokens", "max_tokens", "max_completion_tokens"};
    static const char *const ours[] = {"model", "messages", "contents"};

    if (p->name.len == 0 || p->json.p == NULL || p->json.len == 0) {
        build_fail(b, -EINVAL, "a parameter without name or value");
        return false;
    }
    if (build_is_one_of(p->name, folded, ARRAY_LEN(folded)))
        return false;
    if (p->dialect != NULL && strcmp(p->dialect, b->api) != 0) {
        build_drop(b, p->name);
        return false;
    }
    if (build_is_one_of(p->name, ours, ARRAY_LEN(ours))) {
        if (p->dialect == NULL)
            build_fail(b, -EINVAL, "params may not set model or messages");
        return false;
    }
    for (size_t i = 0; i < b->q->n_drop_params; i++)
        if (text_is(p->name, b->q->drop_params[i])) {
            build_drop(b, p->name);
            return false;
        }
    return true;
}

const struct request_param *build_own_param(const struct building *b, const char *name)
{
    for (size_t i = 0; i < b->q->n_params; i++) {
        const struct request_param *p = &b->q->params[i];

        if (text_is(p->name, name) && (p->dialect == NULL || strcmp(p->dialect, b->api) == 0))
            return p;
    }
    return NULL;
}

struct text build_tools(struct building *b)
{
    if (b->q->tools.p == NULL)
        return TEXT_NONE;
    if (!build_is_refused(b, "tools"))
        return b->q->tools;
    build_drop(b, TEXT_LIT("tools"));
    return TEXT_NONE;
}

bool build_has_tools(const struct building *b)
{
    return (b->q->tools.p != NULL || build_own_param(b, "tools") != NULL) && !build_is_refused(b, "tools");
}

bool build_has_images(struct building *b)
{
    bool has_image = false;

    if (!build_is_refused(b, "images"))
        return true;
    for (int i = 0; i < b->q->n_messages; i++)
        for (int k = 0; k < b->q->messages[i].n_parts; k++)
            has_image |= b->q->messages[i].parts[k].kind == PART_IMAGE;
    if (has_image)
        build_drop(b, TEXT_LIT("images"));
    return false;
}
