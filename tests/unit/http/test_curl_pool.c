/* SPDX-License-Identifier: Apache-2.0 */
/* Shards, pooled handles and descriptors: many calls at once, cancelling, freeing in flight, a broken multi handle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <sys/resource.h>

#include "base/check.h"
#include "http/http_internal.h"
#include "rig.h"

enum { MANY = 200 };

static atomic_int n_multis;
static bool is_breaking;

/* Between the adapter and libcurl: counts the multi handles, and fails when told to. */
__attribute__((visibility("default"))) CURLM *curl_multi_init(void)
{
    CURLM *(*real)(void) = (CURLM * (*)(void)) dlsym(RTLD_NEXT, "curl_multi_init");

    atomic_fetch_add(&n_multis, 1);
    return real();
}

#undef curl_multi_socket_action
__attribute__((visibility("default"))) CURLMcode curl_multi_socket_action(CURLM *m, curl_socket_t fd, int mask, int *n)
{
    CURLMcode (*real)(CURLM *, curl_socket_t, int, int *) =
        (CURLMcode(*)(CURLM *, curl_socket_t, int, int *))dlsym(RTLD_NEXT, "curl_multi_socket_action");

    if (is_breaking && fd != CURL_SOCKET_TIMEOUT) {
        is_breaking = false;
        return CURLM_INTERNAL_ERROR;
    }
    return real(m, fd, mask, n);
}

static void serve(struct peer_conn *c)
{
    while (peer_request(c) && peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
        ;
}

static void serve_late(struct peer_conn *c)
{
    struct timespec t = {.tv_nsec = 30 * 1000 * 1000};

    while (peer_request(c)) {
        (void)nanosleep(&t, NULL);
        if (!peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
            return;
    }
}

static struct call calls[MANY];

static void test_calls_beyond_a_shard_get_more_of_them(void **state)
{
    enum { SHARD = 4, N = 18 };
    struct peer *p = peer_new(serve_late);
    struct rig r;

    (void)state;
    rig_open(&r, &(struct http_curl_conf){.max_connections = SHARD});
    atomic_store(&n_multis, 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            call_init(&calls[i], &r, "http", p->port);
            call_start(&calls[i]);
        }
        assert_true(rig_wait(&r, (round + 1) * N, 3000));
        for (int i = 0; i < N; i++) {
            assert_int_equal(calls[i].t.end, TRANSFER_OK);
            assert_int_equal(calls[i].n_done, 1);
            transfer_release(&calls[i].t);
        }
        assert_int_equal(atomic_load(&n_multis), (N + SHARD - 1) / SHARD);
        assert_int_equal(atomic_load(&p->n_conns), N); /* reused, all of them */
    }
    for (int i = 0; i < 3; i++) { /* one at a time needs nothing new */
        call_init(&calls[0], &r, "http", p->port);
        assert_true(call_run(&calls[0]));
        transfer_release(&calls[0].t);
    }
    assert_int_equal(atomic_load(&p->n_conns), N);
    rig_close(&r);
    peer_stop(p);
}

static void test_cancelled_calls_give_their_descriptors_back(void **state)
{
    struct peer *p = peer_new(NULL);
    struct rig r;
    int before;

    (void)state;
    rig_open(&r, NULL);
    call_init(&calls[0], &r, "http", p->port);
    before = count_fds();
    for (int i = 0; i < MANY; i++) {
        call_init(&calls[i], &r, "http", p->port);
        call_start(&calls[i]);
    }
    for (int i = 0; i < MANY; i++)
        while (!calls[i].t.was_sent && r.n_done == 0)
            rig_run(&r, 5);
    while (atomic_load(&p->n_conns) < MANY)
        rig_run(&r, 5);
    assert_true(count_fds() >= before + 2 * MANY);
    for (int i = 0; i < MANY; i++) {
        assert_true(calls[i].t.was_sent);
        r.http->ops->cancel(r.http, &calls[i].t);
        assert_null(calls[i].t.impl);
    }
    /* the peer is in this process and keeps its ends; libcurl two per multi handle */
    assert_true(count_fds() <= before + MANY + 2 * (MANY / 64 + 1));
    rig_run(&r, 20);
    assert_int_equal(r.n_done, 0);
    r.http->ops->free(r.http);
    r.http = NULL;
    assert_int_equal(count_fds(), before + MANY);
    rig_close(&r);
    peer_stop(p);
}

/* The first done() cancels the second call, which ended in the same turn, and starts another. */
static struct call *victim;
static struct call *successor;

static void on_done_cancel(struct transfer *t, void *arg)
{
    rig_on_done(t, arg);
    transfer_release(t);
    if (victim != NULL) {
        struct call *v = victim;

        victim = NULL;
        v->rig->http->ops->cancel(v->rig->http, &v->t);
        call_start(successor);
    }
}

static void test_a_done_may_cancel_and_start_others(void **state)
{
    struct peer *p = peer_new(serve);
    struct rig r;
    struct call c[3];

    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 3; i++) {
        call_init(&c[i], &r, "http", p->port);
        c[i].t.done = on_done_cancel;
    }
    c[0].t.url = "nonsense://x"; /* two that end in one turn */
    c[1].t.url = "nonsense://x";
    victim = &c[1];
    successor = &c[2];
    call_start(&c[0]);
    call_start(&c[1]);
    assert_true(rig_wait(&r, 2, 2000));
    assert_int_equal(c[0].t.end, TRANSFER_LOCAL);
    assert_int_equal(c[1].n_done, 0);
    assert_int_equal(c[2].t.end, TRANSFER_OK);
    assert_false(r.was_nested);
    rig_close(&r);
    peer_stop(p);
}

