/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/1.1 request head. Never keeps state between calls and never reads the body; chunked requests are not
 * understood. Any thread.  source  RFC 9112 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "sim/sim_internal.h"

enum { HEAD_BYTES_MAX = 32 * 1024 };

static struct text trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    return text_slice(p, (size_t)(end - p));
}

static bool is_word(struct text t, const char *word)
{
    return t.len == strlen(word) && strncasecmp(t.p, word, t.len) == 0;
}

static int read_length(struct text value, size_t *out)
{
    size_t n = 0;

    if (value.len == 0 || value.len > 12)
        return -EINVAL;
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return -EINVAL;
        n = n * 10 + (size_t)(value.p[i] - '0');
    }
    *out = n;
    return 0;
}

static int read_header(struct http_request *r, const char *line, const char *end)
{
    static const char bearer[] = "Bearer ";
    const char *colon = memchr(line, ':', (size_t)(end - line));
    struct text name;
    struct text value;

    if (colon == NULL)
        return -EINVAL;
    name = text_slice(line, (size_t)(colon - line));
    value = trim(colon + 1, end);
    if (is_word(name, "content-length")) {
        r->has_length = true;
        return read_length(value, &r->body_bytes);
    }
    if (is_word(name, "authorization")) {
        if (value.len >= sizeof(bearer) - 1 && strncasecmp(value.p, bearer, sizeof(bearer) - 1) == 0)
            r->keys[KEY_BEARER] = trim(value.p + sizeof(bearer) - 1, value.p + value.len);
    } else if (is_word(name, "api-key")) {
        r->keys[KEY_AZURE] = value;
    } else if (is_word(name, "x-api-key")) {
        r->keys[KEY_ANTHROPIC] = value;
    } else if (is_word(name, "x-goog-api-key")) {
        r->keys[KEY_GOOGLE] = value;
    } else if (is_word(name, "anthropic-version")) {
        r->has_version = true;
    } else if (is_word(name, "idempotency-key")) {
        r->idempotency_key = value;
    } else if (is_word(name, "connection")) {
        r->is_close |= is_word(value, "close");
    } else if (is_word(name, "expect")) {
        r->is_continue = is_word(value, "100-continue");
    }
    return 0;
}

/* Google's key may stand in the query. */
static void read_query(struct http_request *r)
{
    const char *p = r->query.p;
    const char *end = p + r->query.len;

    while (p < end) {
        const char *amp = memchr(p, '&', (size_t)(end - p));
        const char *stop = amp != NULL ? amp : end;

        if (stop - p > 4 && memcmp(p, "key=", 4) == 0)
            r->keys[KEY_QUERY] = text_slice(p + 4, (size_t)(stop - p - 4));
        p = stop + 1;
    }
}

static int read_request_line(struct http_request *r, const char *line, const char *end)
{
    const char *path = memchr(line, ' ', (size_t)(end - line));
    const char *version = path == NULL ? NULL : memchr(path + 1, ' ', (size_t)(end - path - 1));
    const char *query;

    if (version == NULL || end - version < 9 || memcmp(version, " HTTP/1.", 8) != 0)
        return -EINVAL;
    r->method = text_slice(line, (size_t)(path - line));
    r->path = text_slice(path + 1, (size_t)(version - path - 1));
    query = memchr(r->path.p, '?', r->path.len);
    if (query != NULL) {
        r->query = text_slice(query + 1, (size_t)(version - query - 1));
        r->path.len = (size_t)(query - r->path.p);
        read_query(r);
    }
    r->is_close = version[8] == '0';
    return 0;
}

int http_read_head(const char *bytes, size_t len, struct http_request *out)
{
    struct http_request r = {.query = TEXT_NONE};
    const char *end = len > 0 ? memmem(bytes, len, "\r\n\r\n", 4) : NULL;
    const char *line = bytes;
    const char *nl;

    if (end == NULL)
        return len > HEAD_BYTES_MAX ? -E2BIG : 0;
    if (end - bytes > HEAD_BYTES_MAX)
        return -E2BIG;
    end += 2; /* the last line keeps its end */
    nl = memchr(line, '\n', (size_t)(end - line));
    if (read_request_line(&r, line, nl) < 0)
        return -EINVAL;
    for (line = nl + 1; line < end; line = nl + 1) {
        nl = memchr(line, '\n', (size_t)(end - line));
        if (read_header(&r, line, nl) < 0)
            return -EINVAL;
    }
    r.head_bytes = (size_t)(end + 2 - bytes);
    *out = r;
    return 1;
}

struct text http_key(const struct http_request *r, unsigned places)
{
    for (int i = 0; i < KEY_SOURCE_MAX; i++)
        if ((places & 1U << i) != 0 && r->keys[i].p != NULL)
            return r->keys[i];
    return TEXT_NONE;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {529, "Overloaded"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return status < 300 ? "OK" : "Error";
}
