/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated providers: an HTTP/1.1 server that speaks the dialects of OpenAI, Anthropic and Gemini on one port, with
 * latencies, faults, rate limits and a request log that can be audited. Used by `tutti sim`, `tutti dev`, tests and
 * bench; knows nothing of the code that calls it. The vendors' own client libraries work against it.
 *
 *     POST .../chat/completions                      OpenAI, below any base path; Authorization: Bearer, or api-key
 *     POST .../messages, .../messages/count_tokens   Anthropic; x-api-key (or Bearer) and anthropic-version
 *     POST .../models/{model}:generateContent, :streamGenerateContent, :countTokens
 *                                                    Gemini, below v1, v1beta or v1alpha; x-goog-api-key, or ?key=
 *     GET .../models, .../models/{model}, /health    in the shape that path and headers ask for
 *
 * All models answer in all dialects: with the same text, since that depends on seed, model and prompt only (system text
 * first, then the messages). Streams are the same answer in pieces. An image costs 765, 1600 or 258 tokens. A tool is
 * called when the request forces one or the prompt orders it; its arguments, and answers that must be JSON, are made
 * from the schema. Errors have the vendor's status, body and headers; limits are told in x-ratelimit-*,
 * anthropic-ratelimit-*, and by Gemini in the body of its 429.
 *
 * What happens to a request is decided by (seed, model, SHA-256 of the prompt, how often this prompt came before), so a
 * run repeats itself. A prompt may order what happens, for tests:
 *
 *     [[sim: status=500 times=2]]            the first two attempts get HTTP 500
 *     [[sim: status=429 retry_after=2 times=1 model=sim/fast]]   only at this model
 *     [[sim: latency=2s]]  [[sim: silence]]  [[sim: reset]]  [[sim: truncate]]  [[sim: drip]]  [[sim: stall=5s]]
 *     [[sim: empty]]  [[sim: bad_json]]  [[sim: error200]]  [[sim: finish=length]]  (the dialect's own word)
 *     [[sim: overloaded]]  [[sim: quota]]  [[sim: context]]  [[sim: filter]]  [[sim: refusal]]
 *     [[sim: status=503 plain]]              an error in text/plain, as gateways send it
 *     [[sim: e429 should_retry=false]]       with x-should-retry
 *     [[sim: reasoning=20 cached=5]]         so many tokens of thoughts, and of the prompt from a cache
 *     [[sim: tool=weather]]  [[sim: tool]]   calls this tool of the request, or its first
 *     [[sim: answer=Error: is a word]]       the answer, or a tool's arguments; must be the last word of its directive
 *
 * Several directives add up, the first that fits decides about the fault. `JOB:<tag>` in a prompt (letters, digits,
 * ._:/@-) is copied into the log. The words for what differs: quota is 429 insufficient_quota, Anthropic's 400 about
 * the credit balance, Gemini's 429 with a PerDay quotaId; overloaded is 503 slow_down, 529, 503; filter is 400, 400,
 * and Gemini's candidate without content; refusal is the refusal field, stop_reason refusal, promptFeedback.
 *
 * The log has one JSON line per request of a model, written when it ended:
 *     t_ms t_us             arrival: epoch ms, monotonic us
 *     dialect               "openai", "anthropic", "gemini"
 *     key_id                12 hex digits of SHA-256 of the API key, "none" without one
 *     model prompt_sha256 body_sha256 (16 hex digits) job idempotency_key attempt (from 1, per model and prompt)
 *     decision              "ok", the fault's word (sim_fault_name), "over_rpm" "over_tpm" "over_input_tpm"
 *                           "over_output_tpm" "over_concurrency", "unauthorized", "no_model", "bad_request", "count"
 *     status                as sent, 0: no answer was begun
 *     answered_ms           epoch ms when the last byte was handed to the kernel, null: never
 *     gone                  the client closed before that
 *     paid                  a complete 200 with tokens to bill was handed over (ok, empty, bad_json, drip, stall,
 *                           refusal, Gemini's filter)
 *     over_limit            a limit of the model was overrun
 *     in_flight             requests of this key at this meter, this one included, at arrival
 *     prompt_tokens completion_tokens   all that was read, and written: cached ones and thoughts are part of them
 *
 * thread  everything on the loop's thread */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct sim;

enum sim_fault {
    SIM_OK,
    SIM_E429, /* 429 although no limit is reached */
    SIM_E500,
    SIM_E503,
    SIM_RESET,      /* connection reset before an answer */
    SIM_TRUNCATE,   /* closed in the middle of the body */
    SIM_SILENCE,    /* never answers */
    SIM_DRIP,       /* the body at one byte per second */
    SIM_STALL,      /* half of the body, a pause, the rest */
    SIM_EMPTY,      /* content "" */
    SIM_BAD_JSON,   /* a complete 200 whose body is half a document */
    SIM_ERROR200,   /* 200 with an error object */
    SIM_OVERLOADED, /* 503, 529 */
    SIM_QUOTA,      /* no money, or the day's quota is used up */
    SIM_CONTEXT,    /* longer than the model's window */
    SIM_FILTER,     /* by a content filter */
    SIM_REFUSAL,    /* by the model: 200 */
    SIM_STATUS,     /* by directive: any status */
    SIM_FAULT_MAX
};

/* "ok", "e429", ... */
const char *sim_fault_name(enum sim_fault f);

enum { SIM_SHARE_WHOLE = 10000 };

struct sim_model {
    char *name;         /* owned by the conf */
    char *meter;        /* owned; models with the same word share one meter per key; NULL: its name */
    int64_t latency_us; /* median */
    double p99_factor;  /* <= 1: constant; else lognormal with p99 = median * factor */
    int answer_bytes;
    int shares[SIM_FAULT_MAX]; /* parts of 10,000; [SIM_OK] and [SIM_STATUS] unused */
    int64_t fail_first;        /* so many attempts of each prompt get fail_status */
    int64_t fail_status;       /* 500 */
    int64_t retry_after_us;    /* that a 429 or 503 tells; -1: 1 s with e429, else nothing */
    int64_t context_tokens;    /* the window: a longer prompt is refused; 0: none */
    int64_t prompt_tokens;     /* fixed usage; -1: a quarter of the bytes */
    int64_t completion_tokens;
    int64_t requests_per_window; /* limits per key and meter, 0: none. Over it: 429, and nothing is counted */
    int64_t tokens_per_window;   /* input + output as billed, counted at arrival */
    int64_t input_tokens_per_window;
    int64_t output_tokens_per_window;
    int64_t concurrency;
    int64_t window_us; /* exact sliding window of arrivals, 60 s */
};

struct sim_conf {
    char *host; /* 127.0.0.1 */
    int port;   /* 0: a free one */
    uint64_t seed;
    char *log_path;            /* NULL: no log; appended to */
    char *api_keys;            /* comma-separated; NULL: any key, and none, is let in */
    struct sim_model defaults; /* what a model starts from */
    struct sim_model *models;  /* models[n_models] */
    size_t n_models;
};

struct sim_stats {
    int64_t requests; /* ended */
    int64_t paid;
    int64_t over_limit;
    int64_t gone;
    int64_t in_flight;   /* begun, not ended */
    int64_t connections; /* open */
};

void sim_conf_init(struct sim_conf *c);
void sim_conf_done(struct sim_conf *c);
/* Sets one option; *why (static or thread-local text, never NULL on error) says what is wrong.
 *   listen   "127.0.0.1:8089" or "8089"        seed  integer        log  path        api_key  "k1,k2"
 *   defaults "latency=50ms,errors=5%"          for the models that follow
 *   model    "name,latency=50ms,errors=5%"     adds one
 * Words of a model: latency p99 bytes errors e429 e500 e503 reset truncate silence drip stall empty bad_json error200
 * overloaded quota filter refusal fail fail_status retry_after context prompt_tokens completion_tokens rpm tpm
 * input_tpm output_tpm concurrency window meter. Shares are "5%" or parts of 10,000; `errors` is half e500, a quarter
 * e503, a quarter reset; `p99` is the factor of the lognormal latency; `fail=2,fail_status=429,retry_after=300ms`
 * refuses the first two attempts of each prompt; a prompt of more than `context` tokens is refused. The limits count
 * per window (a minute unless `window` says otherwise). errors  -EINVAL */
int sim_conf_set(struct sim_conf *c, const char *key, const char *value, const char **why);
/* The same from a JSON object: {"listen": "...", "seed": 1, "defaults": {...}, "models": [{"name": "sim/fast",
 * "latency": "50ms", ...}, "name,latency=1s"]}; numbers and strings alike. errors -EINVAL */
int sim_conf_set_json(struct sim_conf *c, const char *json, size_t len, const char **why);

/* Listens; NULL with *why when it cannot. Copies what it needs of the conf. */
struct sim *sim_new(struct loop *loop, const struct sim_conf *conf, const char **why);
/* The port it listens on. */
int sim_port(const struct sim *s);
/* Closes everything; requests under way are logged as they stand. NULL is fine. */
void sim_free(struct sim *s);
void sim_get_stats(const struct sim *s, struct sim_stats *out);
/* Writes buffered log lines out (also done at the end of every turn). */
void sim_flush_log(struct sim *s);
/* Raises the soft limit of open descriptors to the hard one; for programs that are nothing but a simulator. */
void sim_raise_fd_limit(void);

#endif
