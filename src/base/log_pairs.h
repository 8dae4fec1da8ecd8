/* SPDX-License-Identifier: Apache-2.0 */
/* The key=value part of a log line: formatting with escaping, and reading it back. Private to src/base. */
#ifndef BASE_LOG_PAIRS_H
#define BASE_LOG_PAIRS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum { PAIRS_BYTES_MAX = 3584 };

/* key=value pairs separated by single blanks; quoted values are escaped as in JSON. */
struct pairs {
    char p[PAIRS_BYTES_MAX];
    size_t len;
    size_t pair_at; /* where the pair being written begins */
    bool is_quoted; /* writing inside quotes */
    bool is_cut;    /* no more room: nothing is added any more */
};

struct pair {
    const char *key;
    size_t key_len;
    const char *value; /* with its quotes, if any */
    size_t value_len;
};

/* Formats the pairs of log_event(); what does not fit is cut and marked by cut=true. fmt may be NULL. */
void pairs_format(struct pairs *out, const char *fmt, va_list args);
/* Takes the pair at *p (before `end`) and moves *p behind it and its blank. */
struct pair pairs_next(const char **p, const char *end);

#endif
