/* SPDX-License-Identifier: Apache-2.0 */
/* What `tutti doctor` asks the outside world: one bounded, harmless question each. Calls block; one thread, never a
 * worker's. */
#ifndef IMPL_PROBE_H
#define IMPL_PROBE_H

#include <stddef.h>
#include <stdint.h>

struct kafka_conf;

enum finding_kind { FINDING_OK, FINDING_WARNING, FINDING_FAILURE };

/* Told once per thing looked at. `fix` is what to do, NULL: nothing. Borrowed. */
typedef void (*finding_fn)(void *arg, enum finding_kind kind, const char *what, const char *fix);

/* Opens a connection to the URL's host (TCP, TLS with verification) and closes it again: no request is sent, nothing is
 * paid. At most 5 s. */
void http_probe(const char *url, const char *ca_file, finding_fn found, void *arg);
/* Looks at brokers, topics and their settings. Makes nothing. At most about 15 s.
 * journal_ttl_ms  how long the journal remembers: jobs topics should not keep longer; 0: no journal */
void kafka_probe(const struct kafka_conf *conf, int64_t journal_ttl_ms, finding_fn found, void *arg);
/* Connects, logs in, looks at version, eviction and clock. At most 5 s.
 * source  reference/rate-limits.md 4.10 */
void redis_probe(const char *url, const char *ca_file, finding_fn found, void *arg);

#endif
