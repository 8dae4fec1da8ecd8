/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti dev`: Kafka in memory, simulated providers and the service in one process. Nothing is written to disk. */
#ifndef APP_DEV_H
#define APP_DEV_H

#include <stddef.h>
#include <stdio.h>

struct config;
struct dev;

struct dev_conf {
    int kafka_port; /* -1: 9092, or a free one when that is taken; 0: a free one */
    int sim_port;   /* the same with 8089 */
    int admin_port; /* the same with 8088 */
};

enum { DEV_PARTITIONS = 4 };

/* Starts the servers. NULL with why[size]: a port that was asked for is taken.
 * thread  main, before any other thread exists: SIGINT and SIGTERM are blocked from here on */
struct dev *dev_new(const struct dev_conf *conf, char *why, size_t size);
/* The configuration of the service beside them (YAML, NUL-terminated); the dev's. */
const char *dev_config(const struct dev *d);
/* Runs until a signal; prints what is where to `out` first. Returns the service's exit code.
 * config  from dev_config(); what connects it to the servers is set again here, whatever --set said */
int dev_run(struct dev *d, struct config *config, FILE *out);
/* NULL is fine. */
void dev_free(struct dev *d);

#endif
