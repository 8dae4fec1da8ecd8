/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of a loop: a 4-ary heap of pointers to the callers' storage, smallest (deadline, starting order) first. It
 * never reads a clock. Loop thread only. */
#include "loop.h"

#include <stdint.h>

#include "base/check.h"
#include "base/mem.h"
#include "loop/loop_internal.h"

enum { ARITY = 4, TIMER_FRESH = 1 << 30 };

static bool is_before(const struct timer *a, const struct timer *b)
{
    if (a->deadline_us != b->deadline_us)
        return a->deadline_us < b->deadline_us;
    return a->seq < b->seq;
}

static void heap_place(struct timers *ts, int i, struct timer *t)
{
    ts->heap[i] = t;
    t->index = i;
}

static void heap_sift_up(struct timers *ts, int i, struct timer *t)
{
    while (i > 0) {
        int parent = (i - 1) / ARITY;

        if (!is_before(t, ts->heap[parent]))
            break;
        heap_place(ts, i, ts->heap[parent]);
        i = parent;
    }
    heap_place(ts, i, t);
}

static void heap_sift_down(struct timers *ts, int i, struct timer *t)
{
    for (;;) {
        int first = i * ARITY + 1;
        int best = -1;

        for (int child = first; child < first + ARITY && child < ts->n_heap; child++) {
            if (best < 0 || is_before(ts->heap[child], ts->heap[best]))
                best = child;
        }
        if (best < 0 || !is_before(ts->heap[best], t))
            break;
        heap_place(ts, i, ts->heap[best]);
        i = best;
    }
    heap_place(ts, i, t);
}

static void grow(struct timer ***array, int *cap, int n)
{
    if (n < *cap)
        return;
    CHECK(n < TIMER_FRESH / 2);
    *cap = *cap == 0 ? 64 : *cap * 2;
    *array = mem_resize(*array, (size_t)*cap * sizeof((*array)[0]));
}

static void heap_add(struct timers *ts, struct timer *t)
{
    grow(&ts->heap, &ts->cap_heap, ts->n_heap);
    heap_sift_up(ts, ts->n_heap++, t);
}

static void heap_remove(struct timers *ts, int i)
{
    struct timer *last;

    CHECK(i < ts->n_heap);
    last = ts->heap[--ts->n_heap];
    if (i == ts->n_heap)
        return;
    if (i > 0 && is_before(last, ts->heap[(i - 1) / ARITY]))
        heap_sift_up(ts, i, last);
    else
        heap_sift_down(ts, i, last);
}

static void fresh_add(struct timers *ts, struct timer *t)
{
    grow(&ts->fresh, &ts->cap_fresh, ts->n_fresh);
    t->index = TIMER_FRESH + ts->n_fresh;
    ts->fresh[ts->n_fresh++] = t;
}

static void fresh_remove(struct timers *ts, int i)
{
    CHECK(i < ts->n_fresh);
    ts->fresh[i] = ts->fresh[--ts->n_fresh];
    ts->fresh[i]->index = TIMER_FRESH + i;
}

void timers_done(struct timers *ts)
{
    mem_free(ts->heap);
    mem_free(ts->fresh);
}

void timers_admit(struct timers *ts)
{
    for (int i = 0; i < ts->n_fresh; i++)
        heap_add(ts, ts->fresh[i]);
    ts->n_fresh = 0;
}

const struct timer *timers_first(const struct timers *ts)
{
    return ts->n_heap > 0 ? ts->heap[0] : NULL;
}

int timers_run(struct loop *l)
{
    struct timers *ts = &l->timers;
    int n = 0;

    /* `now` stands still and what is started meanwhile for the past goes to fresh[]: this ends. */
    while (ts->n_heap > 0 && ts->heap[0]->deadline_us <= l->now_us) {
        struct timer *t = ts->heap[0];

        heap_remove(ts, 0);
        t->index = -1;
        n++;
        t->fn(t->arg); /* may free t */
    }
    return n;
}

void timer_init(struct timer *t, timer_fn fn, void *arg)
{
    *t = (struct timer){.index = -1, .fn = fn, .arg = arg};
}

void timer_start(struct loop *l, struct timer *t, int64_t deadline_us)
{
    CHECK(t->fn != NULL);
    timer_stop(l, t);
    t->deadline_us = deadline_us;
    t->seq = l->timers.next_seq++;
    if (l->is_running && deadline_us <= loop_now_us(l))
        fresh_add(&l->timers, t);
    else
        heap_add(&l->timers, t);
}

void timer_stop(struct loop *l, struct timer *t)
{
    if (t->index < 0)
        return;
    if (t->index >= TIMER_FRESH) {
        CHECK(l->timers.fresh[t->index - TIMER_FRESH] == t);
        fresh_remove(&l->timers, t->index - TIMER_FRESH);
    } else {
        CHECK(t->index < l->timers.n_heap && l->timers.heap[t->index] == t);
        heap_remove(&l->timers, t->index);
    }
    t->index = -1;
}
