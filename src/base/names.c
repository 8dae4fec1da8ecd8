/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the known word with the fewest edits to a given one. Never allocates; words over WORD_MAX bytes are
 * not compared. Any thread. */
#include "base/names.h"

#include <string.h>

enum {
    WORD_MAX = 96,
    EDITS_MAX = 2,
    PREFIX_MIN = 3,
    RANK_PREFIX = EDITS_MAX + 1, /* any near spelling beats a common beginning */
    RANK_NONE,
};

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap neighbours; each one edit. Both at most WORD_MAX long. */
static int edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int rows[3][WORD_MAX + 1];
    int *before = rows[0]; /* row i - 2 */
    int *above = rows[1];  /* row i - 1 */
    int *row = rows[2];

    for (size_t j = 0; j <= b_len; j++)
        above[j] = before[j] = (int)j;
    for (size_t i = 1; i <= a_len; i++) {
        int *oldest = before;

        row[0] = (int)i;
        for (size_t j = 1; j <= b_len; j++) {
            int cost = a[i - 1] != b[j - 1];

            row[j] = min_int(above[j - 1] + cost, min_int(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min_int(row[j], before[j - 2] + 1);
        }
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_len];
}

/* 0..EDITS_MAX for edits, RANK_PREFIX, or RANK_NONE. */
static int rank_of(const char *word, size_t len, const char *known)
{
    size_t known_len = strlen(known);
    size_t shorter = len < known_len ? len : known_len;

    if (known_len <= WORD_MAX) {
        int edits = edit_distance(word, len, known, known_len);

        if (edits <= EDITS_MAX && (size_t)edits * 3 <= len)
            return edits;
    }
    return shorter >= PREFIX_MIN && memcmp(word, known, shorter) == 0 ? RANK_PREFIX : RANK_NONE;
}

const char *names_nearest(const char *word, const char *const *words, size_t n)
{
    size_t len = strlen(word);
    const char *nearest = NULL;
    int best = RANK_NONE;

    if (len > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        int rank = words[i] == NULL ? RANK_NONE : rank_of(word, len, words[i]);

        if (rank < best) {
            best = rank;
            nearest = words[i];
        }
    }
    return nearest;
}
