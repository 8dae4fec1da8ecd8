/* SPDX-License-Identifier: Apache-2.0 */
/* Topics at start: waits for a broker, makes the missing ones with the broker's defaults, reads max.message.bytes of
 * the output topics and, once, how long the jobs topics keep. Committer thread only (every call here blocks, in slices
 * of a second). It never changes an existing topic. */
#include "broker/kafka_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"

enum { PREPARE_SECONDS = 30, CREATE_SECONDS = 15, REFUSED_SECONDS = 3, MAX_TOPICS = 64 };

/* All topics of the configuration, jobs first. */
static int topic_names(const struct kafka_conf *c, const char **out)
{
    int n = 0;

    for (int i = 0; i < c->n_topics && n < MAX_TOPICS - OUT_MAX; i++)
        out[n++] = c->topics[i];
    for (int i = 0; i < OUT_MAX; i++) {
        if (c->outputs[i] != NULL)
            out[n++] = c->outputs[i];
    }
    return n;
}

rd_kafka_resp_err_t kafka_topic_look_up(rd_kafka_t *rk, const char *topic, int *out_partitions)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t err;

    if (t == NULL)
        return rd_kafka_last_error();
    err = rd_kafka_metadata(rk, 0, t, &md, 1000);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        err = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR__FAIL;
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR && out_partitions != NULL)
            *out_partitions = md->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(t);
    return err;
}

bool kafka_is_refusal(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED || err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION ||
           err == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION || err == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
           err == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
}

/* Waits for the answer of an admin call in slices, so that quitting is noticed. NULL: none came. */
static rd_kafka_event_t *await(const struct kafka_committer *committer, rd_kafka_queue_t *q, int seconds)
{
    for (int i = 0; i < 4 * seconds && (committer == NULL || !kafka_committer_is_quitting(committer)); i++) {
        rd_kafka_event_t *ev = rd_kafka_queue_poll(q, 250);

        if (ev != NULL)
            return ev;
    }
    return NULL;
}

/* Its records replace those of the same key before them. */
static bool is_compacted(const struct kafka_conf *c, const char *topic)
{
    return c->outputs[OUT_BATCHES] != NULL && strcmp(c->outputs[OUT_BATCHES], topic) == 0;
}

rd_kafka_resp_err_t kafka_topic_create(rd_kafka_t *rk, const struct kafka_committer *committer, const char *topic,
                                       const char *cleanup, int seconds, char *out_why, size_t size)
{
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(topic, -1, -1, out_why, size); /* -1: the broker's defaults */
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__INVALID_ARG;
    rd_kafka_event_t *ev = NULL;

    if (t != NULL && cleanup != NULL)
        (void)rd_kafka_NewTopic_set_config(t, "cleanup.policy", cleanup);
    if (t != NULL) {
        rd_kafka_CreateTopics(rk, &t, 1, NULL, q);
        ev = await(committer, q, seconds);
        err = ev == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(ev);
        (void)snprintf(out_why, size, "%s", ev == NULL ? "no answer" : rd_kafka_event_error_string(ev));
    }
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR && ev != NULL) {
        size_t n = 0;
        const rd_kafka_topic_result_t **r =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);

        if (n == 1) {
            const char *text = rd_kafka_topic_result_error_string(r[0]);

            err = rd_kafka_topic_result_error(r[0]);
            (void)snprintf(out_why, size, "%s", text != NULL ? text : rd_kafka_err2str(err));
        }
    }
    if (ev != NULL)
        rd_kafka_event_destroy(ev);
    if (t != NULL)
        rd_kafka_NewTopic_destroy(t);
    rd_kafka_queue_destroy(q);
    return err;
}

/* Brings one topic into being. 0, or a sysexits code. */
static int ensure(struct kafka_txn *x, const char *topic, int64_t deadline_us, char *out_why, size_t size)
{
    bool is_made = false;
    int64_t refused_us = 0;

    for (;;) {
        rd_kafka_resp_err_t err = kafka_topic_look_up(x->consumer, topic, NULL);
        int64_t now = kafka_clock_us();

        if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return 0;
        if (kafka_committer_is_quitting(x->committer))
            return EX_UNAVAILABLE;
        if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART && !is_made) {
            char why[KAFKA_WHY];

            err = kafka_topic_create(x->consumer, x->committer, topic, is_compacted(x->conf, topic) ? "compact" : NULL,
                                     CREATE_SECONDS, why, sizeof(why));
            is_made = err == RD_KAFKA_RESP_ERR_NO_ERROR || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
            if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
                log_event(LOG_INFO, "kafka_topic_created", "topic=\"%s\"", topic);
            if (kafka_is_refusal(err)) {
                (void)snprintf(out_why, size, "topic %s does not exist and may not be created: %s", topic, why);
                return EX_NOPERM;
            }
            if (is_made)
                continue;
        }
        if (kafka_is_refusal(err)) {
            (void)snprintf(out_why, size, "topic %s: %s", topic, rd_kafka_err2str(err));
            return EX_NOPERM;
        }
        /* Wrong credentials and TLS show up as error events while metadata just times out. */
        if (atomic_load(&x->is_auth_refused)) {
            refused_us = refused_us == 0 ? now : refused_us;
            if (now - refused_us >= REFUSED_SECONDS * KAFKA_SEC) {
                (void)snprintf(out_why, size, "Kafka at %s refuses the connection (TLS or SASL)", x->conf->brokers);
                return EX_NOPERM;
            }
        }
        if (now >= deadline_us) {
            (void)snprintf(out_why, size, "Kafka at %s: topic %s: %s", x->conf->brokers, topic, rd_kafka_err2str(err));
            return EX_UNAVAILABLE;
        }
        kafka_committer_pause(x->committer, 100);
    }
}

