/* SPDX-License-Identifier: Apache-2.0 */
/* The transport below a Redis connection: addresses from getaddrinfo() on a work thread, a non-blocking connect to one
 * after the other, then a libevent bufferevent, plain or OpenSSL with the server's certificate and name verified. Sets
 * no deadlines and never retries: its owner does. Runs on the loop's thread, except resolve_run(). */
#include "redis_net.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "loop.h"
#include "redis.h"

enum { USER_TIMEOUT_MS = 2000, KEEPALIVE_S = 15 };

/* A look-up cannot be cancelled: it outlives its net, which is NULL then. */
struct resolve {
    struct work work;
    struct redis_net *net;
    char *host;
    char port[8];
    int result; /* of getaddrinfo() */
    struct addrinfo *addresses;
};

struct redis_net {
    struct loop *loop;
    const struct redis_conf *conf;
    SSL_CTX *tls;
    unsigned turn;
    const struct redis_net_events *ev;
    void *arg;
    struct wake start;
    struct resolve *resolve;
    struct addrinfo *addresses;
    struct addrinfo *next; /* to try, NULL: all were */
    int n_left;            /* addresses not tried */
    struct watch *watch;   /* while connecting */
    int fd;                /* while connecting, -1: none or the bufferevent's */
    struct bufferevent *bev;
    bool is_open;
    bool is_busy; /* inside a callback of the owner: freed after it */
    bool is_closed;
    char why[256];
};

static void try_next(struct redis_net *n);

static void net_free(struct redis_net *n)
{
    if (n->addresses != NULL)
        freeaddrinfo(n->addresses);
    mem_free(n);
}

/* Calls the owner; false when it closed us, and `n` is gone. */
static bool call_owner_end(struct redis_net *n)
{
    n->is_busy = false;
    if (!n->is_closed)
        return true;
    net_free(n);
    return false;
}

static void report_closed(struct redis_net *n, const char *why)
{
    n->is_busy = true;
    n->ev->closed(n->arg, why);
    (void)call_owner_end(n);
}

static void report_open(struct redis_net *n)
{
    n->is_open = true;
    n->is_busy = true;
    n->ev->open(n->arg);
    (void)call_owner_end(n);
}

/* ---- stream ---- */

static void on_read(struct bufferevent *bev, void *arg)
{
    struct redis_net *n = arg;
    struct evbuffer *input = bufferevent_get_input(bev);

    for (;;) {
        size_t len = evbuffer_get_contiguous_space(input);

        if (len == 0)
            return;
        n->is_busy = true;
        n->ev->data(n->arg, (const char *)evbuffer_pullup(input, (ev_ssize_t)len), len);
        if (!call_owner_end(n))
            return;
        (void)evbuffer_drain(input, len);
    }
}

/* OpenSSL's last word on why a handshake or a stream failed. */
static void describe_tls(struct redis_net *n)
{
    SSL *ssl = bufferevent_openssl_get_ssl(n->bev);
    long verdict = SSL_get_verify_result(ssl);
    unsigned long e = bufferevent_get_openssl_error(n->bev);

    if (verdict != X509_V_OK)
        (void)snprintf(n->why, sizeof(n->why), "certificate refused: %s", X509_verify_cert_error_string(verdict));
    else if (e != 0 && ERR_reason_error_string(e) != NULL)
        (void)snprintf(n->why, sizeof(n->why), "TLS: %s", ERR_reason_error_string(e));
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct redis_net *n = arg;
    int e = EVUTIL_SOCKET_ERROR();

    (void)bev;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        report_open(n);
        return;
    }
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
        return;
    if ((what & BEV_EVENT_EOF) != 0 || e == 0)
        (void)snprintf(n->why, sizeof(n->why), n->is_open ? "closed by the server" : "closed during the handshake");
    else
        (void)snprintf(n->why, sizeof(n->why), "%s", strerror(e));
    if (n->tls != NULL)
        describe_tls(n);
    report_closed(n, n->why);
}

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return evutil_inet_pton(AF_INET, host, bytes) == 1 || evutil_inet_pton(AF_INET6, host, bytes) == 1;
}

