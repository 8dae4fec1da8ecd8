/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates are checked always, against the system's store or the one file given; TLS 1.2 at least. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "rig.h"
#include "tls_peer.h"

static char dir[] = "/tmp/tutti_tls_XXXXXX";
static char good_ca[64];
static char other_ca[64];

static int make_certs(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    if (!tls_load() || mkdtemp(dir) == NULL)
        return -1;
    snprintf(good_ca, sizeof(good_ca), "%s/good.pem", dir);
    snprintf(other_ca, sizeof(other_ca), "%s/other.pem", dir);
    return tls_make_cert(dir, "good", "IP:127.0.0.1") && tls_make_cert(dir, "other", "DNS:other.test") ? 0 : -1;
}

static int remove_certs(void **state)
{
    static const char *const names[] = {"good.pem", "good.key", "other.pem", "other.key"};
    char path[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

static void serve(struct peer_conn *c)
{
    while (peer_request(c) && peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
        ;
}

static void serve_late(struct peer_conn *c)
{
    struct timespec t = {.tv_nsec = 40 * 1000 * 1000};

    while (peer_request(c)) {
        (void)nanosleep(&t, NULL);
        if (!peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
            return;
    }
}

static void test_who_is_believed(void **state)
{
    const struct {
        const char *name;
        const char *cert;
        long max_version;
        const char *ca_file;
        enum transfer_end end;
    } rows[] = {
        {"self-signed", "good", 0, NULL, TRANSFER_TLS},
        {"self-signed, its file given", "good", 0, good_ca, TRANSFER_OK},
        {"another file given", "good", 0, other_ca, TRANSFER_TLS},
        {"known, for another host", "other", 0, other_ca, TRANSFER_TLS},
        {"TLS 1.1", "good", TLS_V1_1, good_ca, TRANSFER_TLS},
        {"TLS 1.2", "good", TLS_V1_2, good_ca, TRANSFER_OK},
        {"file that is not there", "good", 0, "/nowhere/ca.pem", TRANSFER_LOCAL},
    };
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer *p = tls_peer_new(dir, rows[i].cert, rows[i].max_version, serve);

        for (int k = 0; k < 2; k++) {
            struct call c;

            call_init(&c, &r, "https", p->port);
            c.t.ca_file = rows[i].ca_file;
            assert_true(call_run(&c));
            if (c.t.end != rows[i].end)
                fail_msg("%s: end %d why %s", rows[i].name, (int)c.t.end, c.t.why);
            assert_true(c.t.was_sent == (rows[i].end == TRANSFER_OK));
            if (rows[i].end == TRANSFER_OK) {
                assert_string_equal(c.t.body_in.p, "hi");
                assert_true((c.t.connect_took_us == 0) == (k == 1)); /* the second on the first's connection */
            }
            transfer_release(&c.t);
        }
        assert_int_equal(atomic_load(&p->n_requests), rows[i].end == TRANSFER_OK ? 2 : 0);
        tls_peer_stop(p);
    }
    rig_close(&r);
}

static void close_at_once(struct peer_conn *c)
{
    char junk[4096];

    (void)recv(c->fd, junk, sizeof(junk), 0);
}

static void reset_at_once(struct peer_conn *c)
{
    close_at_once(c);
    peer_reset(c);
}

static void speak_plainly(struct peer_conn *c)
{
    close_at_once(c);
    (void)peer_say(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
}

/* A handshake that is cut off is the network's fault, not a certificate's. */
static void test_handshakes_that_break(void **state)
{
    static const struct {
        peer_script script;
        enum transfer_end end;
    } rows[] = {
        {close_at_once, TRANSFER_RESET},
        {reset_at_once, TRANSFER_RESET},
        {speak_plainly, TRANSFER_TLS},
    };
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer *p = peer_new(rows[i].script);
        struct call c;

        call_init(&c, &r, "https", p->port);
        assert_true(call_run(&c));
        if (c.t.end != rows[i].end)
            fail_msg("row %zu: end %d why %s", i, (int)c.t.end, c.t.why);
        assert_false(c.t.was_sent);
        transfer_release(&c.t);
        peer_stop(p);
    }
    rig_close(&r);
}

/* Waiting for ALPN (one handshake first) must not make calls wait for the first answer. */
static void test_calls_to_an_http1_server_run_side_by_side(void **state)
{
    enum { N = 20 };
    struct peer *p = tls_peer_new(dir, "good", 0, serve_late);
    struct call c[N];
    struct rig r;
    int64_t started_us;

    (void)state;
    rig_open(&r, NULL);
    started_us = loop_clock_us(r.loop);
    for (int i = 0; i < N; i++) {
        call_init(&c[i], &r, "https", p->port);
        c[i].t.ca_file = good_ca;
        call_start(&c[i]);
    }
    assert_true(rig_wait(&r, N, 5000));
    for (int i = 0; i < N; i++) {
        assert_int_equal(c[i].t.end, TRANSFER_OK);
        transfer_release(&c[i].t);
    }
    assert_int_equal(atomic_load(&p->n_conns), N);
    assert_true(loop_clock_us(r.loop) - started_us < N * 40 * 1000);
    rig_close(&r);
    tls_peer_stop(p);
}

static void read_and_close_the_second(struct peer_conn *c)
{
    if (!peer_request(c) || !peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
        return;
    (void)peer_request(c);
}

static void test_a_tls_keepalive_peer_that_reads_and_closes_sees_it_once(void **state)
{
    struct peer *p = tls_peer_new(dir, "good", 0, read_and_close_the_second);
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 2; i++) {
        struct call c;

        call_init(&c, &r, "https", p->port);
        c.t.ca_file = good_ca;
        assert_true(call_run(&c));
        assert_true(i == 0 ? c.t.end == TRANSFER_OK : c.t.end == TRANSFER_RESEND || c.t.end == TRANSFER_RESET);
        assert_true(c.t.was_sent);
        transfer_release(&c.t);
    }
    rig_run(&r, 50);
    assert_int_equal(atomic_load(&p->n_requests), 2);
    rig_close(&r);
    tls_peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_believed),
        cmocka_unit_test(test_handshakes_that_break),
        cmocka_unit_test(test_calls_to_an_http1_server_run_side_by_side),
        cmocka_unit_test(test_a_tls_keepalive_peer_that_reads_and_closes_sees_it_once),
    };

    return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
