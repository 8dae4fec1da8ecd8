/* SPDX-License-Identifier: Apache-2.0 */
/* Is a Kafka cluster fit for the service? For `tutti doctor`. */
#ifndef IMPL_BROKER_PROBE_H
#define IMPL_BROKER_PROBE_H

#include <stdint.h>

#include "base/finding.h"

struct kafka_conf;

/* Looks at brokers, topics and their settings; makes nothing. Blocks, about 15 s at most; one thread, never a worker's.
 * control         the topic of commands, which `conf` does not know; NULL: none
 * journal_ttl_ms  how long the journal remembers: jobs topics should not keep longer; 0: no journal */
void kafka_probe(const struct kafka_conf *conf, const char *control, int64_t journal_ttl_ms, finding_fn found,
                 void *arg);

#endif
