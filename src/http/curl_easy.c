/* SPDX-License-Identifier: Apache-2.0 */
/* One easy handle and the transfer it carries: options that never change are set once, per call only what differs.
 * Holds the two guards of DESIGN 8 (no second send, no stale permit) in the pre-request callback. Never logs a header.
 * The callbacks never call libcurl back but for curl_easy_getinfo(). Loop thread. */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "http/http_internal.h"

static char no_expect[] = "Expect:"; /* takes the header out: no waiting for 100 Continue */

static struct http_curl *http_of(const struct flight *f)
{
    return f->origin->http;
}

/* The connection is ready and the request about to be written. */
static int on_prereq(void *arg, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    struct flight *f = arg;
    struct transfer *t = f->t;
    int64_t now_us = loop_clock_us(http_of(f)->loop);
    enum transfer_end end = TRANSFER_OK;
    long n_connects = 0;

    (void)peer_ip;
    (void)own_ip;
    (void)peer_port;
    (void)own_port;
    if (f->is_requested) {
        /* The reused connection closed without a byte and libcurl would post again. It may have been served. */
        f->verdict = TRANSFER_RESEND;
        return CURL_PREREQFUNC_ABORT;
    }
    if (t->send_before_us > 0 && now_us > t->send_before_us)
        end = TRANSFER_GRANT_STALE;
    else if (flight_due_us(f, &end) > now_us)
        end = TRANSFER_OK;
    if (end != TRANSFER_OK) {
        f->verdict = end;
        return CURL_PREREQFUNC_ABORT;
    }
    f->is_requested = true;
    t->was_sent = true;
    t->sent_us = now_us;
    (void)curl_easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &n_connects);
    t->connect_took_us = n_connects > 0 ? now_us - f->started_us : 0;
    flight_enter(f, f->has_progress ? FLIGHT_WRITING : FLIGHT_WAITING, now_us);
    return CURL_PREREQFUNC_OK;
}

/* Only for big request bodies: tells when the last byte was written. */
static int on_progress(void *arg, curl_off_t in_all, curl_off_t in_now, curl_off_t out_all, curl_off_t out_now)
{
    struct flight *f = arg;

    (void)in_all;
    (void)in_now;
    (void)out_all;
    if (f->phase == FLIGHT_WRITING && out_now >= (curl_off_t)f->t->body.len)
        flight_enter(f, FLIGHT_WAITING, loop_clock_us(http_of(f)->loop));
    return 0;
}

static void note_bytes(struct flight *f, size_t len)
{
    struct loop *l = http_of(f)->loop;

    f->t->bytes_in += (int64_t)len;
    if (f->phase == FLIGHT_READING) {
        f->since_us = loop_now_us(l);
        return;
    }
    flight_enter(f, FLIGHT_READING, loop_clock_us(l));
    f->t->first_byte_took_us = f->since_us - f->started_us;
}

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
    struct flight *f = arg;
    struct buf *head = &f->t->head;

    (void)one;
    note_bytes(f, len);
    if (len > 5 && memcmp(line, "HTTP/", 5) == 0)
        buf_clear(head); /* what came before was 1xx */
    f->head_bytes += (int64_t)len;
    if (f->head_bytes > HTTP_HEAD_ENDLESS) {
        f->verdict = TRANSFER_TOO_LARGE;
        return 0;
    }
    if (head->cap == 0)
        (void)buf_reserve(head, 1000);
    if (!head->is_over)
        buf_add(head, line, len); /* beyond the cap lines are dropped: the answer is paid for */
    return len;
}

static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    struct flight *f = arg;
    struct buf *body = &f->t->body_in;
    curl_off_t announced = -1;

    (void)one;
    note_bytes(f, len);
    if (body->cap == 0) { /* the announced length saves growing step by step, but is not trusted with much memory */
        (void)curl_easy_getinfo(f->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
        if (announced > (curl_off_t)body->max)
            goto too_large;
        if (announced > (curl_off_t)len)
            (void)buf_reserve(body, announced < (64 << 10) ? (size_t)announced : 64 << 10);
    }
    buf_add(body, bytes, len);
    if (!body->is_over)
        return len;
too_large:
    f->verdict = TRANSFER_TOO_LARGE;
    return 0;
}

#define SET(f, option, value) CHECK(curl_easy_setopt((f)->easy, option, value) == CURLE_OK)

