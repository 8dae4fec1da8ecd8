/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP attempt as a record: made from a transfer, from an end forced by us, or from the journal. Loop thread. */
#ifndef CORE_ATTEMPT_H
#define CORE_ATTEMPT_H

#include "core/job.h"

/* Reads a transfer that ended by itself into a new attempt (texts kept in the job's arena, cost filled in). */
struct attempt *attempt_of_transfer(struct call *c, struct transfer *t);
/* An attempt that we ended (cancelled, deadline_exceeded) after its request was written. */
struct attempt *attempt_of_end(struct call *c, struct transfer *t, enum fault fault, const char *detail);
/* Writes it to the journal: DONE for a paid answer, FAILED else. */
void attempt_journal(struct call *c, struct attempt *a);
/* Appends what the journal remembers of this call, oldest first; an answer ends the list. Returns how many. */
int attempt_recall(struct call *c, const struct recall *recalls, int n);
/* Gives the call the key under which its present model is asked: the one it was asked under before a crash, else one
 * that no other model was asked under. */
void attempt_choose_key(struct call *c);

#endif
