/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a call asks: the model that was asked for or one of its fallbacks, past the breaker of that model, with which of
 * the provider's keys. Loop thread. */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

#include "core/job.h"

enum route_next {
    ROUTE_GO,   /* ask for a permit */
    ROUTE_WAIT, /* the gate's moved() comes */
    ROUTE_NONE, /* the model is not asked while its breaker is open, and the wait does not fit the job's deadline */
};

/* Takes the call to the first model whose breaker lets it pass: the present one, else any other that was not given up,
 * so also back to one that is well again. */
enum route_next route_enter(struct call *c);
/* Makes sure that the call has a key to use; another key than before means another request. */
void route_take_key(struct call *c);
/* An attempt failed for its key's sake: may the call go on with another key? Returns after how long (0: at once), or
 * -1. The present key is given up. wait_us  how long it would wait with this key; -1: not at all */
int64_t route_change_key(struct call *c, const struct outcome *o, int64_t wait_us);
/* The call gave up on its model: goes on to the next that has not had its say. False: there is none, or no time. */
bool route_fall_back(struct call *c);
/* Goes to a place of the chain: 0 the model asked for, 1.. its fallbacks. Everything of the model before is dropped;
 * attempts are counted on where the place has had some. */
void route_to(struct call *c, int fallback_index);
/* After attempt_recall(): takes the call to where its attempts ended and returns the last one there; NULL: none of the
 * models asked belongs to the call any more, it begins anew. */
struct attempt *route_resume(struct call *c);

#endif
