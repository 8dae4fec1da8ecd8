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

struct http_request {
    struct text method;
    struct text path; /* without the query */
    struct text api_key;
    struct text idempotency_key;
    size_t head_bytes;
    size_t body_bytes;
    bool is_close;    /* Connection: close, or HTTP/1.0 */
    bool is_continue; /* Expect: 100-continue */
    bool has_length;
};

/* Reads the head at the start of bytes[len]. 1: there, 0: not complete yet, -EINVAL: not HTTP, -E2BIG: too long. The
 * texts are slices of `bytes`. */
int http_read_head(const char *bytes, size_t len, struct http_request *out);
const char *http_reason(int status);

/* --- chat.c: what a chat completion asks for --- */

struct chat {
    struct text model;  /* slice of the body */
    struct buf *prompt; /* all contents, plain, joined by new lines */
    int64_t max_tokens; /* -1: none given */
    bool is_stream;
    bool has_messages;
};

/* -EINVAL: not JSON, or not an object. `out->prompt` is the caller's, cleared here. */
int chat_read(const char *bytes, size_t len, struct chat *out);
/* The word behind `JOB:` in the prompt, "" without one. */
void chat_job_tag(const struct buf *prompt, char out[LABEL_BYTES]);

/* --- directive.c: orders inside a prompt --- */

struct orders {
    bool has_fault;
    enum sim_fault fault;
    int status;             /* SIM_STATUS */
    int64_t latency_us;     /* -1: not ordered */
    int64_t retry_after_ms; /* -1 */
    int64_t stall_us;       /* -1 */
    struct text answer;     /* TEXT_NONE: not ordered; a slice of the prompt */
    char finish[32];        /* "": not ordered */
};

/* Adds up the directives in prompt[len] that are for this model and this attempt. */
void orders_read(const char *prompt, size_t len, const char *model, uint32_t attempt, struct orders *out);

/* --- meter.c: limits per key and meter --- */

struct meter;

struct overrun {
    const char *decision; /* "over_rpm"... */
    const char *type;     /* OpenAI's word: "requests", "tokens" */
    const char *unit;     /* "requests per min (RPM)" */
    int64_t limit;
    int64_t used;
    int64_t requested;
    int64_t wait_us; /* until this request would fit; -1: never */
};

struct meter *meter_new(const char *name);
void meter_free(struct meter *m);
bool meter_is(const struct meter *m, const char *name);
/* Lets a request in (then it is counted and under way) or fills *over: -EBUSY. */
int meter_enter(struct meter *m, const struct sim_model *model, int64_t now_us, int64_t input, int64_t output,
                struct overrun *over);
void meter_leave(struct meter *m);
int64_t meter_in_flight(const struct meter *m);
/* The x-ratelimit-* header lines of a model with limits; nothing without. */
void meter_add_headers(struct meter *m, const struct sim_model *model, int64_t now_us, struct buf *head);

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

struct exchange {
    const struct sim_model *model; /* NULL: none of ours */
    struct meter *meter;           /* NULL: did not enter */
    struct decision decision;
    const char *word; /* for the log */
    int64_t arrived_us;
    int64_t arrived_ms;
    int64_t in_flight;
    int64_t prompt_tokens; /* -1: unknown */
    int64_t completion_tokens;
    int64_t answer_bytes; /* to be made, after max_tokens */
    uint64_t seed;        /* of the text */
    uint32_t attempt;
    int status; /* begun to be sent; 0: none */
    bool over_limit;
    bool is_cut;  /* by max_tokens */
    char *answer; /* by directive; owned */
    char finish[32];
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

/* --- answer.c: bodies --- */

void answer_completion(struct buf *body, const struct exchange *x);
void answer_models(struct buf *body, const struct sim_conf *conf);
void answer_error(struct buf *body, const char *message, const char *type, const char *code);
void answer_fault(struct buf *body, const struct exchange *x);
void answer_overrun(struct buf *body, const struct exchange *x, const struct overrun *over);

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

/* Reads a chat request and decides. 0: wait decision.latency_us, then exchange_answer(); 1: s->wire holds an answer to
 * be sent at once. */
int exchange_begin(struct sim *s, struct exchange *x, const struct http_request *r, const char *body);
/* Puts the answer into s->wire; returns the bytes of its head. */
size_t exchange_answer(struct sim *s, struct exchange *x);
/* Counts and logs; frees what x holds. */
void exchange_end(struct sim *s, struct exchange *x, bool is_answered);
/* Puts a response into s->wire; extra: header lines. Returns the bytes of its head. */
size_t sim_respond(struct sim *s, int status, const struct buf *body, const char *extra);
/* The key's record; made on first sight. */
struct sim_key *sim_key_of(struct sim *s, struct text api_key);
bool sim_key_is_known(const struct sim *s, struct text api_key);

#endif
