/* SPDX-License-Identifier: Apache-2.0 */
/* The memory journal: the same rules as the Redis one (first DONE and first decision win, a live owner is waited for,
 * another digest starts anew) over hash tables. Loop thread. */
#include "impl/journal_mem.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "journal/mem_store.h"
#include "loop.h"

/* A write on its way, or one that waits for the store's return. */
struct pending {
    struct list link;
    enum journal_write what;
    int number; /* counts the journal's writes */
    int64_t due_us;
    char key[160];
    struct memory memory;
};

struct mem {
    struct journal base;
    struct loop *loop;
    struct journal_store *store;
    bool owns_store;
    char incarnation[64];
    int64_t took_us;
    struct list claims;     /* waiting, oldest first */
    struct list identities; /* struct identify, waiting, oldest first */
    struct timer timer;
    struct list pending; /* writes, oldest first */
    int n_written;
    int64_t write_us;
    struct timer write_timer;
};

static struct mem *mem_of(struct journal *j)
{
    return CONTAINER_OF(j, struct mem, base);
}

static void key_of(const struct position *pos, char out[160])
{
    snprintf(out, 160, "%.120s/%d/%lld", pos->topic, pos->partition, (long long)pos->offset);
}

/* Takes the write's memory. */
static void apply(struct mem *m, struct pending *w)
{
    struct entry *e = entry_get(m->store, w->key);

    switch (w->what) {
    case JOURNAL_RECORD:
        e = entry_make(m->store, w->key);
        e->deliveries = 0;
        if (entry_knows(e, &w->memory))
            break;
        e->memories = mem_resize(e->memories, sizeof(*e->memories) * (size_t)(e->n_memories + 1));
        e->memories[e->n_memories++] = w->memory;
        memset(&w->memory, 0, sizeof(w->memory));
        break;
    case JOURNAL_DECIDE:
        e = entry_make(m->store, w->key);
        if (e->decision != NULL)
            break;
        e->decision = w->memory.bytes;
        e->decision_len = w->memory.len;
        w->memory.bytes = NULL;
        break;
    case JOURNAL_FORGET:
        if (e != NULL)
            entry_free(m->store, e);
        break;
    case JOURNAL_RELEASE:
        if (e != NULL && strcmp(e->owner, m->incarnation) == 0) {
            e->owner[0] = '\0';
            e->deliveries -= e->deliveries > 0; /* given back in peace: not a crash */
        }
        break;
    case JOURNAL_WRITE_MAX:
        break;
    }
}

static void arrive(struct mem *m, struct pending *w)
{
    list_del(&w->link);
    apply(m, w);
    memory_done(&w->memory);
    mem_free(w);
}

/* The writes up to this one reach the store. */
static void arrive_until(struct mem *m, int number)
{
    LIST_EACH_SAFE (it, &m->pending) {
        struct pending *w = LIST_ENTRY(it, struct pending, link);

        if (w->number > number)
            return;
        arrive(m, w);
    }
}

static void start_write_timer(struct mem *m)
{
    if (!list_is_empty(&m->pending) && !m->base.is_down)
        timer_start(m->loop, &m->write_timer, LIST_ENTRY(m->pending.next, struct pending, link)->due_us);
}

static void on_write(void *arg)
{
    struct mem *m = arg;

    LIST_EACH_SAFE (it, &m->pending) {
        struct pending *w = LIST_ENTRY(it, struct pending, link);

        if (w->due_us > loop_now_us(m->loop))
            break;
        arrive(m, w);
    }
    start_write_timer(m);
}

