/* SPDX-License-Identifier: Apache-2.0 */
/* struct text: a borrowed slice that is either plain UTF-8 or the inside of a JSON string as it stood on the
 * wire (escaped). Answer text travels in this form from the provider's JSON into the result without being
 * decoded (DESIGN 8). It never owns memory: an arena or the record behind it does. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct buf;

struct text {
    const char *p; /* NULL: absent (JSON null) */
    size_t len;
    bool is_escaped; /* true: valid inside of a JSON string, quotes excluded, no lone surrogate and no \u0000 */
};

#define TEXT_NONE   ((struct text){.p = NULL})
#define TEXT_LIT(s) ((struct text){.p = (s), .len = sizeof(s) - 1})

/* A plain text over a NUL-terminated string (NULL gives TEXT_NONE). */
struct text text_of(const char *s);
/* A plain text over bytes. */
struct text text_slice(const char *p, size_t len);
/* True when absent or nothing but white space (escaped white space too). */
bool text_is_blank(struct text t);
/* True when the decoded text equals `s`. */
bool text_is(struct text t, const char *s);
/* True when both decode to the same bytes. */
bool text_equal(struct text a, struct text b);
/* Decodes into the arena, NUL-terminated; *out_len may be NULL. TEXT_NONE gives NULL. */
char *text_decode(struct arena *a, struct text t, size_t *out_len);
/* Copies the slice itself (escaped stays escaped) into the arena. */
struct text text_copy(struct arena *a, struct text t);
/* Appends the decoded bytes. */
void text_add_plain(struct buf *b, struct text t);
/* Appends it as the inside of a JSON string (no quotes): one copy when escaped, else escaping. Invalid UTF-8 in a
 * plain text becomes \ufffd. */
void text_add_escaped(struct buf *b, struct text t);
/* Longest prefix of at most `max_bytes` that ends on a character and never inside an escape or surrogate pair. */
struct text text_cut(struct text t, size_t max_bytes);

#endif
