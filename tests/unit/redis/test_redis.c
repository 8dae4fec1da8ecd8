/* SPDX-License-Identifier: Apache-2.0 */
/* The connection against a real redis-server: replies, passwords, TLS, death, silence and return of the server. Takes a
 * few seconds, since servers have to start and deadlines have to pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "unit/redis/redis_rig.h"
#include "unit/redis/redis_server.h"

static void url_of(const struct redis_server *s, const char *scheme, const char *login, char *out, size_t size)
{
    (void)snprintf(out, size, "%s://%s127.0.0.1:%d/2", scheme, login, s->port);
}

static void open_plain(struct rig *r, struct redis_server *s)
{
    char url[128];

    server_init(s);
    server_start(s, NULL);
    rig_init(r);
    url_of(s, "redis", "", url, sizeof(url));
    rig_open(r, url);
    assert_true(rig_wait(r, &r->n_up, 1, 10000));
}

static void test_replies(void **state)
{
    struct redis_server s;
    struct rig r;
    struct answer a, b;
    const char *set[] = {"SET", "k", "a\0b\r\n"};
    const size_t set_len[] = {3, 1, 5};

    (void)state;
    server_init(&s);
    rig_init(&r);
    rig_open(&r, "redis://127.0.0.1:1");
    assert_int_equal(rig_send(&r, "PING", 0, NULL), -ENOTCONN);
    rig_done(&r);
    server_done(&s);

    open_plain(&r, &s);
    assert_int_equal(strlen(redis_server_id(r.redis)), 16);
    a = (struct answer){.rig = &r};
    assert_int_equal(redis_send(r.redis, 3, set, set_len, 0, rig_answer, &a), 0);
    assert_int_equal(a.n, 0);
    assert_int_equal(redis_pending(r.redis), 1);
    assert_true(rig_wait(&r, &a.n, 1, 5000));
    assert_int_equal(a.type, REDIS_STATUS);
    assert_int_equal(redis_pending(r.redis), 0);
    a = rig_ask(&r, "GET k");
    assert_int_equal(a.type, REDIS_STR);
    assert_int_equal(a.len, 5);
    a = rig_ask(&r, "GET nothing");
    assert_int_equal(a.type, REDIS_NIL);
    a = rig_ask(&r, "INCRBY n 9007199254740993");
    assert_int_equal(a.type, REDIS_INT);
    assert_true(a.i == 9007199254740993);
    a = rig_ask(&r, "INCR k");
    assert_int_equal(a.type, REDIS_ERROR);
    assert_int_equal(a.error, 0);
    a = rig_ask(&r, "MGET k nothing n");
    assert_int_equal(a.type, REDIS_ARRAY);
    assert_int_equal(a.elements, 3);
    a = rig_ask(&r, "LRANGE nothing 0 -1");
    assert_int_equal(a.type, REDIS_ARRAY);
    assert_int_equal(a.elements, 0);
    a = rig_ask(&r, "CLIENT GETNAME");
    assert_string_equal(a.s, "tutti-test");
    /* the database of the URL: not in 0 */
    assert_int_equal(rig_send(&r, "SELECT 0", 0, NULL), 0);
    assert_int_equal(rig_send(&r, "EXISTS k", 0, &a), 0);
    assert_int_equal(rig_send(&r, "SELECT 2", 0, NULL), 0);
    assert_int_equal(rig_send(&r, "EXISTS k", 0, &b), 0);
    assert_true(rig_wait(&r, &b.n, 1, 5000));
    assert_int_equal(a.i, 0);
    assert_int_equal(b.i, 1);
    rig_done(&r);
    server_done(&s);
}

static void test_many_in_order(void **state)
{
    enum { N = 3000 };
    struct redis_server s;
    struct rig r;
    struct answer *a = mem_zero(N * sizeof(*a));
    char *big = mem_zero(3 * 1024 * 1024);
    const char *argv[] = {"ECHO", big};
    const size_t len[] = {4, 3 * 1024 * 1024};
    struct answer echo = {.rig = &r};

    (void)state;
    open_plain(&r, &s);
    for (int i = 0; i < N; i++)
        assert_int_equal(rig_send(&r, "INCR n", 0, &a[i]), 0);
    assert_int_equal(redis_send(r.redis, 2, argv, len, 5000000, rig_answer, &echo), 0);
    assert_true(rig_wait(&r, &echo.n, 1, 10000));
    assert_int_equal(echo.len, len[1]);
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].n, 1);
        assert_int_equal(a[i].i, i + 1);
        assert_int_equal(a[i].place, i + 1);
    }
    /* more than the output may hold */
    for (int i = 0; i < 21; i++)
        assert_int_equal(redis_send(r.redis, 2, argv, len, 0, NULL, NULL), 0);
    assert_int_equal(redis_send(r.redis, 2, argv, len, 0, rig_answer, &echo), -ENOBUFS);
    assert_int_equal(echo.n, 1);
    rig_done(&r);
    server_done(&s);
    mem_free(big);
    mem_free(a);
}

