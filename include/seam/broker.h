/* SPDX-License-Identifier: Apache-2.0 */
/* Where jobs come from and records go to: Kafka, or memory in simulation. All calls and events on the worker's loop
 * thread. */
#ifndef SEAM_BROKER_H
#define SEAM_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct arena;
struct broker;
struct buf;

/* A partition while it is assigned. Made by the broker before assigned(), freed by it after release() or lost(). */
struct broker_part {
    const char *topic;
    int32_t partition;
    uint64_t epoch; /* grows with each assignment in this process */
    int64_t start;  /* first offset that will be delivered */
    int64_t high;   /* high watermark seen at assignment, later at the last fetch; -1: unknown */
    void *user;     /* the engine's */
};

struct message_header {
    const char *name;
    const char *value; /* value_len bytes, may be NULL */
    size_t value_len;
};

/* One record read; borrowed, valid during the message() event only. */
struct message {
    int64_t offset;
    int64_t ts_ms;   /* the record's timestamp, -1: none */
    const char *key; /* NULL: no key */
    size_t key_len;
    const char *value; /* NULL: no value */
    size_t value_len;
    const struct message_header *headers; /* headers[n_headers] */
    int n_headers;
};

enum output { OUT_RESULTS, OUT_CALLS, OUT_DEAD_LETTERS, OUT_MODEL_STATS, OUT_BATCHES, OUT_MAX };

/* One record to write; memory of the job's arena. */
struct record {
    struct record *next;
    enum output output;
    const char *key; /* NULL: no key */
    size_t key_len;
    const char *value; /* NULL: no value (tombstone) */
    size_t value_len;
    const struct message_header *headers;
    int n_headers;
};

/* The records of one finished offset. Owned by the broker from publish() to published() or dropped(); embed it in the
 * job. */
struct publication {
    struct list link;
    struct broker_part *part; /* whose offset it finishes */
    uint64_t epoch;           /* of the partition at intake */
    int64_t offset;
    struct record *first; /* NULL: nothing to write, only the offset */
    size_t bytes;         /* of all records, for batch budgets */
    bool is_counted; /* the broker's: what an earlier closing() said of it is written for good, though its offset is not
                        committed (at-least-once); false from the engine */
};

/* Called by the broker. `arg` is the one given to start(). */
struct broker_events {
    void (*ready)(void *arg); /* producer initialised, predecessor fenced: announce yourself */
    /* A partition is ours. `metadata` is the commit's text (NULL or "" when none): decode the bitmap from it. Fetching
     * starts at p->start. */
    void (*assigned)(void *arg, struct broker_part *p, const char *metadata);
    void (*revoking)(void *arg, struct broker_part *p); /* stop its intake, finish, then ops->release() within 20 s */
    void (*lost)(void *arg, struct broker_part *p);     /* gone: p is invalid after this returns */
    void (*readable)(
        void *arg, struct broker_part *p); /* messages may be waiting: poll() until it returns 0 or there is no room */
    void (*message)(void *arg, struct broker_part *p, const struct message *m); /* from inside poll() */
    /* A batch is being closed: write base and metadata of the partition's window (everything finished up to now is in
     * this batch or an earlier one). */
    void (*position)(void *arg, struct broker_part *p, int64_t *out_base, struct buf *out_metadata);
    /* A batch is being closed with these publications (struct publication.link, in the list `pubs`): returns records
     * about the batch as a whole, NULL: none; sizes <= limit(). `number` tells the batches of this process apart, and
     * one is under way at a time. They are written with the batch (at-least-once: before its offsets are committed).
     * Everything returned lives in `a`, which the broker frees with the batch; an aborted batch's publications come
     * again in another one. May be NULL. */
    struct record *(*closing)(void *arg, const struct list *pubs, uint64_t number, struct arena *a);
    void (*published)(void *arg, struct publication *pub); /* committed, in any order */
    void (*dropped)(void *arg, struct publication *pub); /* its partition went away first: another worker will do it */
    void (*failed)(void *arg, int exit_code, const char *why); /* cannot go on: leave with this sysexits code */
};

struct broker_ops {
    const char *name;
    /* Connects and joins; events follow. 0, or a negative errno with a message logged. */
    int (*start)(struct broker *b, const struct broker_events *ev, void *arg);
    /* Delivers at most one message of the partition through message(). 1: delivered, 0: none waiting. */
    int (*poll)(struct broker *b, struct broker_part *p);
    /* Hands over a finished offset with its records (sizes <= limit()). published() or dropped() follows exactly once.
     */
    void (*publish)(struct broker *b, struct publication *pub);
    /* The engine is done with a revoked partition: commits what was handed over, then gives it up. p is invalid after
     * lost(). */
    void (*release)(struct broker *b, struct broker_part *p);
    /* Largest value, in bytes, that a record of this output may have (its topic's limit less key, headers and framing
     * of 4 KiB). */
    size_t (*limit)(struct broker *b, enum output o);
    /* Commits what was handed over, leaves the group, then calls done. */
    void (*stop)(struct broker *b, void (*done)(void *arg), void *arg);
    void (*free)(struct broker *b);
};

struct broker {
    const struct broker_ops *ops;
};

#endif
