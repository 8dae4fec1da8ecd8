/* SPDX-License-Identifier: Apache-2.0 */
/* One easy handle and the transfer it carries: options that never change are set once, per call only what differs.
 * Holds the two guards of DESIGN 8 (no second send, no stale permit) in the pre-request callback. Never logs a header.
 * The callbacks never call libcurl back but for curl_easy_getinfo(). Loop thread. */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "http/http_internal.h"

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

/* One source of certificates only. libcurl 7.88 keeps a parsed bundle (per multi handle) only when no directory is set
 * beside it: with Debian's default of both, each connection parses 140 certificates, 21 ms (measured). */
static void set_store(struct flight *f)
{
    const struct origin *o = f->origin;

    if (o->ca_file != NULL)
        HTTP_SET(f, CURLOPT_CAINFO, o->ca_file);
    else if (o->http->has_ca_dir)
        HTTP_SET(f, CURLOPT_CAINFO, NULL); /* the directory: 0.2 ms per connection, nothing kept */
    if (o->ca_file != NULL || !o->http->has_ca_dir)
        HTTP_SET(f, CURLOPT_CAPATH, NULL);
}

static void set_once(struct flight *f)
{
    const struct origin *o = f->origin;
    struct http_curl *h = o->http;

    HTTP_SET(f, CURLOPT_PRIVATE, f);
    HTTP_SET(f, CURLOPT_ERRORBUFFER, f->error);
    HTTP_SET(f, CURLOPT_SHARE, h->share);
    HTTP_SET(f, CURLOPT_NOSIGNAL, 1L);
    HTTP_SET(f, CURLOPT_QUICK_EXIT, 1L); /* else taking back a transfer waits for its resolver thread */
    HTTP_SET(f, CURLOPT_PROTOCOLS_STR, "http,https");
    HTTP_SET(f, CURLOPT_FOLLOWLOCATION, 0L);
    HTTP_SET(f, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    HTTP_SET(f, CURLOPT_USERAGENT, h->user_agent);
    HTTP_SET(f, CURLOPT_TCP_NODELAY, 1L);
    HTTP_SET(f, CURLOPT_TCP_KEEPALIVE, 1L); /* an answer may take minutes of silence, longer than many NATs remember */
    HTTP_SET(f, CURLOPT_NOPROGRESS, 1L);
    HTTP_SET(f, CURLOPT_XFERINFOFUNCTION, on_progress);
    HTTP_SET(f, CURLOPT_XFERINFODATA, f);
    HTTP_SET(f, CURLOPT_PREREQFUNCTION, on_prereq);
    HTTP_SET(f, CURLOPT_PREREQDATA, f);
    HTTP_SET(f, CURLOPT_HEADERFUNCTION, on_header);
    HTTP_SET(f, CURLOPT_HEADERDATA, f);
    HTTP_SET(f, CURLOPT_WRITEFUNCTION, on_body);
    HTTP_SET(f, CURLOPT_WRITEDATA, f);
    HTTP_SET(f, CURLOPT_OPENSOCKETFUNCTION, socks_on_open);
    HTTP_SET(f, CURLOPT_OPENSOCKETDATA, f);
    HTTP_SET(f, CURLOPT_CLOSESOCKETFUNCTION,
             socks_on_close); /* the connection keeps this pair, so the data is the client */
    HTTP_SET(f, CURLOPT_CLOSESOCKETDATA, h);
    if (!o->is_tls) {
        HTTP_SET(f, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        return;
    }
    HTTP_SET(f, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    HTTP_SET(f, CURLOPT_PIPEWAIT, 1L); /* until ALPN has told whether streams can share the first connection */
    HTTP_SET(f, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    HTTP_SET(f, CURLOPT_SSL_VERIFYPEER, 1L);
    HTTP_SET(f, CURLOPT_SSL_VERIFYHOST, 2L);
    set_store(f);
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
