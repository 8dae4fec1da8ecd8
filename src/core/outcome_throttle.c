/* SPDX-License-Identifier: Apache-2.0 */
/* The words of enum throttle (CONTRACTS 5, throttle_reason). Pure; any thread. */
#include "seam/limiter.h"

#include <assert.h>

static const char *const NAMES[] = {
    [THROTTLE_NONE] = NULL,         [THROTTLE_RPM] = "rpm",
    [THROTTLE_TPM] = "tpm",         [THROTTLE_CONCURRENCY] = "concurrency",
    [THROTTLE_PAUSE] = "pause",     [THROTTLE_FAIRNESS] = "fairness",
    [THROTTLE_BREAKER] = "breaker",
};
static_assert(ARRAY_LEN(NAMES) == THROTTLE_MAX, "one name per throttle");

const char *throttle_name(enum throttle t)
{
    CHECK(t >= THROTTLE_NONE && t < THROTTLE_MAX);
    return NAMES[t];
}
