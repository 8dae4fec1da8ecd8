/* SPDX-License-Identifier: Apache-2.0 */
/* The broker over Apache Kafka (librdkafka >= 2.0.2; brokers 2.5-3.9 and 4.1+). One consumer, one producer and one
 * committer thread per worker. Offsets, metadata and records of a batch are one transaction; start offsets are always
 * chosen here. source: DESIGN 6, reference/kafka.md 4.11 */
#ifndef IMPL_BROKER_KAFKA_H
#define IMPL_BROKER_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "seam/broker.h"

struct loop;

enum kafka_start { KAFKA_START_EARLIEST, KAFKA_START_LATEST };
enum kafka_on_gap { KAFKA_GAP_CONTINUE, KAFKA_GAP_STOP };
enum kafka_delivery { KAFKA_EXACTLY_ONCE, KAFKA_AT_LEAST_ONCE };

/* Any librdkafka property; passed to both clients. */
struct kafka_property {
    const char *name;
    const char *value; /* never logged */
};

/* Borrowed: everything must outlive the broker. */
struct kafka_conf {
    const char *brokers; /* host:port,... */
    const char *group;
    const char *const *topics; /* topics[n_topics]: the jobs */
    int n_topics;
    const char *outputs[OUT_MAX]; /* topic per output; NULL: its records are left out */
    enum kafka_start start;       /* of a partition without a commit */
    enum kafka_on_gap on_gap;     /* the committed offset was deleted by retention */
    enum kafka_delivery delivery;
    int64_t commit_interval_us;
    int64_t prefetch_bytes;                  /* per partition */
    int64_t session_timeout_us;              /* 0: 20 s */
    int64_t long_retention_us;               /* jobs topics that keep longer are warned of at start; 0: none is */
    const char *slot;                        /* stable name of this process in the group */
    int worker;                              /* index in the process; transactional.id is group-slot-worker */
    bool is_mock;                            /* librdkafka's mock cluster: its topics' limits cannot be asked for */
    const struct kafka_property *properties; /* properties[n_properties] */
    int n_properties;
    /* Test seam, normally NULL: runs on the committer thread when a transaction has records and offsets but is not
     * committed. */
    void (*before_commit)(void *arg);
    void *before_commit_arg;
};

/* Checks names and values without connecting. -EINVAL: *out_why (of `size` bytes) says what is wrong, without secret
 * values. thread  any */
int kafka_conf_check(const struct kafka_conf *conf, char *out_why, size_t size);

/* owns    `loop` and `conf` stay the caller's and must outlive the broker; free with ops->free() after stop() is done
 */
struct broker *broker_kafka_new(struct loop *loop, const struct kafka_conf *conf);

#endif
