/* SPDX-License-Identifier: Apache-2.0 */
/* Response headers and the hints to wait that providers put there. Pure; any thread. */
#ifndef PROVIDER_HEAD_H
#define PROVIDER_HEAD_H

#include <stddef.h>

#include "core/outcome.h"
#include "seam/http.h"

/* Copies a header's value (name in any case, last one wins, trimmed) into value[size]; -ENOENT when absent, empty or
 * longer than that. */
int head_get(const struct transfer *t, const char *name, char *value, size_t size);

/* Retry-After-Ms (unless it is 0) or Retry-After: how long to wait, clamped to 0..24 h; -1: none.
 * source  RFC 9110 10.2.3; reference/wire-oddities.md 41 */
int64_t head_retry_after_us(const struct transfer *t, int64_t wall_ms);
/* The x-ratelimit-reset-* or anthropic-ratelimit-*-reset of a limit that is used up, else the shortest of them; clamped
 * as above, -1: none. source  reference/wire-oddities.md 42, 43 */
int64_t head_reset_us(const struct transfer *t, int64_t wall_ms);
/* "38s", "1m26.4s", "6ms": a wait, clamped as above; -1: no such duration. */
int64_t head_duration_us(const char *s);
/* x-should-retry. source  reference/providers.md 4.1 */
enum retry_hint head_retry_hint(const struct transfer *t);

/* From a moment (epoch ms) to a wait, clamped. */
int64_t head_wait_until_us(int64_t moment_ms, int64_t wall_ms);

#endif
