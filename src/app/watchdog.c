/* SPDX-License-Identifier: Apache-2.0 */
/* Beats of loops: an atomic time, renewed by a timer of the watched loop. */
#include "app/watchdog.h"

static void beat(void *arg)
{
    struct pulse *p = arg;
    int64_t now_us = loop_now_us(p->loop);

    atomic_store_explicit(&p->beat_us, now_us, memory_order_relaxed);
    timer_start(p->loop, &p->timer, now_us + p->period_us);
    if (p->each != NULL)
        p->each(p->arg);
}

void pulse_init(struct pulse *p, struct loop *loop, int64_t period_us, void (*each)(void *arg), void *arg)
{
    p->loop = loop;
    p->period_us = period_us;
    p->each = each;
    p->arg = arg;
    timer_init(&p->timer, beat, p);
    atomic_init(&p->beat_us, loop_clock_us(loop));
}

void pulse_start(struct pulse *p)
{
    timer_start(p->loop, &p->timer, loop_now_us(p->loop));
}

void pulse_stop(struct pulse *p)
{
    timer_stop(p->loop, &p->timer);
    atomic_store_explicit(&p->beat_us, 0, memory_order_relaxed);
}

int64_t pulse_silence_us(const struct pulse *p, int64_t now_us)
{
    int64_t beat_us = atomic_load_explicit(&p->beat_us, memory_order_relaxed);

    return beat_us == 0 || beat_us > now_us ? 0 : now_us - beat_us;
}
