/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that misbehave, and which end each gives; libcurl's codes as a table; names that do not resolve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>

#include "base/check.h"
#include "http/http_internal.h"
#include "rig.h"

/* Instead of libc's, for libcurl's resolver thread too: "slow.test" takes 300 ms, and nothing resolves. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out)
{
    struct timespec slow = {.tv_nsec = 300 * 1000 * 1000};

    (void)service;
    (void)hints;
    *out = NULL;
    if (node != NULL && strcmp(node, "slow.test") == 0)
        (void)nanosleep(&slow, NULL);
    return EAI_NONAME;
}

static const char *said;
static bool ends_in_reset;

/* Reads the request, says its line, closes. */
static void say_and_close(struct peer_conn *c)
{
    if (peer_request(c) && said != NULL)
        (void)peer_say(c, said);
    if (ends_in_reset) {
        struct timespec moment = {.tv_nsec = 30 * 1000 * 1000};

        (void)nanosleep(&moment, NULL); /* so that the bytes are read before the reset throws them away */
        peer_reset(c);
    }
}

/* Closes without reading, when the client has written. */
static void close_unread(struct peer_conn *c)
{
    char byte;

    (void)recv(c->fd, &byte, 1, MSG_PEEK);
}

static const char big_head[] = "HTTP/1.1 200 OK\r\n";

static void say_endless_head(struct peer_conn *c)
{
    char line[1200];

    memset(line, 'x', sizeof(line));
    memcpy(line, "X-Y: ", 5);
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    if (!peer_request(c) || !peer_say(c, big_head))
        return;
    while (peer_write(c, line, sizeof(line)))
        ;
}

/* 40 KB of header lines, then an answer. */
static void say_long_head(struct peer_conn *c)
{
    char line[1000];

    memset(line, 'x', sizeof(line));
    memcpy(line, "X-Y: ", 5);
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    if (!peer_request(c) || !peer_say(c, "HTTP/1.1 200 OK\r\nX-First: 1\r\n"))
        return;
    for (int i = 0; i < 40; i++)
        (void)peer_write(c, line, sizeof(line));
    (void)peer_say(c, "Content-Length: 2\r\n\r\nhi");
}

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"

static const struct row {
    const char *name;
    peer_script script;
    const char *said;
    bool ends_in_reset;
    enum transfer_end end;
    int status;
} rows[] = {
    {"closes without an answer", say_and_close, NULL, false, TRANSFER_RESET, 0},
    {"resets without an answer", say_and_close, NULL, true, TRANSFER_RESET, 0},
    {"closes before it has read", close_unread, NULL, false, TRANSFER_RESET, 0},
    {"resets in the body", say_and_close, OK_HEAD "Content-Length: 9\r\n\r\nabc", true, TRANSFER_RESET, 200},
    {"closes in the body", say_and_close, OK_HEAD "Content-Length: 9\r\n\r\nabc", false, TRANSFER_TRUNCATED, 200},
    {"closes in a chunk", say_and_close, CHUNKED "9\r\nabc", false, TRANSFER_TRUNCATED, 200},
    {"closes before the last chunk", say_and_close, CHUNKED "3\r\nabc\r\n", false, TRANSFER_TRUNCATED, 200},
    {"closes at the end, no length", say_and_close, OK_HEAD "\r\nabc", false, TRANSFER_OK, 200},
    {"bad chunk", say_and_close, CHUNKED "zz\r\nabc\r\n", false, TRANSFER_PROTOCOL, 200},
    {"not HTTP", say_and_close, "SSH-2.0-OpenSSH_9\r\n", false, TRANSFER_PROTOCOL, 0},
    {"HTTP/0.9", say_and_close, "<html>hello</html>", false, TRANSFER_PROTOCOL, 0},
    {"length that is no number", say_and_close, OK_HEAD "Content-Length: many\r\n\r\nabc", false, TRANSFER_PROTOCOL,
     200},
    {"announces too much", say_and_close, OK_HEAD "Content-Length: 101\r\n\r\nabc", false, TRANSFER_TOO_LARGE, 200},
    {"chunks too much", say_and_close,
     CHUNKED "40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n"
             "40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n0\r\n\r\n",
     false, TRANSFER_TOO_LARGE, 200},
    {"head without end", say_endless_head, NULL, false, TRANSFER_TOO_LARGE, 200},
    {"long head", say_long_head, NULL, false, TRANSFER_OK, 200},
};