/* False: the topic's configuration does not say. */
static bool get_number(const rd_kafka_ConfigResource_t *r, const char *name, long long *out)
{
    size_t n = 0;
    const rd_kafka_ConfigEntry_t **e = rd_kafka_ConfigResource_configs(r, &n);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(e[i]), name) != 0 || rd_kafka_ConfigEntry_value(e[i]) == NULL)
            continue;
        *out = strtoll(rd_kafka_ConfigEntry_value(e[i]), NULL, 10);
        return true;
    }
    return false;
}

static void read_limit(struct kafka_txn *x, const rd_kafka_ConfigResource_t *r)
{
    const char *topic = rd_kafka_ConfigResource_name(r);
    long long v;

    if (rd_kafka_ConfigResource_error(r) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log_event(LOG_WARN, "kafka_limit_unknown", "topic=\"%s\" why=\"%s\"", topic,
                  rd_kafka_ConfigResource_error_string(r));
        return;
    }
    if (!get_number(r, "max.message.bytes", &v) || v <= 0)
        return;
    for (int o = 0; o < OUT_MAX; o++) {
        if (x->conf->outputs[o] != NULL && strcmp(x->conf->outputs[o], topic) == 0)
            atomic_store(&x->limits[o], (size_t)v);
    }
}

/* Not to be told is no trouble. */
static void read_retention(const struct kafka_txn *x, const rd_kafka_ConfigResource_t *r)
{
    long long v;

    if (rd_kafka_ConfigResource_error(r) != RD_KAFKA_RESP_ERR_NO_ERROR || !get_number(r, "retention.ms", &v))
        return;
    if (v < 0 || v > x->conf->long_retention_us / 1000)
        log_event(LOG_WARN, "kafka_retention_long", "topic=\"%s\" retention_ms=%lld why=\"%s\"",
                  rd_kafka_ConfigResource_name(r), v,
                  "journal.ttl auto is 8 days, shorter than the topic's retention: set journal.ttl");
}

static bool is_output(const struct kafka_conf *c, const char *topic)
{
    for (int o = 0; o < OUT_MAX; o++) {
        if (c->outputs[o] != NULL && strcmp(c->outputs[o], topic) == 0)
            return true;
    }
    return false;
}

/* A topic asked for twice would spoil the whole answer. */
static void add_once(rd_kafka_ConfigResource_t **list, size_t *n, const char *topic)
{
    if (topic == NULL || *n == MAX_TOPICS)
        return;
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(rd_kafka_ConfigResource_name(list[i]), topic) == 0)
            return;
    }
    list[(*n)++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
}

static void refresh(struct kafka_txn *x, bool is_with_jobs)
{
    const struct kafka_conf *c = x->conf;
    rd_kafka_ConfigResource_t *list[MAX_TOPICS];
    rd_kafka_queue_t *q = rd_kafka_queue_new(x->consumer);
    rd_kafka_event_t *ev = NULL;
    size_t n = 0;

    for (int o = 0; o < OUT_MAX; o++)
        add_once(list, &n, c->outputs[o]);
    for (int i = 0; is_with_jobs && i < c->n_topics; i++)
        add_once(list, &n, c->topics[i]);
    if (n > 0) {
        rd_kafka_DescribeConfigs(x->consumer, list, n, NULL, q);
        ev = await(x->committer, q, 5);
    }
    if (ev != NULL && rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        size_t got = 0;
        const rd_kafka_ConfigResource_t **r =
            rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(ev), &got);

        for (size_t i = 0; i < got; i++) {
            if (is_output(c, rd_kafka_ConfigResource_name(r[i])))
                read_limit(x, r[i]);
            else
                read_retention(x, r[i]);
        }
    } else if (n > 0) {
        log_event(LOG_WARN, "kafka_limits_unknown", "why=\"%s\"",
                  ev == NULL ? "no answer" : rd_kafka_event_error_string(ev));
    }
    if (ev != NULL)
        rd_kafka_event_destroy(ev);
    rd_kafka_ConfigResource_destroy_array(list, n);
    rd_kafka_queue_destroy(q);
}

void kafka_topics_refresh(struct kafka_txn *x)
{
    if (!x->conf->is_mock)
        refresh(x, false);
}

int kafka_topics_prepare(struct kafka_txn *x, char *out_why, size_t size)
{
    const char *names[MAX_TOPICS];
    int n = topic_names(x->conf, names);
    int64_t deadline_us = kafka_clock_us() + PREPARE_SECONDS * KAFKA_SEC;

    for (int i = 0; i < n; i++) {
        int r = ensure(x, names[i], deadline_us, out_why, size);

        if (r != 0)
            return r;
    }
    if (!x->conf->is_mock)
        refresh(x, x->conf->long_retention_us > 0);
    return 0;
}
