/* SPDX-License-Identifier: Apache-2.0 */
/* What every reader of a transfer needs, whoever carried it: the word for its end, its response headers, its release.
 * Never touches a socket or a library; part of the outcome library so that core, providers and adapters all link it.
 * Any thread. */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "seam/http.h"

static const char *const details[] = {
    [TRANSFER_OK] = NULL,
    [TRANSFER_DNS] = "dns",
    [TRANSFER_REFUSED] = "connect_refused",
    [TRANSFER_CONNECT_TIMEOUT] = "connect_timeout",
    [TRANSFER_TLS] = "tls",
    [TRANSFER_FIRST_BYTE_TIMEOUT] = "first_byte_timeout",
    [TRANSFER_IDLE_TIMEOUT] = "idle_timeout",
    [TRANSFER_TOTAL_TIMEOUT] = "total_timeout",
    [TRANSFER_DEADLINE] = "deadline",
    [TRANSFER_RESET] = "connection_reset",
    [TRANSFER_TRUNCATED] = "truncated",
    [TRANSFER_TOO_LARGE] = "too_large",
    [TRANSFER_RESEND] = "resend_refused",
    [TRANSFER_GRANT_STALE] = "grant_stale",
    [TRANSFER_PROTOCOL] = "protocol",
    [TRANSFER_LOCAL] = "local",
};
static_assert(ARRAY_LEN(details) == TRANSFER_END_MAX, "a word for each end");

const char *transfer_detail(enum transfer_end end)
{
    CHECK(end >= 0 && end < TRANSFER_END_MAX);
    return details[end];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct text trim(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    return text_slice(p, (size_t)(end - p));
}

struct text transfer_header(const struct transfer *t, const char *name)
{
    size_t name_len = strlen(name);
    const char *p = t->head.p;
    const char *end = p + t->head.len;
    struct text found = TEXT_NONE;

    while (p < end) {
        const char *next = memchr(p, '\n', (size_t)(end - p));

        next = next != NULL ? next + 1 : end;
        if ((size_t)(next - p) > name_len && p[name_len] == ':' && strncasecmp(p, name, name_len) == 0)
            found = trim(p + name_len + 1, next);
        p = next;
    }
    return found;
}

void transfer_release(struct transfer *t)
{
    buf_done(&t->head);
    buf_done(&t->body_in);
}
