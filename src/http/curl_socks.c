/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors of all multi handles, in one table indexed by descriptor. A connection that libcurl stops watching
 * stays watched ("parked") until it is closed or becomes readable, because the next request wants the same watch again:
 * that saves two system calls per call. Callbacks of libcurl; they never call it back. Loop thread. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "http/http_internal.h"

static struct sock *sock_get(struct http_curl *h, int fd)
{
    if (fd >= h->n_socks) {
        int n = fd * 2 + 64;

        h->socks = mem_resize(h->socks, (size_t)n * sizeof(*h->socks));
        memset(h->socks + h->n_socks, 0, (size_t)(n - h->n_socks) * sizeof(*h->socks));
        h->n_socks = n;
    }
    return &h->socks[fd];
}

static void sock_clear(struct sock *k)
{
    watch_free(k->watch);
    if (k->is_conn)
        k->shard->n_conns--;
    *k = (struct sock){.shard = NULL};
}

static void on_ready(void *arg, int fd, int what)
{
    struct http_curl *h = arg;
    struct sock *k = &h->socks[fd];

    if (k->is_parked) { /* closed by the peer, most likely; libcurl looks at it before it uses it again */
        watch_set(k->watch, 0);
        k->what = 0;
        return;
    }
    shard_on_ready(k->shard, fd, what); /* the table may move, k is stale */
}

int socks_on_curl(CURL *easy, curl_socket_t fd, int what, void *shard, void *unused)
{
    struct shard *s = shard;
    struct sock *k = sock_get(s->http, fd);
    int want = 0;

    (void)easy;
    (void)unused;
    if (what == CURL_POLL_REMOVE) {
        if (k->is_conn)
            k->is_parked = true;
        else
            sock_clear(k); /* libcurl's own pipe of a resolver thread: closed without telling us */
        return 0;
    }
    if (what & CURL_POLL_IN)
        want |= LOOP_READ;
    if (what & CURL_POLL_OUT)
        want |= LOOP_WRITE;
    k->shard = s;
    k->is_parked = false;
    if (k->watch == NULL)
        k->watch = watch_new(s->http->loop, fd, want, on_ready, s->http);
    else if (k->what != want)
        watch_set(k->watch, want);
    k->what = want;
    return 0;
}

curl_socket_t socks_on_open(void *flight, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct flight *f = flight;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    struct sock *k;

    (void)purpose;
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            f->verdict = TRANSFER_LOCAL;
            http_set_why(f->t, strerror(errno));
        }
        return CURL_SOCKET_BAD;
    }
    k = sock_get(f->origin->http, fd);
    if (k->shard != NULL) /* closed behind our back */
        sock_clear(k);
    *k = (struct sock){.shard = f->shard, .is_conn = true};
    f->shard->n_conns++;
    shard_sort(f->shard);
    return fd;
}

int socks_on_close(void *http, curl_socket_t fd)
{
    struct sock *k = sock_get(http, fd);
    struct shard *s = k->shard;

    if (s != NULL) {
        sock_clear(k);
        shard_sort(s);
    }
    return close(fd);
}

void socks_drop_shard(struct shard *s)
{
    struct http_curl *h = s->http;

    for (int fd = 0; fd < h->n_socks; fd++) {
        struct sock *k = &h->socks[fd];
        bool is_open = k->is_conn;

        if (k->shard != s)
            continue;
        sock_clear(k);
        if (is_open)
            (void)close(fd); /* the multi handle is gone, nobody else will */
    }
}
