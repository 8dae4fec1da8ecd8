/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that take jobs back: each counts for the jobs in hand, and is remembered for those that are read later. What
 * is remembered is bounded in number and age; the oldest goes first. Loop thread. */
#include <stdio.h>
#include <string.h>

/* uthash's own choice falls through between cases without saying so, which clang refuses. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/worker_internal.h"

enum { JOBS_MAX = 100000, BATCHES_MAX = 10000 };

#define KEPT_MS (INT64_C(7) * 24 * 3600 * 1000)

struct entry {
    char *name; /* "<run>/<job id>", run -1: every run; or the batch id */
    int64_t ts_ms;
    UT_hash_handle hh;
};

struct book {
    struct entry *all; /* uthash by name, in the order of arrival */
    unsigned max;
};

struct cancels {
    struct book jobs;
    struct book batches;
};

/* Of any time that somebody wrote into a record. */
static bool is_old(int64_t ts_ms, int64_t now_ms)
{
    return ts_ms < now_ms - KEPT_MS;
}

static void drop(struct book *b, struct entry *e)
{
    HASH_DEL(b->all, e);
    mem_free(e->name);
    mem_free(e);
}

static struct entry *find(const struct book *b, const char *name)
{
    struct entry *e;

    HASH_FIND_STR(b->all, name, e);
    return e;
}

/* Takes the name. */
static void remember(struct book *b, char *name, int64_t ts_ms, int64_t now_ms)
{
    struct entry *e = find(b, name);

    if (e != NULL && e->ts_ms > ts_ms)
        ts_ms = e->ts_ms;
    if (e != NULL)
        drop(b, e);
    while (b->all != NULL && (HASH_COUNT(b->all) >= b->max || is_old(b->all->ts_ms, now_ms)))
        drop(b, b->all);
    e = mem_zero(sizeof(*e));
    e->name = name;
    e->ts_ms = ts_ms;
    HASH_ADD_KEYPTR(hh, b->all, e->name, strlen(e->name), e);
}

static char *job_name(const char *job_id, int64_t run)
{
    struct buf b;

    buf_init(&b, 0);
    buf_printf(&b, "%lld/%s", (long long)run, job_id);
    return buf_take(&b, NULL);
}

/* The job's record came before the command, so that an id may be used again after it. */
static bool is_known(const struct book *b, const char *name, const struct job *j, int64_t now_ms)
{
    const struct entry *e = find(b, name);

    return e != NULL && j->ts_ms <= e->ts_ms && !is_old(e->ts_ms, now_ms);
}

static bool is_job_known(const struct book *b, const struct job *j, int64_t run, int64_t now_ms)
{
    AUTO_FREE char *name = job_name(j->spec.job_id, run);

    return is_known(b, name, j, now_ms);
}

bool cancels_has(const struct cancels *s, const struct job *j)
{
    int64_t now_ms = loop_wall_ms(j->env->loop);

    if (s->batches.all != NULL && j->spec.batch_id.p != NULL &&
        is_known(&s->batches, text_decode(j->arena, j->spec.batch_id, NULL), j, now_ms))
        return true;
    return s->jobs.all != NULL &&
           (is_job_known(&s->jobs, j, -1, now_ms) || is_job_known(&s->jobs, j, j->spec.run, now_ms));
}

/* Of a job that has been decoded; the others are looked up then. */
static bool is_meant(const struct cancel *c, const struct job *j)
{
    if (j->step <= STEP_DECODE || j->ts_ms > c->ts_ms)
        return false;
    if (c->is_batch)
        return j->spec.batch_id.p != NULL && text_is(j->spec.batch_id, c->id);
    return strcmp(j->spec.job_id, c->id) == 0 && (c->run < 0 || c->run == j->spec.run);
}

void worker_cancel(struct worker *w, const struct cancel *c)
{
    struct cancels *s = w->cancels;
    int64_t now_ms = loop_wall_ms(w->env.loop);

    if (is_old(c->ts_ms, now_ms))
        return;
    if (c->is_batch)
        remember(&s->batches, mem_strdup(c->id), c->ts_ms, now_ms);
    else
        remember(&s->jobs, job_name(c->id, c->run), c->ts_ms, now_ms);
    LIST_EACH (p, &w->partitions)
        LIST_EACH (it, &LIST_ENTRY(p, struct partition, link)->jobs)
            if (is_meant(c, LIST_ENTRY(it, struct job, link)))
                job_cancel(LIST_ENTRY(it, struct job, link));
}

struct cancels *cancels_new(void)
{
    struct cancels *s = mem_zero(sizeof(*s));

    s->jobs.max = JOBS_MAX;
    s->batches.max = BATCHES_MAX;
    return s;
}

static void forget_all(struct book *b)
{
    struct entry *e, *next;

    HASH_ITER(hh, b->all, e, next)
    drop(b, e);
}

void cancels_free(struct cancels *s)
{
    if (s == NULL)
        return;
    forget_all(&s->jobs);
    forget_all(&s->batches);
    mem_free(s);
}
