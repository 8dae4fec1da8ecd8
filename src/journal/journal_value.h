/* SPDX-License-Identifier: Apache-2.0 */
/* What the Redis journal writes: field names, and values with a tag byte and, when long, compressed. */
#ifndef JOURNAL_VALUE_H
#define JOURNAL_VALUE_H

#include <stddef.h>

#include "seam/journal.h"

struct arena;
struct buf;

/* Appends the field of a recall: D<call key>, or F<attempt>:<call key>. */
void journal_field_add(struct buf *b, const struct recall *r);
/* Appends a value: tag, attempt, bytes (compressed between 16 and 128 KiB). */
void journal_value_add(struct buf *b, int attempt, struct text bytes);
/* Reads a D or F field with its value into the arena. -EINVAL: not ours or damaged. */
int journal_recall_read(struct arena *a, const char *field, size_t field_len, const char *value, size_t value_len,
                        struct recall *out);
/* Reads a value alone. -EINVAL likewise. */
int journal_value_read(struct arena *a, const char *value, size_t value_len, int *out_attempt, struct text *out_bytes);

#endif
