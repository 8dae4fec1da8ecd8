/* SPDX-License-Identifier: Apache-2.0 */
/* Gathers cells, then prints them aligned. Pure but for the printing. Main thread. */
#include "cli/table.h"

#include <stdarg.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "cli/term.h"

enum { GAP = 2, CELL_BYTES = 512 };

void table_init(struct table *t, const char *const *heads, const char *aligns)
{
    memset(t, 0, sizeof(*t));
    t->aligns = aligns;
    for (t->n_columns = 0; heads[t->n_columns] != NULL; t->n_columns++)
        table_add(t, heads[t->n_columns]);
    CHECK(t->n_columns <= TABLE_COLUMNS_MAX && strlen(aligns) == (size_t)t->n_columns);
}

void table_done(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        mem_free(t->cells[i]);
    mem_free(t->cells);
    memset(t, 0, sizeof(*t));
}

void table_add(struct table *t, const char *text)
{
    if (t->n == t->room) {
        t->room = t->room * 2 + 32;
        t->cells = mem_resize(t->cells, t->room * sizeof(char *));
    }
    t->cells[t->n++] = mem_strdup(text != NULL ? text : "-");
}

void table_addf(struct table *t, const char *fmt, ...)
{
    char text[CELL_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    table_add(t, text);
}

static int width_of(const char *cell)
{
    return term_columns(cell, strlen(cell));
}

void table_print(const struct table *t, int indent, FILE *out)
{
    int widths[TABLE_COLUMNS_MAX] = {0};

    for (size_t i = 0; i < t->n; i++) {
        int width = width_of(t->cells[i]), column = (int)(i % (size_t)t->n_columns);

        widths[column] = width > widths[column] ? width : widths[column];
    }
    for (size_t i = 0; i < t->n; i++) {
        int column = (int)(i % (size_t)t->n_columns);
        int pad = widths[column] - width_of(t->cells[i]);
        bool is_last = column == t->n_columns - 1, is_right = t->aligns[column] == 'r';

        if (!is_last || *t->cells[i] != '\0') /* no blanks at the end of a line */
            (void)fprintf(out, "%*s", (column == 0 ? indent : GAP) + (is_right ? pad : 0), "");
        term_write(out, t->cells[i], strlen(t->cells[i]));
        if (is_last)
            (void)fputc('\n', out);
        else if (!is_right)
            (void)fprintf(out, "%*s", pad, "");
    }
}
