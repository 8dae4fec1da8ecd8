/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/http share: a real loop, a client, and calls that remember how they ended. */
#ifndef HTTP_RIG_H
#define HTTP_RIG_H

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "impl/http_curl.h"
#include "loop.h"
#include "peer.h"
#include "seam/http.h"

struct rig {
    struct loop *loop;
    struct http *http;
    struct timer guard;
    int n_done;
    int n_wanted;
    bool is_starting; /* inside start(): a done() now is nested */
    bool was_nested;
    bool is_late; /* the guard rang */
};

struct call {
    struct transfer t;
    struct rig *rig;
    int n_done;
    char url[256];
};

static PEER_UNUSED void rig_on_guard(void *arg)
{
    struct rig *r = arg;

    r->is_late = true;
    loop_stop(r->loop);
}

static PEER_UNUSED void rig_open(struct rig *r, const struct http_curl_conf *conf)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"};

    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
        (void)unsetenv(proxies[i]);
    (void)signal(SIGPIPE, SIG_IGN);
    *r = (struct rig){.loop = loop_new()};
    r->http = http_curl_new(r->loop, conf);
    timer_init(&r->guard, rig_on_guard, r);
}

static PEER_UNUSED void rig_close(struct rig *r)
{
    if (r->http != NULL)
        r->http->ops->free(r->http);
    loop_free(r->loop);
}

/* Runs the loop until so many calls have ended in all; false when that took longer than ms. */
static PEER_UNUSED bool rig_wait(struct rig *r, int n_done, int ms)
{
    r->n_wanted = n_done;
    r->is_late = false;
    if (r->n_done >= n_done)
        return true;
    timer_start(r->loop, &r->guard, loop_clock_us(r->loop) + ms * 1000);
    loop_run(r->loop);
    timer_stop(r->loop, &r->guard);
    return r->n_done >= n_done;
}

/* Lets the loop run for a while. */
static PEER_UNUSED void rig_run(struct rig *r, int ms)
{
    (void)rig_wait(r, r->n_done + 1000000, ms);
}

static PEER_UNUSED void rig_on_done(struct transfer *t, void *arg)
{
    struct call *c = arg;
    struct rig *r = c->rig;

    (void)t;
    c->n_done++;
    r->n_done++;
    if (r->is_starting)
        r->was_nested = true;
    if (r->n_done == r->n_wanted)
        loop_stop(r->loop);
}

/* A call to /x of the port, with a body and no limits. */
static PEER_UNUSED void call_init(struct call *c, struct rig *r, const char *scheme, int port)
{
    static const struct http_header headers[] = {{"Content-Type", "application/json"}, {"Authorization", "Bearer k1"}};

    *c = (struct call){.rig = r};
    snprintf(c->url, sizeof(c->url), "%s://127.0.0.1:%d/x", scheme, port);
    c->t.url = c->url;
    c->t.headers = headers;
    c->t.n_headers = 2;
    c->t.body = TEXT_LIT("{\"q\":1}");
    c->t.done = rig_on_done;
    c->t.arg = c;
}

static PEER_UNUSED void call_start(struct call *c)
{
    c->rig->is_starting = true;
    c->rig->http->ops->start(c->rig->http, &c->t);
    c->rig->is_starting = false;
}

/* One call from start to end; false when it did not end within 5 s. */
static PEER_UNUSED bool call_run(struct call *c)
{
    call_start(c);
    return rig_wait(c->rig, c->rig->n_done + 1, 5000);
}

static PEER_UNUSED int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

#endif
