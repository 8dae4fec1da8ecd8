/* SPDX-License-Identifier: Apache-2.0 */
/* Puts a transfer into an easy handle that carried others before: sets only what differs, allocates nothing once the
 * handle is warm. Never sends anything, never logs a header. Loop thread. */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "http/http_internal.h"

static char no_expect[] = "Expect:"; /* takes the header out: no waiting for 100 Continue */

static bool refuse(struct transfer *t, const char *why)
{
    http_set_why(t, why);
    return false;
}

static bool load_url(struct flight *f, const char *url)
{
    size_t len = strlen(url);

    if (f->url.len == len && memcmp(f->url.p, url, len) == 0)
        return true;
    buf_clear(&f->url);
    if (curl_easy_setopt(f->easy, CURLOPT_URL, url) != CURLE_OK)
        return false;
    buf_add(&f->url, url, len);
    return true;
}

/* The list is built in memory kept from call to call: libcurl only reads it. */
static bool load_headers(struct flight *f, const struct transfer *t)
{
    struct buf *lines = &f->lines;
    size_t all = 0;

    if (f->cap_nodes < t->n_headers + 1) {
        f->cap_nodes = t->n_headers + 8;
        f->nodes = mem_resize(f->nodes, (size_t)f->cap_nodes * sizeof(*f->nodes));
    }
    for (int i = 0; i < t->n_headers; i++) {
        const struct http_header *x = &t->headers[i];

        if (x->name[0] == '\0' || strpbrk(x->name, ":\r\n") != NULL || strpbrk(x->value, "\r\n") != NULL)
            return false;
        all += strlen(x->name) + strlen(x->value) + 3;
    }
    buf_clear(lines);
    CHECK(buf_reserve(lines, all) == 0); /* the nodes point into it: it must not move below */
    f->nodes[0] = (struct curl_slist){.data = no_expect};
    for (int i = 0; i < t->n_headers; i++) {
        const struct http_header *x = &t->headers[i];

        f->nodes[i].next = &f->nodes[i + 1];
        f->nodes[i + 1] = (struct curl_slist){.data = lines->p + lines->len};
        buf_add_str(lines, x->name);
        buf_add_str(lines, x->value[0] != '\0' ? ": " : ";"); /* libcurl's way to send an empty value */
        buf_add(lines, x->value, strlen(x->value) + 1);
    }
    HTTP_SET(f, CURLOPT_HTTPHEADER, f->nodes);
    return true;
}

static void load_backstop(struct flight *f, const struct transfer *t)
{
    long ms = t->total_us > 0 ? (long)(t->total_us / 1000) + 60 * 1000 : 0;

    if (ms == f->backstop_ms)
        return;
    HTTP_SET(f, CURLOPT_TIMEOUT_MS, ms);
    f->backstop_ms = ms;
}

bool flight_load(struct flight *f, struct transfer *t)
{
    bool is_big = t->body.len >= HTTP_BIG_BODY_BYTES;

    CHECK(!t->body.is_escaped);
    f->t = t;
    f->phase = FLIGHT_CONNECTING;
    f->verdict = TRANSFER_OK;
    f->head_bytes = 0;
    f->is_requested = false;
    f->error[0] = '\0';
    if (!f->origin->is_http)
        return refuse(t, "not an http or https URL");
    if (!load_url(f, t->url))
        return refuse(t, "the URL cannot be used");
    if (!load_headers(f, t))
        return refuse(t, "a request header has a bad name or a line break");
    load_backstop(f, t);
    HTTP_SET(f, CURLOPT_POSTFIELDS, t->body.len > 0 ? t->body.p : ""); /* not copied */
    HTTP_SET(f, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.len);
    if (f->has_progress != is_big)
        HTTP_SET(f, CURLOPT_NOPROGRESS, is_big ? 0L : 1L);
    f->has_progress = is_big;
    return true;
}