static void test_each_misbehaviour_has_its_end(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct peer *p;
        struct call c;

        said = row->said;
        ends_in_reset = row->ends_in_reset;
        p = peer_new(row->script);
        call_init(&c, &r, "http", p->port);
        c.t.max_body_bytes = 100;
        assert_true(call_run(&c));
        if (c.t.end != row->end || c.t.status != row->status)
            fail_msg("%s: end %d status %d why %s", row->name, (int)c.t.end, c.t.status, c.t.why);
        assert_true(c.t.was_sent);
        assert_true(c.t.head.len <= HTTP_HEAD_BYTES);
        assert_true(c.t.body_in.len <= 100);
        assert_true((c.t.why[0] != '\0') == (row->end != TRANSFER_OK));
        if (row->script == say_long_head)
            assert_true(text_is(transfer_header(&c.t, "X-First"), "1"));
        transfer_release(&c.t);
        peer_stop(p);
    }
    rig_close(&r);
}

static void test_refused_and_unreachable(void **state)
{
    struct peer *p = peer_new(NULL);
    int port = p->port;
    struct rig r;
    struct call c;

    (void)state;
    peer_stop(p);
    rig_open(&r, NULL);
    call_init(&c, &r, "http", port);
    assert_true(call_run(&c));
    assert_int_equal(c.t.end, TRANSFER_REFUSED);
    assert_false(c.t.was_sent);
    assert_int_equal(c.t.connect_took_us, -1);
    assert_int_equal(c.t.first_byte_took_us, -1);
    transfer_release(&c.t);
    rig_close(&r);
}

static void test_a_name_that_does_not_resolve(void **state)
{
    struct rig r;
    struct call c;

    (void)state;
    rig_open(&r, NULL);
    call_init(&c, &r, "http", 80);
    c.t.url = "http://no-such-name.test/x";
    assert_true(call_run(&c));
    assert_int_equal(c.t.end, TRANSFER_DNS);
    assert_false(c.t.was_sent);
    transfer_release(&c.t);
    rig_close(&r);
}

/* libcurl waits for its resolver thread when a transfer is taken back, unless CURLOPT_QUICK_EXIT is set. */
static void test_cancelling_a_slow_lookup_does_not_wait_for_it(void **state)
{
    struct timespec rest = {.tv_nsec = 350 * 1000 * 1000};
    int64_t before_us;
    int64_t took_us;
    struct rig r;
    struct call c[2];

    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 2; i++) {
        call_init(&c[i], &r, "http", 80);
        c[i].t.url = "http://slow.test/x";
        c[i].t.connect_us = 60 * 1000;
        call_start(&c[i]);
    }
    rig_run(&r, 20);
    before_us = loop_clock_us(r.loop);
    r.http->ops->cancel(r.http, &c[0].t);
    assert_true(rig_wait(&r, 1, 2000)); /* the other one ends by its limit */
    took_us = loop_clock_us(r.loop) - before_us;
    assert_true(took_us < 200 * 1000);
    assert_int_equal(c[0].n_done, 0);
    assert_int_equal(c[1].t.end, TRANSFER_CONNECT_TIMEOUT);
    transfer_release(&c[1].t);
    rig_close(&r);
    (void)nanosleep(&rest, NULL); /* the two threads end, else they look like leaks */
}

