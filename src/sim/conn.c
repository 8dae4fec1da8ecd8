/* SPDX-License-Identifier: Apache-2.0 */
/* One client connection: reads a request, waits, writes the answer as the decision says (whole, half, byte by byte, not
 * at all, or a reset). One request at a time; a pipelined one waits in the buffer. A client that hangs up is noticed
 * while its answer is pending, since the socket is read all the time. Functions that may free the connection say so by
 * returning false. Loop thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/dialect.h"

enum {
    READ_BYTES = 16 * 1024,
    KEEP_BYTES = 64 * 1024, /* a larger input buffer is given back after its request */
    INPUT_BYTES_MAX = 64 * 1024 * 1024,
    DRIP_US = 1000000,
};

enum phase {
    READING,  /* no request under way */
    THINKING, /* the timer runs; then the answer, or nothing (silence) */
    SENDING,  /* `out` from `sent` to `until` as the socket takes it */
    PAUSING,  /* `sent` reached `until`; the timer runs */
};

struct conn {
    struct list link;
    struct sim *sim;
    struct watch *watch;
    struct timer timer;
    struct buf in;
    struct buf out;
    size_t sent;
    size_t until; /* how much of `out` may be sent now */
    int fd;
    int watching; /* what the watch is set to: setting it costs system calls */
    enum phase phase;
    bool is_exchange; /* x is under way */
    bool is_close;    /* after this answer */
    bool is_cut;      /* at `until`: close */
    struct exchange x;
};

static bool conn_parse(struct conn *c);

static void conn_watch(struct conn *c, int what)
{
    if (c->watching != what)
        watch_set(c->watch, what);
    c->watching = what;
}

static void conn_free(struct conn *c)
{
    struct sim *s = c->sim;

    if (c->is_exchange)
        exchange_end(s, &c->x, false);
    watch_free(c->watch);
    timer_stop(s->loop, &c->timer);
    (void)close(c->fd); /* nothing left to lose */
    list_del(&c->link);
    s->stats.connections--;
    buf_done(&c->in);
    buf_done(&c->out);
    mem_free(c);
}

void conn_free_all(struct sim *s)
{
    LIST_EACH_SAFE (it, &s->conns)
        conn_free(LIST_ENTRY(it, struct conn, link));
}

/* RST instead of FIN. */
static void conn_reset(struct conn *c)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)); /* else it is a FIN: as good for a test */
    conn_free(c);
}

/* The answer was handed over as a whole. */
static bool conn_answered(struct conn *c)
{
    if (c->is_exchange) {
        c->is_exchange = false;
        exchange_end(c->sim, &c->x, true);
    }
    if (c->is_close) {
        conn_free(c);
        return false;
    }
    buf_done(&c->out);
    c->phase = READING;
    conn_watch(c, LOOP_READ);
    return true;
}