/* A client session that insists on the name (or address) we were told. NULL when OpenSSL cannot. */
static SSL *make_ssl(const struct redis_net *n)
{
    SSL *ssl = SSL_new(n->tls);
    X509_VERIFY_PARAM *param;
    int ok;

    if (ssl == NULL)
        return NULL;
    param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address(n->conf->host))
        ok = X509_VERIFY_PARAM_set1_ip_asc(param, n->conf->host);
    else
        ok = X509_VERIFY_PARAM_set1_host(param, n->conf->host, 0) == 1 &&
             SSL_set_tlsext_host_name(ssl, n->conf->host) == 1;
    if (ok != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

/* The socket is connected: hands it to a bufferevent. */
static void begin_stream(struct redis_net *n)
{
    struct event_base *base = loop_event_base(n->loop);
    SSL *ssl = NULL;

    if (n->tls != NULL) {
        ssl = make_ssl(n);
        if (ssl != NULL)
            n->bev =
                bufferevent_openssl_socket_new(base, n->fd, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
        if (ssl != NULL && n->bev == NULL)
            SSL_free(ssl);
    } else {
        n->bev = bufferevent_socket_new(base, n->fd, BEV_OPT_CLOSE_ON_FREE);
    }
    if (n->bev == NULL) {
        report_closed(n, "no memory for the connection");
        return;
    }
    n->fd = -1;
    if (ssl != NULL)
        bufferevent_openssl_set_allow_dirty_shutdown(n->bev, 1); /* servers close without close_notify */
    bufferevent_setcb(n->bev, on_read, NULL, on_event, n);
    (void)bufferevent_enable(n->bev, EV_READ | EV_WRITE);
    if (ssl == NULL)
        report_open(n); /* TLS: BEV_EVENT_CONNECTED comes after the handshake */
}

/* ---- connect ---- */

static void drop_socket(struct redis_net *n)
{
    watch_free(TAKE(n->watch));
    if (n->fd >= 0)
        (void)close(n->fd);
    n->fd = -1;
}

static void on_connected(void *arg, int fd, int what)
{
    struct redis_net *n = arg;
    int e = 0;
    socklen_t len = sizeof(e);

    (void)what;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
        e = errno;
    if (e != 0) {
        (void)snprintf(n->why, sizeof(n->why), "connect: %s", strerror(e));
        drop_socket(n);
        try_next(n);
        return;
    }
    watch_free(TAKE(n->watch));
    begin_stream(n);
}

/* 0 or a negative errno. A refused option is no reason not to connect. */
static int begin_connect(struct redis_net *n, const struct addrinfo *to)
{
    int on = 1, user_timeout = USER_TIMEOUT_MS, idle = KEEPALIVE_S;

    n->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (n->fd < 0)
        return -errno;
    (void)setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(n->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
    (void)setsockopt(n->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(n->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(n->fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
    if (connect(n->fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS)
        return -errno;
    n->watch = watch_new(n->loop, n->fd, LOOP_WRITE, on_connected, n);
    return 0;
}

static void try_next(struct redis_net *n)
{
    while (n->n_left > 0) {
        const struct addrinfo *to = n->next;
        int r;

        n->n_left--;
        n->next = to->ai_next != NULL ? to->ai_next : n->addresses;
        r = begin_connect(n, to);
        if (r == 0)
            return;
        (void)snprintf(n->why, sizeof(n->why), "connect: %s", strerror(-r));
        drop_socket(n);
    }
    report_closed(n, n->why);
}

/* ---- names ---- */

static int look_up(const char *host, const char *port, int flags, struct addrinfo **out)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};

    return getaddrinfo(host, port, &hints, out);
}

static void resolve_run(struct work *w)
{
    struct resolve *rv = CONTAINER_OF(w, struct resolve, work);

    rv->result = look_up(rv->host, rv->port, AI_ADDRCONFIG, &rv->addresses);
    if (rv->result == EAI_NONAME || rv->result == EAI_ADDRFAMILY) /* a host with no address but loopback's */
        rv->result = look_up(rv->host, rv->port, 0, &rv->addresses);
}

static void start_addresses(struct redis_net *n, struct addrinfo *addresses)
{
    unsigned skip;

    n->addresses = addresses;
    for (struct addrinfo *a = addresses; a != NULL; a = a->ai_next)
        n->n_left++;
    n->next = addresses;
    for (skip = n->n_left > 0 ? n->turn % (unsigned)n->n_left : 0; skip > 0 && n->next != NULL; skip--)
        n->next = n->next->ai_next;
    (void)snprintf(n->why, sizeof(n->why), "the host has no address");
    try_next(n);
}

static void resolve_done(struct work *w)
{
    struct resolve *rv = CONTAINER_OF(w, struct resolve, work);
    struct redis_net *n = rv->net;
    int result = rv->result;
    struct addrinfo *addresses = result == 0 ? rv->addresses : NULL;

    mem_free(rv->host);
    mem_free(rv);
    if (n == NULL) {
        if (addresses != NULL)
            freeaddrinfo(addresses);
        return;
    }
    n->resolve = NULL;
    if (result == 0) {
        start_addresses(n, addresses);
        return;
    }
    (void)snprintf(n->why, sizeof(n->why), "name look-up: %s", gai_strerror(result));
    report_closed(n, n->why);
}

static void start(void *arg)
{
    struct redis_net *n = arg;
    struct addrinfo *addresses = NULL;
    struct resolve *rv;
    char port[8];

    (void)snprintf(port, sizeof(port), "%d", n->conf->port);
    if (look_up(n->conf->host, port, AI_NUMERICHOST, &addresses) == 0) { /* does not block */
        start_addresses(n, addresses);
        return;
    }
    rv = mem_zero(sizeof(*rv));
    rv->net = n;
    rv->host = mem_strdup(n->conf->host);
    memcpy(rv->port, port, sizeof(port));
    rv->work.fn = resolve_run;
    rv->work.done = resolve_done;
    n->resolve = rv;
    loop_work(n->loop, &rv->work);
}

/* ---- public ---- */

SSL_CTX *redis_net_tls(const struct redis_conf *conf, char *why, size_t why_size)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    const char *reason;
    unsigned long e;

    ERR_clear_error();
    if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1)
        goto fail;
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    if (conf->ca_file != NULL ? SSL_CTX_load_verify_file(tls, conf->ca_file) != 1
                              : SSL_CTX_set_default_verify_paths(tls) != 1)
        goto fail;
    return tls;
fail:
    e = ERR_peek_error();
    reason = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : ERR_reason_error_string(e);
    (void)snprintf(why, why_size, "%s: %s", conf->ca_file != NULL ? conf->ca_file : "TLS",
                   e != 0 && reason != NULL ? reason : "cannot be set up");
    ERR_clear_error();
    SSL_CTX_free(tls);
    return NULL;
}

void redis_net_tls_free(SSL_CTX *tls)
{
    SSL_CTX_free(tls);
}

struct redis_net *redis_net_open(struct loop *l, const struct redis_conf *conf, SSL_CTX *tls, unsigned turn,
                                 const struct redis_net_events *ev, void *arg)
{
    struct redis_net *n = mem_zero(sizeof(*n));

    n->loop = l;
    n->conf = conf;
    n->tls = tls;
    n->turn = turn;
    n->ev = ev;
    n->arg = arg;
    n->fd = -1;
    wake_init(&n->start, start, n);
    loop_wake(l, &n->start);
    return n;
}

void redis_net_close(struct redis_net *n)
{
    if (n == NULL || n->is_closed)
        return;
    n->is_closed = true;
    wake_cancel(&n->start);
    if (n->resolve != NULL)
        n->resolve->net = NULL;
    drop_socket(n);
    if (n->bev != NULL) {
        bufferevent_setcb(n->bev, NULL, NULL, NULL, NULL); /* libevent frees it later when we are inside its callback */
        (void)bufferevent_disable(n->bev, EV_READ | EV_WRITE);
        bufferevent_free(n->bev);
        n->bev = NULL;
    }
    if (!n->is_busy)
        net_free(n);
}

bool redis_net_is_resolving(const struct redis_net *n)
{
    return n->resolve != NULL;
}

void redis_net_write(struct redis_net *n, const char *bytes, size_t len)
{
    CHECK(n->is_open && !n->is_closed);
    /* A bufferevent writes in the next turn, after two more changes to the epoll set: straight to a plain socket while
     * nothing is queued before it. An error shows itself again in the bufferevent. */
    if (n->tls == NULL && redis_net_unsent(n) == 0) {
        ssize_t sent = send(bufferevent_getfd(n->bev), bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        }
    }
    if (len > 0)
        (void)bufferevent_write(n->bev, bytes, len);
}

size_t redis_net_unsent(const struct redis_net *n)
{
    return evbuffer_get_length(bufferevent_get_output(n->bev));
}

bool redis_net_unread(const struct redis_net *n)
{
    int n_bytes = 0;

    return n->is_open && ioctl(bufferevent_getfd(n->bev), FIONREAD, &n_bytes) == 0 && n_bytes > 0;
}
