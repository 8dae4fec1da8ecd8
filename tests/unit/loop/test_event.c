/* SPDX-License-Identifier: Apache-2.0 */
/* The loop over libevent: time, waiting without turning, slow turns, and callbacks of an adapter on the same base. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/metrics.h"
#include "loop.h"

static struct loop *loop;
static struct hook hook;
static int n_turns;
static char trace[64];
static int n_trace;

static void note(char c)
{
    if (n_trace < (int)sizeof(trace) - 1)
        trace[n_trace++] = c;
    trace[n_trace] = '\0';
}

static void on_turn_end(void *arg)
{
    (void)arg;
    n_turns++;
    note('|');
}

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    hook = (struct hook){.fn = on_turn_end};
    loop_add_hook(loop, &hook);
    n_turns = 0;
    n_trace = 0;
    trace[0] = '\0';
    return loop == NULL;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void on_stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void on_note(void *arg)
{
    note(*(const char *)arg);
}

static int64_t clock_us(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void burn_us(int64_t us)
{
    int64_t end_us = clock_us(CLOCK_MONOTONIC) + us;

    while (clock_us(CLOCK_MONOTONIC) < end_us)
        ;
}

static void test_clocks_outside_of_run(void **state)
{
    int64_t first_us = loop_now_us(loop);

    (void)state;
    assert_false(loop_is_sim(loop));
    assert_non_null(loop_event_base(loop));
    burn_us(100);
    assert_true(loop_now_us(loop) >= first_us + 100); /* not held while no turn is under way */
    assert_true(llabs(loop_wall_us(loop) - clock_us(CLOCK_REALTIME)) < 1000000);
    assert_true(llabs(loop_wall_ms(loop) - clock_us(CLOCK_REALTIME) / 1000) < 1000);
}

/* Never early, and one turn per wake-up: an idle loop does not turn. */
struct tick {
    struct timer timer;
    int64_t period_us;
    int left;
    int n_early;
};

static void on_tick(void *arg)
{
    struct tick *t = arg;
    int64_t now_us = loop_now_us(loop);

    if (now_us < t->timer.deadline_us)
        t->n_early++;
    burn_us(50);
    if (loop_now_us(loop) != now_us || loop_clock_us(loop) < now_us + 50)
        t->n_early += 1000; /* now stands still within a turn, the clock does not */
    if (--t->left > 0)
        timer_start(loop, &t->timer, t->timer.deadline_us + t->period_us);
    else
        loop_stop(loop);
}

