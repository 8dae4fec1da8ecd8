/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer says, so that answers can be counted: the `extract` of a merge object. Pure; any thread. */
#ifndef MERGE_EXTRACT_H
#define MERGE_EXTRACT_H

#include "base/text.h"

struct arena;
struct merge_error;

enum { EXTRACT_CHOICES_MAX = 64 };

struct extract {
    enum { EXTRACT_TEXT, EXTRACT_NUMBER, EXTRACT_CHOICE, EXTRACT_CHOICES, EXTRACT_REGEX, EXTRACT_POINTER } kind;
    struct text choices[EXTRACT_CHOICES_MAX]; /* plain, as the job has them */
    int n_choices;
    struct text pattern; /* plain: of a regex, or the JSON Pointer */
};

/* Reads `extract` out of a merge object (raw JSON; TEXT_NONE: the default). -EINVAL with *why. */
int extract_read(struct text conf, struct arena *a, struct extract *out, struct merge_error *why);
/* What this answer says, in plain text in the arena; TEXT_NONE: nothing that could be counted. */
struct text extract_value(const struct extract *e, struct text answer, struct arena *a);
/* The form in which values are compared: trimmed, case folded, runs of blanks made one. In the arena. */
struct text extract_fold(struct text value, struct arena *a);

#endif
