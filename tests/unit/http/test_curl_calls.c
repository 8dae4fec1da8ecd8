/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that work: what is sent, what is read, reuse of connections, timings; and calls that cannot even start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "rig.h"

/* Answers each request with its own body. */
static void echo(struct peer_conn *c)
{
    size_t head;
    size_t body;
    char line[128];

    while (peer_take(c, &head, &body)) {
        snprintf(line, sizeof(line), "HTTP/1.1 200 OK\r\nX-Conn: %d\r\nContent-Length: %zu\r\n\r\n", c->index, body);
        if (!peer_say(c, line) || !peer_write(c, c->in + head, body))
            return;
    }
}

static void test_a_call_brings_the_answer_and_reuses_the_connection(void **state)
{
    struct peer *p = peer_new(echo);
    struct rig r;
    struct call c;

    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 3; i++) {
        call_init(&c, &r, "http", p->port);
        assert_true(call_run(&c));
        assert_int_equal(c.t.end, TRANSFER_OK);
        assert_int_equal(c.t.status, 200);
        assert_true(c.t.was_sent);
        assert_string_equal(c.t.body_in.p, "{\"q\":1}");
        assert_true(text_is(transfer_header(&c.t, "x-conn"), "0"));
        assert_true(i == 0 ? c.t.connect_took_us > 0 : c.t.connect_took_us == 0);
        assert_true(c.t.first_byte_took_us > 0 && c.t.first_byte_took_us <= c.t.total_took_us);
        assert_true(c.t.sent_us > 0 && c.t.sent_us <= loop_clock_us(r.loop));
        assert_true(c.t.bytes_in == (int64_t)(c.t.head.len + c.t.body_in.len));
        assert_int_equal(c.t.bytes_out, strlen(p->last) + 7);
        assert_string_equal(c.t.why, "");
        assert_null(c.t.impl);
        assert_int_equal(c.n_done, 1);
        transfer_release(&c.t);
    }
    assert_int_equal(atomic_load(&p->n_conns), 1);
    rig_close(&r);
    peer_stop(p);
}

static void test_the_request_is_what_was_asked(void **state)
{
    static const struct http_header headers[] = {
        {"Content-Type", "application/json"}, {"X-Empty", ""}, {"X-Key", "a: b"}};
    static const char *const has[] = {"POST /x HTTP/1.1\r\n",    "\r\nContent-Type: application/json\r\n",
                                      "\r\nX-Empty:\r\n",        "\r\nX-Key: a: b\r\n",
                                      "\r\nUser-Agent: t/1\r\n", "\r\nContent-Length: 7\r\n"};
    static const char *const lacks[] = {"Expect:", "Accept-Encoding", "urlencoded", "Upgrade"};
    struct peer *p = peer_new(echo);
    struct rig r;
    struct call c;

    (void)state;
    rig_open(&r, &(struct http_curl_conf){.user_agent = "t/1"});
    for (int i = 0; i < 2; i++) { /* the second time with the handle of the first and other headers */
        call_init(&c, &r, "http", p->port);
        if (i == 1) {
            c.t.headers = headers;
            c.t.n_headers = 3;
        }
        assert_true(call_run(&c));
        assert_int_equal(c.t.end, TRANSFER_OK);
        transfer_release(&c.t);
    }
    for (size_t i = 0; i < ARRAY_LEN(has); i++)
        assert_non_null(strstr(p->last, has[i]));
    for (size_t i = 0; i < ARRAY_LEN(lacks); i++)
        assert_null(strstr(p->last, lacks[i]));
    assert_null(strstr(p->last, "Authorization"));
    rig_close(&r);
    peer_stop(p);
}

static void test_big_bodies_go_both_ways(void **state)
{
    enum { BYTES = 900 * 1000 };
    struct peer *p = peer_new(echo);
    char *body = malloc(BYTES);
    struct rig r;
    struct call c;

    (void)state;
    for (int i = 0; i < BYTES; i++)
        body[i] = (char)('a' + i % 26);
    rig_open(&r, NULL);
    for (int i = 0; i < 2; i++) {
        call_init(&c, &r, "http", p->port);
        c.t.body = i == 0 ? text_slice(body, BYTES) : TEXT_NONE;
        c.t.first_byte_us = 2000 * 1000;
        assert_true(call_run(&c));
        assert_int_equal(c.t.end, TRANSFER_OK);
        assert_int_equal(c.t.body_in.len, i == 0 ? BYTES : 0);
        if (i == 0)
            assert_memory_equal(c.t.body_in.p, body, BYTES);
        assert_int_equal(c.t.bytes_out, strlen(p->last) + (i == 0 ? BYTES : 0));
        transfer_release(&c.t);
    }
    rig_close(&r);
    peer_stop(p);
    free(body);
}

