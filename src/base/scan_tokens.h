/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of the scanner, for scan.c only. Each returns 0 with s->p behind the token, or s->error. */
#ifndef BASE_SCAN_TOKENS_H
#define BASE_SCAN_TOKENS_H

#include "base/scan.h"

/* Notes the first error; later ones are forgotten. Returns the first. */
int scan_fail_at(struct scan *s, const char *at, int error, const char *why);
/* Checks the escape at p (a backslash), which stays where it is: *out_len is 2, 6, or 12 for a surrogate pair;
 * *needs_repair is set, never cleared, for a lone surrogate or NUL. */
int scan_check_escape(struct scan *s, const char *p, int *out_len, bool *needs_repair);
/* The string at s->p (an opening quote). */
int scan_take_string(struct scan *s, struct text *out, bool *out_needs_repair);
/* The number at s->p (a minus or a digit). */
int scan_take_number(struct scan *s, bool *out_is_integer);
/* "true", "false" or "null" at s->p. */
int scan_take_literal(struct scan *s, const char *literal);

#endif
