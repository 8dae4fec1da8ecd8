/* SPDX-License-Identifier: Apache-2.0 */
/* The connection against scripted servers that answer wrongly, oddly, late, in pieces or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "unit/redis/redis_rig.h"
#include "unit/redis/redis_server.h"

#define HELLO "+OK\r\n+OK\r\n$29\r\nrun_id:0123456789abcdef0123\r\n\r\n+PONG\r\n"

/* Answers HELLO to the first bytes of a connection, `script` to the next ones. */
struct fake {
    struct rig *rig;
    int listener, fd;
    struct watch *accepting, *reading;
    const char *hello, *script;
    size_t script_len;
    bool hangs_up;      /* after the script */
    bool is_slow;       /* one byte per turn */
    const char *unsent; /* [n_unsent], what is_slow has left */
    size_t n_unsent;
    struct wake more;
    int n_reads, n_accepts;
    struct buf got;
};

static void on_more(void *arg)
{
    struct fake *f = arg;
    size_t n = f->is_slow && f->n_unsent > 0 ? 1 : f->n_unsent;

    (void)!send(f->fd, f->unsent, n, MSG_NOSIGNAL);
    f->unsent += n;
    f->n_unsent -= n;
    if (f->n_unsent > 0)
        loop_wake(f->rig->loop, &f->more);
}

static void fake_send(struct fake *f, const char *bytes, size_t len)
{
    f->unsent = bytes;
    f->n_unsent = len;
    loop_wake(f->rig->loop, &f->more);
}

static void fake_hang_up(struct fake *f)
{
    watch_free(TAKE(f->reading));
    if (f->fd >= 0)
        (void)close(f->fd);
    f->fd = -1;
    f->n_unsent = 0;
}

static void on_bytes(void *arg, int fd, int what)
{
    struct fake *f = arg;
    char bytes[65536];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    (void)what;
    if (n <= 0) {
        fake_hang_up(f);
        return;
    }
    buf_add(&f->got, bytes, (size_t)n);
    f->n_reads++;
    if (f->n_reads == 1)
        fake_send(f, f->hello, strlen(f->hello));
    else if (f->n_reads == 2)
        fake_send(f, f->script, f->script_len);
    if (f->n_reads == 2 && f->hangs_up) {
        on_more(f);
        fake_hang_up(f);
    }
}

static void on_accept(void *arg, int fd, int what)
{
    struct fake *f = arg;

    (void)what;
    fake_hang_up(f);
    f->fd = accept(fd, NULL, NULL);
    f->n_accepts++;
    f->n_reads = 0;
    loop_stop(f->rig->loop);
    if (f->fd >= 0)
        f->reading = watch_new(f->rig->loop, f->fd, LOOP_READ, on_bytes, f);
}

static int fake_init(struct fake *f, struct rig *r)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    *f = (struct fake){.rig = r, .fd = -1, .hello = HELLO, .script = ""};
    wake_init(&f->more, on_more, f);
    buf_init(&f->got, 0);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(bind(f->listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(f->listener, 16) == 0);
    CHECK(getsockname(f->listener, (struct sockaddr *)&a, &len) == 0);
    f->accepting = watch_new(r->loop, f->listener, LOOP_READ, on_accept, f);
    return ntohs(a.sin_port);
}

static void fake_done(struct fake *f)
{
    wake_cancel(&f->more);
    fake_hang_up(f);
    watch_free(f->accepting);
    (void)close(f->listener);
    buf_done(&f->got);
}

static void open_fake(struct rig *r, struct fake *f, const char *login, int64_t connect_us)
{
    static const struct redis_events events = {.up = rig_on_up, .down = rig_on_down};
    const char *why;
    char url[128];

    rig_init(r);
    (void)snprintf(url, sizeof(url), "redis://%s127.0.0.1:%d", login, fake_init(f, r));
    CHECK(redis_conf_parse(url, &r->conf, &why) == 0);
    r->conf.connect_us = connect_us;
    r->redis = redis_new(r->loop, &r->rng, &r->conf, &events, r);
}

struct hostile {
    const char *bytes;
    bool hangs_up;
    bool is_answered; /* the PING gets a reply before the connection dies */
};

#define DEEP "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"

static const struct hostile hostiles[] = {
    {"?what\r\n", false, false},
    {"%1\r\n+a\r\n+b\r\n", false, false},    /* RESP3 map */
    {">2\r\n+push\r\n+x\r\n", false, false}, /* RESP3 push */
    {"HTTP/1.1 400 Bad Request\r\n\r\n", false, false},
    {"*2147483647\r\n", false, false},
    {"*1048577\r\n", false, false},
    {"*99999999999999999999\r\n", false, false},
    {"*-2\r\n", false, false},
    {"$-2\r\n", false, false},
    {"$99999999999999999999\r\n", false, false},
    {":notanumber\r\n", false, false},
    {DEEP, false, false},
    {"+PONG\r\n+PONG\r\n", false, true}, /* one too many */
    {"+PONG\r\n:1\r\n$-1\r\n*0\r\n", false, true},
    {"*2\r\n*1048000\r\n*1048000\r\n", false, false}, /* each allowed, together not */
    {"$5\r\nabc", true, false},
    {"*3\r\n:1\r\n", true, false},
    {"+PO", true, false},
    {"", true, false},
    {"-READONLY You can't write against a read only replica.\r\n", false, true},
};

