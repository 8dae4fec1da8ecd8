/* SPDX-License-Identifier: Apache-2.0 */
/* Group metadata for transactions, and where a partition starts: small rules without state. Metadata without a member
 * or with generation -1 would commit anything, so it is never handed out; the library has no getter, its serialised
 * form is read. Loop thread. source: reference/kafka.md 4.11, librdkafka rd_kafka_consumer_group_metadata_write() */
#include "broker/kafka_internal.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

int kafka_snapshot_parse(const void *bytes, size_t size, int *out_generation, bool *out_is_member)
{
    static const char MAGIC[7] = {'C', 'G', 'M', 'D', 'v', '2', ':'};
    const char *p = bytes, *end = p + size, *group, *member;
    int32_t generation;

    if (size < sizeof(MAGIC) + sizeof(generation) + 2 || memcmp(p, MAGIC, sizeof(MAGIC)) != 0)
        return -EINVAL;
    memcpy(&generation, p + sizeof(MAGIC), sizeof(generation)); /* host order: it never leaves the process */
    group = p + sizeof(MAGIC) + sizeof(generation);
    member = memchr(group, '\0', (size_t)(end - group));
    if (member == NULL || ++member == end)
        return -EINVAL;
    *out_generation = generation;
    *out_is_member = *member != '\0';
    return 0;
}

struct kafka_snapshot *kafka_snapshot_take(rd_kafka_t *consumer)
{
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(consumer);
    struct kafka_snapshot *s;
    rd_kafka_error_t *error;
    void *bytes = NULL;
    size_t size = 0;
    int generation = -1;
    bool is_member = false;
    int r = -EINVAL;

    if (group == NULL)
        return NULL;
    error = rd_kafka_consumer_group_metadata_write(group, &bytes, &size);
    if (error == NULL) {
        r = kafka_snapshot_parse(bytes, size, &generation, &is_member);
        rd_kafka_mem_free(consumer, bytes);
    } else {
        rd_kafka_error_destroy(error);
    }
    if (r < 0)
        log_event(LOG_ERROR, "kafka_group_metadata_unknown", "library=%s", rd_kafka_version_str());
    if (r < 0 || generation < 0 || !is_member) {
        rd_kafka_consumer_group_metadata_destroy(group);
        return NULL;
    }
    s = mem_zero(sizeof(*s));
    s->group = group;
    s->refs = 1;
    s->generation = generation;
    return s;
}

void kafka_snapshot_unref(struct kafka_snapshot *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    rd_kafka_consumer_group_metadata_destroy(s->group);
    mem_free(s);
}

struct kafka_start_at kafka_start_decide(int64_t committed, int64_t low, int64_t high, enum kafka_start start)
{
    int64_t first = start == KAFKA_START_LATEST ? high : low;

    if (committed < 0)
        return (struct kafka_start_at){START_FIRST, first, first, false};
    if (committed > high)
        return (struct kafka_start_at){START_RECREATED, low, low, false};
    if (committed >= low)
        return (struct kafka_start_at){START_RESUME, committed, committed, true};
    /* What was finished above the deleted base stays finished: the window begins at the old base as long as its bitmap
     * can reach over the gap. */
    if (low - committed < KAFKA_SPAN)
        return (struct kafka_start_at){START_GAP, committed, low, true};
    return (struct kafka_start_at){START_GAP, low, low, false};
}
