/* SPDX-License-Identifier: Apache-2.0 */
/* The turn, on virtual time: wake-ups, posts, hooks, work and when time may jump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "loop.h"

static struct loop *loop;
static char trace[256];
static int n_trace;

static void note(char c)
{
    if (n_trace < (int)sizeof(trace) - 1)
        trace[n_trace++] = c;
    trace[n_trace] = '\0';
}

static int setup(void **state)
{
    (void)state;
    loop = loop_new_sim(1700000000000);
    n_trace = 0;
    trace[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void on_note(void *arg)
{
    note(*(const char *)arg);
}

static void on_stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void test_clocks(void **state)
{
    struct timer t;

    (void)state;
    assert_true(loop_is_sim(loop));
    assert_null(loop_event_base(loop));
    assert_int_equal(loop_now_us(loop), 1000000);
    assert_int_equal(loop_wall_ms(loop), 1700000000000);
    timer_init(&t, on_note, "t");
    timer_start(loop, &t, loop_now_us(loop) + 3600LL * 1000000 + 1500);
    loop_run(loop); /* returns by itself */
    assert_string_equal(trace, "t");
    assert_int_equal(loop_now_us(loop), 1000000 + 3600LL * 1000000 + 1500);
    assert_int_equal(loop_clock_us(loop), loop_now_us(loop));
    assert_int_equal(loop_wall_us(loop), 1700000000000000 + 3600LL * 1000000 + 1500);
    assert_int_equal(loop_wall_ms(loop), 1700000000000 + 3600LL * 1000 + 1);
}

static void test_run_without_anything_returns(void **state)
{
    (void)state;
    loop_run(loop);
    assert_int_equal(loop_now_us(loop), 1000000);
}

/* One callback of each kind that starts one of each kind; the trace is the turn order of the header. */
struct all {
    struct timer timer;
    struct wake wake;
    struct hook hook;
    int n_hooks;
};

static void on_all_timer(void *arg)
{
    struct all *a = arg;

    note('T');
    loop_post(loop, on_note, "p");
    loop_wake(loop, &a->wake);
    loop_wake(loop, &a->wake); /* once all the same */
    timer_init(&a->timer, on_note, "t");
    timer_start(loop, &a->timer, 0);
}

static void on_all_hook(void *arg)
{
    struct all *a = arg;

    note('|');
    a->n_hooks++;
}

static void test_turn_order(void **state)
{
    struct all a = {0};
    struct wake before;

    (void)state;
    timer_init(&a.timer, on_all_timer, &a);
    wake_init(&a.wake, on_note, "w");
    wake_init(&before, on_note, "W");
    a.hook = (struct hook){.fn = on_all_hook, .arg = &a};
    loop_add_hook(loop, &a.hook);
    timer_start(loop, &a.timer, 0);
    loop_post(loop, on_note, "P");
    loop_wake(loop, &before);
    loop_run(loop);
    /* first turn: timer, the post from before, wakes, hook; second: timer, post */
    assert_string_equal(trace, "TPWw|tp|");
}

static int woken;

static void on_rewake(void *arg)
{
    note('r');
    if (++woken < 5)
        loop_wake(loop, arg);
}

/* A wake-up from a wake-up belongs to the same turn. */
static void test_wakes_until_empty(void **state)
{
    struct all a = {0};
    struct wake w;

    (void)state;
    woken = 0;
    wake_init(&w, on_rewake, &w);
    a.hook = (struct hook){.fn = on_all_hook, .arg = &a};
    loop_add_hook(loop, &a.hook);
    loop_wake(loop, &w);
    loop_run(loop);
    assert_string_equal(trace, "rrrrr|");
}

static void on_rewake_forever(void *arg)
{
    loop_wake(loop, arg);
}

/* It may starve time, as in a real loop it would burn the processor, but not the posts and the end of the turn. */
static void test_endless_wake_does_not_hold_the_turn(void **state)
{
    struct wake w;

    (void)state;
    wake_init(&w, on_rewake_forever, &w);
    loop_wake(loop, &w);
    loop_post(loop, on_stop, NULL);
    loop_run(loop);
    wake_cancel(&w);
}

struct pair {
    struct wake first, second;
};

static void on_cancel_second(void *arg)
{
    struct pair *p = arg;

    note('1');
    wake_cancel(&p->second);
}

