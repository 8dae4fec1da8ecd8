/* SPDX-License-Identifier: Apache-2.0 */
/* One line per record for people, by kind of topic. */
#ifndef CLI_TAIL_PRINT_H
#define CLI_TAIL_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"

struct kafka_read;

struct tail_look {
    int width; /* columns a line may have */
    bool has_color;
};

/* Appends the record's line, newline included. value: its JSON, NULL when it is none. */
typedef void (*tail_line)(struct buf *out, const struct kafka_read *r, const json_t *value,
                          const struct tail_look *look);

void tail_line_job(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look);
void tail_line_result(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look);
void tail_line_call(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look);
void tail_line_stats(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look);
void tail_line_batch(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look);
void tail_line_dead_letter(struct buf *out, const struct kafka_read *r, const json_t *value,
                           const struct tail_look *look);

/* Appends the record as one line of JSON: its value as it stands (line breaks between tokens become blanks). */
void tail_json_value(struct buf *out, const struct kafka_read *r);
/* The same for a dead letter, whose value may be anything: an object with position, key, value and headers as text. */
void tail_json_dead_letter(struct buf *out, const struct kafka_read *r);
/* Text of a header; "" when there is none. In room[size]. */
const char *tail_header(const struct kafka_read *r, const char *name, char *room, size_t size);

#endif
