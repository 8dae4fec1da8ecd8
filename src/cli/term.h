/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands know about the terminal: is there one, how wide, may it be coloured; and text that fits. */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Columns of the terminal behind a stream; 0: it is none (a pipe, a file). */
int term_width(FILE *f);
/* Is it a terminal that wants colours? NO_COLOR and TERM=dumb say no. env: NAME=value, NULL at the end. */
bool term_has_color(FILE *f, const char *const *env);
/* Columns that UTF-8 text takes; wide East Asian characters and emoji count two. */
int term_columns(const char *s, size_t len);
/* Bytes of the first line of the text when a line has `width` columns: up to a newline, a blank, or the edge.
 * *out_next gets where the next line begins (len: none is left). */
size_t term_line(const char *s, size_t len, int width, size_t *out_next);
/* Writes text to a terminal: control characters but newline and tab become '?'. */
void term_write(FILE *f, const char *s, size_t len);
/* The text's first line that is not blank, cut to `columns` with "..." at the cut, blanks collapsed, without control
 * characters; in out[size]. */
void term_snippet(char *out, size_t size, const char *s, size_t len, int columns);

#endif
