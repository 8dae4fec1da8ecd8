/* SPDX-License-Identifier: Apache-2.0 */
/* A broker in memory: topics that outlive the workers, so that a simulated crash can be followed by a new worker. Group
 * commits are atomic (records and positions together), take a configurable virtual time and fail by seed. Not for
 * production. Loop thread. */
#ifndef IMPL_BROKER_MEM_H
#define IMPL_BROKER_MEM_H

#include "seam/broker.h"

struct loop;
struct rng;

enum { MEM_PARTITIONS_MAX = 16 };

/* One record that was committed. */
struct mem_record {
    enum output output;
    char *key;
    size_t key_len;
    char *value;
    size_t value_len;
    struct message_header *headers; /* names and values owned */
    int n_headers;
};

/* The "cluster". Its records and commits survive the brokers attached to it. */
struct mem_topics;

struct mem_topics *mem_topics_new(int n_partitions);
void mem_topics_free(struct mem_topics *t);
/* Appends a job record; offsets grow by 1 + gap. Returns the offset. The broker that owns the partition learns of it.
 */
int64_t mem_topics_append(struct mem_topics *t, int partition, const struct message *m, int gap);
/* Committed records so far. */
const struct mem_record *mem_topics_records(const struct mem_topics *t, int *out_n);
/* Committed position of a partition; metadata NULL when none. */
int64_t mem_topics_position(const struct mem_topics *t, int partition, const char **out_metadata);
/* Offset behind the last record. */
int64_t mem_topics_high(const struct mem_topics *t, int partition);

struct broker_mem_conf {
    struct mem_topics *topics;
    const char *topic;   /* name of the jobs topic */
    int first_partition; /* owns [first, first + n) from the start */
    int n_partitions;
    int64_t commit_interval_us;
    int64_t commit_took_us;
    int abort_per_mille; /* share of batches that are aborted and tried again */
    size_t limit;        /* value limit of every output; 0: 1 MiB */
    struct rng *rng;
};

struct broker *broker_mem_new(struct loop *l, const struct broker_mem_conf *conf);
/* Takes a partition away as a rebalance would (revoking), or as a lost session would (lost). */
void broker_mem_revoke(struct broker *b, int partition, bool is_lost);
/* Is the partition this broker's now? */
bool broker_mem_owns(struct broker *b, int partition);
/* Gives a partition, from its committed position. */
void broker_mem_assign(struct broker *b, int partition);
/* The producer is fenced, the cluster gone: failed() is raised, and nothing is committed from now on. */
void broker_mem_fail(struct broker *b, int exit_code, const char *why);

#endif
