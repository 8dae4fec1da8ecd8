/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the OpenAI-compatible dialect share. */
#ifndef PROVIDER_OPENAI_H
#define PROVIDER_OPENAI_H

#include "base/scan.h"
#include "core/outcome.h"
#include "seam/provider.h"

extern const struct provider_ops openai_ops;

/* provider_ops.finish. */
void openai_finish(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out);
/* Reads a `usage` value (object or null) into the terms of struct usage. */
int openai_usage_scan(struct scan *s, struct usage *out);

#endif
