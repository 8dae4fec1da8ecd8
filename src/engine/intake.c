/* SPDX-License-Identifier: Apache-2.0 */
/* Intake: which partition is asked next, and what becomes of a record. What there is no room for stays in the
 * partition's queue: that is the back-pressure. Loop thread. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "engine/worker_internal.h"

enum { POLLS_PER_TURN = 256 };

static bool may_poll(const struct partition *p)
{
    return p->is_readable && !p->is_revoking && p->held == NULL && window_has_room(&p->window);
}

/* The next partition in turn among those of the most urgent topic that may be asked; it goes to the end of the line, so
 * that none of its equals starves. */
static struct partition *next_partition(struct worker *w)
{
    struct partition *best = NULL;

    LIST_EACH (it, &w->partitions) {
        struct partition *p = LIST_ENTRY(it, struct partition, link);

        if (may_poll(p) && (best == NULL || p->rank < best->rank))
            best = p;
    }
    if (best != NULL) {
        list_del(&best->link);
        list_add_tail(&w->partitions, &best->link);
    }
    return best;
}

void intake_pump(void *worker)
{
    struct worker *w = worker;
    struct broker *b = w->env.broker;

    for (int i = 0; i < POLLS_PER_TURN; i++) {
        struct partition *p;

        if (w->is_draining || w->n_jobs >= w->conf.max_in_flight)
            return;
        p = next_partition(w);
        if (p == NULL)
            return;
        if (b->ops->poll(b, p->bp) == 0)
            p->is_readable = false;
    }
    loop_wake(w->env.loop, &w->pump); /* go on in the next turn: others have work too */
}

/* A partition may come back while jobs of its last time here still have calls under way. Their successors wait for
 * them: both would be this process to the journal, and the same call would be paid twice. */
static bool has_orphan(const struct worker *w, const struct job *j)
{
    LIST_EACH (it, &w->orphans) {
        const struct job *o = LIST_ENTRY(it, struct job, link);

        if (o->pos.offset == j->pos.offset && o->pos.partition == j->pos.partition &&
            strcmp(o->pos.topic, j->pos.topic) == 0)
            return true;
    }
    return false;
}

static void begin(struct partition *p, struct job *j)
{
    list_add_tail(&p->jobs, &j->link);
    p->n_running++;
    j->is_held_back = has_orphan(p->worker, j);
    if (!j->is_held_back)
        job_start(j);
}

static void start_of_partition(struct worker *w, struct partition *p)
{
    LIST_EACH (it, &p->jobs) {
        struct job *j = LIST_ENTRY(it, struct job, link);

        if (j->is_held_back && !has_orphan(w, j)) {
            j->is_held_back = false;
            job_start(j);
        }
    }
}

void intake_start_held_back(struct worker *w)
{
    LIST_EACH (it, &w->partitions)
        start_of_partition(w, LIST_ENTRY(it, struct partition, link));
}

void intake_message(void *worker, struct broker_part *bp, const struct message *m)
{
    struct worker *w = worker;
    struct partition *p = bp->user;
    struct job *j;
    int r = window_open(&p->window, m->offset);

    if (r == 1 || r == -EINVAL)
        return; /* finished before a restart, or delivered twice by the client */
    j = job_new(&w->env, bp->topic, bp->partition, m);
    j->owner = p;
    j->pub.part = bp;
    j->pub.epoch = bp->epoch;
    j->pub.offset = m->offset;
    w->n_jobs++;
    if (r == 0)
        begin(p, j);
    else
        p->held = j;
}

void intake_retry_held(struct partition *p)
{
    struct job *j = p->held;
    int r;

    if (j == NULL)
        return;
    r = window_open(&p->window, j->pos.offset);
    if (r == -ENOSPC)
        return;
    p->held = NULL;
    if (r == 0) {
        begin(p, j);
        return;
    }
    p->worker->n_jobs--;
    job_free(j);
}
