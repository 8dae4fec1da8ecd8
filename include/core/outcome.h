/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to one attempt at a provider call, as data. The provider (or the transfer, the limiter, the job) names
 * the fault once; core/retry.c alone decides what it means. A library of its own below the seams: core and adapters
 * link it. */
#ifndef CORE_OUTCOME_H
#define CORE_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct arena;
struct buf;

/* The closed list of call error codes, CONTRACTS 7. */
enum fault {
    FAULT_NONE,
    FAULT_RATE_LIMITED,
    FAULT_OVERLOADED,
    FAULT_QUOTA_EXHAUSTED,
    FAULT_TIMEOUT,
    FAULT_NETWORK,
    FAULT_PROVIDER_ERROR,
    FAULT_AUTH,
    FAULT_INVALID_REQUEST,
    FAULT_MODEL_NOT_FOUND,
    FAULT_CONTEXT_LENGTH,
    FAULT_CONTENT_FILTERED,
    FAULT_BAD_RESPONSE,
    FAULT_EMPTY_ANSWER,
    FAULT_CANCELLED,
    FAULT_DEADLINE_EXCEEDED,
    FAULT_CIRCUIT_OPEN,
    FAULT_LIMITER_UNAVAILABLE,
    FAULT_BUDGET_EXCEEDED,
    FAULT_OVER_POOL,
    FAULT_UNKNOWN_MODEL, /* in answers[] only: the name resolved to no model */
    FAULT_MAX
};

/* "rate_limited"; NULL for FAULT_NONE. */
const char *fault_code(enum fault f);
/* The fault of a code, or -EINVAL. */
int fault_parse(const char *code, enum fault *out);
/* May the same job be worth sending again later (error_retryable in the records)? */
bool fault_is_retryable(enum fault f);

/* CONTRACTS 5, finish_reason. */
enum finish {
    FINISH_UNKNOWN,
    FINISH_STOP,
    FINISH_LENGTH,
    FINISH_TOOL_CALLS,
    FINISH_CONTENT_FILTER,
    FINISH_ERROR,
    FINISH_MAX
};
/* "stop"...; NULL for FINISH_UNKNOWN. */
const char *finish_name(enum finish f);

/* Tokens as the provider reported them; -1: not reported. input includes cached, output includes reasoning. */
struct usage {
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t cached_input_tokens;
    int64_t reasoning_tokens;
};
#define USAGE_UNKNOWN ((struct usage){-1, -1, -1, -1})

/* x-should-retry and kin */
enum retry_hint { RETRY_HINT_NONE, RETRY_HINT_YES, RETRY_HINT_NO };

struct outcome {
    enum fault fault;
    const char *detail;     /* closed lower-case words, static ("connect_refused", "first_byte_timeout"); NULL: none */
    char why[160];          /* short text for people: the provider's message or errno text; no key, no prompt */
    int http_status;        /* 0: no status line arrived */
    int64_t retry_after_us; /* the provider's hint, -1: none */
    enum retry_hint hint;
    bool is_ambiguous; /* the request may have been served and billed although there is no answer */
    bool was_sent;     /* the request was (at least partly) written */
    bool is_recalled;  /* taken from the journal */
    bool usage_estimated;

    struct text answer; /* TEXT_NONE when there is none */
    struct text refusal;
    struct text reasoning;
    struct text tool_calls;    /* a raw JSON array, not a string */
    struct text request_model; /* registry id that was asked for: recalls are matched by it; TEXT_NONE in old entries */
    struct text served_model;  /* registry id that was asked instead, by a fallback; TEXT_NONE: request_model */
    struct text response_model;
    struct text request_id; /* plain */
    struct text raw_finish;
    enum finish finish;
    struct usage usage;
    int64_t cost_nusd;         /* nano-dollars, -1: unknown */
    int64_t fallback_index;    /* 0: the model that was asked for, 1..: its fallbacks */
    const char *key_id;        /* salted hash of the API key; NULL: none, or an old entry */
    const char *breaker_state; /* CONTRACTS 5 closed words, when it was sent; NULL: closed, or an old entry */

    int64_t started_ms;          /* wall clock when the attempt was sent (or asked for its permit when never sent) */
    int64_t ended_ms;            /* wall clock when it ended */
    int64_t queue_us;            /* waiting before the permit was asked for; all durations -1: unknown */
    int64_t throttle_us;         /* waiting for the permit */
    const char *throttle_reason; /* CONTRACTS 5 closed words, static; NULL: did not wait */
    int64_t reserved_tokens;
    int64_t connect_us;
    int64_t ttft_us;
    int64_t duration_us; /* send to end */
    int64_t bytes_out;
    int64_t bytes_in;
};

/* All unknown, FAULT_NONE. */
void outcome_init(struct outcome *o);
/* Sets the fault with its detail and a formatted why. */
void outcome_fail(struct outcome *o, enum fault f, const char *detail, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* True with a usable answer, tool call or refusal and no fault. */
bool outcome_is_ok(const struct outcome *o);
/* Copies all texts into the arena (they were slices of a body about to be freed). */
void outcome_keep(struct outcome *o, struct arena *a);

/* The journal's form of an outcome: compact JSON, without secrets. encode appends to `out`; decode reads what encode
 * wrote (texts in the arena) and sets is_recalled. -EINVAL: not ours (then the call is made again). */
void outcome_encode(const struct outcome *o, struct buf *out);
int outcome_decode(struct outcome *o, struct arena *a, const char *bytes, unsigned long len);

#endif
