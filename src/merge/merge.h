/* SPDX-License-Identifier: Apache-2.0 */
/* What the merges of this directory share. Pure; any thread. */
#ifndef MERGE_MERGE_H
#define MERGE_MERGE_H

#include "core/outcome.h"
#include "seam/merge.h"

/* Is this call over, and well? */
bool merge_is_good(const struct stage_view *v, int i);
/* A refusal is an answer too: it is what the model said. TEXT_NONE with nothing but tool calls; some providers send an
 * empty text beside a refusal or tool calls. */
struct text merge_said(const struct outcome *o);

extern const struct merge_ops merge_vote;

#endif
