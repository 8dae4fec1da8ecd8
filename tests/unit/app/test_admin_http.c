/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server's HTTP: what is answered how, later answers, clients that leave, too many of them. */
#include "app/admin_http.h"

#include <errno.h>

#include "admin_rig.h"
#include "base/buf.h"

static struct admin_http *server;
static struct admin_conn *held;
static sem_t is_held, is_gone;

static void on_gone(void *arg)
{
    (void)arg;
    CHECK(sem_post(&is_gone) == 0);
}

static void handle(void *arg, struct admin_conn *c, const struct admin_request *q)
{
    struct buf b;

    (void)arg;
    if (strcmp(q->path, "/later") == 0) {
        held = c;
        admin_conn_hold(c, on_gone, NULL);
        CHECK(sem_post(&is_held) == 0);
        return;
    }
    if (strcmp(q->path, "/nothing") == 0) {
        admin_reply_error(c, 404, "no \"such\" page");
        return;
    }
    buf_init(&b, 0);
    buf_printf(&b, "%s|%s\n", q->path, q->query);
    if (strcmp(q->path, "/large") == 0)
        for (int i = 0; i < 400000; i++)
            buf_add_str(&b, "0123456789");
    admin_reply(c, 200, "text/plain", "X-More: yes\r\n", &b);
    buf_done(&b);
}

static void test_answers(void **state)
{
    static const struct {
        const char *request, *status, *part;
    } cases[] = {
        {"GET /a/b?c=d HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n/a/b|c=d\n"},
        {"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "Content-Type: text/plain\r\nContent-Length: 3\r\n"},
        {"GET / HTTP/1.1\n\n", "HTTP/1.1 200 OK\r\n", "X-More: yes\r\n"},
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "X-Content-Type-Options: nosniff\r\n"},
        {"GET /nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n",
         "\r\n\r\n{\"schema_version\":1,\"error\":\"no \\\"such\\\" page\"}\n"},
        {"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 405 Method Not Allowed\r\n",
         "Allow: GET, HEAD\r\n"},
        {"DELETE / HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n", "application/json"},
        {"hello\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "application/json"},
        {"GET /\x01 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\"error\""},
        {"GET http://x/ HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\"error\""},
        {"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n", "\"error\""},
    };
    char out[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = client_connect(admin_http_address(server));

        (void)client_talk(fd, cases[i].request, out, sizeof(out));
        (void)close(fd);
        assert_int_equal(strncmp(out, cases[i].status, strlen(cases[i].status)), 0);
        assert_non_null(strstr(out, cases[i].part));
    }
}

static void test_head_has_no_body(void **state)
{
    int fd = client_connect(admin_http_address(server));
    char out[4096];

    (void)state;
    (void)client_talk(fd, "HEAD /abc HTTP/1.1\r\n\r\n", out, sizeof(out));
    (void)close(fd);
    assert_non_null(strstr(out, "Content-Length: 6\r\n")); /* as GET would say */
    assert_string_equal(strstr(out, "\r\n\r\n"), "\r\n\r\n");
}

static void test_head_in_pieces_and_large_answer(void **state)
{
    static char out[5 * 1024 * 1024];
    int fd = client_connect(admin_http_address(server));

    (void)state;
    assert_int_equal(send(fd, "GET /lar", 8, MSG_NOSIGNAL), 8);
    assert_int_equal(send(fd, "ge HTTP/1.1\r\nX: y\r\n", 19, MSG_NOSIGNAL), 19);
    (void)client_talk(fd, "\r\n", out, sizeof(out));
    (void)close(fd);
    assert_non_null(strstr(out, "Content-Length: 4000008\r\n"));
    assert_int_equal(strlen(strstr(out, "\r\n\r\n") + 4), 4000008);
}

static void test_long_head_is_refused(void **state)
{
    static char request[3 * ADMIN_HEAD_BYTES];
    int fd = client_connect(admin_http_address(server));
    char out[4096];

    (void)state;
    memset(request, 'a', sizeof(request) - 1);
    memcpy(request, "GET /", 5);
    (void)client_talk(fd, request, out, sizeof(out));
    (void)close(fd);
    assert_int_equal(strncmp(out, "HTTP/1.1 431 ", 13), 0);
}

static void reply_held(void *arg)
{
    (void)arg;
    admin_reply(held, 200, "text/plain", NULL, NULL);
}

static void wait_for(sem_t *s)
{
    while (sem_wait(s) < 0)
        ;
}

static void test_answer_comes_later(void **state)
{
    int fd = client_connect(admin_http_address(server));
    char out[1024];

    (void)state;
    assert_int_equal(send(fd, "GET /later HTTP/1.1\r\n\r\n", 23, MSG_NOSIGNAL), 23);
    wait_for(&is_held);
    run_on(*state, reply_held, NULL);
    assert_int_equal(strncmp(client_talk(fd, "", out, sizeof(out)), "HTTP/1.1 200 OK\r\n", 17), 0);
    (void)close(fd);
}

static void test_client_leaves_before_the_answer(void **state)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd = client_connect(admin_http_address(server));

    (void)state;
    assert_int_equal(send(fd, "GET /later HTTP/1.1\r\n\r\n", 23, MSG_NOSIGNAL), 23);
    wait_for(&is_held);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    (void)close(fd);
    wait_for(&is_gone);
}