static void test_codes_of_libcurl(void **state)
{
    static const struct {
        CURLcode code;
        bool was_sent;
        const char *error;
        enum transfer_end end;
    } codes[] = {
        {CURLE_OK, true, "", TRANSFER_OK},
        {CURLE_COULDNT_RESOLVE_HOST, false, "", TRANSFER_DNS},
        {CURLE_COULDNT_RESOLVE_PROXY, false, "", TRANSFER_DNS},
        {CURLE_COULDNT_CONNECT, false, "", TRANSFER_REFUSED},
        {CURLE_PROXY, false, "", TRANSFER_REFUSED},
        {CURLE_OPERATION_TIMEDOUT, false, "", TRANSFER_CONNECT_TIMEOUT},
        {CURLE_OPERATION_TIMEDOUT, true, "", TRANSFER_TOTAL_TIMEOUT},
        {CURLE_PEER_FAILED_VERIFICATION, false, "SSL certificate problem", TRANSFER_TLS},
        {CURLE_SSL_CONNECT_ERROR, false, "error:0A000410:SSL routines::sslv3 alert handshake failure", TRANSFER_TLS},
        {CURLE_SSL_CONNECT_ERROR, false, "OpenSSL SSL_connect: Connection reset by peer in connection to x:1",
         TRANSFER_RESET},
        {CURLE_SSL_CONNECT_ERROR, false, "error:0A000126:SSL routines::unexpected eof while reading", TRANSFER_RESET},
        {CURLE_SSL_CONNECT_ERROR, false, "Recv failure: Connection reset by peer", TRANSFER_RESET},
        {CURLE_SSL_CACERT_BADFILE, false, "", TRANSFER_LOCAL},
        {CURLE_SEND_ERROR, true, "", TRANSFER_RESET},
        {CURLE_RECV_ERROR, true, "Recv failure: Connection reset by peer", TRANSFER_RESET},
        {CURLE_RECV_ERROR, true, "Illegal or missing hexadecimal sequence in chunked-encoding", TRANSFER_PROTOCOL},
        {CURLE_GOT_NOTHING, true, "", TRANSFER_RESET},
        {CURLE_HTTP2_STREAM, true, "", TRANSFER_RESET},
        {CURLE_HTTP2, true, "", TRANSFER_RESET},
        {CURLE_SEND_FAIL_REWIND, true, "", TRANSFER_RESEND},
        {CURLE_PARTIAL_FILE, true, "", TRANSFER_TRUNCATED},
        {CURLE_WEIRD_SERVER_REPLY, true, "", TRANSFER_PROTOCOL},
        {CURLE_UNSUPPORTED_PROTOCOL, false, "", TRANSFER_LOCAL},
        {CURLE_UNSUPPORTED_PROTOCOL, true, "", TRANSFER_PROTOCOL},
        {CURLE_URL_MALFORMAT, false, "", TRANSFER_LOCAL},
        {CURLE_OUT_OF_MEMORY, false, "", TRANSFER_LOCAL},
        {CURLE_TFTP_NOTFOUND, false, "", TRANSFER_LOCAL},
        {CURLE_TFTP_NOTFOUND, true, "", TRANSFER_PROTOCOL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        assert_int_equal(http_end_of(codes[i].code, codes[i].was_sent, codes[i].error), codes[i].end);
}

static void test_every_end_but_ok_has_a_word(void **state)
{
    (void)state;
    assert_null(transfer_detail(TRANSFER_OK));
    for (int i = TRANSFER_OK + 1; i < TRANSFER_END_MAX; i++)
        for (int k = TRANSFER_OK + 1; k < i; k++)
            assert_string_not_equal(transfer_detail((enum transfer_end)i), transfer_detail((enum transfer_end)k));
    assert_string_equal(transfer_detail(TRANSFER_REFUSED), "connect_refused");
    assert_string_equal(transfer_detail(TRANSFER_FIRST_BYTE_TIMEOUT), "first_byte_timeout");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_misbehaviour_has_its_end),
        cmocka_unit_test(test_refused_and_unreachable),
        cmocka_unit_test(test_a_name_that_does_not_resolve),
        cmocka_unit_test(test_cancelling_a_slow_lookup_does_not_wait_for_it),
        cmocka_unit_test(test_codes_of_libcurl),
        cmocka_unit_test(test_every_end_but_ok_has_a_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