static void test_wake_cancel(void **state)
{
    struct pair p;
    struct wake again;

    (void)state;
    wake_init(&p.first, on_cancel_second, &p);
    wake_init(&p.second, on_note, "2");
    wake_init(&again, on_note, "3");
    wake_cancel(&again); /* not queued: fine */
    loop_wake(loop, &p.first);
    loop_wake(loop, &p.second);
    loop_wake(loop, &again);
    wake_cancel(&again);
    loop_wake(loop, &again);
    loop_run(loop);
    assert_string_equal(trace, "13");
}

/* Time must not pass a wake-up or a post by. */
static void on_check_now(void *arg)
{
    note(loop_now_us(loop) == 1000000 ? 'n' : 'x');
    if (arg != NULL)
        loop_post(loop, on_check_now, NULL);
}

static void test_time_jumps_only_when_idle(void **state)
{
    struct timer t;

    (void)state;
    timer_init(&t, on_note, "t");
    timer_start(loop, &t, loop_now_us(loop) + 10);
    loop_post(loop, on_check_now, "again");
    loop_run(loop);
    assert_string_equal(trace, "nnt");
}

static void test_stop(void **state)
{
    struct timer stop, later;

    (void)state;
    timer_init(&stop, on_stop, NULL);
    timer_init(&later, on_note, "l");
    timer_start(loop, &stop, loop_now_us(loop) + 10);
    timer_start(loop, &later, loop_now_us(loop) + 20);
    loop_run(loop);
    assert_string_equal(trace, "");
    assert_true(timer_is_running(&later));
    loop_run(loop); /* goes on */
    assert_string_equal(trace, "l");
    loop_stop(loop); /* before running: returns at once */
    timer_start(loop, &later, 0);
    loop_run(loop);
    assert_string_equal(trace, "l");
}

struct hooks {
    struct hook a, b, c, d;
};

static void on_hook_a(void *arg)
{
    struct hooks *h = arg;

    note('a');
    loop_del_hook(&h->a); /* itself */
    loop_del_hook(&h->b); /* and the one after */
    loop_add_hook(loop, &h->d);
}

static void test_hooks_may_change(void **state)
{
    struct hooks h = {0};
    struct wake w;

    (void)state;
    h.a = (struct hook){.fn = on_hook_a, .arg = &h};
    h.b = (struct hook){.fn = on_note, .arg = "b"};
    h.c = (struct hook){.fn = on_note, .arg = "c"};
    h.d = (struct hook){.fn = on_note, .arg = "d"};
    loop_del_hook(&h.d); /* never added: fine */
    loop_add_hook(loop, &h.a);
    loop_add_hook(loop, &h.b);
    loop_add_hook(loop, &h.c);
    wake_init(&w, on_note, "-");
    loop_wake(loop, &w);
    loop_run(loop);
    assert_string_equal(trace, "-acd");
    loop_wake(loop, &w);
    loop_run(loop);
    assert_string_equal(trace, "-acd-cd");
}

static void on_work(struct work *w)
{
    (void)w;
    note('f');
}

static void on_work_done(struct work *w)
{
    (void)w;
    note('d');
}

static void on_start_work(void *arg)
{
    note('(');
    loop_work(loop, arg);
    note(')');
}

static void test_work_is_done_in_the_same_turn(void **state)
{
    struct work w = {.fn = on_work, .done = on_work_done};
    struct all a = {0};
    struct wake wake;

    (void)state;
    a.hook = (struct hook){.fn = on_all_hook, .arg = &a};
    loop_add_hook(loop, &a.hook);
    wake_init(&wake, on_start_work, &w);
    loop_wake(loop, &wake);
    loop_run(loop);
    assert_string_equal(trace, "(f)d|");
}

static void test_free_drops_posts_and_works(void **state)
{
    struct work w = {.fn = on_work, .done = on_work_done};
    struct loop *l = loop_new_sim(0);

    (void)state;
    loop_post(l, on_note, "p");
    loop_work(l, &w);
    loop_free(l);
    loop_free(NULL);
    assert_string_equal(trace, "f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clocks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_run_without_anything_returns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_turn_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wakes_until_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endless_wake_does_not_hold_the_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wake_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_jumps_only_when_idle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hooks_may_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_work_is_done_in_the_same_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_drops_posts_and_works, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
