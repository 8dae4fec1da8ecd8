/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Gemini dialect share. */
#ifndef PROVIDER_GEMINI_H
#define PROVIDER_GEMINI_H

#include "core/outcome.h"
#include "seam/provider.h"

struct building;

extern const struct provider_ops gemini_ops;

/* Writes generationConfig and what stands beside it; notes what this API or this model does not take. */
void gemini_add_params(struct building *b);
/* provider_ops.finish. */
void gemini_finish(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out);

#endif
