/* SPDX-License-Identifier: Apache-2.0 */
/* A loop over virtual time for simulation tests: the clock stands still while anything can run and then jumps to the
 * next timer. It never reads a real clock, waits or watches descriptors. Loop thread only. */
#include "loop.h"

#include "base/mem.h"
#include "loop/loop_internal.h"

/* Not 0, so that "never" and "at the start" differ. */
enum { SIM_START_US = 1000000 };

struct sim {
    int64_t now_us;
    int64_t start_wall_us;
};

static void sim_wait(struct loop *l, bool may_block)
{
    struct sim *sim = l->priv;
    const struct timer *first = timers_first(&l->timers);

    if (may_block && posts_prepare(&l->posts, false) && first != NULL && first->deadline_us > sim->now_us)
        sim->now_us = first->deadline_us;
}

static void sim_refresh(struct loop *l)
{
    const struct sim *sim = l->priv;

    l->now_us = sim->now_us;
    l->wall_us = sim->start_wall_us + sim->now_us - SIM_START_US;
}

static int64_t sim_clock(const struct loop *l)
{
    const struct sim *sim = l->priv;

    return sim->now_us;
}

static void sim_interrupt(struct loop *l)
{
    (void)l; /* it never blocks */
}

static void sim_done(struct loop *l)
{
    mem_free(l->priv);
}

static const struct loop_ops sim_ops = {
    .name = "sim",
    .wait = sim_wait,
    .refresh = sim_refresh,
    .clock = sim_clock,
    .interrupt = sim_interrupt,
    .done = sim_done,
};

struct loop *loop_new_sim(int64_t wall_ms)
{
    struct loop *l = loop_make(&sim_ops);
    struct sim *sim = mem_zero(sizeof(*sim));

    sim->now_us = SIM_START_US;
    sim->start_wall_us = wall_ms * 1000;
    l->priv = sim;
    loop_refresh(l);
    return l;
}
