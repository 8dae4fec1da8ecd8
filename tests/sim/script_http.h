/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted HTTP client on virtual time that plays the provider too, with a ledger of what was asked and what was
 * paid. */
#ifndef SIM_SCRIPT_HTTP_H
#define SIM_SCRIPT_HTTP_H

#include "seam/http.h"

struct loop;
struct rng;

/* What the provider does with one request. */
enum act {
    ACT_OK,
    ACT_429,
    ACT_500,
    ACT_RESET,
    ACT_TRUNCATE,
    ACT_SILENCE,
    ACT_EMPTY,
    ACT_BAD_JSON,
    ACT_401,
    ACT_REFUSE,
    ACT_STALE, /* the permit was too old when the connection was ready: nothing was sent */
    ACT_529,
    ACT_400,
    ACT_403,
    ACT_404,
    ACT_FILTERED, /* the request is refused for its content */
    ACT_TOO_LONG, /* the request is longer than the model's context */
    ACT_QUOTA,    /* nothing left to spend on this key */
    ACT_MAX
};

struct play {
    enum act act;
    int64_t latency_us;
    int64_t retry_after_s; /* of a 429, 529 or quota; 0: no header */
    const char *answer;    /* of ACT_OK; NULL: made from the model. Of ACT_401: the key it quotes */
};

/* One request as the provider saw it. */
struct entry {
    char key[40]; /* Idempotency-Key */
    char model[40];
    char api_key[40]; /* the bearer token */
    char tag[40];     /* what follows "JOB:" in the prompt, up to a blank */
    int64_t at_us;
    int64_t ended_us; /* answered or closed; 0: under way */
    enum act act;
    bool is_paid; /* a complete answer was handed over */
    bool is_cancelled;
};

/* What was asked under one Idempotency-Key. */
struct asked;

/* Shared by all clients of a world. */
struct ledger {
    struct entry *entries;
    int n, cap;
    int in_flight, in_flight_max;
    struct asked *asked; /* hash by key */
    int paid_twice;      /* requests for a call whose answer had been handed over before: must stay 0 */
    /* Decides; `nth` counts the requests of this key so far, from 0. */
    struct play (*decide)(const struct entry *e, int nth, void *arg);
    void *arg;
};

struct http *script_http_new(struct loop *l, struct ledger *ledger);
/* Requests of a model (NULL: all) and tag (NULL: all). */
int ledger_count(const struct ledger *g, const char *model, const char *tag);
/* Answers handed over beyond the first of a call. */
int ledger_paid_again(const struct ledger *g);
void ledger_done(struct ledger *g);

#endif
