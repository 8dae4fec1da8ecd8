/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted server on 127.0.0.1 for the tests of src/http: one thread accepts, one thread per connection runs the
 * script with blocking calls. Counts connections and complete requests over all connections. Never asserts: the tests
 * look at the counters from their own thread. */
#ifndef HTTP_PEER_H
#define HTTP_PEER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEER_UNUSED __attribute__((unused))

enum { PEER_CONNS = 512, PEER_BYTES = 1 << 24 };

struct peer;

struct peer_conn {
    struct peer *peer;
    int fd;
    int index; /* 0: the first connection accepted */
    void *tls; /* SSL *, see tls_peer.h */
    pthread_t thread;
    bool has_thread;
    char *in; /* what was read of the request under way */
    size_t in_len;
};

typedef void (*peer_script)(struct peer_conn *c);

struct peer {
    int fd;
    int port;
    pthread_t thread;
    pthread_mutex_t lock; /* of `last`, and of the connections' fd against the close at their end */
    peer_script script;   /* NULL: accept and stay silent */
    bool (*greet)(struct peer_conn *c);
    ssize_t (*read)(struct peer_conn *c, void *p, size_t n);
    ssize_t (*write)(struct peer_conn *c, const void *p, size_t n);
    void (*bye)(struct peer_conn *c);
    void *tls; /* SSL_CTX * */
    atomic_int n_conns;
    atomic_int n_requests;
    struct peer_conn conns[PEER_CONNS];
    char last[4096]; /* head of the last request; read it after peer_stop() or its answer */
};

static PEER_UNUSED ssize_t peer_read(struct peer_conn *c, void *p, size_t n)
{
    return c->peer->read != NULL ? c->peer->read(c, p, n) : recv(c->fd, p, n, 0);
}

/* Writes all of it; false when the client is gone. */
static PEER_UNUSED bool peer_write(struct peer_conn *c, const void *bytes, size_t n)
{
    const char *p = bytes;

    while (n > 0) {
        ssize_t k = c->peer->write != NULL ? c->peer->write(c, p, n) : send(c->fd, p, n, MSG_NOSIGNAL);

        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static PEER_UNUSED bool peer_say(struct peer_conn *c, const char *s)
{
    return peer_write(c, s, strlen(s));
}

/* Reads one complete request with Content-Length; false when the client is gone. The body is at c->in + *out_head. */
static PEER_UNUSED bool peer_take(struct peer_conn *c, size_t *out_head, size_t *out_body)
{
    for (c->in_len = 0;;) {
        char *end;
        ssize_t n;

        c->in[c->in_len] = '\0';
        end = strstr(c->in, "\r\n\r\n");
        if (end != NULL) {
            char *length = strcasestr(c->in, "\r\ncontent-length:");
            size_t head = (size_t)(end - c->in) + 4;
            size_t body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;

            if (c->in_len >= head + body) {
                (void)pthread_mutex_lock(&c->peer->lock);
                snprintf(c->peer->last, sizeof(c->peer->last), "%.*s", (int)head, c->in);
                (void)pthread_mutex_unlock(&c->peer->lock);
                *out_head = head;
                *out_body = body;
                atomic_fetch_add(&c->peer->n_requests, 1);
                return true;
            }
        }
        n = peer_read(c, c->in + c->in_len, PEER_BYTES - 1 - c->in_len);
        if (n <= 0)
            return false;
        c->in_len += (size_t)n;
    }
}

static PEER_UNUSED bool peer_request(struct peer_conn *c)
{
    size_t head;
    size_t body;

    return peer_take(c, &head, &body);
}

/* Holds the connection until the client or peer_stop() ends it. */
static PEER_UNUSED void peer_hold(struct peer_conn *c)
{
    char junk[4096];

    while (peer_read(c, junk, sizeof(junk)) > 0)
        ;
}

/* Makes the close that follows a reset. */
static PEER_UNUSED void peer_reset(struct peer_conn *c)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static void peer_close(struct peer_conn *c)
{
    (void)pthread_mutex_lock(&c->peer->lock);
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    (void)pthread_mutex_unlock(&c->peer->lock);
}

static void *peer_conn_main(void *arg)
{
    struct peer_conn *c = arg;

    c->in = malloc(PEER_BYTES);
    if (c->in != NULL && (c->peer->greet == NULL || c->peer->greet(c)))
        c->peer->script(c);
    if (c->peer->bye != NULL)
        c->peer->bye(c);
    free(c->in);
    peer_close(c);
    return NULL;
}

static void *peer_main(void *arg)
{
    struct peer *p = arg;
    int fd;

    while ((fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        int i = atomic_load(&p->n_conns);
        struct peer_conn *c = &p->conns[i];

        if (i >= PEER_CONNS - 1) {
            (void)close(fd);
            continue;
        }
        *c = (struct peer_conn){.peer = p, .fd = fd, .index = i, .has_thread = p->script != NULL};
        if (c->has_thread)
            (void)pthread_create(&c->thread, NULL, peer_conn_main, c);
        atomic_fetch_add(&p->n_conns, 1);
    }
    return NULL;
}

/* Receive buffer of the peers started from now on, 0: the system's. A small one lets a client's writes block soon. */
static PEER_UNUSED int peer_rcvbuf;

/* Starts a peer; set greet, read, write, bye, tls in `p` before for TLS. Free with peer_stop(). */
static PEER_UNUSED void peer_start(struct peer *p, peer_script script)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    p->script = script;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer_rcvbuf > 0)
        (void)setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &peer_rcvbuf, sizeof(peer_rcvbuf));
    if (bind(p->fd, (struct sockaddr *)&a, len) < 0 || listen(p->fd, 512) < 0 ||
        getsockname(p->fd, (struct sockaddr *)&a, &len) < 0 || pthread_create(&p->thread, NULL, peer_main, p) != 0)
        abort();
    p->port = ntohs(a.sin_port);
}

static PEER_UNUSED struct peer *peer_new(peer_script script)
{
    struct peer *p = calloc(1, sizeof(*p));

    peer_start(p, script);
    return p;
}

static PEER_UNUSED void peer_stop(struct peer *p)
{
    (void)shutdown(p->fd, SHUT_RDWR); /* ends accept() */
    (void)pthread_join(p->thread, NULL);
    (void)close(p->fd);
    for (int i = 0; i < atomic_load(&p->n_conns); i++) {
        struct peer_conn *c = &p->conns[i];

        (void)pthread_mutex_lock(&p->lock);
        if (c->fd >= 0)
            (void)shutdown(c->fd, SHUT_RDWR); /* ends its reads and writes */
        (void)pthread_mutex_unlock(&p->lock);
        if (c->has_thread)
            (void)pthread_join(c->thread, NULL);
        else
            (void)close(c->fd);
    }
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

#endif
