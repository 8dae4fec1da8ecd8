/* SPDX-License-Identifier: Apache-2.0 */
/* The memory broker of the simulation: the same events in the same order as the Kafka adapter, without a cluster. Loop
 * thread. */
#include "impl/broker_mem.h"

#include <errno.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "broker/mem_topics.h"
#include "loop.h"

enum { DEFAULT_LIMIT = 1 << 20, REVOKE_US = 20000000 };

struct part {
    struct broker_part pub; /* first: the engine's pointer */
    struct mem *mem;
    size_t next; /* index of the next record to deliver */
    bool is_assigned;
    bool is_revoking;
    bool is_released;
    struct timer revoke_timer;
};

struct mem {
    struct broker base;
    struct loop *loop;
    struct broker_mem_conf conf;
    const struct broker_events *ev;
    void *arg;
    struct topics_listener listener;
    bool has_failed;
    struct part parts[MEM_PARTITIONS_MAX];
    struct list gathered;  /* publications handed over */
    struct list in_flight; /* those of the batch under way */
    bool is_in_flight;
    struct record *about; /* what the engine said of the batch under way */
    struct arena *arena;  /* of `about` */
    uint64_t batch_number;
    struct timer commit_timer;
    struct wake begin; /* once: ready, then the first partitions */
    struct wake readable;
    struct wake ending;
    uint64_t epoch;
    bool is_readable[MEM_PARTITIONS_MAX];
    void (*stop_done)(void *arg);
    void *stop_arg;
    /* positions of the batch under way */
    int64_t base_of[MEM_PARTITIONS_MAX];
    char *metadata_of[MEM_PARTITIONS_MAX];
    uint64_t epoch_of[MEM_PARTITIONS_MAX];
    bool is_touched[MEM_PARTITIONS_MAX];
};

static void close_batch(struct mem *m);

static struct mem *mem_of(struct broker *b)
{
    return CONTAINER_OF(b, struct mem, base);
}

static void give(struct mem *m, int partition)
{
    struct part *p = &m->parts[partition];
    const char *metadata;
    int64_t start = mem_topics_position(m->conf.topics, partition, &metadata);

    CHECK(!p->is_assigned);
    p->pub = (struct broker_part){.topic = m->conf.topic,
                                  .partition = partition,
                                  .epoch = ++m->epoch,
                                  .start = start,
                                  .high = mem_topics_high(m->conf.topics, partition)};
    p->mem = m;
    p->next = mem_topics_index(m->conf.topics, partition, start);
    p->is_assigned = true;
    p->is_revoking = p->is_released = false;
    m->ev->assigned(m->arg, &p->pub, metadata);
    m->is_readable[partition] = true;
    loop_wake(m->loop, &m->readable);
}

static void on_readable(void *arg)
{
    struct mem *m = arg;

    for (int i = 0; i < MEM_PARTITIONS_MAX; i++)
        if (m->is_readable[i]) {
            m->is_readable[i] = false;
            if (m->parts[i].is_assigned)
                m->ev->readable(m->arg, &m->parts[i].pub);
        }
}

static void on_append(void *arg, int partition)
{
    struct mem *m = arg;

    if (!m->parts[partition].is_assigned)
        return;
    m->is_readable[partition] = true;
    loop_wake(m->loop, &m->readable);
}

static void on_ready(void *arg)
{
    struct mem *m = arg;

    m->ev->ready(m->arg);
    for (int i = 0; i < m->conf.n_partitions; i++)
        give(m, m->conf.first_partition + i);
}

static int mem_start(struct broker *b, const struct broker_events *ev, void *arg)
{
    struct mem *m = mem_of(b);

    m->ev = ev;
    m->arg = arg;
    loop_wake(m->loop, &m->begin);
    return 0;
}

static int mem_poll(struct broker *b, struct broker_part *bp)
{
    struct mem *m = mem_of(b);
    struct part *p = CONTAINER_OF(bp, struct part, pub);
    struct message msg;

    if (!mem_topics_get(m->conf.topics, bp->partition, p->next, &msg))
        return 0;
    p->next++;
    m->ev->message(m->arg, bp, &msg);
    return 1;
}

/* The publications of partitions that went away are dropped; those of the batch under way are left to its end. */
static void drop_stale(struct mem *m)
{
    LIST_EACH_SAFE (it, &m->gathered) {
        struct publication *pub = LIST_ENTRY(it, struct publication, link);
        const struct part *p = CONTAINER_OF(pub->part, struct part, pub);

        if (!p->is_assigned || pub->epoch != p->pub.epoch) {
            list_del(&pub->link);
            m->ev->dropped(m->arg, pub);
        }
    }
}