/* Those that connect and say nothing make room, the oldest first. */
static void test_connections_are_bounded(void **state)
{
    int idle[ADMIN_CONNS_MAX + 10];
    time_t began = time(NULL);
    char out[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
        idle[i] = client_connect(admin_http_address(server));
    assert_int_equal(strncmp(client_get(admin_http_address(server), "/", out, sizeof(out)), "HTTP/1.1 200", 12), 0);
    assert_int_equal(recv(idle[0], out, sizeof(out), 0), 0); /* closed by the server */
    assert_true(time(NULL) - began < 8);                     /* not because its ten seconds were over */
    assert_int_equal(recv(idle[ADMIN_CONNS_MAX + 9], out, sizeof(out), MSG_DONTWAIT), -1); /* one of the youngest */
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
        (void)close(idle[i]);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *address;
        int r;
    } cases[] = {{"nowhere", -EINVAL}, {":80", -EINVAL}, {"256.0.0.1:80", -EINVAL}, {"192.0.2.1:0", -EADDRNOTAVAIL}};
    struct loop *loop = loop_new();
    struct admin_http *h;
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        why = NULL;
        assert_int_equal(admin_http_new(loop, cases[i].address, handle, NULL, &h, &why), cases[i].r);
        assert_non_null(why);
    }
    assert_int_equal(admin_http_new(loop, admin_http_address(server), handle, NULL, &h, &why), -EADDRINUSE);
    if (admin_http_new(loop, "[::1]:0", handle, NULL, &h, &why) == 0) { /* where the machine has IPv6 */
        assert_int_equal(strncmp(admin_http_address(h), "[::1]:", 6), 0);
        admin_http_free(h);
    }
    loop_free(loop);
}

static struct loop_thread thread;

static int set_up(void **state)
{
    struct loop *loop = loop_new();
    const char *why;

    CHECK(sem_init(&is_held, 0, 0) == 0 && sem_init(&is_gone, 0, 0) == 0);
    CHECK(admin_http_new(loop, "127.0.0.1:0", handle, NULL, &server, &why) == 0);
    loop_thread_start(&thread, loop);
    *state = loop;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_thread_stop(&thread);
    admin_http_free(server);
    loop_free(thread.loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_head_has_no_body),
        cmocka_unit_test(test_head_in_pieces_and_large_answer),
        cmocka_unit_test(test_long_head_is_refused),
        cmocka_unit_test(test_answer_comes_later),
        cmocka_unit_test(test_client_leaves_before_the_answer),
        cmocka_unit_test(test_connections_are_bounded),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
