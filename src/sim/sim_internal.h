/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the simulator share. One thread: the loop's. */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/list.h"
#include "base/text.h"
#include "loop.h"
#include "sim.h"

enum {
    HASH_HEX = 16, /* of a SHA-256, in the log */
    KEY_ID_HEX = 12,
    LABEL_BYTES = 128,
};

/* --- http.c: one request head --- */

/* Where an API key may stand. */
enum key_source { KEY_BEARER, KEY_AZURE, KEY_ANTHROPIC, KEY_GOOGLE, KEY_QUERY, KEY_SOURCE_MAX };

struct http_request {
    struct text method;
    struct text path;  /* without the query */
    struct text query; /* behind the '?' */
    struct text keys[KEY_SOURCE_MAX];
    struct text idempotency_key;
    size_t head_bytes;
    size_t body_bytes;
    bool is_close;    /* Connection: close, or HTTP/1.0 */
    bool is_continue; /* Expect: 100-continue */
    bool has_length;
    bool has_version; /* anthropic-version */
};

/* Reads the head at the start of bytes[len]. 1: there, 0: not complete yet, -EINVAL: not HTTP, -E2BIG: too long. The
 * texts are slices of `bytes`. */
int http_read_head(const char *bytes, size_t len, struct http_request *out);
/* The first key that stands in one of the places (bits of enum key_source); TEXT_NONE: none does. */
struct text http_key(const struct http_request *r, unsigned places);
const char *http_reason(int status);

/* --- directive.c: orders inside a prompt --- */

struct orders {
    bool has_fault;
    enum sim_fault fault;
    int status;               /* SIM_STATUS */
    int64_t latency_us;       /* -1: not ordered */
    int64_t retry_after_ms;   /* -1 */
    int64_t stall_us;         /* -1 */
    struct text answer;       /* TEXT_NONE: not ordered; a slice of the prompt */
    char finish[32];          /* "": not ordered */
    char tool[LABEL_BYTES];   /* to be called; "": not ordered, "*": any */
    int64_t reasoning_tokens; /* -1 */
    int64_t cached_tokens;    /* -1 */
    int should_retry;         /* x-should-retry: 0, 1; -1: not ordered */
    bool is_plain;            /* the error comes from a gateway, as text/plain */
    bool is_marked;           /* the answer is full of Markdown, escapes and what is beyond ASCII */
};

/* Nothing ordered. */
#define ORDERS_NONE \
    ((struct orders){.latency_us = -1, \
                     .retry_after_ms = -1, \
                     .stall_us = -1, \
                     .reasoning_tokens = -1, \
                     .cached_tokens = -1, \
                     .should_retry = -1})

/* Adds up the directives in prompt[len] that are for this model and this attempt. */
void orders_read(const char *prompt, size_t len, const char *model, uint32_t attempt, struct orders *out);

/* --- meter.c: limits per key and meter --- */

struct meter;

enum dimension {
    METER_REQUESTS,
    METER_TOKENS,
    METER_INPUT,
    METER_OUTPUT,
    METER_WINDOWS,
    METER_CONCURRENCY = METER_WINDOWS
};

struct overrun {
    const char *decision; /* "over_rpm"... */
    enum dimension dimension;
    int64_t limit;
    int64_t used;
    int64_t requested;
    int64_t wait_us; /* until this request would fit; -1: never */
};

/* How full a limit is. */
struct level {
    int64_t limit;
    int64_t left;
    int64_t reset_us; /* until all of it is there again */
};

/* One moment on both clocks. */
struct moment {
    int64_t now_us;
    int64_t wall_ms;
};

struct meter *meter_new(const char *name);
void meter_free(struct meter *m);
bool meter_is(const struct meter *m, const char *name);
/* Lets a request in (then it is counted and under way) or fills *over: -EBUSY. */
int meter_enter(struct meter *m, const struct sim_model *model, int64_t now_us, int64_t input, int64_t output,
                struct overrun *over);
void meter_leave(struct meter *m);
int64_t meter_in_flight(const struct meter *m);
/* False when the model has no limit of this dimension. */
bool meter_level(struct meter *m, const struct sim_model *model, enum dimension d, int64_t now_us, struct level *out);

/* --- decide.c --- */

/* Counts how often a prompt came to a model: keys are 64 bits of a hash. */
struct attempts {
    struct attempt_slot {
        uint64_t key; /* 0: free */
        uint32_t n;
    } * slots;
    size_t cap; /* a power of two */
    size_t used;
};

void attempts_done(struct attempts *a);
uint32_t attempts_get(const struct attempts *a, uint64_t key);
void attempts_add(struct attempts *a, uint64_t key);

struct decision {
    enum sim_fault fault;
    int status;
    int64_t latency_us;
    int64_t retry_after_ms;
    int64_t stall_us;
};

