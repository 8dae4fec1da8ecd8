/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server's sockets and its HTTP: reads a head, hands it on, writes the answer, closes. Bounded in everything:
 * connections (the oldest one that has not asked yet makes room), bytes of a head, time of each step. Main loop thread.
 * source: RFC 9112 */
#include "app/admin_http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/json_write.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop.h"

enum {
    READ_SECONDS = 10,
    WRITE_SECONDS = 30,
    LINGER_SECONDS = 2,
    ACCEPTS_PER_TURN = 16,
    BACKLOG = 64,
    ACCEPT_PAUSE_US = 100000
};

enum phase {
    READING,   /* the head is not complete */
    ANSWERING, /* the handler has it */
    WRITING,
    LINGERING, /* all is written; what the client still sends is thrown away, or its answer would be lost by a reset */
};

struct admin_conn {
    struct list link; /* of the server, oldest first */
    struct admin_http *server;
    int fd;
    struct watch *watch;
    struct timer timer;
    enum phase phase;
    bool is_head;
    struct buf in;
    struct buf out;
    size_t sent;
    void (*gone)(void *arg);
    void *gone_arg;
};

struct admin_http {
    struct loop *loop;
    admin_handler handler;
    void *arg;
    int fd;
    struct watch *watch;
    struct timer accept_again;
    struct list conns;
    int n_conns;
    char address[80];
};

static void conn_free(struct admin_conn *c)
{
    struct admin_http *h = c->server;

    if (c->phase == ANSWERING && c->gone != NULL)
        c->gone(c->gone_arg);
    timer_stop(h->loop, &c->timer);
    watch_free(c->watch);
    (void)close(c->fd); /* nothing left to lose */
    list_del(&c->link);
    h->n_conns--;
    buf_done(&c->in);
    buf_done(&c->out);
    mem_free(c);
}

static void on_timeout(void *arg)
{
    conn_free(arg);
}

static void set_timeout(struct admin_conn *c, int seconds)
{
    timer_start(c->server->loop, &c->timer, loop_now_us(c->server->loop) + seconds * INT64_C(1000000));
}

/* --- the answer --- */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {400, "Bad Request"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"},
                   {505, "HTTP Version Not Supported"}};

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

static void conn_write(struct admin_conn *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.p + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch_set(c->watch, LOOP_WRITE);
            return;
        }
        if (n <= 0) {
            conn_free(c);
            return;
        }
        c->sent += (size_t)n;
    }
    (void)shutdown(c->fd, SHUT_WR); /* fails when the client is gone: then reading says so */
    c->phase = LINGERING;
    watch_set(c->watch, LOOP_READ);
    set_timeout(c, LINGER_SECONDS);
}

void admin_reply(struct admin_conn *c, int status, const char *type, const char *headers, const struct buf *body)
{
    size_t len = body != NULL ? body->len : 0;

    CHECK(c->phase == ANSWERING);
    c->phase = WRITING;
    c->gone = NULL;
    buf_printf(&c->out,
               "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n"
               "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n%s\r\n",
               status, reason_of(status), type, len, headers != NULL ? headers : "");
    if (len > 0 && !c->is_head)
        buf_add(&c->out, body->p, len);
    set_timeout(c, WRITE_SECONDS);
    /* Not at once: the handler may be inside of a call that this would free. */
    watch_set(c->watch, LOOP_WRITE);
}

void admin_reply_error(struct admin_conn *c, int status, const char *message)
{
    struct json_write w;
    struct buf b;

    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_int(&w, "schema_version", 1);
    jw_kv_str(&w, "error", message);
    jw_close(&w, '}');
    buf_add_char(&b, '\n');
    admin_reply(c, status, "application/json", status == 405 ? "Allow: GET, HEAD\r\n" : NULL, &b);
    buf_done(&b);
}

void admin_conn_hold(struct admin_conn *c, void (*gone)(void *arg), void *arg)
{
    CHECK(c->phase == ANSWERING);
    c->gone = gone;
    c->gone_arg = arg;
}

/* --- the request --- */

/* Splits "GET /path?query HTTP/1.1"; the line is changed. A status of 200 means that it can be answered. */
static int read_request_line(char *line, struct admin_request *out)
{
    char *target = strchr(line, ' '), *version, *query;
    size_t len = strlen(line);

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || (unsigned char)line[i] >= 0x7f)
            return 400;
    if (target == NULL || target == line)
        return 400;
    *target++ = '\0';
    version = strchr(target, ' ');
    if (version == NULL || strncmp(version + 1, "HTTP/", 5) != 0)
        return 400;
    *version++ = '\0';
    if (strncmp(version, "HTTP/1.", 7) != 0)
        return 505;
    out->is_head = strcmp(line, "HEAD") == 0;
    if (!out->is_head && strcmp(line, "GET") != 0)
        return 405;
    if (*target != '/')
        return 400;
    query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';
    out->path = target;
    out->query = query != NULL ? query : "";
    return 200;
}

static void conn_answer(struct admin_conn *c, char *line)
{
    struct admin_request q = {.path = "/", .query = ""};
    int status = read_request_line(line, &q);

    c->phase = ANSWERING;
    c->is_head = q.is_head;
    watch_set(c->watch, LOOP_READ); /* a client that hangs up is noticed */
    set_timeout(c, WRITE_SECONDS);
    metric_add(METRIC_ADMIN_REQUESTS, 1);
    if (status == 200)
        c->server->handler(c->server->arg, c, &q);
    else if (status == 405)
        admin_reply_error(c, status, "only GET and HEAD are answered here");
    else
        admin_reply_error(c, status, status == 505 ? "HTTP/1.1 is spoken here" : "not an HTTP request");
}

