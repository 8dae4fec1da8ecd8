/* SPDX-License-Identifier: Apache-2.0 */
/* The searches of extract.c. All take plain text and give slices of it or of the arena; TEXT_NONE: not found. */
#ifndef MERGE_EXTRACT_FIND_H
#define MERGE_EXTRACT_FIND_H

#include "merge/extract.h"

enum { EXTRACT_POINTER_MAX = 256 };

/* The last number, in one spelling for equal values: "1,234.50" gives 1234.5. */
struct text extract_number(struct text t, struct arena *a);
/* The letter of a multiple-choice answer, a capital. */
struct text extract_choice(struct text t, struct arena *a);
/* The choice that the answer names last, as the job spells it. */
struct text extract_choices(const struct extract *e, struct text t, struct arena *a);
/* The value at the pointer in an answer that is JSON (or holds it in a code fence or between words): strings decoded,
 * numbers in one spelling, the rest as compact JSON. */
struct text extract_pointer(struct text pointer, struct text t, struct arena *a);

#endif
