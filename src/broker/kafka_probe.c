/* SPDX-License-Identifier: Apache-2.0 */
/* Is this cluster fit for the service? Metadata and topic settings, nothing is made or written. Blocks. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "broker/kafka_internal.h"
#include "impl/broker_kafka.h"
#include "impl/broker_probe.h"

enum { ASK_MS = 5000, LEAST_OUTPUT_BYTES = 1024 * 1024, WHAT = 320 };

struct probe {
    const struct kafka_conf *conf;
    rd_kafka_t *rk;
    int64_t journal_ttl_ms;
    finding_fn found;
    void *arg;
    char last[WHAT]; /* the client's last error */
};

static void on_error(rd_kafka_t *rk, int err, const char *why, void *opaque)
{
    struct probe *p = opaque;

    (void)rk;
    (void)err;
    (void)snprintf(p->last, sizeof(p->last), "%s", why);
}

static bool is_jobs_topic(const struct kafka_conf *c, const char *topic)
{
    for (int i = 0; i < c->n_topics; i++)
        if (strcmp(c->topics[i], topic) == 0)
            return true;
    return false;
}

static bool is_output(const struct kafka_conf *c, const char *topic)
{
    for (int i = 0; i < OUT_MAX; i++)
        if (c->outputs[i] != NULL && strcmp(c->outputs[i], topic) == 0)
            return true;
    return false;
}

static const char *value_of(const rd_kafka_ConfigResource_t *r, const char *name)
{
    size_t n;
    const rd_kafka_ConfigEntry_t **e = rd_kafka_ConfigResource_configs(r, &n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(e[i]), name) == 0)
            return rd_kafka_ConfigEntry_value(e[i]);
    return NULL;
}

static void judge_settings(struct probe *p, const char *topic, const rd_kafka_ConfigResource_t *r)
{
    const char *bytes = value_of(r, "max.message.bytes"), *retention = value_of(r, "retention.ms");
    long long keep_ms = retention != NULL ? strtoll(retention, NULL, 10) : 0;
    char what[WHAT];

    if (is_jobs_topic(p->conf, topic)) {
        bool is_long = p->journal_ttl_ms > 0 && (keep_ms < 0 || keep_ms > p->journal_ttl_ms);

        (void)snprintf(what, sizeof(what), "topic %s keeps records %lld h, the journal answers %lld h", topic,
                       keep_ms < 0 ? -1 : keep_ms / 3600000, (long long)(p->journal_ttl_ms / 3600000));
        if (is_long)
            p->found(p->arg, FINDING_WARNING, what,
                     "set journal.ttl above the retention: a record read later than the "
                     "journal remembers is paid for again");
    } else if (is_output(p->conf, topic) && bytes != NULL && strtoll(bytes, NULL, 10) < LEAST_OUTPUT_BYTES) {
        (void)snprintf(what, sizeof(what), "topic %s takes records of %s bytes at most", topic, bytes);
        p->found(p->arg, FINDING_WARNING, what, "raise its max.message.bytes: longer results are cut");
    }
}

static void judge_topic(struct probe *p, const char *topic)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *t = rd_kafka_topic_new(p->rk, topic, NULL);
    rd_kafka_resp_err_t err = rd_kafka_metadata(p->rk, 0, t, &md, ASK_MS);
    rd_kafka_ConfigResource_t *resource;
    rd_kafka_queue_t *q;
    rd_kafka_event_t *ev;
    char what[WHAT];

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        err = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR__FAIL;
    if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        (void)snprintf(what, sizeof(what), "topic %s does not exist yet", topic);
        p->found(p->arg, FINDING_OK, what, "tutti run makes it with the broker's defaults");
    } else if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)snprintf(what, sizeof(what), "topic %s: %s", topic, rd_kafka_err2str(err));
        p->found(p->arg, FINDING_FAILURE, what, "grant the user of kafka.properties access to it");
    } else {
        (void)snprintf(what, sizeof(what), "topic %s: %d partitions", topic, md->topics[0].partition_cnt);
        p->found(p->arg, FINDING_OK, what, NULL);
        q = rd_kafka_queue_new(p->rk);
        resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
        rd_kafka_DescribeConfigs(p->rk, &resource, 1, NULL, q);
        ev = rd_kafka_queue_poll(q, ASK_MS);
        if (ev != NULL && rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            size_t n = 0;
            const rd_kafka_ConfigResource_t **r =
                rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(ev), &n);

            if (n == 1 && rd_kafka_ConfigResource_error(r[0]) == RD_KAFKA_RESP_ERR_NO_ERROR)
                judge_settings(p, topic, r[0]);
        }
        if (ev != NULL)
            rd_kafka_event_destroy(ev);
        rd_kafka_ConfigResource_destroy(resource);
        rd_kafka_queue_destroy(q);
    }
    if (md != NULL)
        rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(t);
}

static bool judge_cluster(struct probe *p)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t err = rd_kafka_metadata(p->rk, 0, NULL, &md, ASK_MS);
    char what[WHAT + 64];

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)rd_kafka_poll(p->rk, 0); /* brings the reason */
        (void)snprintf(what, sizeof(what), "%s", p->last[0] != '\0' ? p->last : rd_kafka_err2str(err));
        p->found(
            p->arg, FINDING_FAILURE, what,
            "check kafka.brokers; with SASL or TLS also security.protocol and the credentials in kafka.properties");
        return false;
    }
    (void)snprintf(what, sizeof(what), "%d broker%s answer%s", md->broker_cnt, md->broker_cnt == 1 ? "" : "s",
                   md->broker_cnt == 1 ? "s" : "");
    p->found(p->arg, FINDING_OK, what, NULL);
    rd_kafka_metadata_destroy(md);
    return true;
}

void kafka_probe(const struct kafka_conf *conf, const char *control, int64_t journal_ttl_ms, finding_fn found,
                 void *arg)
{
    struct probe p = {.conf = conf, .journal_ttl_ms = journal_ttl_ms, .found = found, .arg = arg};
    char why[WHAT];
    rd_kafka_conf_t *c = kafka_conf_consumer(conf, why, sizeof(why));

    if (c != NULL) {
        rd_kafka_conf_set_error_cb(c, on_error);
        rd_kafka_conf_set_opaque(c, &p);
        p.rk = rd_kafka_new(RD_KAFKA_CONSUMER, c, why, sizeof(why));
        if (p.rk == NULL)
            rd_kafka_conf_destroy(c);
    }
    if (p.rk == NULL) {
        found(arg, FINDING_FAILURE, why, "see kafka.properties");
        return;
    }
    if (judge_cluster(&p)) {
        for (int i = 0; i < conf->n_topics; i++)
            judge_topic(&p, conf->topics[i]);
        for (int i = 0; i < OUT_MAX; i++)
            if (conf->outputs[i] != NULL)
                judge_topic(&p, conf->outputs[i]);
        if (control != NULL)
            judge_topic(&p, control);
    }
    rd_kafka_destroy(p.rk);
}
