/* SPDX-License-Identifier: Apache-2.0 */
/* Timers, on virtual time: order, moving and stopping, and the rule that a time in the past means the next turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "loop.h"

enum { MAX_FIRED = 64 };

struct fixture {
    struct loop *loop;
    char fired[MAX_FIRED]; /* names in firing order */
    int64_t at_us[MAX_FIRED];
    int n;
    int turns; /* hooks seen */
    struct hook hook;
};

struct named {
    struct timer timer;
    struct fixture *f;
    char name;
    struct named *stops;  /* stopped by the callback */
    struct named *starts; /* started by the callback, for starts_at */
    int64_t starts_at_us;
    int fired_in_turn;
};

static void on_named(void *arg)
{
    struct named *t = arg;
    struct fixture *f = t->f;

    if (f->n < MAX_FIRED) {
        f->fired[f->n] = t->name;
        f->at_us[f->n++] = loop_now_us(f->loop);
    }
    t->fired_in_turn = f->turns;
    if (t->stops != NULL)
        timer_stop(f->loop, &t->stops->timer);
    if (t->starts != NULL)
        timer_start(f->loop, &t->starts->timer, t->starts_at_us);
}

static void on_hook(void *arg)
{
    struct fixture *f = arg;

    f->turns++;
}

static int setup(void **state)
{
    struct fixture *f = mem_zero(sizeof(*f));

    f->loop = loop_new_sim(0);
    f->hook = (struct hook){.fn = on_hook, .arg = f};
    loop_add_hook(f->loop, &f->hook);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static void named_init(struct named *t, struct fixture *f, char name)
{
    memset(t, 0, sizeof(*t));
    timer_init(&t->timer, on_named, t);
    t->f = f;
    t->name = name;
}

static void test_order(void **state)
{
    static const struct {
        const char *about;
        int64_t delay_us[4]; /* of a, b, c, d; started in this order */
        const char *fired;
    } rows[] = {
        {"as started", {10, 20, 30, 40}, "abcd"},
        {"reversed", {40, 30, 20, 10}, "dcba"},
        {"equal deadlines keep the starting order", {20, 10, 20, 10}, "bdac"},
        {"all equal", {5, 5, 5, 5}, "abcd"},
        {"past ones before future ones, by deadline", {7, -3, -5, 0}, "cbda"},
        {"negative absolute times", {-2000000, -3000000, 0, 1}, "bacd"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct named t[4];
        int64_t start_us = loop_now_us(f->loop);

        f->n = 0;
        for (int k = 0; k < 4; k++) {
            named_init(&t[k], f, (char)('a' + k));
            timer_start(f->loop, &t[k].timer, start_us + rows[i].delay_us[k]);
            assert_true(timer_is_running(&t[k].timer));
        }
        loop_run(f->loop);
        f->fired[f->n] = '\0';
        assert_string_equal(f->fired, rows[i].fired);
        for (int k = 0; k < 4; k++) {
            int64_t delay_us = rows[i].delay_us[f->fired[k] - 'a'];

            assert_false(timer_is_running(&t[k].timer));
            assert_int_equal(f->at_us[k], start_us + (delay_us > 0 ? delay_us : 0));
        }
    }
}

static void test_moves_and_stops(void **state)
{
    struct fixture *f = *state;
    int64_t start_us = loop_now_us(f->loop);
    struct named a, b, c;

    named_init(&a, f, 'a');
    named_init(&b, f, 'b');
    named_init(&c, f, 'c');
    timer_stop(f->loop, &a.timer); /* not running: fine */
    timer_start(f->loop, &a.timer, start_us + 10);
    timer_start(f->loop, &b.timer, start_us + 20);
    timer_start(f->loop, &c.timer, start_us + 30);
    timer_start(f->loop, &a.timer, start_us + 40); /* later */
    timer_start(f->loop, &c.timer, start_us + 5);  /* earlier */
    timer_stop(f->loop, &b.timer);
    assert_false(timer_is_running(&b.timer));
    loop_run(f->loop);
    assert_int_equal(f->n, 2);
    assert_memory_equal(f->fired, "ca", 2);
    assert_int_equal(loop_now_us(f->loop), start_us + 40);
}

/* Two timers due in the same turn: the first stops the second. */
static void test_stop_of_a_due_timer(void **state)
{
    struct fixture *f = *state;
    int64_t at_us = loop_now_us(f->loop) + 10;
    struct named a, b;

    named_init(&a, f, 'a');
    named_init(&b, f, 'b');
    a.stops = &b;
    timer_start(f->loop, &a.timer, at_us);
    timer_start(f->loop, &b.timer, at_us);
    loop_run(f->loop);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->fired[0], 'a');
}

static void test_past_from_callback_is_next_turn(void **state)
{
    static const int64_t ahead_us[] = {0, -1, -500000, -5000000};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(ahead_us) / sizeof(ahead_us[0]); i++) {
        int64_t at_us = loop_now_us(f->loop) + 10;
        struct named a, b, c;

        named_init(&a, f, 'a');
        named_init(&b, f, 'b');
        named_init(&c, f, 'c');
        a.starts = &b;
        a.starts_at_us = at_us + ahead_us[i];
        f->n = 0;
        f->turns = 0;
        timer_start(f->loop, &a.timer, at_us);
        timer_start(f->loop, &c.timer, at_us); /* due with a: not held up by b's earlier deadline */
        loop_run(f->loop);
        assert_int_equal(f->n, 3);
        assert_memory_equal(f->fired, "acb", 3);
        assert_int_equal(a.fired_in_turn, 0);
        assert_int_equal(c.fired_in_turn, 0);
        assert_int_equal(b.fired_in_turn, 1);
    }
}

