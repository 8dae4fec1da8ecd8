/* SPDX-License-Identifier: Apache-2.0 */
/* The relay: bytes both ways, more of them than it may hold, both ends' farewells, a port that is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/relay.h"
#include "base/check.h"
#include "loop.h"

enum { BIG = 8 << 20, BLOCK = 65536 };

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* A server that sends everything back; ends with its listener's first caller. */
static int listen_any(int *out_port)
{
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *out_port = ntohs(a.sin_port);
    return fd;
}

static void *echo(void *arg)
{
    int fd = accept(*(int *)arg, NULL, NULL);
    char block[BLOCK];
    ssize_t n;

    while ((n = read(fd, block, sizeof(block))) > 0)
        for (ssize_t at = 0; at < n;) {
            ssize_t w = write(fd, block + at, (size_t)(n - at));

            if (w < 0)
                break;
            at += w;
        }
    (void)close(fd);
    return NULL;
}

struct caller {
    struct loop *loop;
    int port;
    size_t got;
    bool is_same;
    bool is_closed; /* its end was noticed by the server, and the other way round */
};

static void stop(void *arg)
{
    loop_stop(arg);
}

static void *write_all(void *arg)
{
    int fd = *(int *)arg;
    char block[BLOCK];

    for (size_t i = 0; i < BIG / BLOCK; i++) {
        memset(block, (int)(i & 0xff), sizeof(block));
        for (size_t at = 0; at < sizeof(block);) {
            ssize_t n = write(fd, block + at, sizeof(block) - at);

            if (n < 0)
                return NULL;
            at += (size_t)n;
        }
    }
    return NULL;
}

/* Sends BIG bytes and reads them back; the relay holds far less. */
static void *call(void *arg)
{
    struct caller *c = arg;
    struct sockaddr_in a = loopback(c->port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char block[BLOCK];
    pthread_t writer;
    ssize_t n;

    c->is_same = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    CHECK(pthread_create(&writer, NULL, write_all, &fd) == 0);
    while (c->got < BIG && (n = read(fd, block, sizeof(block))) > 0)
        for (ssize_t i = 0; i < n; i++, c->got++)
            c->is_same &= (unsigned char)block[i] == ((c->got / BLOCK) & 0xff);
    pthread_join(writer, NULL);
    (void)close(fd);
    loop_post(c->loop, stop, c->loop);
    return NULL;
}

static void test_bytes_go_both_ways(void **state)
{
    struct loop *loop = loop_new();
    int target, error = 0, fd = listen_any(&target);
    struct relay *r = relay_new(loop, 0, target, &error);
    struct caller c = {.loop = loop};
    pthread_t server, caller;

    (void)state;
    assert_non_null(r);
    c.port = relay_port(r);
    assert_true(c.port > 0 && c.port != target);
    assert_int_equal(pthread_create(&server, NULL, echo, &fd), 0);
    assert_int_equal(pthread_create(&caller, NULL, call, &c), 0);
    loop_run(loop);
    pthread_join(caller, NULL);
    assert_int_equal(c.got, BIG);
    assert_true(c.is_same);
    relay_free(r); /* closes what is open: the server ends */
    pthread_join(server, NULL);
    (void)close(fd);
    loop_free(loop);
}

/* Connects where nobody listens any more behind the relay: the caller is let go. */
static void *call_nobody(void *arg)
{
    struct caller *c = arg;
    struct sockaddr_in a = loopback(c->port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char byte;

    c->is_closed = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && read(fd, &byte, 1) <= 0;
    (void)close(fd);
    loop_post(c->loop, stop, c->loop);
    return NULL;
}

static void test_no_server_is_told_by_closing(void **state)
{
    struct loop *loop = loop_new();
    int target, error = 0, fd = listen_any(&target);
    struct relay *r = relay_new(loop, 0, target, &error);
    struct caller c = {.loop = loop};
    pthread_t caller;

    (void)state;
    (void)close(fd);
    c.port = relay_port(r);
    assert_int_equal(pthread_create(&caller, NULL, call_nobody, &c), 0);
    loop_run(loop);
    pthread_join(caller, NULL);
    assert_true(c.is_closed);
    relay_free(r);
    loop_free(loop);
}

static void test_a_taken_port_is_told(void **state)
{
    struct loop *loop = loop_new();
    int taken, error = 0, fd = listen_any(&taken);

    (void)state;
    assert_null(relay_new(loop, taken, taken, &error));
    assert_int_equal(error, EADDRINUSE);
    (void)close(fd);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_go_both_ways),
        cmocka_unit_test(test_no_server_is_told_by_closing),
        cmocka_unit_test(test_a_taken_port_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
