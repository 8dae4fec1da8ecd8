/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka for the command line: sends records and reads topics from outside any group. Calls block; one thread, never a
 * worker's. */
#ifndef IMPL_BROKER_CLIENT_H
#define IMPL_BROKER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "impl/broker_kafka.h"

struct kafka_client_conf {
    const char *brokers;                     /* host:port,... */
    const struct kafka_property *properties; /* properties[n_properties]: as in the service */
    int n_properties;
};

/* How it went; `tag` is the one given to kafka_sender_put(). error: NULL when the broker has it. From inside put() and
 * flush(). */
typedef void (*kafka_sent)(void *arg, size_t tag, int32_t partition, int64_t offset, const char *error);

struct kafka_sender;

/* Connects and looks the topic up, for five seconds at most.
 * owns    conf and topic are copied; kafka_sender_free() it
 * errors  -EINVAL a property, -EHOSTUNREACH no broker answers, -EACCES refused, -ENOENT no such topic; why[size] says
 *         what, without secret values */
int kafka_sender_new(const struct kafka_client_conf *conf, const char *topic, kafka_sent sent, void *arg,
                     struct kafka_sender **out, char *why, size_t size);
/* Hands a record over (copied); waits while the queue is full. It is delivered once, or reported with an error after
 * 30 s. */
void kafka_sender_put(struct kafka_sender *s, const char *key, size_t key_len, const char *value, size_t value_len,
                      size_t tag);
/* Waits for what was handed over, for at most this long; returns how many are still without an answer. */
int kafka_sender_flush(struct kafka_sender *s, int timeout_ms);
/* NULL is fine. */
void kafka_sender_free(struct kafka_sender *s);

enum kafka_from { KAFKA_FROM_END, KAFKA_FROM_START, KAFKA_FROM_TIME, KAFKA_FROM_LAST };

struct kafka_reader_conf {
    struct kafka_client_conf client;
    const char *const *topics; /* topics[n_topics] */
    int n_topics;
    enum kafka_from from;
    int64_t from_ms;   /* FROM_TIME: records of this epoch ms and later; older ones are left out */
    int64_t from_last; /* FROM_LAST: so many per partition, roughly (commits take up offsets, too) */
};

/* One record read. Valid until the next call. */
struct kafka_read {
    const char *topic;
    int32_t partition;
    struct message message;
};

struct kafka_reader;

/* Connects and fixes where each partition begins; reads committed records only. Errors as kafka_sender_new(). */
int kafka_reader_new(const struct kafka_reader_conf *conf, struct kafka_reader **out, char *why, size_t size);
/* 1: *out is filled. 0: nothing within timeout_ms. -EACCES: refused meanwhile, -EIO: anything else that lasts; *out_why
 * (may be NULL) then says what. */
int kafka_reader_next(struct kafka_reader *r, int timeout_ms, struct kafka_read *out, const char **out_why);
/* Has every partition been read to the end it had when the reader was made? */
bool kafka_reader_is_at_end(const struct kafka_reader *r);
void kafka_reader_free(struct kafka_reader *r);

#endif
