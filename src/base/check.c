/* SPDX-License-Identifier: Apache-2.0 */
/* The end of the process when we find a mistake of our own: one log line, then abort() for the core file. Never used
 * for input. Any thread. */
#include "base/check.h"

#include <stdlib.h>

#include "base/log.h"

void check_failed(const char *condition, const char *file, int line)
{
    log_event(LOG_ERROR, "check_failed", "condition=\"%s\" file=\"%s\" line=%d", condition, file, line);
    abort();
}
