/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Kafka adapter share. Loop side: kafka.c (life), kafka_events.c (the consumer's queue),
 * kafka_rebalance.c (assign, revoke), kafka_lookup.c (start offsets), kafka_batch.c (group commit), kafka_alo.c
 * (at-least-once), kafka_control.c (commands, by itself). Committer side: kafka_committer.c (the thread),
 * kafka_topics.c (topics and limits), kafka_txn.c (transactions). kafka_conf.c serves both. */
#ifndef BROKER_KAFKA_INTERNAL_H
#define BROKER_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "base/list.h"
#include "impl/broker_kafka.h"
#include "loop.h"
#include "seam/broker.h"

enum {
    KAFKA_BATCH_PUBLICATIONS = 2000,
    KAFKA_BATCH_BYTES = 8 << 20,
    KAFKA_FRAMING_BYTES = 4096, /* of a topic's limit, for key, headers and batch framing */
    KAFKA_DEFAULT_LIMIT = 1048588,
    KAFKA_SPAN = 16384, /* no commit metadata reaches farther above its base (core/window.h) */
    KAFKA_WHY = 256,
};
#define KAFKA_SEC INT64_C(1000000)

struct kafka;
struct kafka_batch;

/* --- conf (any thread) --- */

/* NULL: refused, *out_why says why. `max_batch_bytes`, `max_record_bytes`: from the output topics' limits; is_careful:
 * one record per produce batch, so that a failing record names itself. */
rd_kafka_conf_t *kafka_conf_consumer(const struct kafka_conf *c, char *out_why, size_t size);
rd_kafka_conf_t *kafka_conf_producer(const struct kafka_conf *c, size_t max_batch_bytes, size_t max_record_bytes,
                                     bool is_careful, char *out_why, size_t size);

/* The reader of the control topic: no group, and the end of a partition is told. */
rd_kafka_conf_t *kafka_conf_control(const struct kafka_conf *c, char *out_why, size_t size);

/* --- start of a partition (pure) --- */

enum kafka_start_verdict { START_FIRST, START_RESUME, START_GAP, START_RECREATED };

struct kafka_start_at {
    enum kafka_start_verdict verdict;
    int64_t base;      /* where the engine's window begins */
    int64_t fetch;     /* where fetching begins, >= base */
    bool has_metadata; /* the commit's metadata belongs to this base */
};

/* committed < 0: none. [low, high]: what the partition holds. */
struct kafka_start_at kafka_start_decide(int64_t committed, int64_t low, int64_t high, enum kafka_start start);

/* --- group metadata --- */

struct kafka_snapshot {
    rd_kafka_consumer_group_metadata_t *group;
    int refs; /* loop thread only */
    int generation;
};

/* Reads generation and whether there is a member id. -EINVAL: not of a known form. */
int kafka_snapshot_parse(const void *bytes, size_t size, int *out_generation, bool *out_is_member);
/* Takes the current metadata; NULL without membership (such metadata would commit anything). */
struct kafka_snapshot *kafka_snapshot_take(rd_kafka_t *consumer);
void kafka_snapshot_unref(struct kafka_snapshot *s);

/* --- committer thread --- */

struct kafka_committer;

struct kafka_task {
    struct list link;
    struct kafka_committer *committer;
    void (*fn)(struct kafka_task *t);   /* committer thread */
    void (*done)(struct kafka_task *t); /* loop thread */
};

struct kafka_committer *kafka_committer_new(struct loop *loop);
void kafka_committer_submit(struct kafka_committer *c, struct kafka_task *t);
/* From now on long tasks give up at their next chance. */
void kafka_committer_quit(struct kafka_committer *c);
bool kafka_committer_is_quitting(const struct kafka_committer *c); /* any thread */
/* Waits on the committer thread, at most `pause_ms`, less when it shall quit. */
void kafka_committer_pause(struct kafka_committer *c, int pause_ms);
/* Joins and frees; after `wait_us` the stuck thread is left behind (false) and posts nothing any more. */
bool kafka_committer_free(struct kafka_committer *c, int64_t wait_us);

/* --- transactions (committer thread) --- */

/* The producing side. Belongs to the committer thread once it runs, but for the atomics. */
struct kafka_txn {
    const struct kafka_conf *conf;
    struct kafka_committer *committer;
    rd_kafka_t *consumer; /* for offsets, admin and metadata calls */
    rd_kafka_t *producer;
    _Atomic size_t limits[OUT_MAX]; /* max.message.bytes per output topic; any thread */
    atomic_bool is_auth_refused;    /* written by the loop from error events; any thread */
    size_t batch_bytes;             /* the producer was made for topics of at least this limit */
    bool is_careful;
    int64_t begun_us;            /* the transaction under way, or the last one */
    int64_t fenced_us;           /* when another producer last took our id, 0: never */
    const struct record *failed; /* record of a delivery failure */
    rd_kafka_resp_err_t failed_err;
};

enum kafka_result { RESULT_COMMITTED, RESULT_RETRY, RESULT_STALE, RESULT_RECONCILED, RESULT_FAILED, RESULT_QUIT };

/* Asks for one topic, for a second at most; *out_partitions (may be NULL) is written on success. Any thread that may
 * block, as the next. */
rd_kafka_resp_err_t kafka_topic_look_up(rd_kafka_t *rk, const char *topic, int *out_partitions);
/* Makes it with the broker's defaults; cleanup: its cleanup.policy, NULL: the broker's. Waits `seconds`, less when the
 * committer (may be NULL) quits. */
rd_kafka_resp_err_t kafka_topic_create(rd_kafka_t *rk, const struct kafka_committer *committer, const char *topic,
                                       const char *cleanup, int seconds, char *out_why, size_t size);
/* Will it be the same the next time? */
bool kafka_is_refusal(rd_kafka_resp_err_t err);
/* Makes missing topics and reads the limits. 0, or a sysexits code with *out_why. */
int kafka_topics_prepare(struct kafka_txn *x, char *out_why, size_t size);
/* Reads the limits again; on failure the old ones stay. */
void kafka_topics_refresh(struct kafka_txn *x);
/* Makes a producer and initialises its transactions, trying for `wait_us`. 0, or a sysexits code. */
int kafka_txn_open(struct kafka_txn *x, bool is_careful, int64_t wait_us, char *out_why, size_t size);
/* Smallest and largest max.message.bytes of the outputs. Any thread. */
void kafka_txn_limits(const struct kafka_txn *x, size_t *out_min, size_t *out_max);
void kafka_txn_close(struct kafka_txn *x);
/* Commits the batch; sets its result, exit code, why and the offsets' is_committed. */
void kafka_txn_run(struct kafka_txn *x, struct kafka_batch *b);
/* Hands one record to a producer; a failure gives the error, with __QUEUE_FULL when there is no room now. */
rd_kafka_resp_err_t kafka_produce(rd_kafka_t *producer, const char *topic, const struct record *r, void *opaque);
/* Monotonic time of any thread. */
int64_t kafka_clock_us(void);

/* --- batches (loop thread, in flight the committer's) --- */

struct kafka_offset {
    struct kafka_part *part; /* may be gone; valid while the batch is in flight */
    int64_t base;
    char *metadata;
    size_t metadata_len;
    bool is_committed; /* after a reconciliation: the group's committed position is this one */
};

struct kafka_batch {
    struct kafka_task task;
    struct kafka *k;
    struct list pubs; /* struct publication */
    int n_pubs;
    struct kafka_offset *offsets; /* offsets[n_offsets] */
    int n_offsets;
    struct record *about; /* what the engine says of the batch as a whole */
    struct arena *arena;  /* of `about` */
    struct kafka_snapshot *snapshot;
    int64_t closed_us;
    enum kafka_result result;
    int exit_code;
    int n_records;
    char why[KAFKA_WHY];
};

/* --- partitions --- */

enum kafka_part_state { PART_LOOKUP, PART_ACTIVE, PART_REVOKING, PART_GONE };

struct kafka_part {
    struct broker_part pub;
    struct list link; /* kafka.parts, or kafka.gone until n_in_flight is 0 */
    struct kafka *k;
    char *topic;
    enum kafka_part_state state;
    bool is_announced; /* assigned() was called */
    bool is_released;
    int n_gathered;          /* publications waiting for a batch */
    int n_in_flight;         /* publications in the batch under way */
    uint64_t mark;           /* batch number that has taken its position */
    int64_t next;            /* lower offsets are not delivered again */
    int n_above;             /* lookups in a row that found no reason to go on elsewhere */
    rd_kafka_queue_t *queue; /* its own queue while fetching */
    int fd;                  /* eventfd of that queue, -1: none */
    struct watch *watch;
};

/* A rebalance event that waits for its turn. */
struct kafka_change {
    struct list link;
    bool is_assign;
    bool is_begun;
    rd_kafka_topic_partition_list_t *list;
    int64_t deadline_us; /* of the engine's release() */
    int64_t look_us;     /* when the membership is looked at again */
};

enum kafka_state {
    KAFKA_IDLE,
    KAFKA_STARTING,
    KAFKA_RUNNING,
    KAFKA_FLUSHING,
    KAFKA_CLOSING,
    KAFKA_DESTROYING,
    KAFKA_STOPPED
};

struct kafka {
    struct broker base;
    struct loop *loop;
    const struct kafka_conf *conf;
    const struct broker_events *ev;
    void *ev_arg;
    enum kafka_state state;
    struct kafka_committer *committer;
    struct kafka_txn txn;
    struct kafka_task init;
    struct kafka_task end;
    bool is_initialising; /* the init task is under way */
    bool is_clean;        /* stopped with every handle destroyed */
    int init_code;
    char init_why[KAFKA_WHY];

    rd_kafka_t *consumer;
    rd_kafka_queue_t *queue; /* the consumer's */
    int fd;
    struct watch *watch;
    struct timer tick; /* every 500 ms */
    struct wake pump;  /* progress that must not run inside a caller */

    struct list parts;   /* struct kafka_part, in our hands */
    struct list gone;    /* given up, but in the batch under way */
    struct list changes; /* struct kafka_change, oldest first */
    uint64_t epoch;
    struct kafka_lookup *lookup; /* under way */
    bool is_lookup_single;       /* the last one timed out: ask one partition at a time */
    struct timer lookup_again;

    struct kafka_snapshot *snapshot; /* NULL: no membership, nothing may be sent */
    struct list gather;              /* publications for the next batch (at-least-once: kafka_alo.c has its own) */
    struct list stale;               /* publications whose partition is gone: dropped() in the next pump */
    int n_gathered;
    size_t gathered_bytes;
    int64_t due_us;        /* when the next batch closes, 0: nothing gathered */
    int64_t not_before_us; /* after a failed batch */
    int n_failed;          /* batches in a row */
    struct timer close_timer;
    struct kafka_batch *batch; /* under way */
    uint64_t batch_number;
    struct kafka_alo *alo;      /* at-least-once mode */
    _Atomic int64_t joining_us; /* at-least-once mode: since when a JoinGroup is under way, 0: none; library threads */

    int64_t refresh_us; /* when limits are read again */
    struct kafka_task refresh;
    int fail_code;
    char fail_why[KAFKA_WHY];
    bool is_failed; /* failed() was called */
    bool is_subscribed;
    bool has_joined; /* a rebalance event came */
    void (*stopped)(void *arg);
    void *stopped_arg;
    int64_t stop_deadline_us;
    int64_t log_due_us;
    int64_t log_slow_us;
};

/* Life: kafka.c */
void kafka_fail(struct kafka *k, int exit_code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Asks for a kafka_pump() later in this turn: revocations, batches, stopping go on as far as they can. */
void kafka_pump(struct kafka *k);
struct kafka_part *kafka_part_find(struct list *parts, const char *topic, int32_t partition);

/* The consumer's queue: kafka_events.c */
void kafka_events_drain(struct kafka *k);
int kafka_part_poll(struct kafka *k, struct kafka_part *p);

/* Assign and revoke: kafka_rebalance.c */
void kafka_change_add(struct kafka *k, rd_kafka_event_t *ev);
/* Applies what can be applied. */
void kafka_changes_run(struct kafka *k);
bool kafka_is_revoking(const struct kafka *k);
void kafka_part_free(struct kafka_part *p);
/* The library stops to fetch it; it may be given to it again. */
void kafka_part_take_back(struct kafka *k, struct kafka_part *p);
/* Gives up a partition: its gathered publications go to `stale`, lost() is called when the engine knew it. */
void kafka_part_lose(struct kafka *k, struct kafka_part *p);
void kafka_snapshot_renew(struct kafka *k);

/* Start offsets: kafka_lookup.c */
void kafka_lookup_start(struct kafka *k);
void kafka_lookup_init(struct kafka *k);

/* Group commit: kafka_batch.c */
void kafka_gather(struct kafka *k, struct publication *pub);
void kafka_gather_drop(struct kafka *k, struct kafka_part *p);
/* Closes a batch when it is time and allowed. */
void kafka_batch_pump(struct kafka *k);
rd_kafka_topic_partition_list_t *kafka_batch_list(const struct kafka_batch *b);
void kafka_offset_add(rd_kafka_topic_partition_list_t *list, const struct kafka_offset *o);
void kafka_gone_sweep(struct kafka *k);
/* Asks the engine for records about a batch of these publications. owns  *out_arena is the caller's, also when NULL is
 * returned; NULL when nobody was asked */
struct record *kafka_closing(struct kafka *k, const struct list *pubs, struct arena **out_arena);
/* Sets the time of the next attempt after a failure. */
void kafka_batch_back_off(struct kafka *k);
/* The partition a publication belongs to while it is ours under the same epoch, else NULL. */
struct kafka_part *kafka_owner_of(struct kafka *k, const struct publication *pub);

/* At-least-once: kafka_alo.c; the same duties as the four functions above. */
int kafka_alo_new(struct kafka *k);
void kafka_alo_free(struct kafka *k);
void kafka_alo_watch(rd_kafka_conf_t *consumer_conf, struct kafka *k);
void kafka_alo_publish(struct kafka *k, struct publication *pub);
void kafka_alo_drop(struct kafka *k, struct kafka_part *p);
void kafka_alo_pump(struct kafka *k);
void kafka_alo_on_commit(struct kafka *k, rd_kafka_event_t *ev);
bool kafka_alo_is_idle(const struct kafka *k);

#endif
