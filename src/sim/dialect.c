/* SPDX-License-Identifier: Apache-2.0 */
/* Which dialect a request speaks and what it wants, from its path and headers. Adding a dialect is one line here. No
 * state; any thread. */
#include "sim/dialect.h"

#include <string.h>

#include "base/check.h"

static const struct dialect *const dialects[] = {&dialect_openai, &dialect_anthropic, &dialect_gemini};

static bool ends_in(struct text t, const char *suffix)
{
    size_t len = strlen(suffix);

    return t.len >= len && memcmp(t.p + t.len - len, suffix, len) == 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What stands behind the last part "/models/", %-decoded; cut when it is too long, so it is no model then. */
static void read_model(const char *path, size_t len, char out[ASK_MODEL_BYTES])
{
    static const char mark[] = "/models/";
    const char *p = memmem(path, len, mark, sizeof(mark) - 1);
    const char *end = path + len;
    size_t n = 0;

    if (p != NULL)
        for (p += sizeof(mark) - 1; p < end && n + 1 < ASK_MODEL_BYTES; p++) {
            bool is_coded = *p == '%' && end - p > 2 && hex(p[1]) >= 0 && hex(p[2]) > 0;

            out[n++] = is_coded ? (char)(hex(p[1]) << 4 | hex(p[2])) : *p;
            p += is_coded ? 2 : 0;
        }
    out[n] = '\0';
}

/* Of a request that is none of the routes. */
static const struct dialect *guess(const struct http_request *r)
{
    if (r->keys[KEY_GOOGLE].p != NULL || r->keys[KEY_QUERY].p != NULL || memmem(r->path.p, r->path.len, "/v1beta", 7) ||
        memmem(r->path.p, r->path.len, "/v1alpha", 8))
        return &dialect_gemini;
    if (r->has_version || r->keys[KEY_ANTHROPIC].p != NULL)
        return &dialect_anthropic;
    return &dialect_openai;
}

/* The route of the dialect whose end the path has; NULL: none. */
static const struct route *route_of(const struct dialect *d, struct text path)
{
    for (const struct route *route = d->routes; route->suffix != NULL; route++)
        if (ends_in(path, route->suffix))
            return route;
    return NULL;
}

void target_read(const struct http_request *r, struct target *out)
{
    out->model[0] = '\0';
    out->operation = OP_NONE;
    for (size_t i = 0; i < ARRAY_LEN(dialects) && text_is(r->method, "POST"); i++) {
        const struct route *route = route_of(dialects[i], r->path);

        if (route == NULL)
            continue;
        out->dialect = dialects[i];
        out->operation = route->operation;
        if (route->suffix[0] == ':')
            read_model(r->path.p, r->path.len - strlen(route->suffix), out->model);
        return;
    }
    out->dialect = guess(r);
    read_model(r->path.p, r->path.len, out->model);
}
