/* SPDX-License-Identifier: Apache-2.0 */
/* One curl multi handle on the loop: its timer, its sockets' events, what has finished in it, and its replacement when
 * libcurl reports an error (all its transfers are undefined then, says its manual). libcurl is called from loop
 * callbacks only, never from its own callbacks. Loop thread. */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http_internal.h"

static void shard_act(struct shard *s, curl_socket_t fd, int mask);

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct shard *s = arg;
    struct loop *l = s->http->loop;

    (void)multi;
    if (timeout_ms == 0) {
        timer_stop(l, &s->timer);
        loop_wake(l, &s->wake);
        return 0;
    }
    wake_cancel(&s->wake);
    if (timeout_ms < 0)
        timer_stop(l, &s->timer);
    else
        timer_start(l, &s->timer, loop_now_us(l) + timeout_ms * 1000);
    return 0;
}

static void on_due(void *arg)
{
    shard_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void multi_open(struct shard *s)
{
    CURLM *m = curl_multi_init();

    CHECK(m != NULL); /* it is only memory */
    CHECK(curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, socks_on_curl) == CURLM_OK);
    CHECK(curl_multi_setopt(m, CURLMOPT_SOCKETDATA, s) == CURLM_OK);
    CHECK(curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_curl_timer) == CURLM_OK);
    CHECK(curl_multi_setopt(m, CURLMOPT_TIMERDATA, s) == CURLM_OK);
    CHECK(curl_multi_setopt(m, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX) == CURLM_OK);
    CHECK(curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)s->http->max_conns) == CURLM_OK);
    s->multi = m;
}

static void multi_close(struct shard *s)
{
    (void)curl_multi_cleanup(s->multi); /* calls our socket and close callbacks */
    s->multi = NULL;
    timer_stop(s->http->loop, &s->timer);
    wake_cancel(&s->wake);
    socks_drop_shard(s);
}

struct shard *shard_new(struct origin *o)
{
    struct shard *s = mem_zero(sizeof(*s));

    s->origin = o;
    s->http = o->http;
    s->room = ROOM_NEW;
    list_init(&s->link);
    list_init(&s->active);
    timer_init(&s->timer, on_due, s);
    wake_init(&s->wake, on_due, s);
    s->unused_since_us = loop_now_us(o->http->loop);
    multi_open(s);
    list_add_head(&o->shards[s->room], &s->link);
    return s;
}

void shard_free(struct shard *s)
{
    CHECK(s->n_active == 0);
    multi_close(s);
    list_del(&s->link);
    mem_free(s);
}

void shard_sort(struct shard *s)
{
    enum shard_room room = ROOM_NONE;

    if (s->n_active < s->http->max_conns)
        room = s->n_conns > s->n_active ? ROOM_REUSE : ROOM_NEW;
    if (room == s->room)
        return;
    s->room = room;
    list_del(&s->link);
    list_add_head(&s->origin->shards[room], &s->link);
}

CURLMcode shard_add(struct shard *s, struct flight *f)
{
    CURLMcode r;

    f->shard = s; /* before: add_handle may open a socket */
    r = curl_multi_add_handle(s->multi, f->easy);
    if (r != CURLM_OK) {
        f->shard = NULL;
        return r;
    }
    list_add_tail(&s->active, &f->link);
    s->n_active++;
    shard_sort(s);
    return CURLM_OK;
}

void shard_remove(struct flight *f)
{
    struct shard *s = f->shard;

    timer_stop(s->http->loop, &f->timer);
    (void)curl_multi_remove_handle(s->multi, f->easy);
    f->shard = NULL;
    list_del(&f->link);
    s->n_active--;
    if (s->n_active == 0)
        s->unused_since_us = loop_now_us(s->http->loop);
    shard_sort(s);
}

static void take_finished(struct shard *s)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(s->multi, &left)) != NULL) {
        CURLcode code = msg->data.result; /* gone after the removal */
        struct flight *f = NULL;
        enum transfer_end end;

        CHECK(msg->msg == CURLMSG_DONE);
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&f);
        CHECK(f != NULL && f->shard == s);
        end = f->verdict;
        if (code == CURLE_OK || end == TRANSFER_OK)
            end = http_end_of(code, f->t->was_sent, f->error);
        flight_report(f, code, end);
        if (end == TRANSFER_TRUNCATED && f->t->status == 0)
            end = TRANSFER_RESET; /* HTTP/2: the connection went before any of the answer came */
        shard_remove(f);
        http_finish(f, end);
    }
}

/* The manual: after an error all transfers are undefined. They end as our own trouble, and the handle is made anew. */
static void shard_rebuild(struct shard *s, CURLMcode r)
{
    log_event(LOG_ERROR, "http_multi_broken", "error=\"%s\" transfers=%d", curl_multi_strerror(r), s->n_active);
    while (!list_is_empty(&s->active)) {
        struct flight *f = LIST_ENTRY(s->active.next, struct flight, link);

        flight_report(f, CURLE_FAILED_INIT, TRANSFER_LOCAL);
        shard_remove(f);
        http_finish(f, TRANSFER_LOCAL);
    }
    multi_close(s);
    multi_open(s);
    shard_sort(s);
}

static void shard_act(struct shard *s, curl_socket_t fd, int mask)
{
    int n_running;
    CURLMcode r = curl_multi_socket_action(s->multi, fd, mask, &n_running);

    if (r == CURLM_OK)
        take_finished(s);
    else
        shard_rebuild(s, r);
    http_deliver(s->http);
}

void shard_on_ready(struct shard *s, int fd, int what)
{
    shard_act(s, fd,
              ((what & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) | ((what & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}