static void answer_claim(struct mem *m, struct claim *c)
{
    char key[160];
    struct entry *e;
    struct alive *owner = NULL;

    arrive_until(m, c->state);
    key_of(&c->pos, key);
    e = entry_make(m->store, key);
    if (e->has_digest && memcmp(e->digest, c->digest, sizeof(e->digest)) != 0)
        entry_clear(e);
    memcpy(e->digest, c->digest, sizeof(e->digest));
    e->has_digest = true;
    if (e->owner[0] != '\0' && strcmp(e->owner, m->incarnation) != 0)
        HASH_FIND_STR(m->store->alive, e->owner, owner);
    c->result = owner != NULL ? CLAIM_OWNER_ALIVE : CLAIM_OURS;
    if (owner == NULL) {
        snprintf(e->owner, sizeof(e->owner), "%s", m->incarnation);
        c->deliveries = ++e->deliveries;
        c->recalls = arena_zero(c->arena, sizeof(*c->recalls) * (size_t)(e->n_memories + 1));
        for (int i = 0; i < e->n_memories; i++)
            c->recalls[c->n_recalls++] =
                (struct recall){.call_key = arena_strdup(c->arena, e->memories[i].call_key),
                                .attempt = e->memories[i].attempt,
                                .is_done = e->memories[i].is_done,
                                .bytes = text_slice(arena_copy(c->arena, e->memories[i].bytes, e->memories[i].len),
                                                    e->memories[i].len)};
        if (e->decision != NULL)
            c->decision = text_slice(arena_copy(c->arena, e->decision, e->decision_len), e->decision_len);
    }
    c->done(c, c->arg);
}

static void answer_identify(struct mem *m, struct identify *i)
{
    i->is_taken = identity_table_is_taken(&m->store->identities, i, loop_now_us(m->loop));
    i->done(i, i->arg);
}

static void on_claims(void *arg)
{
    struct mem *m = arg;
    struct list ready;

    if (m->base.is_down)
        return;
    list_init(&ready);
    list_move_all(&ready, &m->claims);
    for (struct list *it = list_take_first(&ready); it != NULL; it = list_take_first(&ready))
        answer_claim(m, LIST_ENTRY(it, struct claim, link));
    list_move_all(&ready, &m->identities);
    for (struct list *it = list_take_first(&ready); it != NULL; it = list_take_first(&ready))
        answer_identify(m, LIST_ENTRY(it, struct identify, link));
}

static void start_claim_timer(struct mem *m)
{
    if (!timer_is_running(&m->timer))
        timer_start(m->loop, &m->timer, loop_now_us(m->loop) + m->took_us);
}

static void journal_claim(struct journal *j, struct claim *c)
{
    struct mem *m = mem_of(j);

    list_init(&c->link);
    c->state = m->n_written;
    list_add_tail(&m->claims, &c->link);
    start_claim_timer(m);
}

static void journal_cancel(struct journal *j, struct claim *c)
{
    (void)j;
    list_del(&c->link);
}

static void journal_identify(struct journal *j, struct identify *i)
{
    struct mem *m = mem_of(j);

    list_init(&i->link);
    list_add_tail(&m->identities, &i->link);
    start_claim_timer(m);
}

static void journal_unidentify(struct journal *j, struct identify *i)
{
    (void)j;
    list_del(&i->link);
}

static void write_now_or_later(struct mem *m, struct pending *w)
{
    w->number = ++m->n_written;
    w->due_us = loop_now_us(m->loop) + m->write_us;
    list_add_tail(&m->pending, &w->link);
    if (m->base.is_down)
        metric_add(METRIC_JOURNAL_SPOOLED, 1);
    else if (m->write_us == 0)
        arrive(m, w);
    else
        start_write_timer(m);
}

static struct pending *pending_new(const struct position *pos, enum journal_write what)
{
    struct pending *w = mem_zero(sizeof(*w));

    list_init(&w->link);
    w->what = what;
    key_of(pos, w->key);
    return w;
}

static void journal_record(struct journal *j, const struct position *pos, const struct recall *what)
{
    struct pending *w = pending_new(pos, JOURNAL_RECORD);

    w->memory = (struct memory){.call_key = mem_strdup(what->call_key),
                                .attempt = what->attempt,
                                .is_done = what->is_done,
                                .bytes = mem_strndup(what->bytes.p, what->bytes.len),
                                .len = what->bytes.len};
    write_now_or_later(mem_of(j), w);
}

