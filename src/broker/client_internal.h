/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line's sender and reader share. */
#ifndef BROKER_CLIENT_INTERNAL_H
#define BROKER_CLIENT_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "impl/broker_client.h"

/* What the library reported about its connections; its opaque. */
struct client_state {
    bool is_refused; /* TLS, SASL, ACL */
    bool is_down;    /* no broker could be reached */
    char why[256];
    kafka_sent sent; /* the sender's */
    void *arg;
};

/* Makes a client over `state`, which must outlive it; NULL with *why. The properties are checked as the service's. */
rd_kafka_t *client_new(rd_kafka_type_t type, const struct kafka_client_conf *conf, struct client_state *state,
                       char *why, size_t size);
/* Number of partitions of the topic; waits for a broker. Negative errno as kafka_sender_new(). */
int client_look_up(rd_kafka_t *rk, const struct kafka_client_conf *conf, struct client_state *state, const char *topic,
                   char *why, size_t size);

/* The producer's delivery reports: tells state->sent(). */
void client_on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque);

#endif