static void set_once(struct flight *f)
{
    const struct origin *o = f->origin;
    struct http_curl *h = o->http;

    SET(f, CURLOPT_PRIVATE, f);
    SET(f, CURLOPT_ERRORBUFFER, f->error);
    SET(f, CURLOPT_SHARE, h->share);
    SET(f, CURLOPT_NOSIGNAL, 1L);
    SET(f, CURLOPT_QUICK_EXIT, 1L); /* else taking back a transfer waits for its resolver thread */
    SET(f, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(f, CURLOPT_FOLLOWLOCATION, 0L);
    SET(f, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(f, CURLOPT_USERAGENT, h->user_agent);
    SET(f, CURLOPT_TCP_NODELAY, 1L);
    SET(f, CURLOPT_TCP_KEEPALIVE, 1L); /* an answer may take minutes of silence, longer than many NATs remember */
    SET(f, CURLOPT_NOPROGRESS, 1L);
    SET(f, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(f, CURLOPT_XFERINFODATA, f);
    SET(f, CURLOPT_PREREQFUNCTION, on_prereq);
    SET(f, CURLOPT_PREREQDATA, f);
    SET(f, CURLOPT_HEADERFUNCTION, on_header);
    SET(f, CURLOPT_HEADERDATA, f);
    SET(f, CURLOPT_WRITEFUNCTION, on_body);
    SET(f, CURLOPT_WRITEDATA, f);
    SET(f, CURLOPT_OPENSOCKETFUNCTION, socks_on_open);
    SET(f, CURLOPT_OPENSOCKETDATA, f);
    SET(f, CURLOPT_CLOSESOCKETFUNCTION, socks_on_close); /* the connection keeps this pair, so the data is the client */
    SET(f, CURLOPT_CLOSESOCKETDATA, h);
    if (!o->is_tls) {
        SET(f, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        return;
    }
    SET(f, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(f, CURLOPT_PIPEWAIT, 1L); /* until ALPN has told whether streams can share the first connection */
    SET(f, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(f, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(f, CURLOPT_SSL_VERIFYHOST, 2L);
    if (o->ca_file != NULL)
        SET(f, CURLOPT_CAINFO, o->ca_file);
}

struct flight *flight_new(struct origin *o)
{
    struct flight *f = mem_zero(sizeof(*f));

    f->origin = o;
    list_init(&f->link);
    flight_timer_init(f);
    buf_init(&f->url, 0);
    buf_init(&f->lines, 0);
    f->easy = curl_easy_init();
    CHECK(f->easy != NULL); /* it is only memory */
    set_once(f);
    return f;
}

void flight_free(struct flight *f)
{
    CHECK(f->shard == NULL);
    curl_easy_cleanup(f->easy);
    buf_done(&f->url);
    buf_done(&f->lines); /* holds keys, as the heap of the caller does */
    mem_free(f->nodes);
    mem_free(f);
}

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
    SET(f, CURLOPT_HTTPHEADER, f->nodes);
    return true;
}

static void load_backstop(struct flight *f, const struct transfer *t)
{
    long ms = t->total_us > 0 ? (long)(t->total_us / 1000) + 60 * 1000 : 0;

    if (ms == f->backstop_ms)
        return;
    SET(f, CURLOPT_TIMEOUT_MS, ms);
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
    SET(f, CURLOPT_POSTFIELDS, t->body.len > 0 ? t->body.p : ""); /* not copied */
    SET(f, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.len);
    if (f->has_progress != is_big)
        SET(f, CURLOPT_NOPROGRESS, is_big ? 0L : 1L);
    f->has_progress = is_big;
    return true;
}

void flight_report(struct flight *f, CURLcode code, enum transfer_end end)
{
    struct transfer *t = f->t;
    const char *why = http_why_of(end);
    curl_off_t uploaded = 0;
    long n = 0;

    (void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &n);
    t->status = (int)n;
    n = 0;
    (void)curl_easy_getinfo(f->easy, CURLINFO_REQUEST_SIZE, &n);
    (void)curl_easy_getinfo(f->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    /* libcurl 7.88 counts a body under 64 KiB among the request's bytes, a larger one apart */
    t->bytes_out = n < (long)t->body.len ? n + uploaded : n;
    if (why == NULL)
        why = f->error[0] != '\0' ? f->error : curl_easy_strerror(code);
    if (end == TRANSFER_OK)
        t->why[0] = '\0';
    else if (t->why[0] == '\0')
        http_set_why(t, why);
}
