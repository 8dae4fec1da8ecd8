/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions out of jobs: compiled and matched within fixed bounds. Pure; any thread. */
#ifndef MERGE_REGEX_H
#define MERGE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum { REGEX_BYTES_MAX = 1000 };

/* Is it a regular expression? `why` (size bytes) tells what is wrong. -EINVAL. */
int regex_check(struct text pattern, char *why, size_t size);
/* The first match of a pattern that regex_check() found good: its first group, or all of it when it has none; a slice
 * of `subject`. TEXT_NONE: none, or it could not be found within the bounds. */
struct text regex_find(struct text pattern, struct text subject);

#endif
