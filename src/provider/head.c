/* SPDX-License-Identifier: Apache-2.0 */
/* A response header's value as a string of its own. Never changes the head. No state; any thread. */
#include "provider/head.h"

#include <errno.h>
#include <string.h>

int head_get(const struct transfer *t, const char *name, char *value, size_t size)
{
    struct text found = t->head.p != NULL ? transfer_header(t, name) : TEXT_NONE;

    if (found.p == NULL || found.len == 0 || found.len >= size)
        return -ENOENT;
    memcpy(value, found.p, found.len);
    value[found.len] = '\0';
    return 0;
}
