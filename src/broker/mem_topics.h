/* SPDX-License-Identifier: Apache-2.0 */
/* The memory broker's cluster: records and commits. */
#ifndef BROKER_MEM_TOPICS_H
#define BROKER_MEM_TOPICS_H

#include <stdbool.h>

#include "base/list.h"
#include "impl/broker_mem.h"

/* Told of each append, from inside it. */
struct topics_listener {
    struct list link;
    void (*fn)(void *arg, int partition);
    void *arg;
};

/* From now on until its link is deleted. */
void mem_topics_listen(struct mem_topics *t, struct topics_listener *l);
/* Index of the first record at or behind `offset`. */
size_t mem_topics_index(const struct mem_topics *t, int partition, int64_t offset);
/* The record at an index, borrowed; false behind the last. */
bool mem_topics_get(const struct mem_topics *t, int partition, size_t index, struct message *out);
void mem_topics_commit(struct mem_topics *t, int partition, int64_t base, const char *metadata);
void mem_topics_add_record(struct mem_topics *t, const struct record *r);

#endif
