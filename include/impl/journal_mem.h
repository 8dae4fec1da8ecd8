/* SPDX-License-Identifier: Apache-2.0 */
/* A journal in memory. The store may outlive the journals attached to it, so that a simulated crash can be followed by
 * a new worker. */
#ifndef IMPL_JOURNAL_MEM_H
#define IMPL_JOURNAL_MEM_H

#include "seam/journal.h"

struct loop;
struct journal_store;

struct journal_store *journal_store_new(void);
void journal_store_free(struct journal_store *s);
/* Jobs remembered now. */
int journal_store_count(const struct journal_store *s);
/* Marks an incarnation dead at once, as the expiry of its liveness key would. */
void journal_store_kill(struct journal_store *s, const char *incarnation);

/* store NULL: an own one. `incarnation` names this worker. took_us: virtual time of a claim's round trip. */
struct journal *journal_mem_new(struct loop *l, struct journal_store *store, const char *incarnation, int64_t took_us);
/* The store goes away or comes back: claims wait, writes are kept and arrive on return. */
void journal_mem_set_down(struct journal *j, bool is_down);

#endif