static void journal_decide(struct journal *j, const struct position *pos, struct text bytes)
{
    struct pending *w = pending_new(pos, JOURNAL_DECIDE);

    w->memory.bytes = mem_strndup(bytes.p, bytes.len);
    w->memory.len = bytes.len;
    write_now_or_later(mem_of(j), w);
}

static void journal_forget(struct journal *j, const struct position *pos)
{
    write_now_or_later(mem_of(j), pending_new(pos, JOURNAL_FORGET));
}

static void journal_release(struct journal *j, const struct position *pos)
{
    write_now_or_later(mem_of(j), pending_new(pos, JOURNAL_RELEASE));
}

static void journal_announce(struct journal *j, const char *slot)
{
    struct mem *m = mem_of(j);
    struct alive *a;

    (void)slot;
    HASH_FIND_STR(m->store->alive, m->incarnation, a);
    if (a != NULL)
        return;
    a = mem_zero(sizeof(*a));
    snprintf(a->incarnation, sizeof(a->incarnation), "%s", m->incarnation);
    HASH_ADD_STR(m->store->alive, incarnation, a);
}

static void journal_stop(struct journal *j, bool is_leaving, void (*done)(void *arg), void *arg)
{
    struct mem *m = mem_of(j);

    if (!m->base.is_down)
        arrive_until(m, m->n_written);
    if (is_leaving)
        journal_store_kill(m->store, m->incarnation);
    loop_post(m->loop, done, arg);
}

static void drop_pending(struct mem *m)
{
    for (struct list *it = list_take_first(&m->pending); it != NULL; it = list_take_first(&m->pending)) {
        struct pending *w = LIST_ENTRY(it, struct pending, link);

        m->store->lost[w->what]++;
        memory_done(&w->memory);
        mem_free(w);
    }
}

/* Each worker counts itself. */
static void count_down(struct mem *m, bool is_down)
{
    if (m->base.is_down != is_down)
        metric_add(METRIC_JOURNAL_DOWN, is_down ? 1 : -1);
    m->base.is_down = is_down;
}

static void journal_free(struct journal *j)
{
    struct mem *m = mem_of(j);

    count_down(m, false);
    timer_stop(m->loop, &m->timer);
    timer_stop(m->loop, &m->write_timer);
    drop_pending(m);
    if (m->owns_store)
        journal_store_free(m->store);
    mem_free(m);
}

static const struct journal_ops ops = {.name = "memory",
                                       .claim = journal_claim,
                                       .cancel = journal_cancel,
                                       .identify = journal_identify,
                                       .unidentify = journal_unidentify,
                                       .record = journal_record,
                                       .decide = journal_decide,
                                       .forget = journal_forget,
                                       .release = journal_release,
                                       .announce = journal_announce,
                                       .stop = journal_stop,
                                       .free = journal_free};

struct journal *journal_mem_new(struct loop *l, struct journal_store *store, const char *incarnation, int64_t took_us)
{
    struct mem *m = mem_zero(sizeof(*m));

    m->base.ops = &ops;
    m->loop = l;
    m->owns_store = store == NULL;
    m->store = store != NULL ? store : journal_store_new();
    m->took_us = took_us;
    snprintf(m->incarnation, sizeof(m->incarnation), "%s", incarnation);
    list_init(&m->claims);
    list_init(&m->identities);
    list_init(&m->pending);
    timer_init(&m->timer, on_claims, m);
    timer_init(&m->write_timer, on_write, m);
    return &m->base;
}

void journal_mem_set_down(struct journal *j, bool is_down)
{
    struct mem *m = mem_of(j);

    count_down(m, is_down);
    if (is_down) {
        timer_stop(m->loop, &m->write_timer);
        return;
    }
    arrive_until(m, m->n_written);
    on_claims(m);
}

void journal_mem_set_write_us(struct journal *j, int64_t write_us)
{
    mem_of(j)->write_us = write_us;
}
