/* SPDX-License-Identifier: Apache-2.0 */
/* What worker.c (life and broker events) and intake.c (taking records) share. */
#ifndef ENGINE_WORKER_INTERNAL_H
#define ENGINE_WORKER_INTERNAL_H

#include "core/window.h"
#include "engine/worker.h"

struct progress;
struct stats;

/* A partition while it is ours. */
struct partition {
    struct list link; /* worker->partitions; the first one is polled next */
    struct worker *worker;
    struct broker_part *bp; /* the broker's */
    struct window window;
    struct list jobs;          /* of this partition, published ones included */
    int n_running;             /* of those, not yet published */
    struct job *held;          /* read, but beyond the window's span: opened when the base moves */
    int rank;                  /* place of its topic in the order of priority */
    struct progress *progress; /* of the batches of jobs in it; NULL: none yet */
    uint64_t told;             /* number of the last commit batch that told of it */
    bool is_readable;
    bool is_revoking;
    bool is_released;
};

struct worker {
    struct env env;
    struct stats *stats;
    struct worker_conf conf;
    worker_stopped stopped;
    void *arg;
    struct list partitions;
    struct list orphans; /* jobs whose partition is gone */
    struct cancels *cancels;
    struct list dead;  /* over: freed at the end of the turn */
    int n_jobs;        /* all that are not freed */
    bool is_connected; /* the broker is ready */
    bool is_draining;
    bool is_stopping;
    int exit_code;
    struct timer grace;
    struct wake pump;
    struct hook reaper;
};

/* intake.c */
void intake_pump(void *worker); /* wake: takes records while there is room */
void intake_message(void *worker, struct broker_part *bp, const struct message *m);
void intake_retry_held(struct partition *p);
void intake_start_held_back(struct worker *w); /* an orphan is gone: its successor may start */
/* cancels.c */
struct cancels *cancels_new(void);
void cancels_free(struct cancels *s);
/* Does a command mean this job, which has been decoded? */
bool cancels_has(const struct cancels *s, const struct job *j);
/* worker.c */
void partition_settle(struct partition *p); /* releases a revoked partition that has nothing left running */

#endif