/* A timer that restarts itself for the past must not keep a turn from ending. */
struct restarting {
    struct timer timer;
    struct fixture *f;
    int left;
};

static void on_restarting(void *arg)
{
    struct restarting *r = arg;

    if (--r->left > 0)
        timer_start(r->f->loop, &r->timer, 0);
}

static void test_no_starvation(void **state)
{
    struct fixture *f = *state;
    struct restarting r = {.f = f, .left = 100};

    timer_init(&r.timer, on_restarting, &r);
    timer_start(f->loop, &r.timer, 0);
    loop_run(f->loop);
    assert_int_equal(r.left, 0);
    assert_int_equal(f->turns, 100);
}

/* Started for the past and stopped, moved or doubled within the same turn. */
static void on_juggle(void *arg)
{
    struct named *t = arg; /* t[0] is the juggler, t[1..4] the balls */
    struct loop *l = t->f->loop;

    for (int i = 1; i <= 4; i++)
        timer_start(l, &t[i].timer, 0);
    timer_stop(l, &t[1].timer);                       /* first of the fresh ones */
    timer_start(l, &t[2].timer, loop_now_us(l) + 50); /* moved into the future */
    timer_start(l, &t[3].timer, -1);                  /* earlier than 4 */
}

static void test_fresh_timers_move_and_stop(void **state)
{
    struct fixture *f = *state;
    struct named t[5];

    for (int i = 0; i < 5; i++)
        named_init(&t[i], f, (char)('0' + i));
    timer_init(&t[0].timer, on_juggle, t);
    timer_start(f->loop, &t[0].timer, 0);
    loop_run(f->loop);
    assert_int_equal(f->n, 3);
    assert_memory_equal(f->fired, "342", 3);
}

static void on_free_self(void *arg)
{
    mem_free(arg);
}

static void test_callback_may_free_its_timer(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        struct timer *t = mem_alloc(sizeof(*t));

        timer_init(t, on_free_self, t);
        timer_start(f->loop, t, loop_now_us(f->loop) + i % 2);
    }
    loop_run(f->loop);
}

/* Thousands of starts, moves and stops against a plain sort by (deadline, seq). */
enum { N_RANDOM = 3000 };

struct many {
    struct fixture *f;
    struct timer timers[N_RANDOM];
    int64_t last_deadline_us;
    uint64_t last_seq;
    int n_fired, n_wrong;
};

static struct many *many;

static void on_many(void *arg)
{
    struct timer *t = arg;

    if (t->deadline_us < many->last_deadline_us ||
        (t->deadline_us == many->last_deadline_us && t->seq <= many->last_seq))
        many->n_wrong++;
    if (t->deadline_us != loop_now_us(many->f->loop))
        many->n_wrong++;
    many->last_deadline_us = t->deadline_us;
    many->last_seq = t->seq;
    many->n_fired++;
}

static void test_many_in_order(void **state)
{
    struct fixture *f = *state;
    uint32_t x = 12345;
    int n_running = 0;

    many = mem_zero(sizeof(*many));
    many->f = f;
    for (int i = 0; i < N_RANDOM; i++)
        timer_init(&many->timers[i], on_many, &many->timers[i]);
    for (int i = 0; i < 5 * N_RANDOM; i++) {
        struct timer *t;

        x = x * 1664525 + 1013904223;
        t = &many->timers[(x >> 8) % N_RANDOM];
        if (x >> 30 == 0)
            timer_stop(f->loop, t);
        else
            timer_start(f->loop, t, loop_now_us(f->loop) + 1 + (x >> 4) % 1000);
    }
    for (int i = 0; i < N_RANDOM; i++)
        n_running += timer_is_running(&many->timers[i]);
    loop_run(f->loop);
    assert_int_equal(many->n_wrong, 0);
    assert_int_equal(many->n_fired, n_running);
    assert_true(n_running > N_RANDOM / 2);
    mem_free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moves_and_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_of_a_due_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_past_from_callback_is_next_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_starvation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fresh_timers_move_and_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_callback_may_free_its_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_in_order, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
