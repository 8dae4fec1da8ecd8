/* SPDX-License-Identifier: Apache-2.0 */
/* What crosses threads: loop_post() from many threads, work on the work threads, and ending the loop meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "loop.h"

enum { N_THREADS = 4, N_POSTS = 5000 };

static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    return loop == NULL;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

/* One number of one poster. */
struct item {
    int poster;
    int number;
};

static int next_number[N_THREADS]; /* loop thread only: the race detector would tell */
static int n_items, n_disordered;

static void on_item(void *arg)
{
    struct item *item = arg;

    if (item->number != next_number[item->poster]++)
        n_disordered++;
    mem_free(item);
    if (++n_items == N_THREADS * N_POSTS)
        loop_stop(loop);
}

static void *poster(void *arg)
{
    for (int i = 0; i < N_POSTS; i++) {
        struct item *item = mem_alloc(sizeof(*item));

        *item = (struct item){.poster = (int)(intptr_t)arg, .number = i};
        loop_post(loop, on_item, item);
    }
    return NULL;
}

static void test_posts_of_many_threads(void **state)
{
    pthread_t threads[N_THREADS];

    (void)state;
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, poster, (void *)(intptr_t)i), 0);
    loop_run(loop);
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(n_items, N_THREADS * N_POSTS);
    assert_int_equal(n_disordered, 0);
}

/* Back and forth, one post at a time: a lost interrupt would hang here. */
enum { N_ROUNDS = 2000 };

static int pipe_fds[2];
static int n_rounds;

static void on_ping(void *arg)
{
    char c = ++n_rounds < N_ROUNDS ? 'n' : 'q';

    (void)arg;
    CHECK(write(pipe_fds[1], &c, 1) == 1);
    if (c == 'q')
        loop_stop(loop);
}

static void *pinger(void *arg)
{
    char c = 'n';

    (void)arg;
    while (c != 'q') {
        loop_post(loop, on_ping, NULL);
        CHECK(read(pipe_fds[0], &c, 1) == 1);
    }
    return NULL;
}

static void test_every_post_interrupts(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(pthread_create(&thread, NULL, pinger, NULL), 0);
    loop_run(loop);
    pthread_join(thread, NULL);
    assert_int_equal(n_rounds, N_ROUNDS);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

struct job {
    struct work work;
    pthread_t ran_on, done_on;
    int value;
    bool is_done;
};

enum { N_JOBS = 200 };
static int n_done;
static bool is_starting;
static int n_inside; /* done came from inside loop_work() */

static void job_fn(struct work *w)
{
    struct job *job = (struct job *)w;

    job->ran_on = pthread_self();
    job->value *= 2;
}

static void job_done(struct work *w)
{
    struct job *job = (struct job *)w;

    n_inside += is_starting;
    job->is_done = true;
    job->done_on = pthread_self();
    if (++n_done == N_JOBS)
        loop_stop(loop);
}

static void test_work(void **state)
{
    static struct job jobs[N_JOBS];

    (void)state;
    is_starting = true;
    for (int i = 0; i < N_JOBS; i++) {
        jobs[i] = (struct job){.work = {.fn = job_fn, .done = job_done}, .value = i};
        loop_work(loop, &jobs[i].work);
    }
    is_starting = false;
    loop_run(loop);
    assert_int_equal(n_inside, 0);
    for (int i = 0; i < N_JOBS; i++) {
        assert_true(jobs[i].is_done);
        assert_int_equal(jobs[i].value, 2 * i);
        assert_true(pthread_equal(jobs[i].done_on, pthread_self()));
        assert_false(pthread_equal(jobs[i].ran_on, pthread_self()));
    }
}

/* The loop ends while one work is under way: it is waited for, and its done runs once. */
static atomic_bool may_end, has_ended;
static int n_late_done;

static void slow_fn(struct work *w)
{
    int64_t end_us = loop_clock_us(w->loop) + 5000;

    CHECK(write(pipe_fds[1], "b", 1) == 1);
    while (!atomic_load(&may_end))
        ;
    while (loop_clock_us(w->loop) < end_us) /* long enough for a loop_free() that does not wait to be caught */
        ;
    atomic_store(&has_ended, true);
}

static void slow_done(struct work *w)
{
    (void)w;
    n_late_done++;
}

static void *let_it_end(void *arg)
{
    (void)arg;
    atomic_store(&may_end, true);
    return NULL;
}

static void test_free_waits_for_work_under_way(void **state)
{
    struct loop *l = loop_new();
    struct work w = {.fn = slow_fn, .done = slow_done};
    pthread_t thread;
    char c;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    loop_post(l, on_item, NULL); /* dropped as well */
    loop_work(l, &w);
    assert_int_equal(read(pipe_fds[0], &c, 1), 1); /* under way */
    assert_int_equal(pthread_create(&thread, NULL, let_it_end, NULL), 0);
    loop_free(l);
    assert_true(atomic_load(&has_ended));
    assert_int_equal(n_late_done, 1); /* whoever asked may be gone, but not what the work holds */
    pthread_join(thread, NULL);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

/* A post of the loop's own thread runs in a later turn, in the order of posting. */
static char order[16];
static int n_order, n_turns;

static void on_turn_end(void *arg)
{
    (void)arg;
    order[n_order++] = '|';
    if (++n_turns == 2)
        loop_stop(loop);
}

static void on_second(void *arg)
{
    order[n_order++] = *(const char *)arg;
}

static void on_first(void *arg)
{
    (void)arg;
    order[n_order++] = '1';
    loop_post(loop, on_second, "2");
    loop_post(loop, on_second, "3");
}

static void test_own_post_is_next_turn(void **state)
{
    struct hook hook = {.fn = on_turn_end};

    (void)state;
    loop_add_hook(loop, &hook);
    loop_post(loop, on_first, NULL);
    loop_run(loop);
    assert_string_equal(order, "1|23|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_posts_of_many_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_post_interrupts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_work, setup, teardown),
        cmocka_unit_test(test_free_waits_for_work_under_way),
        cmocka_unit_test_setup_teardown(test_own_post_is_next_turn, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