static void test_timers_wake_once_each(void **state)
{
    static const struct {
        int64_t period_us;
        int n;
    } rows[] = {{1000, 30}, {5000, 10}, {2300, 20}, {60000, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tick t = {.period_us = rows[i].period_us, .left = rows[i].n};

        n_turns = 0;
        timer_init(&t.timer, on_tick, &t);
        timer_start(loop, &t.timer, loop_now_us(loop) + rows[i].period_us);
        loop_run(loop);
        assert_int_equal(t.n_early, 0);
        assert_in_range(n_turns, 1, rows[i].n);
    }
}

/* Timers that were stopped leave no wake-up behind. */
static void test_stopped_timer_does_not_wake(void **state)
{
    struct timer early, stop;

    (void)state;
    timer_init(&early, on_note, "e");
    timer_init(&stop, on_stop, NULL);
    timer_start(loop, &stop, loop_now_us(loop) + 30000);
    timer_start(loop, &early, loop_now_us(loop) + 10000);
    timer_stop(loop, &early);
    loop_run(loop);
    assert_string_equal(trace, "|");
}

/* The earliest timer may move while it is armed. */
static struct timer moved, mover;

static void on_move(void *arg)
{
    (void)arg;
    timer_start(loop, &moved, loop_now_us(loop) + 2000);
}

static void test_earlier_timer_is_noticed(void **state)
{
    struct timer guard;
    int64_t start_us = loop_now_us(loop);

    (void)state;
    timer_init(&guard, on_note, "g");
    timer_start(loop, &guard, start_us + 60LL * 1000000);
    timer_init(&moved, on_stop, NULL);
    timer_start(loop, &moved, start_us + 50LL * 1000000);
    timer_init(&mover, on_move, NULL);
    timer_start(loop, &mover, start_us + 3000);
    loop_run(loop);
    assert_true(loop_now_us(loop) - start_us < 1000000);
    timer_stop(loop, &guard);
}

static void on_stop_soon(void *arg)
{
    static struct timer t;

    (void)arg;
    timer_init(&t, on_stop, NULL);
    timer_start(loop, &t, loop_now_us(loop) - 1);
}

static void test_pending_things_do_not_block(void **state)
{
    struct wake w;

    (void)state;
    wake_init(&w, on_stop_soon, NULL);
    loop_wake(loop, &w); /* nothing else could end this run */
    loop_run(loop);
    loop_post(loop, on_stop_soon, NULL);
    loop_run(loop);
    loop_post(loop, on_stop, NULL);
    loop_run(loop);
    assert_string_equal(trace, "|||||");
}

/* An adapter's callback (bufferevent, evhttp) on the same base: fresh time, and what it starts is run. */
static struct {
    struct wake wake;
    int64_t now_us, wall_us, clock_us, real_wall_us;
} seen;

static void on_foreign(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    seen.now_us = loop_now_us(loop);
    seen.clock_us = loop_clock_us(loop);
    seen.wall_us = loop_wall_us(loop);
    seen.real_wall_us = clock_us(CLOCK_REALTIME);
    note('f');
    loop_post(loop, on_note, "p");
    loop_wake(loop, &seen.wake);
    on_stop_soon(NULL);
}

static void test_foreign_callback(void **state)
{
    const struct timeval delay = {.tv_usec = 40000};
    struct event *event = event_new(loop_event_base(loop), -1, 0, on_foreign, NULL);

    (void)state;
    wake_init(&seen.wake, on_note, "w");
    event_add(event, &delay);
    loop_run(loop);
    event_free(event);
    /* the past timer and the post of this thread belong to the next turn */
    assert_string_equal(trace, "fw|p|");
    assert_in_range(seen.clock_us - seen.now_us, 0, 20000); /* not the 40 ms of the wait */
    assert_true(llabs(seen.real_wall_us - seen.wall_us) < 20000);
}

/* A wake-up that repeats itself uses its 2 ms and lets the turn go on. */
static void on_busy_wake(void *arg)
{
    burn_us(300);
    loop_wake(loop, arg);
}

static void test_wake_budget(void **state)
{
    struct wake w;
    struct tick t = {.left = 1};

    (void)state;
    wake_init(&w, on_busy_wake, &w);
    loop_wake(loop, &w);
    timer_init(&t.timer, on_tick, &t);
    timer_start(loop, &t.timer, loop_now_us(loop) + 10000);
    loop_run(loop);
    assert_true(n_turns >= 2);
    wake_cancel(&w);
}

static void on_burn(void *arg)
{
    burn_us(*(const int64_t *)arg);
    loop_stop(loop);
}

static void test_slow_turns_are_counted(void **state)
{
    static const struct {
        int64_t us;
        int slow;
    } rows[] = {{6000, 1}, {7000, 1}, {1, 0}};

    (void)state;
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t before = metric_get(METRIC_SLOW_TURNS);

        loop_post(loop, on_burn, (void *)&rows[i].us);
        loop_run(loop);
        if (rows[i].slow)
            assert_int_equal(metric_get(METRIC_SLOW_TURNS), before + 1);
        else
            assert_in_range(metric_get(METRIC_SLOW_TURNS), before, before + 1); /* a loaded machine may stall us */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clocks_outside_of_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers_wake_once_each, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopped_timer_does_not_wake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_earlier_timer_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending_things_do_not_block, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wake_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_turns_are_counted, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
