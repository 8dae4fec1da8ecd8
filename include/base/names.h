/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": nearest spelling among known words. Any thread. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stddef.h>

/* The known word nearest to `word` (edit distance with transpositions, at most 2 and at most a third of its length,
 * or one is a prefix of the other with >= 3 characters), or NULL. words[n] may hold NULLs. */
const char *names_nearest(const char *word, const char *const *words, size_t n);

#endif