static void test_free_ends_what_is_in_flight_silently(void **state)
{
    int before = count_fds();
    struct peer *p = peer_new(NULL);
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 20; i++) {
        call_init(&calls[i], &r, i % 2 == 0 ? "http" : "https", p->port);
        calls[i].t.total_us = 1000 * 1000;
        call_start(&calls[i]);
        if (i == 10)
            rig_run(&r, 10);
    }
    call_init(&calls[20], &r, "nonsense", 1);
    call_start(&calls[20]);
    r.http->ops->free(r.http);
    r.http = NULL;
    rig_run(&r, 10);
    assert_int_equal(r.n_done, 0);
    rig_close(&r);
    peer_stop(p);
    assert_int_equal(count_fds(), before);
}

static void test_a_broken_multi_handle_is_replaced(void **state)
{
    struct peer *p = peer_new(serve_late);
    struct rig r;
    int before = 0;

    (void)state;
    rig_open(&r, NULL);
    call_init(&calls[0], &r, "http", p->port);
    assert_true(call_run(&calls[0]));
    transfer_release(&calls[0].t);
    before = count_fds();
    atomic_store(&n_multis, 0);
    for (int i = 0; i < 5; i++) {
        call_init(&calls[i], &r, "http", p->port);
        call_start(&calls[i]);
    }
    is_breaking = true;
    assert_true(rig_wait(&r, 6, 2000));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(calls[i].n_done, 1);
        assert_int_equal(calls[i].t.end, TRANSFER_LOCAL);
        transfer_release(&calls[i].t);
    }
    assert_int_equal(atomic_load(&n_multis), 1);
    rig_run(&r, 20);
    assert_true(count_fds() <= before);
    call_init(&calls[0], &r, "http", p->port);
    assert_true(call_run(&calls[0]));
    assert_int_equal(calls[0].t.end, TRANSFER_OK);
    transfer_release(&calls[0].t);
    rig_close(&r);
    peer_stop(p);
}

static void test_no_descriptor_left_is_our_own_trouble(void **state)
{
    struct peer *p = peer_new(serve_late);
    struct rlimit was;
    struct rlimit now;
    struct rig r;
    int refused;

    (void)state;
    rig_open(&r, NULL);
    call_init(&calls[0], &r, "http", p->port);
    assert_true(call_run(&calls[0]));
    transfer_release(&calls[0].t);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = was;
    now.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    for (int i = 0; i < 2; i++) {
        call_init(&calls[i], &r, "http", p->port);
        call_start(&calls[i]);
    }
    (void)rig_wait(&r, 3, 2000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(r.n_done, 3);
    refused = calls[0].t.end == TRANSFER_OK ? 1 : 0; /* the other one had the connection that is there */
    assert_int_equal(calls[1 - refused].t.end, TRANSFER_OK);
    assert_int_equal(calls[refused].t.end, TRANSFER_LOCAL);
    assert_string_equal(calls[refused].t.why, strerror(EMFILE));
    for (int i = 0; i < 2; i++)
        transfer_release(&calls[i].t);
    rig_close(&r);
    peer_stop(p);
}

static void test_what_is_long_unused_is_closed(void **state)
{
    struct peer *p = peer_new(serve_late);
    struct rig r;
    struct origin *o;
    int n_fds;

    (void)state;
    rig_open(&r, &(struct http_curl_conf){.max_connections = 4});
    for (int i = 0; i < 12; i++) {
        call_init(&calls[i], &r, "http", p->port);
        call_start(&calls[i]);
    }
    rig_run(&r, 10);
    o = LIST_ENTRY(((struct http_curl *)r.http)->origins.next, struct origin, link);
    assert_false(origin_sweep(o, loop_now_us(r.loop) + 2 * (int64_t)HTTP_UNUSED_US)); /* all in use */
    assert_true(rig_wait(&r, 12, 2000));
    for (int i = 0; i < 12; i++) {
        assert_int_equal(calls[i].t.end, TRANSFER_OK);
        transfer_release(&calls[i].t);
    }
    n_fds = count_fds();
    assert_false(origin_sweep(o, loop_now_us(r.loop) + HTTP_UNUSED_US / 2));
    assert_int_equal(o->n_pool, 4);
    assert_int_equal(count_fds(), n_fds);
    assert_true(origin_sweep(o, loop_now_us(r.loop) + 2 * (int64_t)HTTP_UNUSED_US));
    assert_true(count_fds() <= n_fds - 12);
    call_init(&calls[0], &r, "http", p->port);
    assert_true(call_run(&calls[0]));
    assert_int_equal(calls[0].t.end, TRANSFER_OK);
    transfer_release(&calls[0].t);
    rig_close(&r);
    peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_beyond_a_shard_get_more_of_them),
        cmocka_unit_test(test_cancelled_calls_give_their_descriptors_back),
        cmocka_unit_test(test_a_done_may_cancel_and_start_others),
        cmocka_unit_test(test_free_ends_what_is_in_flight_silently),
        cmocka_unit_test(test_a_broken_multi_handle_is_replaced),
        cmocka_unit_test(test_what_is_long_unused_is_closed),
        cmocka_unit_test(test_no_descriptor_left_is_our_own_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