static void free_inside(void *arg, const struct redis_reply *reply, int error)
{
    struct answer *a = arg;

    redis_free(TAKE(a->rig->redis));
    rig_answer(arg, reply, error);
}

static void test_free_inside_callback(void **state)
{
    struct redis_server s;
    struct rig r;
    struct answer a, b;

    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *argv[] = {i == 0 ? "PING" : "DEBUG"};

        open_plain(&r, &s);
        a = (struct answer){.rig = &r};
        assert_int_equal(redis_send(r.redis, 1, argv, NULL, 0, free_inside, &a), 0);
        assert_int_equal(rig_send(&r, "PING", 0, &b), 0);
        if (i == 1) {
            server_kill(&s);
        }
        assert_true(rig_wait(&r, &a.n, 1, 5000));
        assert_int_equal(a.error, i == 0 ? 0 : -ENOTCONN); /* the end is read before the turn would write */
        assert_null(r.redis);
        (void)rig_wait(&r, &b.n, 1, 20);
        assert_int_equal(b.n, 0);
        assert_int_equal(r.n_down, 0);
        rig_done(&r);
        server_done(&s);
    }
}

static void test_killed_and_back(void **state)
{
    struct redis_server s;
    struct rig r;
    struct answer a, b, c;
    char id[32];
    int64_t reconnects = metric_get(METRIC_REDIS_RECONNECTS);

    (void)state;
    open_plain(&r, &s);
    (void)snprintf(id, sizeof(id), "%s", redis_server_id(r.redis));
    assert_int_equal(rig_ask(&r, "SET k 1").error, 0);
    assert_int_equal(rig_send(&r, "BLPOP nothing 0", 20000000, &a), 0);
    assert_int_equal(rig_send(&r, "PING", 20000000, &b), 0);
    (void)rig_wait(&r, &b.n, 1, 20); /* both are written; neither is answered */
    assert_int_equal(b.n, 0);
    server_kill(&s);
    assert_int_equal(rig_send(&r, "PING", 0, &c), 0);
    assert_true(rig_wait(&r, &r.n_down, 1, 5000));
    assert_int_equal(a.n, 1);
    assert_int_equal(b.n, 1);
    assert_int_equal(c.n, 1);
    assert_int_equal(a.error, -ECONNRESET);
    assert_int_equal(b.error, -ECONNRESET);
    assert_true(c.error == -ECONNRESET || c.error == -ENOTCONN);
    assert_int_equal(r.n_done_at_down, r.n_done);
    assert_int_equal(rig_send(&r, "PING", 0, NULL), -ENOTCONN);
    server_start(&s, NULL);
    assert_true(rig_wait(&r, &r.n_up, 2, 15000));
    assert_string_not_equal(id, redis_server_id(r.redis));
    assert_int_equal(rig_ask(&r, "GET k").type, REDIS_NIL);
    assert_int_equal(metric_get(METRIC_REDIS_RECONNECTS), reconnects + 1);
    assert_int_equal(a.n + b.n + c.n, 3);
    rig_done(&r);
    server_done(&s);
}

static void test_stopped_server_misses_the_deadline(void **state)
{
    struct redis_server s;
    struct rig r;
    struct answer late, early;

    (void)state;
    open_plain(&r, &s);
    (void)kill(s.pid, SIGSTOP);
    assert_int_equal(rig_send(&r, "PING", 10000000, &late), 0); /* deadlines need not be in order */
    assert_int_equal(rig_send(&r, "PING", 100000, &early), 0);
    assert_true(rig_wait(&r, &r.n_down, 1, 5000));
    assert_int_equal(early.n, 1);
    assert_int_equal(early.error, -ETIMEDOUT);
    assert_int_equal(late.n, 1);
    assert_int_equal(late.error, -ECONNRESET);
    (void)kill(s.pid, SIGCONT);
    assert_true(rig_wait(&r, &r.n_up, 2, 15000));
    assert_string_equal(rig_ask(&r, "PING").s, "PONG");
    rig_done(&r);
    server_done(&s);
}

