/* SPDX-License-Identifier: Apache-2.0 */
/* A journal in memory. The store may outlive the journals attached to it, so that a simulated crash can be followed by
 * a new worker. */
#ifndef IMPL_JOURNAL_MEM_H
#define IMPL_JOURNAL_MEM_H

#include "seam/journal.h"

struct loop;
struct journal_store;

/* What is written without waiting for an answer. */
enum journal_write { JOURNAL_RECORD, JOURNAL_DECIDE, JOURNAL_FORGET, JOURNAL_RELEASE, JOURNAL_WRITE_MAX };

struct journal_store *journal_store_new(void);
void journal_store_free(struct journal_store *s);
/* Jobs remembered now. */
int journal_store_count(const struct journal_store *s);
/* Marks an incarnation dead at once, as the expiry of its liveness key would. */
void journal_store_kill(struct journal_store *s, const char *incarnation);

/* Writes of this kind that ended with their process before they reached the store. */
int journal_store_lost(const struct journal_store *s, enum journal_write what);

/* store NULL: an own one. `incarnation` names this worker. took_us: virtual time of a claim's round trip. */
struct journal *journal_mem_new(struct loop *l, struct journal_store *store, const char *incarnation, int64_t took_us);
/* The store goes away or comes back: claims wait, writes are kept and arrive on return. */
void journal_mem_set_down(struct journal *j, bool is_down);

/* Writes take this long to reach the store, as on a pipelined connection: in order, claims behind the writes before
 * them, and those still on their way are lost with the process. 0, the default: at once. */
void journal_mem_set_write_us(struct journal *j, int64_t write_us);

#endif