/* True when the head is complete or as large as it may be. */
static bool conn_take_head(struct admin_conn *c)
{
    char *end = memmem(c->in.p, c->in.len, "\r\n\r\n", 4), *eol;

    if (end == NULL)
        end = memmem(c->in.p, c->in.len, "\n\n", 2);
    if (end == NULL && c->in.len < ADMIN_HEAD_BYTES)
        return false;
    if (end == NULL) {
        c->phase = ANSWERING;
        admin_reply_error(c, 431, "the request's head is too large");
        return true;
    }
    eol = memchr(c->in.p, '\n', c->in.len); /* there is one */
    if (eol > c->in.p && eol[-1] == '\r')
        eol--;
    *eol = '\0';
    conn_answer(c, c->in.p);
    return true;
}

static void conn_read(struct admin_conn *c)
{
    char bytes[4096];
    ssize_t n;

    do
        n = recv(c->fd, bytes, sizeof(bytes), 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n == 0 && c->phase == ANSWERING) {
        watch_set(c->watch, 0); /* it may only have ended its side; writing tells */
        return;
    }
    if (n <= 0) {
        conn_free(c);
        return;
    }
    if (c->phase != READING)
        return; /* a body, or a second request: not for us */
    buf_add(&c->in, bytes, (size_t)n < ADMIN_HEAD_BYTES - c->in.len ? (size_t)n : ADMIN_HEAD_BYTES - c->in.len);
    (void)conn_take_head(c);
}

static void on_io(void *arg, int fd, int what)
{
    struct admin_conn *c = arg;

    (void)fd;
    if (c->phase == WRITING) {
        if ((what & LOOP_WRITE) != 0)
            conn_write(c);
        return;
    }
    if ((what & LOOP_READ) != 0)
        conn_read(c);
}

/* --- the server --- */

static void on_accept_again(void *arg)
{
    struct admin_http *h = arg;

    watch_set(h->watch, LOOP_READ);
}

/* Whoever has connected and not asked for longest makes room; without such a one nobody new is let in. */
static bool make_room(struct admin_http *h)
{
    if (h->n_conns < ADMIN_CONNS_MAX)
        return true;
    LIST_EACH_SAFE (it, &h->conns) {
        struct admin_conn *c = LIST_ENTRY(it, struct admin_conn, link);

        if (c->phase != READING && c->phase != LINGERING)
            continue;
        conn_free(c);
        return true;
    }
    return false;
}

static void on_accept(void *arg, int fd, int what)
{
    struct admin_http *h = arg;

    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct admin_conn *c;

        if (client < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            watch_set(h->watch, 0); /* the queue stays readable: without this we would spin */
            timer_start(h->loop, &h->accept_again, loop_now_us(h->loop) + ACCEPT_PAUSE_US);
        }
        if (client < 0)
            return;
        if (!make_room(h)) {
            (void)close(client);
            continue;
        }
        c = mem_zero(sizeof(*c));
        c->server = h;
        c->fd = client;
        list_init(&c->link);
        list_add_tail(&h->conns, &c->link);
        h->n_conns++;
        buf_init(&c->in, ADMIN_HEAD_BYTES);
        buf_init(&c->out, 0);
        timer_init(&c->timer, on_timeout, c);
        c->watch = watch_new(h->loop, client, LOOP_READ, on_io, c);
        set_timeout(c, READ_SECONDS);
    }
}

/* "host:port", "[::1]:port" into its parts; the port may be 0. */
static int split_address(const char *address, char *host, size_t size, const char **out_port)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon != NULL ? (size_t)(colon - address) : 0;

    if (len == 0 || len >= size)
        return -EINVAL;
    if (address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    memcpy(host, address, len);
    host[len] = '\0';
    *out_port = colon + 1;
    return 0;
}

static int listen_on(const struct addrinfo *list)
{
    const int on = 1;
    int r = -EADDRNOTAVAIL;

    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* without it a restart may have to wait */
        if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
            return fd;
        r = -errno;
        (void)close(fd);
    }
    return r;
}

static void note_address(struct admin_http *h)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof(a);
    char host[64] = "", port[8] = "";

    if (getsockname(h->fd, (struct sockaddr *)&a, &len) == 0)
        (void)getnameinfo((struct sockaddr *)&a, len, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(h->address, sizeof(h->address), a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

int admin_http_new(struct loop *loop, const char *address, admin_handler handler, void *arg, struct admin_http **out,
                   const char **out_why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    struct admin_http *h;
    const char *port;
    char host[256];
    int fd, r;

    *out_why = "not of the form host:port";
    if (split_address(address, host, sizeof(host), &port) < 0)
        return -EINVAL;
    r = getaddrinfo(host, port, &hints, &list);
    *out_why = gai_strerror(r);
    if (r != 0)
        return -EINVAL;
    fd = listen_on(list);
    freeaddrinfo(list);
    *out_why = strerror(-fd);
    if (fd < 0)
        return fd;
    h = mem_zero(sizeof(*h));
    h->loop = loop;
    h->handler = handler;
    h->arg = arg;
    h->fd = fd;
    list_init(&h->conns);
    timer_init(&h->accept_again, on_accept_again, h);
    note_address(h);
    h->watch = watch_new(loop, fd, LOOP_READ, on_accept, h);
    *out = h;
    return 0;
}

const char *admin_http_address(const struct admin_http *h)
{
    return h->address;
}

void admin_http_free(struct admin_http *h)
{
    if (h == NULL)
        return;
    LIST_EACH_SAFE (it, &h->conns)
        conn_free(LIST_ENTRY(it, struct admin_conn, link));
    timer_stop(h->loop, &h->accept_again);
    watch_free(h->watch);
    (void)close(h->fd);
    mem_free(h);
}
