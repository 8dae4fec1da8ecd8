/* SPDX-License-Identifier: Apache-2.0 */
/* The five limits, each with its own end and not before its time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "rig.h"

enum { MS = 1000, HTTP_LATE_US = 40 * 1000 };

static void nap(int ms)
{
    struct timespec t = {.tv_nsec = (long)ms * 1000 * 1000};

    (void)nanosleep(&t, NULL);
}

static void take_and_hold(struct peer_conn *c)
{
    if (peer_request(c))
        peer_hold(c);
}

static void say_half_and_hold(struct peer_conn *c)
{
    if (peer_request(c) && peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"))
        peer_hold(c);
}

/* A byte every 10 ms, for long. */
static void drip(struct peer_conn *c)
{
    if (!peer_request(c) || !peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n"))
        return;
    for (int i = 0; i < 300 && peer_say(c, "x"); i++)
        nap(10);
}

/* 12 bytes, 10 ms apart: longer in all than its idle and first byte limits. */
static void drip_a_little(struct peer_conn *c)
{
    if (!peer_request(c) || !peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"))
        return;
    for (int i = 0; i < 12 && peer_say(c, "x"); i++)
        nap(10);
}

/* Reads a big request slowly (60 ms in all), then answers at once. */
static void read_slowly(struct peer_conn *c)
{
    nap(60);
    if (peer_request(c))
        (void)peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
}

static void read_slowly_then_hold(struct peer_conn *c)
{
    nap(40);
    if (peer_request(c))
        peer_hold(c);
}

static const struct row {
    const char *name;
    peer_script script;
    int connect_ms, first_byte_ms, idle_ms, total_ms, deadline_ms;
    int body_kb;
    enum transfer_end end;
    int after_ms;
    int status;
} rows[] = {
    {"first byte", take_and_hold, 500, 40, 500, 500, 500, 0, TRANSFER_FIRST_BYTE_TIMEOUT, 40, 0},
    {"idle", say_half_and_hold, 500, 500, 40, 500, 500, 0, TRANSFER_IDLE_TIMEOUT, 40, 200},
    {"total while waiting", take_and_hold, 500, 500, 500, 40, 500, 0, TRANSFER_TOTAL_TIMEOUT, 40, 0},
    {"total while reading", drip, 500, 500, 500, 60, 500, 0, TRANSFER_TOTAL_TIMEOUT, 60, 200},
    {"deadline while waiting", take_and_hold, 0, 0, 0, 0, 40, 0, TRANSFER_DEADLINE, 40, 0},
    {"deadline while reading", drip, 500, 500, 500, 500, 50, 0, TRANSFER_DEADLINE, 50, 200},
    {"deadline before the start", take_and_hold, 500, 500, 500, 500, -1, 0, TRANSFER_DEADLINE, 0, 0},
    {"an answer that keeps coming", drip_a_little, 40, 40, 40, 500, 500, 0, TRANSFER_OK, 100, 200},
    {"no limits", drip_a_little, 0, 0, 0, 0, 0, 0, TRANSFER_OK, 100, 200},
    {"a big request is not the peer's delay", read_slowly, 500, 50, 50, 900, 900, 8000, TRANSFER_OK, 50, 200},
    {"first byte after a big request", read_slowly_then_hold, 500, 30, 500, 900, 900, 8000, TRANSFER_FIRST_BYTE_TIMEOUT,
     60, 0},
};

static void test_each_limit_ends_a_call_in_time(void **state)
{
    char *body = calloc(1, 8000 * 1024);
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        int64_t started_us;
        int64_t took_us;
        struct peer *p;
        struct call c;

        peer_rcvbuf = row->body_kb > 0 ? 64 * 1024 : 0;
        p = peer_new(row->script);
        call_init(&c, &r, "http", p->port);
        c.t.body = row->body_kb > 0 ? text_slice(body, (size_t)row->body_kb * 1024) : c.t.body;
        c.t.connect_us = row->connect_ms * MS;
        c.t.first_byte_us = row->first_byte_ms * MS;
        c.t.idle_us = row->idle_ms * MS;
        c.t.total_us = row->total_ms * MS;
        started_us = loop_clock_us(r.loop);
        c.t.deadline_us = row->deadline_ms != 0 ? started_us + row->deadline_ms * MS : 0;
        assert_true(call_run(&c));
        took_us = loop_clock_us(r.loop) - started_us;
        if (c.t.end != row->end || c.t.status != row->status)
            fail_msg("%s: end %d status %d why %s out %lld took %lld", row->name, (int)c.t.end, c.t.status, c.t.why,
                     (long long)c.t.bytes_out, (long long)c.t.total_took_us);
        if (took_us < row->after_ms * MS ||
            (row->end != TRANSFER_OK && took_us > row->after_ms * MS + 5 * HTTP_LATE_US))
            fail_msg("%s: after %lld us", row->name, (long long)took_us);
        assert_true(c.t.was_sent == (row->deadline_ms >= 0));
        assert_true((c.t.first_byte_took_us >= 0) == (row->status != 0));
        transfer_release(&c.t);
        peer_stop(p);
    }
    rig_close(&r);
    free(body);
}

/* A listener whose queue is full answers no SYN. */
static void test_connect_limit(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int fill[4];
    struct rig r;
    struct call c;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    for (int i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&a, len);
    }
    rig_open(&r, NULL);
    call_init(&c, &r, "http", ntohs(a.sin_port));
    c.t.connect_us = 50 * MS;
    c.t.total_us = 2000 * MS;
    assert_true(call_run(&c));
    assert_int_equal(c.t.end, TRANSFER_CONNECT_TIMEOUT);
    assert_false(c.t.was_sent);
    assert_true(c.t.total_took_us >= 50 * MS);
    transfer_release(&c.t);
    rig_close(&r);
    for (int i = 0; i < 4; i++)
        (void)close(fill[i]);
    (void)close(listener);
}

static void test_the_connect_limit_covers_the_handshake(void **state)
{
    struct peer *p = peer_new(NULL);
    struct rig r;
    struct call c;

    (void)state;
    rig_open(&r, NULL);
    call_init(&c, &r, "https", p->port);
    c.t.connect_us = 50 * MS;
    assert_true(call_run(&c));
    assert_int_equal(c.t.end, TRANSFER_CONNECT_TIMEOUT);
    assert_false(c.t.was_sent);
    transfer_release(&c.t);
    rig_close(&r);
    peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_limit_ends_a_call_in_time),
        cmocka_unit_test(test_connect_limit),
        cmocka_unit_test(test_the_connect_limit_covers_the_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
