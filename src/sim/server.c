/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator as a whole: its listening socket, its keys, its life. Loop thread. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "sim/sim_internal.h"

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_TURN = 64,
    ACCEPT_PAUSE_US = 100000, /* when no descriptor is free */
};

static _Thread_local char why_text[256];

const struct sim_model *sim_model_of(const struct sim *s, struct text name)
{
    for (size_t i = 0; i < s->conf.n_models; i++)
        if (text_is(name, s->conf.models[i].name))
            return &s->conf.models[i];
    return NULL;
}

int64_t sim_wall_ms(const struct sim *s)
{
    return (loop_wall_us(s->loop) + loop_clock_us(s->loop) - loop_now_us(s->loop)) / 1000;
}

static bool key_equals(const struct sim_key *k, struct text key)
{
    return k->key == NULL ? key.p == NULL : text_is(key, k->key);
}

struct sim_key *sim_key_of(struct sim *s, struct text api_key)
{
    uint8_t digest[DIGEST_BYTES];
    struct sim_key *k;

    LIST_EACH (it, &s->keys) {
        k = LIST_ENTRY(it, struct sim_key, link);
        if (key_equals(k, api_key))
            return k;
    }
    k = mem_zero(sizeof(*k));
    if (api_key.p != NULL) {
        k->key = mem_strndup(api_key.p, api_key.len);
        digest_sha256(api_key.p, api_key.len, digest);
        digest_hex(digest, KEY_ID_HEX / 2, k->id);
    } else {
        memcpy(k->id, "none", 5);
    }
    list_init(&k->link);
    list_add_head(&s->keys, &k->link);
    return k;
}

bool sim_key_is_known(const struct sim *s, struct text api_key)
{
    const char *p = s->conf.api_keys;

    if (p == NULL)
        return true;
    while (api_key.p != NULL && *p != '\0') {
        size_t len = strcspn(p, ",");

        if (len > 0 && text_equal(api_key, text_slice(p, len)))
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

static void on_accept(void *arg, int fd, int what)
{
    struct sim *s = arg;
    const int on = 1;

    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (client >= 0) {
            (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only slower without */
            conn_new(s, client);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_event(LOG_WARN, "sim_accept_failed", "error=\"%s\" connections=%lld", strerror(errno),
                      (long long)s->stats.connections);
            watch_set(s->watch, 0); /* the queue stays readable: without this we would spin */
            timer_start(s->loop, &s->accept_again, loop_now_us(s->loop) + ACCEPT_PAUSE_US);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_accept_again(void *arg)
{
    struct sim *s = arg;

    watch_set(s->watch, LOOP_READ);
}

static int bound_port(int fd)
{
    union {
        struct sockaddr_in6 in6;
        struct sockaddr_in in;
        struct sockaddr any;
    } a = {0};
    socklen_t len = sizeof(a);

    if (getsockname(fd, &a.any, &len) < 0)
        return -errno;
    return ntohs(a.any.sa_family == AF_INET6 ? a.in6.sin6_port : a.in.sin_port);
}

/* A listening socket, or a negative errno with *why. */
static int listen_on(const char *host, int port, const char **why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    const int on = 1;
    char service[8];
    int error = EADDRNOTAVAIL;
    int fd = -1;
    int r;

    (void)snprintf(service, sizeof(service), "%d", port);
    r = getaddrinfo(host, service, &hints, &addresses);
    if (r != 0) {
        (void)snprintf(why_text, sizeof(why_text), "cannot listen on %s: %s", host, gai_strerror(r));
        *why = why_text;
        return -EINVAL;
    }
    for (const struct addrinfo *a = addresses; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
            error = errno;
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(addresses);
    if (fd < 0) {
        (void)snprintf(why_text, sizeof(why_text), "cannot listen on %s:%d: %s", host, port, strerror(error));
        *why = why_text;
        return -error;
    }
    return fd;
}

static void conf_copy(struct sim_conf *to, const struct sim_conf *from)
{
    *to = *from;
    to->host = mem_strdup(from->host);
    to->log_path = mem_strdup(from->log_path);
    to->api_keys = mem_strdup(from->api_keys);
    to->defaults.name = mem_strdup(from->defaults.name);
    to->defaults.meter = mem_strdup(from->defaults.meter);
    to->models = mem_alloc(sizeof(*to->models) * from->n_models);
    for (size_t i = 0; i < from->n_models; i++) {
        to->models[i] = from->models[i];
        to->models[i].name = mem_strdup(from->models[i].name);
        to->models[i].meter = mem_strdup(from->models[i].meter);
    }
}

static void on_turn_end(void *arg)
{
    struct sim *s = arg;

    if (s->ledger.lines.len > 0)
        ledger_flush(&s->ledger);
}

struct sim *sim_new(struct loop *loop, const struct sim_conf *conf, const char **why)
{
    struct sim *s = mem_zero(sizeof(*s));

    s->loop = loop;
    s->fd = -1;
    list_init(&s->conns);
    list_init(&s->keys);
    list_init(&s->hook.link);
    timer_init(&s->accept_again, on_accept_again, s);
    buf_init(&s->prompt, 0);
    buf_init(&s->body, 0);
    buf_init(&s->wire, 0);
    conf_copy(&s->conf, conf);
    if (ledger_open(&s->ledger, conf->log_path, why) < 0)
        goto fail;
    s->fd = listen_on(conf->host, conf->port, why);
    if (s->fd < 0)
        goto fail;
    s->port = bound_port(s->fd);
    s->hook = (struct hook){.fn = on_turn_end, .arg = s};
    list_init(&s->hook.link);
    loop_add_hook(loop, &s->hook);
    s->watch = watch_new(loop, s->fd, LOOP_READ, on_accept, s);
    return s;
fail:
    sim_free(s);
    return NULL;
}

int sim_port(const struct sim *s)
{
    return s->port;
}

static void key_free(struct sim_key *k)
{
    for (size_t i = 0; i < k->n_meters; i++)
        meter_free(k->meters[i]);
    mem_free(k->meters);
    mem_free(k->key);
    mem_free(k);
}

void sim_free(struct sim *s)
{
    struct list *it;

    if (s == NULL)
        return;
    conn_free_all(s);
    watch_free(s->watch);
    timer_stop(s->loop, &s->accept_again);
    if (list_is_linked(&s->hook.link))
        loop_del_hook(&s->hook);
    if (s->fd >= 0)
        (void)close(s->fd); /* only listened */
    ledger_close(&s->ledger);
    while ((it = list_take_first(&s->keys)) != NULL)
        key_free(LIST_ENTRY(it, struct sim_key, link));
    attempts_done(&s->attempts);
    buf_done(&s->prompt);
    buf_done(&s->body);
    buf_done(&s->wire);
    sim_conf_done(&s->conf);
    mem_free(s);
}

void sim_get_stats(const struct sim *s, struct sim_stats *out)
{
    *out = s->stats;
}

void sim_flush_log(struct sim *s)
{
    ledger_flush(&s->ledger);
}

void sim_raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* then fewer connections: accept says so */
}