static void lose(struct mem *m, struct part *p)
{
    timer_stop(m->loop, &p->revoke_timer);
    p->is_assigned = false;
    drop_stale(m);
    m->ev->lost(m->arg, &p->pub);
}

static bool has_pending(struct mem *m, const struct part *p)
{
    LIST_EACH (it, &m->gathered)
        if (LIST_ENTRY(it, struct publication, link)->part == &p->pub)
            return true;
    LIST_EACH (it, &m->in_flight)
        if (LIST_ENTRY(it, struct publication, link)->part == &p->pub)
            return true;
    return false;
}

static void finish_releases(struct mem *m)
{
    for (int i = 0; i < MEM_PARTITIONS_MAX; i++) {
        struct part *p = &m->parts[i];

        if (p->is_assigned && p->is_released && !has_pending(m, p))
            lose(m, p);
    }
    if (m->stop_done != NULL && (m->has_failed || list_is_empty(&m->gathered)) && !m->is_in_flight) {
        void (*done)(void *arg) = TAKE(m->stop_done);

        done(m->stop_arg);
    }
}

static void on_stop(void *arg)
{
    finish_releases(arg);
}

/* Ends the batch under way: everything at once, or nothing. */
static void on_committed(void *arg)
{
    struct mem *m = arg;
    struct list done;
    bool is_aborted = rng_below(m->conf.rng, 1000) < (uint64_t)m->conf.abort_per_mille || m->has_failed;

    m->is_in_flight = false;
    list_init(&done);
    list_move_all(&done, &m->in_flight);
    for (int i = 0; i < MEM_PARTITIONS_MAX; i++)
        if (m->is_touched[i] && (!m->parts[i].is_assigned || m->parts[i].pub.epoch != m->epoch_of[i]))
            is_aborted = true; /* a position of a partition that is not ours must not be committed */
    if (is_aborted) {
        metric_add(METRIC_BATCHES_ABORTED, 1);
        list_move_all(&done, &m->gathered);
        list_move_all(&m->gathered, &done);
        drop_stale(m);
    } else {
        metric_add(METRIC_BATCHES_COMMITTED, 1);
        for (int i = 0; i < MEM_PARTITIONS_MAX; i++)
            if (m->is_touched[i])
                mem_topics_commit(m->conf.topics, i, m->base_of[i], m->metadata_of[i]);
        for (const struct record *r = m->about; r != NULL; r = r->next)
            mem_topics_add_record(m->conf.topics, r);
        LIST_EACH_SAFE (it, &done) {
            struct publication *pub = LIST_ENTRY(it, struct publication, link);

            list_del(&pub->link);
            for (struct record *r = pub->first; r != NULL; r = r->next)
                mem_topics_add_record(m->conf.topics, r);
            m->ev->published(m->arg, pub);
        }
    }
    m->about = NULL;
    arena_free(TAKE(m->arena));
    finish_releases(m);
    if (!list_is_empty(&m->gathered))
        close_batch(m);
}

static void ask_position(struct mem *m, int i)
{
    struct buf b;

    buf_init(&b, 4096);
    m->epoch_of[i] = m->parts[i].pub.epoch;
    m->ev->position(m->arg, &m->parts[i].pub, &m->base_of[i], &b);
    CHECK(!b.is_over);
    mem_free(m->metadata_of[i]);
    m->metadata_of[i] = mem_strndup(b.len > 0 ? b.p : "", b.len);
    buf_done(&b);
}

static void on_interval(void *arg)
{
    struct mem *m = arg;

    if (m->is_in_flight || m->has_failed || list_is_empty(&m->gathered))
        return;
    for (int i = 0; i < MEM_PARTITIONS_MAX; i++)
        m->is_touched[i] = false;
    LIST_EACH (it, &m->gathered)
        m->is_touched[LIST_ENTRY(it, struct publication, link)->part->partition] = true;
    for (int i = 0; i < MEM_PARTITIONS_MAX; i++)
        if (m->is_touched[i])
            ask_position(m, i);
    list_move_all(&m->in_flight, &m->gathered);
    m->is_in_flight = true;
    if (m->ev->closing != NULL) {
        m->arena = arena_new(4096);
        m->about = m->ev->closing(m->arg, &m->in_flight, ++m->batch_number, m->arena);
    }
    timer_init(&m->commit_timer, on_committed, m);
    timer_start(m->loop, &m->commit_timer, loop_now_us(m->loop) + m->conf.commit_took_us);
}

