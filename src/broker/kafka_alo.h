/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the at-least-once mode share: kafka_alo.c produces, kafka_alo_commit.c commits offsets. Loop
 * thread. */
#ifndef BROKER_KAFKA_ALO_H
#define BROKER_KAFKA_ALO_H

#include "broker/kafka_internal.h"

/* A publication on its way, or the records about a batch. Outlives both while records are under way. */
struct sent {
    struct list link;        /* alo.gather, or alo.batch.sents, or nowhere */
    struct publication *pub; /* NULL: the records are about the batch; without a batch too: dropped */
    struct kafka_part *part;
    struct sent_batch *batch; /* NULL: gathered */
    int n_unacked;
};

/* Nobody waits for its records any more. */
static inline bool kafka_sent_is_dropped(const struct sent *s)
{
    return s->pub == NULL && s->batch == NULL;
}

struct sent_record {
    struct list link; /* alo.redo, or nowhere while the library has it */
    struct sent *sent;
    const struct record *record;
};

struct sent_batch {
    struct list sents;
    struct kafka_offset *offsets;
    int n_offsets;
    struct sent *about;  /* the records about the batch; NULL: none */
    struct arena *arena; /* theirs */
    int n_unacked;       /* sents with records under way, `about` included */
    int n_records;
    bool is_committing;
};

struct kafka_alo {
    struct kafka *k;
    rd_kafka_t *producer;
    rd_kafka_queue_t *queue; /* its delivery reports wake the loop */
    int fd;
    struct watch *watch;
    bool is_careful;    /* one record per produce batch */
    struct list gather; /* struct sent */
    struct list redo;   /* struct sent_record to be produced again */
    struct timer redo_timer;
    struct sent_batch *batch;
    bool wants_careful; /* a produce batch was too large */
    bool is_rebuilding; /* until the last report of the purge, none of which is judged; nothing is produced */
};

/* Produces a chain of records, which must live until they are acknowledged or `s` is dropped. */
void kafka_alo_send(struct kafka_alo *a, struct sent *s, const struct record *first);
/* The library has acknowledged the record, or nobody wants it any more. Frees it. */
void kafka_alo_acked(struct sent_record *r);
void kafka_sent_free(struct sent *s);
/* Forgets records that would be produced again for nobody. */
void kafka_alo_drop_redo(struct kafka_alo *a);
/* False while a JoinGroup is under way. */
bool kafka_alo_is_gate_open(struct kafka *k);
/* Drops the records about the batch that are still under way. */
void kafka_alo_batch_free(struct kafka_alo *a);

#endif