/* Bytes written, 0 when the socket is full, or the error. */
static ssize_t send_some(int fd, const char *p, size_t len)
{
    ssize_t n;

    do
        n = send(fd, p, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    return n;
}

static void conn_pause(struct conn *c)
{
    int64_t pause_us = c->x.decision.fault == SIM_DRIP ? DRIP_US : c->x.decision.stall_us;

    c->phase = PAUSING;
    conn_watch(c, LOOP_READ);
    timer_start(c->sim->loop, &c->timer, loop_now_us(c->sim->loop) + pause_us);
}

/* Sends what may be sent now. */
static bool conn_send(struct conn *c)
{
    c->phase = SENDING;
    while (c->sent < c->until) {
        ssize_t n = send_some(c->fd, c->out.p + c->sent, c->until - c->sent);

        if (n < 0) {
            conn_free(c);
            return false;
        }
        if (n == 0) {
            conn_watch(c, LOOP_READ | LOOP_WRITE);
            return true;
        }
        c->sent += (size_t)n;
    }
    if (c->sent == c->out.len)
        return conn_answered(c);
    if (c->is_cut) {
        conn_free(c);
        return false;
    }
    conn_pause(c);
    return true;
}

/* Sends s->wire from the first byte on; what the socket does not take at once is kept in `out`. */
static bool conn_send_wire(struct conn *c, size_t until)
{
    struct sim *s = c->sim;

    if (until == s->wire.len) { /* the usual case: one call, no copy */
        ssize_t n = send_some(c->fd, s->wire.p, s->wire.len);

        if (n < 0) {
            conn_free(c);
            return false;
        }
        if ((size_t)n == s->wire.len)
            return conn_answered(c);
        c->sent = (size_t)n;
    } else {
        c->sent = 0;
    }
    buf_clear(&c->out);
    buf_add(&c->out, s->wire.p, s->wire.len);
    c->until = until;
    return conn_send(c);
}

/* The time to think is over. */
static bool conn_decided(struct conn *c)
{
    enum sim_fault fault = c->x.decision.fault;
    size_t head_bytes;
    size_t until;

    if (fault == SIM_RESET) {
        conn_reset(c);
        return false;
    }
    if (fault == SIM_SILENCE)
        return true; /* until the client goes */
    head_bytes = exchange_answer(c->sim, &c->x);
    until = c->sim->wire.len;
    if (fault == SIM_DRIP)
        until = head_bytes;
    else if (fault == SIM_TRUNCATE || fault == SIM_STALL)
        until = head_bytes + (until - head_bytes) / 2;
    c->is_cut = fault == SIM_TRUNCATE;
    return conn_send_wire(c, until);
}

static void on_timer(void *arg)
{
    struct conn *c = arg;
    bool is_there;

    if (c->phase == THINKING) {
        is_there = conn_decided(c);
    } else {
        CHECK(c->phase == PAUSING);
        c->until = c->x.decision.fault == SIM_DRIP ? c->until + 1 : c->out.len;
        is_there = conn_send(c);
    }
    if (is_there && c->phase == READING)
        (void)conn_parse(c); /* a request may be waiting in the buffer */
}

/* A complete request stands at the start of `in`. */
static bool conn_request(struct conn *c, const struct http_request *r)
{
    struct sim *s = c->sim;
    struct target t;

    c->is_close = r->is_close;
    c->is_cut = false;
    target_read(r, &t);
    if (t.operation == OP_NONE) {
        sim_answer_other(s, r, &t);
        return conn_send_wire(c, s->wire.len);
    }
    c->is_exchange = true;
    if (exchange_begin(s, &c->x, r, &t, c->in.p + r->head_bytes) == 1)
        return conn_send_wire(c, s->wire.len);
    c->phase = THINKING;
    if (c->x.decision.latency_us <= 0)
        return conn_decided(c);
    timer_start(s->loop, &c->timer, c->x.arrived_us + c->x.decision.latency_us);
    return true;
}

/* Takes what was read off the buffer. */
static void conn_consume(struct conn *c, size_t bytes)
{
    c->in.len -= bytes;
    if (c->in.len == 0 && c->in.cap > KEEP_BYTES) {
        buf_done(&c->in);
        return;
    }
    memmove(c->in.p, c->in.p + bytes, c->in.len);
    c->in.p[c->in.len] = '\0';
}

/* Not HTTP, or more than we take: an answer as good as it gets, then the end. r: NULL without a head. */
static bool conn_refuse(struct conn *c, const struct http_request *r, struct problem p)
{
    struct sim *s = c->sim;
    struct target t = {.dialect = &dialect_openai};

    if (r != NULL)
        target_read(r, &t);
    c->is_close = true;
    p.model = t.model;
    p.wait_us = -1;
    (void)sim_refuse(s, t.dialect, &p, "connection: close\r\n");
    return conn_send_wire(c, s->wire.len);
}

/* Handles the requests in the buffer, one after the other. */
static bool conn_parse(struct conn *c)
{
    while (c->phase == READING && c->in.len > 0) {
        struct http_request r;
        int n = http_read_head(c->in.p, c->in.len, &r);

        if (n == 0)
            return true;
        if (n < 0)
            return conn_refuse(
                c, NULL,
                (struct problem){.kind = PROBLEM_STATUS, .status = 400, .detail = TEXT_LIT("not an HTTP request")});
        if (!r.has_length && text_is(r.method, "POST"))
            return conn_refuse(c, &r,
                               (struct problem){.kind = PROBLEM_STATUS,
                                                .status = 411,
                                                .detail = TEXT_LIT("a Content-Length is needed")});
        if (r.body_bytes > INPUT_BYTES_MAX - READ_BYTES)
            return conn_refuse(c, &r, (struct problem){.kind = PROBLEM_TOO_LARGE, .limit = INPUT_BYTES_MAX});
        if (c->in.len < r.head_bytes + r.body_bytes) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

            if (r.is_continue && c->in.len == r.head_bytes)
                (void)send_some(c->fd, go_on, sizeof(go_on) - 1); /* lost: the client sends after a second anyway */
            (void)buf_reserve(&c->in, r.head_bytes + r.body_bytes - c->in.len);
            return true;
        }
        if (!conn_request(c, &r))
            return false;
        conn_consume(c, r.head_bytes + r.body_bytes);
    }
    return true;
}

/* Reads what is there. */
static bool conn_read(struct conn *c)
{
    ssize_t n;

    if (c->in.len > INPUT_BYTES_MAX) {
        conn_watch(c, 0); /* pipelined without end: it may wait for its answer blindly */
        return true;
    }
    (void)buf_reserve(&c->in, READ_BYTES);
    do
        n = recv(c->fd, c->in.p + c->in.len, c->in.cap - c->in.len - 1, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0) {
        conn_free(c);
        return false;
    }
    c->in.len += (size_t)n;
    return conn_parse(c);
}

static void on_io(void *arg, int fd, int what)
{
    struct conn *c = arg;

    (void)fd;
    if ((what & LOOP_READ) != 0 && !conn_read(c))
        return;
    if ((what & LOOP_WRITE) != 0 && c->phase == SENDING && conn_send(c) && c->phase == READING)
        (void)conn_parse(c);
}

void conn_new(struct sim *s, int fd)
{
    struct conn *c = mem_zero(sizeof(*c));

    c->sim = s;
    c->fd = fd;
    buf_init(&c->in, 0);
    buf_init(&c->out, 0);
    timer_init(&c->timer, on_timer, c);
    list_init(&c->link);
    list_add_tail(&s->conns, &c->link);
    s->stats.connections++;
    c->watching = LOOP_READ;
    c->watch = watch_new(s->loop, fd, LOOP_READ, on_io, c);
}
