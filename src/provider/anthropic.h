/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Anthropic dialect share. */
#ifndef PROVIDER_ANTHROPIC_H
#define PROVIDER_ANTHROPIC_H

#include "core/outcome.h"
#include "seam/provider.h"

struct building;

extern const struct provider_ops anthropic_ops;

/* Writes sampling, stop words and effort; notes what this API or this model does not take. */
void anthropic_add_params(struct building *b);
/* provider_ops.finish. */
void anthropic_finish(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out);

#endif
