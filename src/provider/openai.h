/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the OpenAI-compatible dialect share. */
#ifndef PROVIDER_OPENAI_H
#define PROVIDER_OPENAI_H

#include <stdbool.h>
#include <string.h>

#include "base/scan.h"
#include "core/outcome.h"
#include "seam/provider.h"

extern const struct provider_ops openai_ops;

/* text_is() for a literal: the length alone tells nearly all keys apart, and it is known at compile time. */
#define KEY_IS(key, literal) \
    ((key).is_escaped ? text_is((key), (literal)) \
                      : (key).len == sizeof(literal) - 1 && memcmp((key).p, (literal), sizeof(literal) - 1) == 0)

/* What an error body says, from any of the envelopes of reference/wire-oddities.md 32. */
struct openai_error {
    struct text message;
    struct text type;
    struct text code;  /* a string code; a numeric one is in `status` */
    struct text inner; /* what a gateway quotes of its upstream (OpenRouter metadata.raw) */
    int status;        /* HTTP-like number inside the body (400-599), 0: none */
    int64_t reset_ms;  /* epoch, from metadata.headers; 0: none */
    bool is_present;   /* there is an error at all */
};

/* provider_ops.finish. */
void openai_finish(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out);
/* Reads the value of an `error` key (object, string, or null) at the scan's position; adds to `e`. */
int openai_error_scan(struct scan *s, struct arena *a, struct openai_error *e);
/* Reads a whole error body; whatever is not JSON leaves `e` as it is, with is_present false. */
void openai_error_read(const char *bytes, size_t len, struct arena *a, struct openai_error *e);
/* Names the fault: sets fault, detail, why, retry_after_us, hint and is_ambiguous.
 * source  reference/providers.md 4.11 */
void openai_error_classify(const struct transfer *t, const struct openai_error *e, int64_t wall_ms, struct arena *a,
                           struct outcome *out);

/* The provider's finish word in our terms; FINISH_UNKNOWN for none of the known.
 * source  reference/providers.md 4.10, wire-oddities.md 12 */
enum finish openai_finish_of(struct text raw);

/* A string; anything else is passed over and gives TEXT_NONE, as an error does. */
int openai_scan_text(struct scan *s, struct arena *a, struct text *out);
/* A count >= 0 (2.0 counts as 2); anything else is passed over and leaves *out. */
int openai_scan_count(struct scan *s, int64_t *out);
/* Reads a `usage` value (object or null) into the terms of struct usage. */
int openai_usage_scan(struct scan *s, struct usage *out);

#endif
