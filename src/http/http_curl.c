/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client's face: start, cancel, free, and the calling of done(). Ends are collected while libcurl works and
 * told afterwards from our own stack, so a done() may start and cancel as it likes. Never retries, follows or judges.
 * Loop thread. */

#include <dirent.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http_internal.h"

void http_finish(struct flight *f, enum transfer_end end)
{
    struct http_curl *h = f->origin->http;

    f->t->end = end;
    f->t->total_took_us = loop_clock_us(h->loop) - f->started_us;
    list_add_tail(&h->finished, &f->link);
}

void http_deliver(struct http_curl *h)
{
    struct list due;
    struct list *node;

    if (list_is_empty(&h->finished))
        return;
    list_init(&due);
    list_move_all(&due, &h->finished); /* what fails at once inside a done() waits for the wake */
    h->is_delivering = true;
    while ((node = list_take_first(&due)) != NULL) {
        struct flight *f = LIST_ENTRY(node, struct flight, link);
        struct transfer *t = f->t;

        t->impl = NULL;
        origin_put_flight(f); /* before done(): the next call takes the same handle, warm in the caches */
        t->done(t, t->arg);
    }
    h->is_delivering = false;
}

static void on_deliver(void *arg)
{
    http_deliver(arg);
}

static void on_sweep(void *arg)
{
    struct http_curl *h = arg;
    int64_t now_us = loop_now_us(h->loop);

    LIST_EACH_SAFE (it, &h->origins) {
        struct origin *o = LIST_ENTRY(it, struct origin, link);

        if (origin_sweep(o, now_us))
            origin_free(o);
    }
    if (!list_is_empty(&h->origins))
        timer_start(h->loop, &h->sweep, now_us + HTTP_SWEEP_US);
}

static void init_answer(struct transfer *t)
{
    t->end = TRANSFER_LOCAL;
    t->status = 0;
    t->was_sent = false;
    t->sent_us = 0;
    t->connect_took_us = -1;
    t->first_byte_took_us = -1;
    t->total_took_us = 0;
    t->bytes_out = 0;
    t->bytes_in = 0;
    t->why[0] = '\0';
    buf_init(&t->head, HTTP_HEAD_BYTES);
    buf_init(&t->body_in, t->max_body_bytes > 0 ? t->max_body_bytes : HTTP_BODY_BYTES);
}

static void fail_later(struct flight *f, enum transfer_end end)
{
    struct http_curl *h = f->origin->http;

    timer_stop(h->loop, &f->timer);
    http_finish(f, end);
    loop_wake(h->loop, &h->deliver_wake);
}

static void ops_start(struct http *http, struct transfer *t)
{
    struct http_curl *h = (struct http_curl *)http;
    struct origin *o = origin_get(h, t->url, t->ca_file);
    struct flight *f = origin_take_flight(o);
    enum transfer_end end = TRANSFER_OK;
    CURLMcode r;

    if (!timer_is_running(&h->sweep))
        timer_start(h->loop, &h->sweep, loop_now_us(h->loop) + HTTP_SWEEP_US);
    init_answer(t);
    t->impl = f;
    f->started_us = loop_clock_us(h->loop);
    f->since_us = f->started_us;
    if (!flight_load(f, t)) {
        fail_later(f, TRANSFER_LOCAL);
        return;
    }
    if (flight_due_us(f, &end) <= f->started_us) { /* the deadline was over before */
        flight_report(f, CURLE_OK, end);
        fail_later(f, end);
        return;
    }
    r = shard_add(origin_get_shard(o), f);
    if (r != CURLM_OK) {
        http_set_why(t, curl_multi_strerror(r));
        fail_later(f, TRANSFER_LOCAL);
        return;
    }
    flight_enter(f, FLIGHT_CONNECTING, f->started_us);
}

static void ops_cancel(struct http *http, struct transfer *t)
{
    struct flight *f = t->impl;

    (void)http;
    CHECK(f != NULL && f->t == t);
    if (f->shard != NULL)
        shard_remove(f);
    else
        list_del(&f->link); /* finished, not told yet */
    t->impl = NULL;
    origin_put_flight(f);
    transfer_release(t);
}

static void drop_shards(struct list *shards)
{
    while (!list_is_empty(shards)) {
        struct shard *s = LIST_ENTRY(shards->next, struct shard, link);

        while (!list_is_empty(&s->active)) /* moves the shard between lists */
            ops_cancel(NULL, LIST_ENTRY(s->active.next, struct flight, link)->t);
        shard_free(s);
    }
}

static void ops_free(struct http *http)
{
    struct http_curl *h = (struct http_curl *)http;

    if (h == NULL)
        return;
    CHECK(!h->is_delivering);
    while (!list_is_empty(&h->finished))
        ops_cancel(http, LIST_ENTRY(h->finished.next, struct flight, link)->t);
    while (!list_is_empty(&h->origins)) {
        struct origin *o = LIST_ENTRY(h->origins.next, struct origin, link);

        for (int i = 0; i < ROOM_MAX; i++)
            drop_shards(&o->shards[i]);
        origin_free(o);
    }
    timer_stop(h->loop, &h->sweep);
    wake_cancel(&h->deliver_wake);
    if (h->share != NULL)
        (void)curl_share_cleanup(h->share);
    mem_free(h->socks);
    mem_free(h->user_agent);
    mem_free(h);
}

static const struct http_ops curl_ops = {
    .name = "curl",
    .start = ops_start,
    .cancel = ops_cancel,
    .free = ops_free,
};

/* True when the directory has names as OpenSSL looks them up: eight hex digits, a dot, a number. Start-up only. */
static bool is_hashed_dir(const char *path)
{
    DIR *d = path != NULL ? opendir(path) : NULL;
    const struct dirent *entry;
    bool is_hashed = false;

    while (d != NULL && !is_hashed && (entry = readdir(d)) != NULL)
        is_hashed = strspn(entry->d_name, "0123456789abcdef") == 8 && strcmp(entry->d_name + 8, ".0") == 0;
    if (d != NULL)
        (void)closedir(d);
    return is_hashed;
}

struct http *http_curl_new(struct loop *l, const struct http_curl_conf *conf)
{
    struct http_curl *h = mem_zero(sizeof(*h));

    h->base.ops = &curl_ops;
    h->loop = l;
    h->max_conns = conf != NULL && conf->max_connections > 0 ? conf->max_connections : 64;
    h->user_agent = mem_strdup(conf != NULL && conf->user_agent != NULL ? conf->user_agent : "tutti");
    list_init(&h->origins);
    list_init(&h->finished);
    wake_init(&h->deliver_wake, on_deliver, h);
    timer_init(&h->sweep, on_sweep, h);
    /* counted and thread-safe since 7.84; never undone, because a resolver thread may outlive us */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        goto fail;
    h->has_ca_dir = is_hashed_dir(curl_version_info(CURLVERSION_NOW)->capath);
    h->share = curl_share_init();
    if (h->share == NULL || curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK ||
        curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK)
        goto fail;
    return &h->base;
fail:
    log_event(LOG_ERROR, "http_failed", "error=\"libcurl does not start\"");
    ops_free(&h->base);
    return NULL;
}
