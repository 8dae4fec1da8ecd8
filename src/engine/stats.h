/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker tells about its commit batches: per model what the call records in the batch add up to, and per batch
 * of jobs how far it is. The records go out with the batch, so that sums always agree. Loop thread. */
#ifndef ENGINE_STATS_H
#define ENGINE_STATS_H

#include "core/job.h"
#include "core/record_stats.h"

struct progress;
struct stats;

enum { PROGRESS_BATCHES_MAX = 10000 /* open ones per partition */ };

/* owns  `env` must outlive it */
struct stats *stats_new(const struct env *env);
void stats_free(struct stats *s);
/* The records about a batch that is being closed (struct broker_events.closing). */
struct record *stats_closing(struct stats *s, const struct list *pubs, uint64_t number, struct arena *a);
/* The job's batch is committed, and its partition (whose progress this is) still ours. */
void stats_published(struct progress *p, const struct job *j);

/* engine/progress.c: how far the batches of jobs of one assigned partition are. */
struct progress *progress_new(const struct env *env, const char *incarnation, const struct broker_part *part);
void progress_free(struct progress *p);
/* A commit batch holds this result; its records follow from progress_records(). */
void progress_add(struct progress *p, const struct job *j, uint64_t number, struct arena *a);
/* A record per batch of jobs that the commit batch `o->number` touched, in front of `next`. */
struct record *progress_records(struct progress *p, const struct stats_origin *o, struct record *next);
/* The result is committed. */
void progress_commit(struct progress *p, const struct job *j);

#endif
