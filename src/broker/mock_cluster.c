/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's mock cluster (rdkafka_mock.h: experimental, without a promise of compatibility, hence only for `tutti
 * dev`) and a consumer that counts what is in it. Main thread. */
#include "impl/broker_mock.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "broker/kafka_internal.h"

enum {
    COUNT_AT_ONCE = 5000, /* records per mock_kafka_count(): a turn stays short */
    BATCH_BYTES = 61,     /* a record batch's header; each record may come in one of its own */
    SETTLE_MS = 2000,
    RECORD_BYTES = 20, /* lengths, timestamp and offset deltas, at most */
    HEADER_BYTES = 8,
};

struct mock_kafka {
    rd_kafka_t *host; /* keeps the cluster */
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_t *counter;
    char **topics; /* topics[n_topics] */
    int n_topics;
    int n_partitions;
    struct mock_kafka_usage *usage; /* usage[n_topics * n_partitions] */
    int64_t *next;                  /* next[n_topics * n_partitions]: offset to be counted next */
};

static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *line)
{
    (void)rk, (void)level, (void)fac, (void)line; /* it would talk of its missing bootstrap servers */
}

static rd_kafka_t *make_client(rd_kafka_type_t type, const char *const (*pairs)[2], char *why, size_t size)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;

    rd_kafka_conf_set_log_cb(conf, on_log);
    for (; (*pairs)[0] != NULL; pairs++) {
        if (rd_kafka_conf_set(conf, (*pairs)[0], (*pairs)[1], why, size) != RD_KAFKA_CONF_OK) {
            rd_kafka_conf_destroy(conf);
            return NULL;
        }
    }
    rk = rd_kafka_new(type, conf, why, size);
    if (rk == NULL)
        rd_kafka_conf_destroy(conf);
    return rk;
}

static bool start_counter(struct mock_kafka *m, char *why, size_t size)
{
    const char *const pairs[][2] = {{"bootstrap.servers", mock_kafka_brokers(m)},
                                    {"client.id", "tutti-dev-count"},
                                    {"group.id", "tutti-dev-count"}, /* never joined, nothing is committed */
                                    {"enable.auto.commit", "false"},
                                    {"auto.offset.reset", "earliest"}, /* behind a drop go on with what is left */
                                    {"queued.max.messages.kbytes", "4096"},
                                    {"fetch.wait.max.ms", "200"},
                                    {NULL, NULL}};
    rd_kafka_topic_partition_list_t *all;

    m->counter = make_client(RD_KAFKA_CONSUMER, pairs, why, size);
    if (m->counter == NULL)
        return false;
    all = rd_kafka_topic_partition_list_new(m->n_topics * m->n_partitions);
    for (int i = 0; i < m->n_topics * m->n_partitions; i++)
        rd_kafka_topic_partition_list_add(all, m->usage[i].topic, m->usage[i].partition)->offset =
            RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_poll_set_consumer(m->counter);
    rd_kafka_assign(m->counter, all);
    rd_kafka_topic_partition_list_destroy(all);
    return true;
}

static bool start_cluster(struct mock_kafka *m, char *why, size_t size)
{
    static const char *const pairs[][2] = {{"client.id", "tutti-dev"}, {NULL, NULL}};

    m->host = make_client(RD_KAFKA_PRODUCER, pairs, why, size);
    if (m->host == NULL)
        return false;
    m->cluster = rd_kafka_mock_cluster_new(m->host, 1);
    if (m->cluster == NULL) {
        (void)snprintf(why, size, "the mock cluster does not start");
        return false;
    }
    for (int i = 0; i < m->n_topics; i++) {
        rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(m->cluster, m->topics[i], m->n_partitions, 1);

        if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            (void)snprintf(why, size, "topic %s: %s", m->topics[i], rd_kafka_err2str(err));
            return false;
        }
    }
    return true;
}

struct mock_kafka *mock_kafka_new(const char *const *topics, int n_topics, int n_partitions, char *why, size_t size)
{
    struct mock_kafka *m = mem_zero(sizeof(*m));

    m->n_topics = n_topics;
    m->n_partitions = n_partitions;
    m->topics = mem_zero(sizeof(*m->topics) * (size_t)n_topics);
    m->usage = mem_zero(sizeof(*m->usage) * (size_t)(n_topics * n_partitions));
    m->next = mem_zero(sizeof(*m->next) * (size_t)(n_topics * n_partitions));
    for (int i = 0; i < n_topics; i++) {
        m->topics[i] = mem_strdup(topics[i]);
        for (int p = 0; p < n_partitions; p++)
            m->usage[i * n_partitions + p] = (struct mock_kafka_usage){.topic = m->topics[i], .partition = p};
    }
    if (start_cluster(m, why, size) && start_counter(m, why, size))
        return m;
    mock_kafka_free(m);
    return NULL;
}

void mock_kafka_free(struct mock_kafka *m)
{
    if (m == NULL)
        return;
    if (m->counter != NULL) {
        rd_kafka_consumer_close(m->counter);
        rd_kafka_destroy(m->counter);
    }
    if (m->cluster != NULL)
        rd_kafka_mock_cluster_destroy(m->cluster);
    if (m->host != NULL)
        rd_kafka_destroy(m->host);
    for (int i = 0; i < m->n_topics; i++)
        mem_free(m->topics[i]);
    mem_free(m->topics);
    mem_free(m->usage);
    mem_free(m->next);
    mem_free(m);
}

const char *mock_kafka_brokers(const struct mock_kafka *m)
{
    return rd_kafka_mock_cluster_bootstraps(m->cluster);
}

static int64_t record_bytes(const rd_kafka_message_t *msg)
{
    int64_t bytes = BATCH_BYTES + RECORD_BYTES + (int64_t)msg->len + (int64_t)msg->key_len;
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t len;

    if (rd_kafka_message_headers(msg, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return bytes;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        bytes += HEADER_BYTES + (int64_t)strlen(name) + (int64_t)len;
    return bytes;
}

static void count(struct mock_kafka *m, const rd_kafka_message_t *msg)
{
    const char *topic = rd_kafka_topic_name(msg->rkt);

    for (int i = 0; i < m->n_topics; i++) {
        int at = i * m->n_partitions + msg->partition;
        struct mock_kafka_usage *u = &m->usage[at];

        if (strcmp(m->topics[i], topic) != 0)
            continue;
        u->records++;
        u->bytes += record_bytes(msg);
        m->next[at] = msg->offset + 1;
        return;
    }
}

/* Counts one record; false: none came within wait_ms. */
static bool count_one(struct mock_kafka *m, int wait_ms)
{
    rd_kafka_message_t *msg = rd_kafka_consumer_poll(m->counter, wait_ms);

    if (msg == NULL)
        return false;
    if (msg->err == RD_KAFKA_RESP_ERR_NO_ERROR && msg->partition >= 0 && msg->partition < m->n_partitions)
        count(m, msg);
    rd_kafka_message_destroy(msg);
    return true;
}

void mock_kafka_count(struct mock_kafka *m)
{
    for (int i = 0; i < COUNT_AT_ONCE && count_one(m, 0); i++)
        ;
}

void mock_kafka_settle(struct mock_kafka *m)
{
    int64_t deadline_us = kafka_clock_us() + SETTLE_MS * INT64_C(1000);

    for (int i = 0; i < m->n_topics * m->n_partitions; i++) {
        int64_t low, high = 0;

        (void)rd_kafka_query_watermark_offsets(m->counter, m->usage[i].topic, m->usage[i].partition, &low, &high,
                                               SETTLE_MS); /* high stays 0: nothing to wait for */
        while (m->next[i] < high && kafka_clock_us() < deadline_us)
            (void)count_one(m, 50);
        if (m->usage[i].records < high) /* a slow fetch: offsets begin at 0 and have no gaps here */
            m->usage[i].records = high;
    }
}

const struct mock_kafka_usage *mock_kafka_usage(const struct mock_kafka *m, int *out_n)
{
    *out_n = m->n_topics * m->n_partitions;
    return m->usage;
}
