/* SPDX-License-Identifier: Apache-2.0 */
/* How far each batch of jobs is, counted from the moment its partition was assigned to this process. What is committed
 * never counts twice: sums advance when the broker says so, and a record shows them with what its own commit adds.
 * Another process, and this one after it has lost the partition, counts from zero under another assignment; readers sum
 * over them, so that nothing has to be restored. Loop thread. */
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "engine/stats.h"

struct batch {
    UT_hash_handle hh;
    struct list link;              /* progress.used */
    struct batch_counts committed; /* and published */
    struct batch_counts pending;   /* of commit batch `number`, while it is under way or was aborted */
    uint64_t number;
    uint64_t n_forgotten; /* of the partition, when counting began */
    char id[];
};

struct progress {
    const struct env *env;
    const char *incarnation;
    const struct broker_part *part;
    struct batch *batches; /* hash by id */
    struct list used;      /* the same, by last use, oldest first */
    uint64_t n_forgotten;  /* dropped because there were too many: they begin anew under another assignment */
};

struct progress *progress_new(const struct env *env, const char *incarnation, const struct broker_part *part)
{
    struct progress *p = mem_zero(sizeof(*p));

    p->env = env;
    p->incarnation = incarnation;
    p->part = part;
    list_init(&p->used);
    return p;
}

static void forget(struct progress *p, struct batch *b)
{
    HASH_DEL(p->batches, b);
    list_del(&b->link);
    mem_free(b);
}

void progress_free(struct progress *p)
{
    struct batch *b, *next;

    if (p == NULL)
        return;
    HASH_ITER(hh, p->batches, b, next)
    forget(p, b);
    mem_free(p);
}

static struct batch *find(const struct progress *p, const char *id, size_t len)
{
    struct batch *b;

    HASH_FIND(hh, p->batches, id, len, b);
    return b;
}

/* Those of the commit batch that is being closed stay, whatever their number. */
static void make_room(struct progress *p, uint64_t number)
{
    while (HASH_COUNT(p->batches) >= PROGRESS_BATCHES_MAX) {
        struct batch *oldest = LIST_ENTRY(p->used.next, struct batch, link);

        if (oldest->number == number)
            return;
        forget(p, oldest);
        p->n_forgotten++;
    }
}

static struct batch *add(struct progress *p, const char *id, size_t len, uint64_t number)
{
    struct batch *b;

    make_room(p, number);
    b = mem_zero(sizeof(*b) + len + 1);
    memcpy(b->id, id, len + 1);
    b->n_forgotten = p->n_forgotten;
    batch_counts_init(&b->committed);
    list_init(&b->link);
    HASH_ADD(hh, p->batches, id, len, b);
    return b;
}

void progress_add(struct progress *p, const struct job *j, uint64_t number, struct arena *a)
{
    size_t len;
    const char *id = text_decode(a, j->spec.batch_id, &len);
    struct batch *b = find(p, id, len);

    if (b == NULL)
        b = add(p, id, len, number);
    if (b->number != number) {
        b->number = number;
        batch_counts_init(&b->pending);
        list_del(&b->link);
        list_add_tail(&p->used, &b->link);
    }
    batch_counts_add_job(&b->pending, j);
}

/* Unique for as long as Kafka keeps its records: the process, which of its assignments, and in it since when. */
static const char *assignment(const struct progress *p, const struct batch *b, struct arena *a)
{
    if (b->n_forgotten == 0)
        return arena_printf(a, "%s-%llu", p->incarnation, (unsigned long long)p->part->epoch);
    return arena_printf(a, "%s-%llu-%llu", p->incarnation, (unsigned long long)p->part->epoch,
                        (unsigned long long)b->n_forgotten);
}

struct record *progress_records(struct progress *p, const struct stats_origin *o, struct record *next)
{
    for (struct list *it = p->used.prev; it != &p->used; it = it->prev) {
        const struct batch *b = LIST_ENTRY(it, struct batch, link);
        struct batch_head head = {.batch_id = b->id,
                                  .topic = p->part->topic,
                                  .partition = p->part->partition,
                                  .assignment = assignment(p, b, o->arena)};
        struct batch_counts counts = b->committed;
        struct record *r;

        if (b->number != o->number)
            break; /* and older ones */
        batch_counts_add(&counts, &b->pending);
        r = record_batch(o, &head, &counts);
        if (r == NULL)
            continue;
        r->next = next;
        next = r;
    }
    return next;
}

void progress_commit(struct progress *p, const struct job *j)
{
    size_t len;
    const char *id = text_decode(j->arena, j->spec.batch_id, &len);
    struct batch *b = find(p, id, len);
    struct batch_counts one;

    if (b == NULL)
        return; /* no commit batch has told of it */
    batch_counts_init(&one);
    batch_counts_add_job(&one, j);
    batch_counts_add(&b->committed, &one);
}
