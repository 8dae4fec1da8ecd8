/* SPDX-License-Identifier: Apache-2.0 */
/* What the topics of a world add up to: model statistics against call records, progress of batches against results.
 * The comparisons fail the test that calls them. */
#ifndef SIM_SUMS_H
#define SIM_SUMS_H

#include "sim/world.h"

enum { SUMS_BATCHES = 5 /* batch ids are b0, b1, ... */ };

/* Every counter of every window and model; returns the number of attempts. */
int64_t sums_check_models(const struct world *w);
/* The last record of each key (all that compaction keeps), added up over the keys of a batch, says what the batch's
 * results say. Returns the number of keys. */
int sums_check_batches(const struct world *w);
/* A committed record's value (a new reference); its cost in nano-dollars, 0 when it is null. */
json_t *sums_parse(const struct mem_record *r);
int64_t sums_nano_usd(const json_t *r);

#endif
