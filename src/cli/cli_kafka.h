/* SPDX-License-Identifier: Apache-2.0 */
/* Which Kafka a command talks to: that of the configuration, of --brokers, or the one of `tutti dev`. */
#ifndef CLI_CLI_KAFKA_H
#define CLI_CLI_KAFKA_H

#include <stdbool.h>

#include "cli/cli.h"
#include "impl/broker_client.h"

struct cli_kafka {
    struct config *config;
    bool is_built_in; /* there is no configuration file */
    struct kafka_client_conf client;
    struct kafka_property *properties;
};

/* Loads the configuration, or the built-in one where there is no file (and with --brokers but no -c). Problems are
 * printed; the exit code is returned. cli_kafka_done() it, whatever is returned. */
int cli_kafka_init(struct cli_kafka *k, const struct cli *c);
void cli_kafka_done(struct cli_kafka *k);
/* Prints what kept a client from connecting and what to do; returns the exit code. r: of kafka_sender_new(). */
int cli_kafka_failed(const struct cli *c, const struct cli_kafka *k, int r, const char *why);

#endif
