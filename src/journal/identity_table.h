/* SPDX-License-Identifier: Apache-2.0 */
/* Who was first with a job id and run, in memory; what runs out is forgotten. One thread. */
#ifndef JOURNAL_IDENTITY_TABLE_H
#define JOURNAL_IDENTITY_TABLE_H

#include <stdbool.h>

#include "seam/journal.h"

struct identity;

struct identity_table {
    struct identity *all; /* uthash by name, oldest first */
};

/* Takes the identity for i->pos unless another position has it; true when one has. Time is any monotonic one. */
bool identity_table_is_taken(struct identity_table *t, const struct identify *i, int64_t now_us);
void identity_table_done(struct identity_table *t);

#endif