static void close_batch(struct mem *m)
{
    if (m->is_in_flight || timer_is_running(&m->commit_timer))
        return;
    timer_init(&m->commit_timer, on_interval, m);
    timer_start(m->loop, &m->commit_timer, loop_now_us(m->loop) + m->conf.commit_interval_us);
}

static void mem_publish(struct broker *b, struct publication *pub)
{
    struct mem *m = mem_of(b);
    struct part *p = CONTAINER_OF(pub->part, struct part, pub);

    CHECK(p->is_assigned && pub->epoch == p->pub.epoch);
    list_add_tail(&m->gathered, &pub->link);
    close_batch(m);
}

static void mem_release(struct broker *b, struct broker_part *bp)
{
    CONTAINER_OF(bp, struct part, pub)->is_released = true;
    finish_releases(mem_of(b));
}

static size_t mem_limit(struct broker *b, enum output o)
{
    (void)o;
    return mem_of(b)->conf.limit;
}

static void mem_stop(struct broker *b, void (*done)(void *arg), void *arg)
{
    struct mem *m = mem_of(b);

    m->stop_done = done;
    m->stop_arg = arg;
    loop_wake(m->loop, &m->ending);
}

static void mem_free_broker(struct broker *b)
{
    struct mem *m = mem_of(b);

    timer_stop(m->loop, &m->commit_timer);
    list_del(&m->listener.link);
    wake_cancel(&m->begin);
    wake_cancel(&m->readable);
    wake_cancel(&m->ending);
    for (int i = 0; i < MEM_PARTITIONS_MAX; i++) {
        timer_stop(m->loop, &m->parts[i].revoke_timer);
        mem_free(m->metadata_of[i]);
    }
    arena_free(m->arena);
    mem_free(m);
}

static void on_revoke_timeout(void *arg)
{
    struct part *p = arg;

    p->is_released = true;
    finish_releases(p->mem);
}

void broker_mem_revoke(struct broker *b, int partition, bool is_lost)
{
    struct mem *m = mem_of(b);
    struct part *p = &m->parts[partition];

    if (!p->is_assigned || p->is_revoking)
        return;
    if (is_lost) {
        lose(m, p);
        return;
    }
    p->is_revoking = true;
    timer_init(&p->revoke_timer, on_revoke_timeout, p);
    timer_start(m->loop, &p->revoke_timer, loop_now_us(m->loop) + REVOKE_US);
    m->ev->revoking(m->arg, &p->pub);
}

bool broker_mem_owns(struct broker *b, int partition)
{
    return mem_of(b)->parts[partition].is_assigned;
}

void broker_mem_assign(struct broker *b, int partition)
{
    give(mem_of(b), partition);
}

void broker_mem_fail(struct broker *b, int exit_code, const char *why)
{
    struct mem *m = mem_of(b);

    m->has_failed = true;
    m->ev->failed(m->arg, exit_code, why);
}

static const struct broker_ops ops = {.name = "memory",
                                      .start = mem_start,
                                      .poll = mem_poll,
                                      .publish = mem_publish,
                                      .release = mem_release,
                                      .limit = mem_limit,
                                      .stop = mem_stop,
                                      .free = mem_free_broker};

struct broker *broker_mem_new(struct loop *l, const struct broker_mem_conf *conf)
{
    struct mem *m = mem_zero(sizeof(*m));

    m->base.ops = &ops;
    m->loop = l;
    m->conf = *conf;
    if (m->conf.limit == 0)
        m->conf.limit = DEFAULT_LIMIT;
    list_init(&m->gathered);
    list_init(&m->in_flight);
    timer_init(&m->commit_timer, NULL, m);
    m->listener = (struct topics_listener){.fn = on_append, .arg = m};
    mem_topics_listen(conf->topics, &m->listener);
    wake_init(&m->begin, on_ready, m);
    wake_init(&m->readable, on_readable, m);
    wake_init(&m->ending, on_stop, m);
    for (int i = 0; i < MEM_PARTITIONS_MAX; i++)
        timer_init(&m->parts[i].revoke_timer, on_revoke_timeout, &m->parts[i]);
    return &m->base;
}
