/* SPDX-License-Identifier: Apache-2.0 */
/* Watches of descriptors: level triggering, changing; a freed, closed or reused descriptor never calls back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "loop.h"

static struct loop *loop;
static struct timer guard; /* ends a run in which nothing happens */
static int n_guards;

static void on_guard(void *arg)
{
    (void)arg;
    n_guards++;
    loop_stop(loop);
}

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    timer_init(&guard, on_guard, NULL);
    n_guards = 0;
    return loop == NULL;
}

static int teardown(void **state)
{
    (void)state;
    timer_stop(loop, &guard);
    loop_free(loop);
    return 0;
}

static void run_at_most_us(int64_t us)
{
    timer_start(loop, &guard, loop_now_us(loop) + us);
    loop_run(loop);
    timer_stop(loop, &guard);
}

/* Two ends of a socket pair, and what the watch of the first end saw. */
struct end {
    int fd[2];
    struct watch *watch;
    int n_calls;
    int what; /* of the last call */
    int stop_after;
    int64_t age_us;    /* clock minus now, in the last call */
    struct end *frees; /* in the callback: that end's watch is freed */
    bool closes;       /* ... its descriptor closed, and the number given to `reuse` */
    struct end *reuse;
    bool is_quiet; /* do not read */
};

static void on_end(void *arg, int fd, int what);

static void end_open(struct end *e)
{
    memset(e, 0, sizeof(*e));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, e->fd) == 0);
}

static void end_watch(struct end *e, int what)
{
    e->watch = watch_new(loop, e->fd[0], what, on_end, e);
}

static void end_close(struct end *e)
{
    watch_free(e->watch);
    (void)close(e->fd[0]);
    (void)close(e->fd[1]);
}

/* Puts the first end of `e` under the number `fd`. */
static void end_move(struct end *e, int fd)
{
    CHECK(dup2(e->fd[0], fd) == fd);
    (void)close(e->fd[0]);
    e->fd[0] = fd;
}

static void end_poke(const struct end *e)
{
    CHECK(write(e->fd[1], "x", 1) == 1);
}

static void on_end(void *arg, int fd, int what)
{
    struct end *e = arg;
    char c;

    e->n_calls++;
    e->what = what;
    e->age_us = loop_clock_us(loop) - loop_now_us(loop);
    if ((what & LOOP_READ) != 0 && !e->is_quiet)
        (void)!read(fd, &c, 1);
    if (e->frees != NULL && e->frees->watch != NULL) {
        watch_free(e->frees->watch);
        e->frees->watch = NULL;
        if (e->closes)
            (void)close(e->frees->fd[0]);
        if (e->reuse != NULL) {
            end_move(e->reuse, e->frees->fd[0]);
            end_watch(e->reuse, LOOP_READ);
        }
    }
    if (e->n_calls == e->stop_after)
        loop_stop(loop);
}

