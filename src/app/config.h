/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: plain data, read once at start, constant afterwards. Durations are microseconds, sizes bytes,
 * money nano-dollars per million tokens. Read and checked on the main thread; any thread may read the result. */
#ifndef APP_CONFIG_H
#define APP_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

struct arena;
struct buf;
struct config_report;

struct config_list {
    const char *const *items; /* items[n] */
    size_t n;
};

struct config_pair {
    const char *name;
    const char *value;
};

struct config_map {
    const struct config_pair *pairs; /* pairs[n], in the file's order */
    size_t n;
};

enum config_start { CONFIG_START_EARLIEST, CONFIG_START_LATEST };
enum config_on_gap { CONFIG_GAP_CONTINUE, CONFIG_GAP_STOP };
enum config_delivery { CONFIG_EXACTLY_ONCE, CONFIG_AT_LEAST_ONCE };
enum config_unknown_keys { CONFIG_UNKNOWN_ERROR, CONFIG_UNKNOWN_WARN };
enum config_when_down { CONFIG_DOWN_CLOSED };

/* The fields that an enum option sets are int, so that the table can write them. */
struct config_kafka {
    const char *brokers;
    const char *group;
    struct config_list jobs; /* topics.jobs: order of priority, at least one */
    const char *results;
    const char *calls;
    const char *dead_letters;
    const char *model_stats;
    const char *batches;
    const char *control;
    int start;        /* enum config_start */
    int on_gap;       /* enum config_on_gap */
    int delivery;     /* enum config_delivery */
    const char *slot; /* NULL: auto, leased in Redis */
    int64_t commit_interval_us;
    int64_t prefetch_bytes;       /* per partition */
    struct config_map properties; /* librdkafka's, checked; may hold secrets */
};

struct config_redis {
    const char *url;     /* may hold a password: never log it */
    int when_down;       /* enum config_when_down */
    const char *ca_file; /* NULL: the system's store */
};

struct config_journal {
    bool is_enabled;
    const char *url; /* never NULL: redis.url when the file names none; may hold a password */
    int64_t ttl_us;  /* 0: auto, the jobs topic's retention + 1 day */
};

struct config_provider {
    const char *name;            /* first: config_diff.c finds it there */
    int api;                     /* row of the words of `api` in the table */
    const char *api_name;        /* "openai": provider_ops.name */
    const char *base_url;        /* no slash at the end */
    const char *api_key;         /* NULL: none; never log it */
    struct config_list api_keys; /* several instead of one: each is a meter of its own; never log them */
    const char *ca_file;         /* NULL: the system's store */
};

/* 0: not limited in that dimension. */
struct config_limits {
    int64_t requests_per_minute;
    int64_t tokens_per_minute;
    int64_t concurrency;
    int64_t largest_call; /* tokens; > 0 exactly when tokens_per_minute is */
};

/* Nano-dollars per million tokens; -1: unknown. */
struct config_price {
    int64_t input;
    int64_t output;
    int64_t cached_input;
};

struct config_timeout {
    int64_t connect_us;
    int64_t first_byte_us;
    int64_t idle_us;
    int64_t total_us; /* the others are <= this, this is <= jobs.deadline */
};

struct config_model {
    const char *id; /* first, as the provider's name */
    const char *provider_name;
    const struct config_provider *provider;
    const char *name; /* the vendor's; the id when the file names none */
    struct config_list aliases;
    struct config_limits limits;
    struct config_price price;
    int64_t max_output_tokens;
    int64_t max_answer_bytes;
    struct config_map params; /* values are raw JSON */
    struct config_list drop_params;
    struct config_list fallbacks; /* ids or aliases of other models, checked */
    struct config_timeout timeout;
};

struct config_jobs {
    struct config_list default_models;
    const char *default_provider; /* NULL: none */
    int64_t dedupe_us;            /* how long an explicit job id is held against a second record */
    int64_t deadline_us;
    int64_t max_in_flight;
    int64_t max_bytes;
    int unknown_keys; /* enum config_unknown_keys */
};

struct config_retry {
    int64_t attempts; /* total tries */
    int64_t base_us;
    int64_t cap_us;
};

struct config_breaker {
    int64_t failures; /* in a row that open it; 0: no breaker */
    int64_t open_us;
};

struct config {
    struct arena *arena; /* holds everything below */
    const char *path;    /* the file, as it was found */
    struct config_kafka kafka;
    struct config_redis redis;
    struct config_journal journal;
    struct config_provider *providers; /* providers[n_providers], in the file's order */
    size_t n_providers;
    struct config_model *models; /* models[n_models], in the file's order, at least one */
    size_t n_models;
    struct config_jobs jobs;
    struct config_retry retry;
    struct config_breaker breaker;
    const char *admin_listen; /* "host:port"; "off": no admin server */
    int64_t shutdown_grace_us;
    int log_level;   /* enum log_level */
    int log_format;  /* enum log_format */
    int64_t workers; /* 0: auto */
};

/* Checks that need a library the configuration must not know; each may be NULL (not checked).
 * Both return 0 or a negative errno. */
struct config_hooks {
    /* librdkafka's verdict on one property. */
    int (*check_property)(const char *name, const char *value, char *err, size_t err_size);
    /* redis_conf_parse()'s verdict on a URL. */
    int (*check_redis_url)(const char *url, const char **why);
};

struct config_input {
    const char *path;        /* -c FILE ("-": stdin); NULL: $TUTTI_CONFIG, ./tutti.yaml, /etc/tutti/tutti.yaml */
    const char *const *env;  /* NAME=value strings, NULL at the end; also what ${env:} sees. NULL: none */
    const char *const *sets; /* sets[n_sets]: KEY=VALUE of --set */
    size_t n_sets;
    const struct config_hooks *hooks; /* NULL: none */
    struct buf *out_shown;            /* gets every option in effect with its origin, secrets hidden; NULL: not */
    bool is_shown_as_json;
};

/* The file that config_load() reads; NULL when there is none. */
const char *config_find(const struct config_input *in);
/* Finds, reads and checks the configuration; every problem goes into the report (initialised by the caller).
 *
 * owns    *out_config: config_free() it
 * errors  -ENOENT no file or not readable, -EINVAL problems with errors; *out_config is then not written */
int config_load(const struct config_input *in, struct config_report *report, struct config **out_config);
/* The same from bytes: `name` stands in the messages, paths are relative to its directory. in->path is not looked at.
 */
int config_parse(const char *text, size_t len, const char *name, const struct config_input *in,
                 struct config_report *report, struct config **out_config);
/* NULL is fine. */
void config_free(struct config *c);

/* What a limit promises (DESIGN 7): bucket and refill rate, and the share of the limit that can be used at best. */
struct config_promise {
    int64_t limit;      /* L, per minute */
    int64_t bucket;     /* B */
    double rate;        /* r, per second */
    double utilisation; /* U*, 0..1 */
};
struct config_promise config_promise_requests(int64_t requests_per_minute);
struct config_promise config_promise_tokens(int64_t tokens_per_minute, int64_t largest_call);

/* docs/configuration.md, from the option table. */
void config_write_docs(struct buf *out);
/* Everything the table knows about one key ("kafka.brokers", "models.*.limits.concurrency", "models.gpt.price.input").
 * -ENOENT: no such key; *out_nearest (may be NULL) then gets the nearest one, or NULL. */
int config_explain(const char *key, struct buf *out, const char **out_nearest);

#endif
