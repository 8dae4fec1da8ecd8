/* SPDX-License-Identifier: Apache-2.0 */
/* The spool files of a group in a directory: the own one of a slot, and those of slots that nobody on this host has any
 * more (a process that comes back may be given another slot). One set per journal. The loop's thread only. */
#ifndef SPOOL_SET_H
#define SPOOL_SET_H

#include <stdbool.h>

#include "journal/spool.h"

struct spool_set;

/* Opens "journal-<digest of the group>-<digest of the slot>.spool", made when it is not there, and looks once for files
 * of the same group that nobody holds. loaded() comes when all of them are read; record() as for each of them. */
struct spool_set *spool_set_new(struct loop *l, const char *dir, const char *group, const char *slot,
                                const struct spool_events *ev, void *arg);
/* As spool_free(). */
void spool_set_free(struct spool_set *set);
/* The one to append to; it lives as long as the set. */
struct spool *spool_set_own(const struct spool_set *set);
bool spool_set_is_idle(const struct spool_set *set);

#endif
