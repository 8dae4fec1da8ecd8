/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker knows of the health of its providers: a breaker per model, and which API keys rest. Every penalty
 * expires. No I/O; time from the loop; the fleet's one probe of an open breaker goes through the limiter's seam. All
 * functions take a NULL health: then nothing is tracked. Loop thread.
 *
 * breaker: closed -> open after `failures` failures in a row -> after open_us half open: one probe of the whole fleet
 * -> success closes it, failure opens it again. */
#ifndef CORE_HEALTH_H
#define CORE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct breaker;
struct health;
struct limiter;
struct loop;
struct model;
struct outcome;
struct registry;

/* CONTRACTS 5, breaker_state. */
enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_STATE_MAX };
const char *breaker_state_name(enum breaker_state s);

struct health_conf {
    int failures; /* in a row that open a breaker; 0: no breaker */
    int64_t open_us;
};

/* The limiter must be freed before the health (it may hold a question); models of the registry without an index are not
 * tracked. */
struct health *health_new(struct loop *loop, struct limiter *limiter, const struct registry *r,
                          const struct health_conf *conf);
/* After all gates were left. NULL is fine. */
void health_free(struct health *h);
/* The configuration was read anew: breakers stay with the ids of their models, keys are all taken for good again. The
 * old registry may be in use by calls as long as they last. */
void health_reload(struct health *h, const struct registry *r, const struct health_conf *conf);

/* --- breakers --- */

/* For records, statistics and pages; BREAKER_CLOSED for an index that is not tracked. */
enum breaker_state health_breaker_state(const struct health *h, int model_index);
/* The same by the model's id, for a model that may be of an older configuration. */
enum breaker_state health_state_of(const struct health *h, const struct model *m);

/* A call's place before the breaker of the model it wants to ask. */
struct gate {
    /* set once by gate_init() */
    void (*moved)(void *arg); /* from the wake queue: what health_enter() said, or the key, is no good any more: enter
                                 again */
    void *arg;
    /* set before entering */
    bool has_choice; /* the call would rather go to another model: told too when any breaker closes */
    /* set whenever it is chosen */
    int key_slot; /* the key with which the call waits for a permit: told when that one goes bad, not another */
    /* health's */
    enum { GATE_OUTSIDE, GATE_WAITING, GATE_CHOSEN, GATE_PASSED, GATE_TOLD, GATE_SENT } state;
    struct breaker *breaker; /* NULL: not tracked */
    const struct model *model;
    struct list link;
};

void gate_init(struct gate *g, void (*moved)(void *arg), void *arg);

enum gate_answer {
    GATE_GO,   /* a request may be asked for; moved() comes if the breaker opens before health_send() */
    GATE_HOLD, /* this call may become the probe: moved() comes within moments */
    GATE_SHUT, /* no request: moved() comes when it is worth entering again; or leave and go elsewhere */
};

/* Enters, or enters again. */
enum gate_answer health_enter(struct health *h, const struct model *m, struct gate *g);
/* A request is about to be written: the last look. False: the breaker has opened, moved() comes. Tells in which state
 * it is sent. */
bool health_send(struct health *h, struct gate *g, enum breaker_state *out);
/* The request that was sent ended with this outcome; the gate is outside again. */
void health_report(struct health *h, struct gate *g, const struct outcome *o);
/* Gives up the place, whatever it is; nothing was sent, or nobody knows how it ended. Fine outside. */
void health_leave(struct health *h, struct gate *g);

/* Might a call of the model be let through now? */
bool health_is_passable(const struct health *h, const struct model *m);
/* Loop time before which no request of the model is sent; a past or present one when it may be any moment. */
int64_t health_opens_at_us(const struct health *h, const struct model *m);

/* --- keys --- */

/* The provider's key to use next: in each model's own turn, rather one that neither rests nor whose pool is paused;
 * when all rest the one that comes back first, since an answer is better news than a guess. tried  bits of slots not to
 * be taken again -1: none is left */
int health_pick_key(struct health *h, const struct model *m, unsigned tried);
/* Neither does it rest nor is its pool with this model paused. */
bool health_key_is_ready(const struct health *h, const struct model *m, int slot);
/* How long until a key is ready that is not among `tried`: 0 now, -1 when the others all rest. */
int64_t health_key_wait_us(const struct health *h, const struct model *m, unsigned tried);
/* An attempt with this key ended: auth and quota_exhausted let it rest. Calls that were let through and wait for a
 * permit with a key that rests or is paused now are told, where another key is ready.
 * pause_us  > 0: its pool with this model was paused for so long */
void health_note_key(struct health *h, const struct model *m, int slot, const struct outcome *o, int64_t pause_us);

#endif