static void test_garbage(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hostiles); i++) {
        const struct hostile *h = &hostiles[i];
        struct answer ping;
        struct fake f;
        struct rig r;

        print_message("%.30s\n", h->bytes);
        open_fake(&r, &f, "", 0);
        f.script = h->bytes;
        f.script_len = strlen(h->bytes);
        f.hangs_up = h->hangs_up;
        assert_true(rig_wait(&r, &r.n_up, 1, 5000));
        assert_string_equal(redis_server_id(r.redis), "0123456789abcdef");
        assert_int_equal(rig_send(&r, "PING", 4000000, &ping), 0);
        assert_true(rig_wait(&r, &r.n_down, 1, 3000));
        assert_int_equal(ping.n, 1);
        assert_int_equal(ping.error, h->is_answered ? 0 : -ECONNRESET);
        assert_int_equal(r.n_done_at_down, 1);
        assert_true(rig_wait(&r, &r.n_up, 2, 5000)); /* and it comes back by itself */
        fake_done(&f);
        rig_done(&r);
    }
}

static void test_odd_but_right(void **state)
{
    static const char reply[] = "*5\r\n$2\r\na\0\r\n*-1\r\n*2\r\n:-7\r\n-ERR x\r\n$0\r\n\r\n$-1\r\n";
    struct answer a;
    struct fake f;
    struct rig r;

    (void)state;
    open_fake(&r, &f, "", 0);
    f.script = reply;
    f.script_len = sizeof(reply) - 1;
    f.is_slow = true;
    assert_true(rig_wait(&r, &r.n_up, 1, 5000));
    assert_int_equal(rig_send(&r, "X", 4000000, &a), 0);
    assert_true(rig_wait(&r, &a.n, 1, 3000));
    assert_int_equal(a.type, REDIS_ARRAY);
    assert_int_equal(a.elements, 5);
    assert_int_equal(r.n_down, 0);
    fake_done(&f);
    rig_done(&r);
}

static void test_one_write_per_turn(void **state)
{
    struct answer a;
    struct fake f;
    struct rig r;

    (void)state;
    open_fake(&r, &f, "", 0);
    f.script = "+1\r\n+2\r\n+3\r\n";
    f.script_len = 12;
    assert_true(rig_wait(&r, &r.n_up, 1, 5000));
    assert_int_equal(rig_send(&r, "A", 0, NULL), 0);
    assert_int_equal(rig_send(&r, "B", 0, NULL), 0);
    assert_int_equal(rig_send(&r, "C", 0, &a), 0);
    assert_true(rig_wait(&r, &a.n, 1, 3000));
    assert_string_equal(a.s, "3");
    assert_int_equal(f.n_reads, 2); /* the greeting and the three commands */
    fake_done(&f);
    rig_done(&r);
}

/* A greeting that fails: never up, tried again, and nothing of the password in the texts we log. */
static void test_greetings(void **state)
{
    static const char *const hellos[] = {
        "",
        "-ERR max number of clients reached\r\n",
        "-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n+OK\r\n+OK\r\n$0\r\n\r\n+PONG\r\n",
        "-WRONGPASS hunter2 is wrong\r\n-NOAUTH\r\n-NOAUTH\r\n-NOAUTH\r\n-NOAUTH\r\n",
        "+OK\r\n-ERR DB index is out of range\r\n+OK\r\n$0\r\n\r\n+PONG\r\n",
        "+OK\r\n+OK\r\n+OK\r\n$0\r\n\r\n-LOADING Redis is loading the dataset in memory\r\n",
        ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
        "+OK\r\n+OK\r\n+OK\r\n$0\r\n",
    };

    char log[16384] = "", path[] = "/tmp/tutti-log-XXXXXX";
    int saved = dup(STDERR_FILENO), fd = mkstemp(path);
    ssize_t n;

    (void)state;
    (void)unlink(path);
    (void)dup2(fd, STDERR_FILENO);
    for (size_t i = 0; i < ARRAY_LEN(hellos); i++) {
        struct fake f;
        struct rig r;

        print_message("%.30s\n", hellos[i]);
        open_fake(&r, &f, ":hunter2@", 50000);
        f.hello = hellos[i];
        assert_true(rig_wait(&r, &f.n_accepts, 2, 5000));
        assert_int_equal(r.n_up, 0);
        assert_int_equal(r.n_down, 0);
        assert_non_null(strstr(f.got.p, "hunter2"));
        fake_done(&f);
        rig_done(&r);
    }
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    n = pread(fd, log, sizeof(log) - 1, 0);
    (void)close(fd);
    assert_true(n > 0);
    assert_non_null(strstr(log, "redis_refused"));
    assert_non_null(strstr(log, "WRONGPASS"));
    assert_null(strstr(log, "hunter2"));
}

/* Without INFO or CLIENT (an ACL may forbid them) it works, without an id. */
static void test_forbidden_info(void **state)
{
    struct fake f;
    struct rig r;

    (void)state;
    open_fake(&r, &f, "", 0);
    f.hello = "+OK\r\n-NOPERM x\r\n-NOPERM y\r\n+PONG\r\n";
    assert_true(rig_wait(&r, &r.n_up, 1, 5000));
    assert_string_equal(redis_server_id(r.redis), "");
    fake_done(&f);
    rig_done(&r);
}

static void test_unknown_host(void **state)
{
    struct rig r;
    int never = 0;

    (void)state;
    rig_init(&r);
    rig_open(&r, "redis://no-such-host.invalid");
    (void)rig_wait(&r, &never, 1, 50);
    assert_int_equal(r.n_up, 0);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_odd_but_right),
        cmocka_unit_test(test_one_write_per_turn),
        cmocka_unit_test(test_greetings),
        cmocka_unit_test(test_forbidden_info),
        cmocka_unit_test(test_unknown_host),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
