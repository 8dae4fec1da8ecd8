/* SPDX-License-Identifier: Apache-2.0 */
/* A Kafka cluster in memory for `tutti dev`: librdkafka's mock cluster, which serves foreign clients on a port of its
 * own choice. It keeps MOCK_KAFKA_PARTITION_BYTES per partition and then drops the oldest; it takes transactions
 * without effect, makes no topics by itself and cannot be asked for offsets by time. Not for production. */
#ifndef IMPL_BROKER_MOCK_H
#define IMPL_BROKER_MOCK_H

#include <stddef.h>
#include <stdint.h>

struct mock_kafka;

enum { MOCK_KAFKA_PARTITION_BYTES = 5 * 1024 * 1024 };

/* What went into one partition since the cluster was made. */
struct mock_kafka_usage {
    const char *topic;
    int32_t partition;
    int64_t records;
    int64_t bytes; /* at most what the cluster counts for them uncompressed: keys, values, headers, framing */
};

/* Starts the cluster with these topics; NULL with why[size] when it cannot.
 * owns    topics[n_topics] is copied; mock_kafka_free() it
 * thread  main, as all functions here; the cluster itself runs on a thread of the library */
struct mock_kafka *mock_kafka_new(const char *const *topics, int n_topics, int n_partitions, char *why, size_t size);
/* Stops serving; everything in it is gone. NULL is fine. */
void mock_kafka_free(struct mock_kafka *m);
/* "127.0.0.1:PORT" */
const char *mock_kafka_brokers(const struct mock_kafka *m);
/* Counts what has arrived since the last time, without waiting. The cluster tells nobody its sizes, so it is read as
 * any client would. */
void mock_kafka_count(struct mock_kafka *m);
/* Waits, for two seconds at most, until everything that was written is counted. */
void mock_kafka_settle(struct mock_kafka *m);
/* Counts per partition, topic by topic. */
const struct mock_kafka_usage *mock_kafka_usage(const struct mock_kafka *m, int *out_n);

#endif
