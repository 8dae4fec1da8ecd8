/* SPDX-License-Identifier: Apache-2.0 */
/* The limiter over meters in this process. A tick is answered in the next turn, so that no grant comes from inside a
 * request. Loop thread only. */
#include "impl/limiter_mem.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "limiter/limiter_core.h"
#include "limiter/meter.h"

/* A pool's meter, found by its id. */
struct shared_meter {
    struct list link;
    char *id;
    struct meter meter;
};

/* What the fleet knows of something that is being tried. */
struct shared_probe {
    struct list link;
    char *name;
    enum probe_word word; /* PROBE_ASK: somebody tries */
    int64_t until_us;
};

struct limiter_store {
    struct list meters;
    struct list probes;
    uint64_t last_worker;
};

struct limiter_mem {
    struct limiter_core core; /* first */
    struct limiter_store *store;
    bool owns_store;
    uint64_t worker;
    struct meter **meters; /* meters[n_pools], the store's */
    struct wake wake;      /* ticks to answer */
};

struct limiter_store *limiter_store_new(void)
{
    struct limiter_store *s = mem_zero(sizeof(*s));

    list_init(&s->meters);
    list_init(&s->probes);
    return s;
}

void limiter_store_free(struct limiter_store *s)
{
    struct list *node;

    if (s == NULL)
        return;
    while ((node = list_take_first(&s->meters)) != NULL) {
        struct shared_meter *m = LIST_ENTRY(node, struct shared_meter, link);

        meter_done(&m->meter);
        mem_free(m->id);
        mem_free(m);
    }
    while ((node = list_take_first(&s->probes)) != NULL) {
        struct shared_probe *p = LIST_ENTRY(node, struct shared_probe, link);

        mem_free(p->name);
        mem_free(p);
    }
    mem_free(s);
}

static struct meter *get_meter(struct limiter_store *s, const char *id)
{
    struct shared_meter *m;

    LIST_EACH (it, &s->meters) {
        m = LIST_ENTRY(it, struct shared_meter, link);
        if (strcmp(m->id, id) == 0)
            return &m->meter;
    }
    m = mem_zero(sizeof(*m));
    m->id = mem_strdup(id);
    list_add_tail(&s->meters, &m->link);
    return &m->meter;
}

static struct shared_probe *get_probe(struct limiter_store *s, const char *name)
{
    struct shared_probe *p;

    LIST_EACH (it, &s->probes) {
        p = LIST_ENTRY(it, struct shared_probe, link);
        if (strcmp(p->name, name) == 0)
            return p;
    }
    p = mem_zero(sizeof(*p));
    p->name = mem_strdup(name);
    list_add_tail(&s->probes, &p->link);
    return p;
}

static void mem_limiter_probe(struct limiter *l, struct probe *p)
{
    static const enum probe_answer answers[] = {
        [PROBE_ASK] = PROBE_OTHERS, [PROBE_GOOD] = PROBE_WAS_GOOD, [PROBE_BAD] = PROBE_WAS_BAD};
    struct limiter_mem *m = (struct limiter_mem *)l;
    struct shared_probe *known = get_probe(m->store, p->name);
    int64_t now_us = loop_now_us(m->core.loop);
    bool is_known = now_us < known->until_us;

    if (p->word == PROBE_ASK)
        limiter_core_answer_probe(&m->core, p, is_known ? answers[known->word] : PROBE_YOURS);
    if (p->word != PROBE_ASK || !is_known) {
        known->word = p->word;
        known->until_us = now_us + p->ttl_us;
    }
}

static int send_tick(struct limiter_core *c, struct pool_queue *q)
{
    struct limiter_mem *m = (struct limiter_mem *)c;

    (void)q; /* is_asking marks it */
    loop_wake(c->loop, &m->wake);
    return 0;
}

static void on_ticks(void *arg)
{
    struct limiter_mem *m = arg;

    for (int i = 0; i < m->core.n_pools; i++) {
        struct pool_queue *q = m->core.pools[i];
        struct tick_answer answer;

        if (!q->is_asking)
            continue;
        CHECK(meter_tick(m->meters[i], &q->limits, m->worker, &q->ask, loop_now_us(m->core.loop), &answer) == 0);
        limiter_core_answer(&m->core, q, &answer);
    }
}

/* The meters of pools that are new. */
static void find_meters(struct limiter_mem *m, int n_known)
{
    m->meters = mem_resize(m->meters, (size_t)(m->core.n_pools + 1) * sizeof(struct meter *));
    for (int i = n_known; i < m->core.n_pools; i++)
        m->meters[i] = get_meter(m->store, m->core.pools[i]->id);
}

static void mem_limiter_configure(struct limiter *l, const struct pool_conf *pools, int n_pools)
{
    struct limiter_mem *m = (struct limiter_mem *)l;
    int n_known = m->core.n_pools;

    limiter_core_configure(l, pools, n_pools);
    find_meters(m, n_known);
}

static void mem_limiter_free(struct limiter *l)
{
    struct limiter_mem *m = (struct limiter_mem *)l;

    if (m == NULL)
        return;
    wake_cancel(&m->wake);
    limiter_core_done(&m->core);
    if (m->owns_store)
        limiter_store_free(m->store);
    mem_free(m->meters);
    mem_free(m);
}

static const struct limiter_ops mem_ops = {
    .name = "memory",
    .request = limiter_core_request,
    .cancel = limiter_core_cancel,
    .settle = limiter_core_settle,
    .pause = limiter_core_pause,
    .probe = mem_limiter_probe,
    .configure = mem_limiter_configure,
    .stop = limiter_core_stop,
    .free = mem_limiter_free,
};

struct limiter *limiter_mem_new(struct loop *loop, struct rng *rng, const struct pool_conf *pools, int n_pools,
                                int64_t grant_age_us, struct limiter_store *store)
{
    struct limiter_mem *m = mem_zero(sizeof(*m));

    limiter_core_init(&m->core, &mem_ops, loop, rng, pools, n_pools, grant_age_us);
    m->core.send = send_tick;
    m->core.is_up = true;
    m->core.api.is_down = false;
    m->owns_store = store == NULL;
    m->store = store != NULL ? store : limiter_store_new();
    m->worker = ++m->store->last_worker;
    find_meters(m, 0);
    wake_init(&m->wake, on_ticks, m);
    return &m->core.api;
}