/* From the seed, what the request is (key, attempt), the model's shares and the orders. */
struct decision decide(uint64_t seed, uint64_t key, uint32_t attempt, const struct sim_model *m,
                       const struct orders *o);

/* --- ledger.c: one request and its log line --- */

struct dialect;
struct problem;
struct sim_key;
struct target;

struct exchange {
    const struct dialect *dialect;
    const struct sim_model *model; /* NULL: none of ours */
    struct sim_key *key;
    struct meter *meter; /* NULL: did not enter */
    struct decision decision;
    const char *word; /* for the log */
    int64_t arrived_us;
    int64_t arrived_ms;
    int64_t in_flight;
    int64_t prompt_tokens;     /* all that was read; -1: unknown */
    int64_t completion_tokens; /* all that was written, thoughts too */
    int64_t cached_tokens;     /* of the prompt */
    int64_t reasoning_tokens;  /* of the completion */
    int64_t answer_bytes;      /* to be made, after max_tokens */
    uint64_t seed;             /* of the text */
    uint32_t attempt;
    int status; /* begun to be sent; 0: none */
    bool over_limit;
    bool is_cut; /* by max_tokens */
    bool is_stream;
    bool is_array;       /* Gemini: streamed as one JSON list, not as events */
    bool includes_usage; /* a last chunk with it */
    bool is_tool_named;  /* the request names the tool that must be called */
    bool is_plain;       /* an error as text/plain */
    bool is_marked;      /* the text is no plain English */
    int should_retry;    /* -1: not said */
    char *answer;        /* ordered, or made for a schema; owned */
    char finish[32];
    char tool[LABEL_BYTES]; /* that is called; "": none, the answer is text */
    char model_name[LABEL_BYTES];
    char job[LABEL_BYTES];
    char idempotency_key[LABEL_BYTES];
    char key_id[KEY_ID_HEX + 1];
    char prompt_hash[HASH_HEX + 1];
    char body_hash[HASH_HEX + 1];
};

struct ledger {
    int fd; /* -1: no log */
    struct buf lines;
};

int ledger_open(struct ledger *l, const char *path, const char **why);
void ledger_close(struct ledger *l);
/* answered_ms: -1 when the answer was not completely handed over. */
void ledger_add(struct ledger *l, const struct exchange *x, int64_t answered_ms, bool is_paid);
void ledger_flush(struct ledger *l);
/* A complete 200 answer that a provider would bill. */
bool exchange_is_billed(const struct exchange *x);

/* --- server.c, conn.c, exchange.c --- */

struct sim_key {
    struct list link;
    char *key; /* NULL: none was sent */
    char id[KEY_ID_HEX + 1];
    struct meter **meters;
    size_t n_meters;
};

struct sim {
    struct loop *loop;
    struct sim_conf conf; /* a copy */
    int fd;
    int port;
    struct watch *watch;
    struct timer accept_again; /* no descriptor was free */
    struct list conns;
    struct list keys;
    struct attempts attempts;
    struct ledger ledger;
    struct hook hook;
    struct sim_stats stats;
    uint64_t n_answers;
    struct buf prompt; /* scratch, valid inside one call */
    struct buf body;
    struct buf wire;
};

/* Wall clock now, from the loop's turn. */
int64_t sim_wall_ms(const struct sim *s);
/* Takes over an accepted descriptor. */
void conn_new(struct sim *s, int fd);
void conn_free_all(struct sim *s);

/* Reads a request of a model and decides. 0: wait decision.latency_us, then exchange_answer(); 1: s->wire holds an
 * answer to be sent at once. */
int exchange_begin(struct sim *s, struct exchange *x, const struct http_request *r, const struct target *t,
                   const char *body);
/* Puts the answer into s->wire; returns the bytes of its head. */
size_t exchange_answer(struct sim *s, struct exchange *x);
/* Counts and logs; frees what x holds. */
void exchange_end(struct sim *s, struct exchange *x, bool is_answered);
/* Puts a response with s->body into s->wire; type: NULL is JSON; extra: header lines. Returns the bytes of its head. */
size_t sim_respond(struct sim *s, const struct dialect *d, int status, const char *type, const char *extra);
/* The same for a problem: its kind, model and detail are the caller's. Returns the status. */
int sim_refuse(struct sim *s, const struct dialect *d, struct problem *p, const char *extra);
/* Answers what is none of a dialect's routes, into s->wire. */
void sim_answer_other(struct sim *s, const struct http_request *r, const struct target *t);
/* The model of this name; NULL: none. */
const struct sim_model *sim_model_of(const struct sim *s, struct text name);
/* The key's record; made on first sight. */
struct sim_key *sim_key_of(struct sim *s, struct text api_key);
bool sim_key_is_known(const struct sim *s, struct text api_key);

#endif