static void test_what_is_reported(void **state)
{
    static const struct {
        const char *about;
        int what;
        bool poke;
        int seen; /* 0: no call */
    } rows[] = {
        {"writable", LOOP_WRITE, false, LOOP_WRITE},
        {"not readable", LOOP_READ, false, 0},
        {"readable", LOOP_READ, true, LOOP_READ},
        {"both", LOOP_READ | LOOP_WRITE, true, LOOP_READ | LOOP_WRITE},
        {"only one of both", LOOP_READ | LOOP_WRITE, false, LOOP_WRITE},
        {"only what was asked for", LOOP_WRITE, true, LOOP_WRITE},
        {"nothing", 0, true, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct end e;

        end_open(&e);
        e.stop_after = 1;
        end_watch(&e, rows[i].what);
        if (rows[i].poke)
            end_poke(&e);
        run_at_most_us(rows[i].seen == 0 ? 5000 : 5000000);
        assert_int_equal(e.n_calls, rows[i].seen != 0);
        assert_int_equal(e.what, rows[i].seen);
        end_close(&e);
    }
}

static void test_level_triggered(void **state)
{
    struct end e;

    (void)state;
    end_open(&e);
    e.is_quiet = true;
    e.stop_after = 3;
    end_watch(&e, LOOP_READ);
    end_poke(&e);
    run_at_most_us(5000000);
    assert_int_equal(e.n_calls, 3);
    end_close(&e);
}

/* Something pending makes the wait a poll; an event that stays ready must not keep the poll from returning. */
static void on_again(void *arg)
{
    struct timer *t = arg;

    timer_start(loop, t, 0);
}

static void test_poll_returns_with_an_unread_event(void **state)
{
    struct timer busy;
    struct end e;

    (void)state;
    end_open(&e);
    e.is_quiet = true;
    e.stop_after = 3;
    timer_init(&busy, on_again, &busy);
    timer_start(loop, &busy, 0);
    end_watch(&e, LOOP_READ);
    end_poke(&e);
    run_at_most_us(50000);
    assert_int_equal(e.n_calls, 3);
    timer_stop(loop, &busy);
    end_close(&e);
}

static void test_hangup_is_readable(void **state)
{
    struct end e;

    (void)state;
    end_open(&e);
    e.stop_after = 1;
    end_watch(&e, LOOP_READ);
    (void)close(e.fd[1]);
    run_at_most_us(5000000);
    assert_int_equal(e.what, LOOP_READ);
    end_close(&e);
}

static void test_set(void **state)
{
    static const struct {
        int from, to, seen;
    } rows[] = {
        {LOOP_READ, LOOP_WRITE, LOOP_WRITE},
        {LOOP_WRITE, LOOP_READ, LOOP_READ},
        {0, LOOP_READ, LOOP_READ},
        {LOOP_READ, LOOP_READ | LOOP_WRITE, LOOP_READ | LOOP_WRITE},
        {LOOP_READ | LOOP_WRITE, LOOP_READ, LOOP_READ},
        {LOOP_READ, LOOP_READ, LOOP_READ},
        {LOOP_READ | LOOP_WRITE, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct end e;

        end_open(&e);
        e.stop_after = 1;
        end_watch(&e, rows[i].from);
        end_poke(&e);
        watch_set(e.watch, rows[i].to);
        run_at_most_us(rows[i].seen == 0 ? 5000 : 5000000);
        assert_int_equal(e.what, rows[i].seen);
        end_close(&e);
    }
}

static void on_late(void *arg)
{
    end_poke(arg);
}

static void test_now_is_fresh(void **state)
{
    struct end e;
    struct timer late;

    (void)state;
    end_open(&e);
    e.stop_after = 1;
    end_watch(&e, LOOP_READ);
    timer_init(&late, on_late, &e);
    timer_start(loop, &late, loop_now_us(loop) + 50000);
    run_at_most_us(5000000);
    assert_in_range(e.age_us, 0, 40000); /* not as old as the wait */
    end_close(&e);
}

/* The time of a callback that never asks for it is seen all the same. */
static void on_slow(void *arg, int fd, int what)
{
    struct end *e = arg;
    int64_t end_us = loop_clock_us(loop) + 6000;

    (void)fd;
    (void)what;
    while (loop_clock_us(loop) < end_us)
        ;
    e->age_us = loop_clock_us(loop) - loop_now_us(loop);
    loop_stop(loop);
}

static void test_slow_callback_is_counted(void **state)
{
    int64_t before = metric_get(METRIC_SLOW_TURNS);
    struct end e;

    (void)state;
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    end_open(&e);
    e.watch = watch_new(loop, e.fd[0], LOOP_WRITE, on_slow, &e);
    run_at_most_us(5000000);
    assert_true(e.age_us >= 6000); /* now is when the turn began */
    assert_int_equal(metric_get(METRIC_SLOW_TURNS), before + 1);
    end_close(&e);
}

/* Both ends are ready in the same wait; whichever runs first frees the other, by all the ways a library does it. */
static void test_stale_event_is_dropped(void **state)
{
    static const struct {
        const char *about;
        bool closes, reuses;
    } rows[] = {
        {"freed", false, false},
        {"freed and closed", true, false},
        {"freed, closed, number reused", true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct end a, b, c;

        end_open(&a);
        end_open(&b);
        end_open(&c);
        a.frees = &b;
        b.frees = &a;
        a.closes = b.closes = rows[i].closes;
        a.reuse = b.reuse = rows[i].reuses ? &c : NULL;
        end_watch(&a, LOOP_READ);
        end_watch(&b, LOOP_READ);
        end_poke(&a);
        end_poke(&b);
        run_at_most_us(5000);
        assert_int_equal(a.n_calls + b.n_calls, 1);
        assert_int_equal(c.n_calls, 0);
        if (rows[i].reuses) {
            end_poke(&c);
            c.stop_after = 1;
            run_at_most_us(5000000);
            assert_int_equal(c.n_calls, 1);
            assert_int_equal(a.n_calls + b.n_calls, 1);
            c.fd[0] = dup(c.fd[0]); /* closed below under its old number too */
        }
        end_close(&c);
        end_close(&a);
        end_close(&b);
    }
}

/* curl may close a descriptor without a word and open the next under the same number. */
static void test_number_reused_before_free(void **state)
{
    struct end old, new;

    (void)state;
    end_open(&old);
    end_watch(&old, LOOP_READ | LOOP_WRITE);
    end_open(&new);
    (void)close(old.fd[0]);
    end_move(&new, old.fd[0]);
    end_watch(&new, LOOP_READ);
    end_poke(&new);
    new.stop_after = 1;
    run_at_most_us(5000000);
    assert_int_equal(new.n_calls, 1); /* epoll learnt of it */
    assert_int_equal(old.n_calls, 0);

    watch_set(old.watch, LOOP_WRITE); /* a late change through the old one touches nothing */
    watch_free(old.watch);
    old.watch = NULL;
    end_poke(&new);
    new.stop_after = 2;
    run_at_most_us(5000000);
    assert_int_equal(new.n_calls, 2);
    assert_int_equal(old.n_calls, 0);
    old.fd[0] = -1;
    end_close(&new);
    end_close(&old);
}

/* The same, but the owner keeps its watch for the new descriptor and only sets it again. */
static void test_number_reused_with_the_same_watch(void **state)
{
    struct end e, next;

    (void)state;
    end_open(&e);
    end_watch(&e, LOOP_READ);
    end_open(&next);
    (void)close(e.fd[0]);
    end_move(&next, e.fd[0]);
    watch_set(e.watch, LOOP_READ);
    end_poke(&next);
    e.stop_after = 1;
    run_at_most_us(5000000);
    assert_int_equal(e.n_calls, 1);
    next.fd[0] = -1;
    end_close(&e);
    end_close(&next);
}

static void test_free_after_close(void **state)
{
    struct end e;

    (void)state;
    end_open(&e);
    end_watch(&e, LOOP_READ);
    (void)close(e.fd[0]);
    watch_free(e.watch);
    watch_free(NULL);
    e.watch = NULL;
    e.fd[0] = -1;
    end_close(&e);
    run_at_most_us(1000);
    assert_int_equal(n_guards, 1);
}

static void on_free_self(void *arg, int fd, int what)
{
    struct end *e = arg;

    (void)fd;
    (void)what;
    e->n_calls++;
    watch_free(e->watch);
    e->watch = NULL;
}

static void test_free_in_own_callback(void **state)
{
    struct end e;

    (void)state;
    end_open(&e);
    e.watch = watch_new(loop, e.fd[0], LOOP_WRITE, on_free_self, &e);
    run_at_most_us(5000);
    assert_int_equal(e.n_calls, 1);
    end_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level_triggered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_poll_returns_with_an_unread_event, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hangup_is_readable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_now_is_fresh, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_callback_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_event_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_number_reused_before_free, setup, teardown),
        cmocka_unit_test_setup_teardown(test_number_reused_with_the_same_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_after_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_in_own_callback, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
