/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of text for people, as wide as what is in them. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
    int n_columns;
    const char *aligns; /* one character per column: 'l' or 'r' */
    char **cells;       /* cells[n], row after row, the headings first */
    size_t n;
    size_t room;
};

/* heads: n_columns strings, NULL at the end; aligns as in the structure. Both must outlive the table. */
void table_init(struct table *t, const char *const *heads, const char *aligns);
void table_done(struct table *t);
/* The next cell, row after row; NULL: "-". Control characters become '?' when it is printed. */
void table_add(struct table *t, const char *text);
void table_addf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Headings and rows, each line with `indent` blanks before it. */
void table_print(const struct table *t, int indent, FILE *out);

#endif
