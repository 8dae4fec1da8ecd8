/* SPDX-License-Identifier: Apache-2.0 */
/* The two guards of DESIGN 8: a request is never sent a second time by the library, and never with a stale permit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "rig.h"

#define HI "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

/* Connection 0 answers its first request, reads the second one whole and closes; others answer all. */
static void answer_then_read_and_close(struct peer_conn *c)
{
    if (!peer_request(c) || !peer_say(c, HI))
        return;
    if (!peer_request(c))
        return;
    while (c->index > 0 && peer_say(c, HI) && peer_request(c))
        ;
}

static void reset_the_second(struct peer_conn *c)
{
    answer_then_read_and_close(c);
    peer_reset(c);
}

/* Measured with libcurl 7.88: without the guard the peer sees three requests and the caller a 200. */
static void check_keepalive(peer_script script)
{
    struct peer *p = peer_new(script);
    struct rig r;
    struct call c;

    rig_open(&r, NULL);
    call_init(&c, &r, "http", p->port);
    assert_true(call_run(&c));
    assert_int_equal(c.t.end, TRANSFER_OK);
    transfer_release(&c.t);
    call_init(&c, &r, "http", p->port);
    assert_true(call_run(&c));
    rig_run(&r, 50);                                  /* a second send would come now */
    assert_int_equal(atomic_load(&p->n_requests), 2); /* the first call's and, once, the second's */
    assert_true(c.t.end == TRANSFER_RESEND || c.t.end == TRANSFER_RESET);
    assert_true(c.t.was_sent);
    assert_true(c.t.sent_us > 0);
    assert_int_equal(c.t.status, 0);
    assert_int_equal(c.n_done, 1);
    transfer_release(&c.t);
    call_init(&c, &r, "http", p->port); /* the handle is fit for the next call */
    assert_true(call_run(&c));
    assert_int_equal(c.t.end, TRANSFER_OK);
    transfer_release(&c.t);
    rig_close(&r);
    peer_stop(p);
}

static void test_keepalive_peer_that_reads_and_closes_sees_it_once(void **state)
{
    (void)state;
    check_keepalive(answer_then_read_and_close);
}

static void test_keepalive_peer_that_reads_and_resets_sees_it_once(void **state)
{
    (void)state;
    check_keepalive(reset_the_second);
}

static void answer_and_close(struct peer_conn *c)
{
    if (peer_request(c))
        (void)peer_say(c, HI);
}

/* A connection that was closed while idle is noticed before anything is written on it: that is no second send. */
static void test_an_idle_connection_closed_by_the_peer_is_replaced(void **state)
{
    struct peer *p = peer_new(answer_and_close);
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 3; i++) {
        struct call c;

        call_init(&c, &r, "http", p->port);
        assert_true(call_run(&c));
        assert_int_equal(c.t.end, TRANSFER_OK);
        transfer_release(&c.t);
        rig_run(&r, 20);
    }
    assert_int_equal(atomic_load(&p->n_requests), 3);
    rig_close(&r);
    peer_stop(p);
}

static void test_a_stale_permit_sends_nothing(void **state)
{
    struct peer *p = peer_new(answer_and_close);
    struct rig r;
    struct call c;

    (void)state;
    rig_open(&r, NULL);
    call_init(&c, &r, "http", p->port);
    c.t.send_before_us = loop_clock_us(r.loop) - 1;
    assert_true(call_run(&c));
    assert_int_equal(c.t.end, TRANSFER_GRANT_STALE);
    assert_false(c.t.was_sent);
    assert_int_equal(c.t.sent_us, 0);
    assert_int_equal(atomic_load(&p->n_requests), 0);
    transfer_release(&c.t);
    call_init(&c, &r, "http", p->port);
    c.t.send_before_us = loop_clock_us(r.loop) + 5000 * 1000;
    assert_true(call_run(&c));
    assert_int_equal(c.t.end, TRANSFER_OK);
    assert_true(c.t.sent_us <= c.t.send_before_us);
    assert_int_equal(atomic_load(&p->n_requests), 1);
    transfer_release(&c.t);
    rig_close(&r);
    peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keepalive_peer_that_reads_and_closes_sees_it_once),
        cmocka_unit_test(test_keepalive_peer_that_reads_and_resets_sees_it_once),
        cmocka_unit_test(test_an_idle_connection_closed_by_the_peer_is_replaced),
        cmocka_unit_test(test_a_stale_permit_sends_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
