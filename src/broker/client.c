/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the command line: as the service's, but impatient and outside any group. One thread; calls block. */
#include "broker/client_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "broker/kafka_internal.h"

enum { LOOK_UP_SECONDS = 5, DOWN_SECONDS = 2, RECORD_BYTES_MAX = 64 << 20 };

static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *line)
{
    (void)rk, (void)level, (void)fac, (void)line; /* what matters is reported, once, as the command's error */
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct client_state *state = opaque;
    rd_kafka_resp_err_t err = (rd_kafka_resp_err_t)code;

    (void)rk;
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        state->is_down = true;
        return;
    }
    if (err == RD_KAFKA_RESP_ERR__AUTHENTICATION || err == RD_KAFKA_RESP_ERR__SSL ||
        err == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED)
        state->is_refused = true;
    if (state->why[0] == '\0')
        (void)snprintf(state->why, sizeof(state->why), "%s", reason);
}

static bool adapt(rd_kafka_conf_t *c, rd_kafka_type_t type, char *why, size_t size)
{
    const char *const reader[][2] = {{"enable.partition.eof", "true"},
                                     {"auto.offset.reset", "earliest"}, /* behind what retention took */
                                     {"client.id", "tutti-cli"},
                                     {NULL, NULL}};
    const char *const sender[][2] = {{"message.timeout.ms", "30000"}, {"client.id", "tutti-cli"}, {NULL, NULL}};

    for (const char *const(*p)[2] = type == RD_KAFKA_CONSUMER ? reader : sender; (*p)[0] != NULL; p++)
        if (rd_kafka_conf_set(c, (*p)[0], (*p)[1], why, size) != RD_KAFKA_CONF_OK)
            return false;
    rd_kafka_conf_set_events(c, 0);
    rd_kafka_conf_set_log_cb(c, on_log);
    rd_kafka_conf_set_error_cb(c, on_error);
    return true;
}

rd_kafka_t *client_new(rd_kafka_type_t type, const struct kafka_client_conf *conf, struct client_state *state,
                       char *why, size_t size)
{
    const struct kafka_conf full = {.brokers = conf->brokers,
                                    .group = "tutti-cli", /* never joined */
                                    .delivery = KAFKA_AT_LEAST_ONCE,
                                    .prefetch_bytes = 1 << 20,
                                    .properties = conf->properties,
                                    .n_properties = conf->n_properties};
    rd_kafka_conf_t *c = type == RD_KAFKA_CONSUMER
                             ? kafka_conf_consumer(&full, why, size)
                             : kafka_conf_producer(&full, KAFKA_DEFAULT_LIMIT, RECORD_BYTES_MAX, false, why, size);
    rd_kafka_t *rk;

    if (c == NULL)
        return NULL;
    if (!adapt(c, type, why, size)) {
        rd_kafka_conf_destroy(c);
        return NULL;
    }
    rd_kafka_conf_set_opaque(c, state);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(c, client_on_delivery);
    rk = rd_kafka_new(type, c, why, size);
    if (rk == NULL)
        rd_kafka_conf_destroy(c);
    return rk;
}

/* One second's try. */
static rd_kafka_resp_err_t ask(rd_kafka_t *rk, const char *topic, int *out_n)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t err = t == NULL ? rd_kafka_last_error() : rd_kafka_metadata(rk, 0, t, &md, 1000);

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR && md != NULL) {
        err = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR__FAIL;
        *out_n = md->topic_cnt == 1 ? md->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(md);
    }
    if (t != NULL)
        rd_kafka_topic_destroy(t);
    return err;
}

static int refused(const struct kafka_client_conf *conf, const struct client_state *state, char *why, size_t size)
{
    (void)snprintf(why, size, "Kafka at %s refuses the connection%s%s", conf->brokers,
                   state->why[0] == '\0' ? "" : ": ", state->why);
    return -EACCES;
}

int client_look_up(rd_kafka_t *rk, const struct kafka_client_conf *conf, struct client_state *state, const char *topic,
                   char *why, size_t size)
{
    int64_t start = kafka_clock_us();

    for (;;) {
        int n = 0;
        rd_kafka_resp_err_t err = ask(rk, topic, &n);
        int64_t seconds = (kafka_clock_us() - start) / KAFKA_SEC;

        (void)rd_kafka_poll(rk, 0); /* serves on_error() */
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR && n > 0)
            return n;
        if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
            (void)snprintf(why, size, "Kafka at %s does not let you use topic %s", conf->brokers, topic);
            return -EACCES;
        }
        if (state->is_refused)
            return refused(conf, state, why, size);
        if (seconds < (state->is_down ? DOWN_SECONDS : LOOK_UP_SECONDS))
            continue;
        if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            (void)snprintf(why, size, "Kafka at %s has no topic %s", conf->brokers, topic);
            return -ENOENT;
        }
        (void)snprintf(why, size, "no Kafka answers at %s (%s)", conf->brokers, rd_kafka_err2str(err));
        return -EHOSTUNREACH;
    }
}
