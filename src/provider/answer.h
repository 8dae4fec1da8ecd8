/* SPDX-License-Identifier: Apache-2.0 */
/* What the dialects share in reading a response: the frame around one walk over the body, texts, counts, finish words
 * and the judgement of what was found. */
#ifndef PROVIDER_ANSWER_H
#define PROVIDER_ANSWER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/scan.h"
#include "core/outcome.h"
#include "provider/error.h"
#include "seam/http.h"

struct arena;

/* text_is() for a literal: the length alone tells nearly all keys apart, and it is known at compile time. */
#define KEY_IS(key, literal) \
    ((key).is_escaped ? text_is((key), (literal)) \
                      : (key).len == sizeof(literal) - 1 && memcmp((key).p, (literal), sizeof(literal) - 1) == 0)

/* One response being read. */
struct reading {
    struct scan s;
    struct arena *a;
    struct outcome *o;
    struct wire_error error;
    struct text id;
    struct text note; /* why there is no text, in the provider's words */
    bool has_list;    /* the key that holds the answers stands there as an array */
    bool has_item;    /* and something is in it */
    bool is_blocked;  /* the provider refused the prompt, for this reason: */
    struct text block_reason;
};

/* How a dialect reads. */
struct answer_dialect {
    /* Takes one member of the top object (its value not yet consumed); false: not known, the frame passes over it. */
    bool (*read_member)(struct reading *r, struct text key);
    struct error_words words;
    const char *no_list;    /* details: "no_choices" */
    const char *empty_list; /* "empty_choices" */
};

/* The frame of provider_ops.finish: reads, classifies, judges; sets request_id. */
void answer_finish(const struct answer_dialect *d, const struct transfer *t, int64_t wall_ms, struct arena *a,
                   struct outcome *out);

/* The provider's finish word in our terms; FINISH_UNKNOWN for none of the known.
 * source  reference/providers.md 4.10, wire-oddities.md 12 */
enum finish answer_finish_of(struct text raw);

/* A string; anything else is passed over and gives TEXT_NONE, as an error does. */
int answer_text(struct scan *s, struct arena *a, struct text *out);
/* Any value as it stands, but for lone surrogates and \u0000 in its strings: those become \ufffd. */
int answer_raw(struct scan *s, struct arena *a, struct text *out);
/* The same of a value already taken. */
struct text answer_repair(struct arena *a, struct text json);
/* A count >= 0 (2.0 counts as 2) below 2^53; anything else is passed over and leaves *out. */
int answer_count(struct scan *s, int64_t *out);
/* Enters the value when it is an object (array); else passes over it and returns false. */
bool answer_enter_object(struct scan *s);
bool answer_enter_array(struct scan *s);

/* Sum of two counts of which -1 is unknown and counts for nothing beside a known one. */
int64_t count_sum(int64_t a, int64_t b);
/* What cannot be is mended: more cached than input, more reasoning than output stood beside. */
void usage_guard(struct usage *u);

/* Texts joined without a separator; one alone stays the slice it was. All must come from JSON strings. */
struct text_join {
    struct text text;
    struct buf more;
};
void text_join_init(struct text_join *j);
void text_join_add(struct text_join *j, struct text t);
/* The joined text, TEXT_NONE when nothing was added; frees what was collected. */
struct text text_join_end(struct text_join *j, struct arena *a);

#endif