static void test_passwords(void **state)
{
    static const struct {
        const char *login;
        bool is_right;
    } rows[] = {
        {":secret@", true}, {"default:secret@", true}, {"ann:p%40ss@", true},
        {"", false},        {":wrong@", false},        {"ann:secret@", false},
    };
    static const char *const options[] = {"--requirepass", "secret", "--user", "ann",   "on",
                                          ">p@ss",         "~*",     "&*",     "+@all", NULL};
    struct redis_server s;
    char url[128];

    (void)state;
    server_init(&s);
    server_start(&s, options);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;

        rig_init(&r);
        url_of(&s, "redis", rows[i].login, url, sizeof(url));
        rig_open(&r, url);
        (void)rig_wait(&r, &r.n_up, 1, rows[i].is_right ? 10000 : 150);
        assert_int_equal(r.n_up, rows[i].is_right);
        if (rows[i].is_right)
            assert_string_equal(rig_ask(&r, "PING").s, "PONG");
        else
            assert_int_equal(rig_send(&r, "PING", 0, NULL), -ENOTCONN);
        rig_done(&r);
    }
    server_done(&s);
}

/* A CA and a certificate for 127.0.0.1 and localhost in the server's directory. */
static void make_certificates(const char *dir)
{
    char command[1024];

    (void)snprintf(command, sizeof(command),
                   "cd %s && exec 2>/dev/null && "
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca "
                   "-keyout ca.key -out ca.crt && "
                   "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout s.key "
                   "-out s.csr && "
                   "printf 'subjectAltName=IP:127.0.0.1,DNS:other.example' > ext && "
                   "openssl x509 -req -in s.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext "
                   "-out s.crt",
                   dir);
    CHECK(system(command) == 0);
}

static void test_tls(void **state)
{
    struct redis_server s;
    char port[16], cert[128], key[128], ca[128], url[128];
    const char *options[] = {"--port",
                             "0",
                             "--tls-port",
                             port,
                             "--tls-cert-file",
                             cert,
                             "--tls-key-file",
                             key,
                             "--tls-ca-cert-file",
                             ca,
                             "--tls-auth-clients",
                             "no",
                             "--requirepass",
                             "x",
                             NULL};

    (void)state;
    server_init(&s);
    make_certificates(s.dir);
    (void)snprintf(port, sizeof(port), "%d", s.port);
    (void)snprintf(cert, sizeof(cert), "%s/s.crt", s.dir);
    (void)snprintf(key, sizeof(key), "%s/s.key", s.dir);
    (void)snprintf(ca, sizeof(ca), "%s/ca.crt", s.dir);
    server_start(&s, options);
    for (int i = 0; i < 4; i++) {
        bool is_right = i == 0; /* 1: a name the certificate lacks; 2: the system's store; 3: no such CA file */
        static const struct redis_events events = {.up = rig_on_up, .down = rig_on_down};
        const char *why;
        struct rig r;

        rig_init(&r);
        (void)snprintf(url, sizeof(url), "rediss://:x@%s:%d", i == 1 ? "localhost" : "127.0.0.1", s.port);
        assert_int_equal(redis_conf_parse(url, &r.conf, &why), 0);
        r.conf.ca_file = i == 2 ? NULL : mem_strdup(i == 3 ? "/nonexistent" : ca);
        r.redis = redis_new(r.loop, &r.rng, &r.conf, &events, &r);
        (void)rig_wait(&r, &r.n_up, 1, is_right ? 10000 : 300);
        assert_int_equal(r.n_up, is_right);
        if (is_right) {
            char *big = mem_zero(1000000);
            const char *argv[] = {"ECHO", big};
            const size_t len[] = {4, 1000000};
            struct answer a = {.rig = &r};

            assert_int_equal(redis_send(r.redis, 2, argv, len, 5000000, rig_answer, &a), 0);
            assert_true(rig_wait(&r, &a.n, 1, 5000));
            assert_int_equal(a.len, 1000000);
            server_kill(&s);
            assert_true(rig_wait(&r, &r.n_down, 1, 5000));
            server_start(&s, options);
            assert_true(rig_wait(&r, &r.n_up, 2, 15000));
            mem_free(big);
        }
        rig_done(&r);
    }
    server_done(&s);
}

static void test_names(void **state)
{
    struct redis_server s;
    struct rig r;
    char url[128];

    (void)state;
    server_init(&s);
    server_start(&s, NULL);
    rig_init(&r);
    (void)snprintf(url, sizeof(url), "redis://localhost:%d", s.port); /* ::1 refuses, 127.0.0.1 answers */
    rig_open(&r, url);
    assert_true(rig_wait(&r, &r.n_up, 1, 10000));
    rig_done(&r);
    server_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_many_in_order),
        cmocka_unit_test(test_free_inside_callback),
        cmocka_unit_test(test_killed_and_back),
        cmocka_unit_test(test_stopped_server_misses_the_deadline),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
