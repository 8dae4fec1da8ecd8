/* SPDX-License-Identifier: Apache-2.0 */
/* Is a Redis fit to hold limits and a journal? For `tutti doctor`. source: reference/rate-limits.md 4.10 */
#ifndef IMPL_REDIS_PROBE_H
#define IMPL_REDIS_PROBE_H

#include "base/finding.h"

/* Connects, logs in, looks at version, eviction and clock. Blocks, at most 5 s; one thread, never a worker's. */
void redis_probe(const char *url, const char *ca_file, finding_fn found, void *arg);

#endif
