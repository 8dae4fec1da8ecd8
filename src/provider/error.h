/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider's error says and which fault that is, for all dialects. Pure; any thread. */
#ifndef PROVIDER_ERROR_H
#define PROVIDER_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scan.h"
#include "core/outcome.h"
#include "seam/http.h"

struct arena;

/* What an error body says, from any of the envelopes of reference/wire-oddities.md 32. */
struct wire_error {
    struct text message;
    struct text type;       /* error.type, or Google's status word */
    struct text code;       /* a string code; a numeric one is in `status` */
    struct text reason;     /* Google's ErrorInfo: API_KEY_INVALID */
    struct text inner;      /* what a gateway quotes of its upstream (OpenRouter metadata.raw) */
    struct text request_id; /* Anthropic's, in the body */
    int status;             /* HTTP-like number inside the body (400-599), 0: none */
    int64_t reset_ms;       /* epoch, from metadata.headers; 0: none */
    int64_t retry_delay_us; /* Google's RetryInfo; 0: none */
    bool is_per_day;        /* Google's QuotaFailure names a quota per day */
    bool is_present;        /* there is an error at all */
    bool is_declared;       /* "object" or "type" of the body is "error" */
};

/* error.code, error.type or reason in lower case; the word itself is the detail of the record unless it is a number. */
struct error_word {
    const char *word;
    enum fault fault;
};

/* A dialect's own words; they come before the shared ones. */
struct error_words {
    const struct error_word *rows; /* rows[n] */
    size_t n;
};

/* Reads the value of an `error` key (object, string, or null) at the scan's position; adds to `e`. */
int error_scan(struct scan *s, struct arena *a, struct wire_error *e);
/* Reads a whole error body; whatever is not JSON leaves `e` as it is, with is_present false. */
void error_read(const char *bytes, size_t len, struct arena *a, struct wire_error *e);
/* Google's `details` at the scan's position: RetryInfo, QuotaFailure, ErrorInfo. */
void error_scan_details(struct scan *s, struct arena *a, struct wire_error *e);

/* Names the fault: sets fault, detail, why, retry_after_us, hint and is_ambiguous.
 * words    the dialect's
 * source  reference/providers.md 4.11 */
void error_classify(const struct transfer *t, const struct wire_error *e, const struct error_words *words,
                    int64_t wall_ms, struct arena *a, struct outcome *out);

/* The row of a word (of any case) in the dialect's or the shared table, or NULL. */
const struct error_word *error_word_find(const struct error_words *words, struct text word);

/* What a known phrase of a message means, for those who send no word of their own. */
struct error_phrase {
    const char *phrase; /* in lower case */
    unsigned on;        /* kinds of status it may come with */
    enum fault fault;
    const char *detail;
};
/* The first known phrase in `phrases` (lower case) that may come with this status, or NULL. */
const struct error_phrase *error_phrase_find(int status, const char *phrases);

#endif