static const char *said;

static void say(struct peer_conn *c)
{
    while (peer_request(c) && peer_say(c, said))
        ;
}

static void test_answers_of_all_shapes(void **state)
{
    static const struct {
        const char *said;
        int status;
        const char *body;
        const char *header; /* of X-A */
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", "1"},
        {"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:   2 \t\r\nContent-Length: 0\r\n\r\n", 200, "", "2"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n", 200, "hi yo", NULL},
        {"HTTP/1.1 429 Slow\r\nX-A:\r\nContent-Length: 4\r\n\r\nslow", 429, "slow", ""},
        {"HTTP/1.1 500 E\r\nContent-Length: 1\r\n\r\nx", 500, "x", NULL},
        {"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 1\r\n\r\nx", 302, "x", NULL},
        {"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 1\r\n\r\nx", 401, "x", NULL},
        {"HTTP/1.1 417 No\r\nContent-Length: 1\r\n\r\nx", 417, "x", NULL},
        {"HTTP/1.1 204 None\r\nX-A: z\r\n\r\n", 204, "", "z"},
        {"HTTP/1.1 100 Go on\r\nX-A: early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", NULL},
        {"HTTP/1.1 103 Hints\r\nX-A: early\r\n\r\nHTTP/1.1 200 OK\r\nX-A: late\r\nContent-Length: 1\r\n\r\nx", 200, "x",
         "late"},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw", 200, "raw", NULL},
    };
    struct peer *p = peer_new(say);
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call c;
        struct text header;

        said = rows[i].said;
        call_init(&c, &r, "http", p->port);
        assert_true(call_run(&c));
        assert_int_equal(c.t.end, TRANSFER_OK);
        assert_int_equal(c.t.status, rows[i].status);
        assert_int_equal(c.t.body_in.len, strlen(rows[i].body));
        if (rows[i].body[0] != '\0')
            assert_string_equal(c.t.body_in.p, rows[i].body);
        header = transfer_header(&c.t, "X-A");
        assert_true(rows[i].header == NULL ? header.p == NULL : text_is(header, rows[i].header));
        transfer_release(&c.t);
    }
    assert_int_equal(atomic_load(&p->n_requests), ARRAY_LEN(rows));
    rig_close(&r);
    peer_stop(p);
}

static void test_a_call_that_cannot_start_ends_as_local_and_not_nested(void **state)
{
    static const struct http_header bad_value[] = {{"X-A", "1\r\nX-B: 2"}};
    static const struct http_header bad_name[] = {{"X:A", "1"}};
    static const struct {
        const char *url;
        const struct http_header *headers;
    } rows[] = {
        {"ftp://127.0.0.1/x", NULL},
        {"127.0.0.1/x", NULL},
        {"", NULL},
        {"http://", NULL},
        {"http://127.0.0.1:99999/x", NULL},
        {"http://127.0.0.1:9/x", bad_value},
        {"http://127.0.0.1:9/x", bad_name},
        {"file:///etc/passwd", NULL},
    };
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call c;

        call_init(&c, &r, "http", 9);
        c.t.url = rows[i].url;
        if (rows[i].headers != NULL) {
            c.t.headers = rows[i].headers;
            c.t.n_headers = 1;
        }
        assert_true(call_run(&c));
        assert_int_equal(c.t.end, TRANSFER_LOCAL);
        assert_false(c.t.was_sent);
        assert_true(c.t.why[0] != '\0');
        assert_null(strstr(c.t.why, "X-B"));
        transfer_release(&c.t);
    }
    assert_false(r.was_nested);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_brings_the_answer_and_reuses_the_connection),
        cmocka_unit_test(test_the_request_is_what_was_asked),
        cmocka_unit_test(test_big_bodies_go_both_ways),
        cmocka_unit_test(test_answers_of_all_shapes),
        cmocka_unit_test(test_a_call_that_cannot_start_ends_as_local_and_not_nested),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
