/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: what was paid for, by source position, so that it is never paid for again (DESIGN 6). */
#ifndef SEAM_JOURNAL_H
#define SEAM_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/text.h"

struct arena;
struct journal;
struct claim;
struct identify;

/* A job's identity. The group is the journal's own. */
struct position {
    const char *topic; /* outlives the journal's use of it */
    int32_t partition;
    int64_t offset;
};

/* One thing the journal remembered. */
struct recall {
    const char *call_key; /* "answer:0:0:0:0" stage:member:sample:round:ordinal */
    int attempt;          /* 1.. */
    bool is_done;         /* a DONE (paid answer); else a FAILED attempt */
    struct text bytes;    /* outcome_encode()'s form */
};

enum claim_result {
    CLAIM_OURS,        /* go on; recalls[] may hold answers */
    CLAIM_OWNER_ALIVE, /* another live worker has it: ask again later */
};

typedef void (*claim_done)(struct claim *c, void *arg);

struct claim {
    /* asked */
    struct position pos;
    uint8_t digest[16];  /* guards against a recreated topic: another digest at this position starts anew */
    struct arena *arena; /* recalls are copied here */
    claim_done done;
    void *arg;
    /* answered */
    enum claim_result result;
    int deliveries; /* times this record was claimed since it last made progress (DONE or FAILED), this one included */
    struct recall *recalls; /* recalls[n_recalls] */
    int n_recalls;
    struct text decision; /* decide()'s bytes of the last stage left; TEXT_NONE: none */
    /* the implementation's */
    struct list link;
    int state;
};

typedef void (*identify_done)(struct identify *i, void *arg);

/* Asks whether a record is the first of its (group, job_id, run). */
struct identify {
    /* asked */
    struct position pos;
    const char *job_id; /* outlives the question */
    int64_t run;
    int64_t ttl_us; /* how long the first one is remembered, from its first question on; > 0 */
    identify_done done;
    void *arg;
    /* answered */
    bool is_taken; /* another position was first; else ours, also when it is asked again */
    /* the implementation's */
    struct list link;
};

struct journal_ops {
    const char *name;
    /* Claims the record at intake; done() comes exactly once, never from inside, and only after the store acknowledged
     * it: while the store is away it waits. */
    void (*claim)(struct journal *j, struct claim *c);
    /* Takes back a claim() before its done(). */
    void (*cancel)(struct journal *j, struct claim *c);
    /* Takes the identity for the record's position unless another has it; done() as that of a claim. */
    void (*identify)(struct journal *j, struct identify *i);
    /* Takes back an identify() before its done(). What the store did of it stays: the position is the same one when it
     * is asked again. */
    void (*unidentify)(struct journal *j, struct identify *i);
    /* Notes a paid answer / a failed attempt. Pipelined, not awaited; kept (memory and, with a strict journal, a synced
     * local spool) while the store is away. First writer of a call key's DONE wins. bytes are copied. */
    void (*record)(struct journal *j, const struct position *pos, const struct recall *what);
    /* Notes that a stage was left with this decision. Pipelined behind the records it rests on. */
    void (*decide)(struct journal *j, const struct position *pos, struct text bytes);
    /* Forgets a job whose offset is covered by a commit. Pipelined. */
    void (*forget)(struct journal *j, const struct position *pos);
    /* Gives up a claim without forgetting anything: the next owner need not wait, and this delivery does not count as a
     * crash. Pipelined. */
    void (*release)(struct journal *j, const struct position *pos);
    /* Announces this process incarnation as alive in its slot (from now renewed); earlier incarnations of the slot are
     * dead. Called once the broker has fenced them. */
    void (*announce)(struct journal *j, const char *slot);
    /* Flushes what is pending (bounded: 2 s), then calls done. With `is_leaving` the incarnation is withdrawn, so that
     * successors need not wait for it. */
    void (*stop)(struct journal *j, bool is_leaving, void (*done)(void *arg), void *arg);
    void (*free)(struct journal *j);
};

struct journal {
    const struct journal_ops *ops;
    bool is_down; /* the store is away: admit nothing new */
};

#endif
