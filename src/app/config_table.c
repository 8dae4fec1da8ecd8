/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the option table. To add an option: a field in config.h, a row here, a line in config/tutti.yaml; then
 * `tutti config docs > docs/configuration.md`. Constant data; any thread. */
#include "app/config_table.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "app/config.h"
#include "base/check.h"

#define IN_CONFIG(field)   HOME_CONFIG, offsetof(struct config, field)
#define IN_PROVIDER(field) HOME_PROVIDER, offsetof(struct config_provider, field)
#define IN_MODEL(field)    HOME_MODEL, offsetof(struct config_model, field)
#define RANGE(lo, hi)      .min = (lo), .max = (hi)
#define FORM(name)         .form = is_##name, .form_help = name##_help

enum {
    KIB = 1024,
    MIB = 1024 * 1024,
    MS = 1000,
    SECOND = 1000 * 1000,
};
#define MINUTE (INT64_C(60) * SECOND)
#define HOUR   (INT64_C(60) * MINUTE)
#define DAY    (INT64_C(24) * HOUR)

static bool has_only(const char *s, size_t max, const char *extra)
{
    size_t len = strlen(s);

    if (len == 0 || len > max)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && strchr(extra, s[i]) == NULL)
            return false;
    return true;
}

/* source  org.apache.kafka.common.internals.Topic: LEGAL_CHARS, MAX_NAME_LENGTH */
static const char topic_help[] = "a topic name has 1 to 249 letters, digits, dots, underscores or hyphens";
static bool is_topic(const char *s)
{
    return has_only(s, 249, "._-") && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static const char label_help[] = "it has 1 to 100 letters, digits, dots, underscores or hyphens";
static bool is_label(const char *s)
{
    return has_only(s, 100, "._-");
}

static const char filled_help[] = "it must not be empty";
static bool is_filled(const char *s)
{
    return *s != '\0';
}

static const char model_help[] = "a model name has 1 to 200 characters without blanks";
static bool is_model(const char *s)
{
    size_t len = strlen(s);

    return len >= 1 && len <= 200 && strpbrk(s, " \t\r\n") == NULL;
}

/* host[:port][,host[:port]...], IPv6 in brackets, optionally with a protocol in front as librdkafka takes it. */
static const char brokers_help[] = "write host:port, several separated by commas";
static bool is_brokers(const char *s)
{
    bool is_entry = false; /* something was seen since the last comma */

    for (; *s != '\0'; s++) {
        if (*s == ',') {
            if (!is_entry)
                return false;
            is_entry = false;
        } else if (isalnum((unsigned char)*s) || strchr("._-:[]/", *s) != NULL) {
            is_entry = true;
        } else if (*s != ' ') {
            return false;
        }
    }
    return is_entry;
}

static const char listen_help[] = "write host:port, for example 127.0.0.1:8088, or off";
static bool is_listen(const char *s)
{
    const char *colon = strrchr(s, ':');

    return strcmp(s, "off") == 0 || (colon != NULL && colon > s && strlen(colon) >= 2 && strlen(colon) <= 6 &&
                                     strspn(colon + 1, "0123456789") == strlen(colon + 1));
}

/* clang-format off */
static const struct option options[] = {
    {"kafka.brokers", OPT_STRING, IN_CONFIG(kafka.brokers), .fallback = "localhost:9092", FORM(brokers),
     .help = "Brokers to ask first: `host:port`, several separated by commas."},
    {"kafka.group", OPT_STRING, IN_CONFIG(kafka.group), .fallback = "tutti", FORM(label),
     .help = "Consumer group. Processes of one group share the jobs topics' partitions."},
    {"kafka.topics.jobs", OPT_LIST, IN_CONFIG(kafka.jobs), .fallback = "tutti.jobs", FORM(topic),
     .help = "Topics to read jobs from, in order of priority."},
    {"kafka.topics.results", OPT_STRING, IN_CONFIG(kafka.results), .fallback = "tutti.results", FORM(topic),
     .help = "Topic for one result per job."},
    {"kafka.topics.calls", OPT_STRING, IN_CONFIG(kafka.calls), .fallback = "tutti.calls", FORM(topic),
     .help = "Topic for one record per attempt at a provider."},
    {"kafka.topics.dead_letters", OPT_STRING, IN_CONFIG(kafka.dead_letters), .fallback = "dlq.tutti.jobs", FORM(topic),
     .help = "Topic for records that are no jobs."},
    {"kafka.topics.model_stats", OPT_STRING, IN_CONFIG(kafka.model_stats), .fallback = "tutti.model-stats", FORM(topic),
     .help = "Topic for statistics per worker, model and 10 s window."},
    {"kafka.topics.batches", OPT_STRING, IN_CONFIG(kafka.batches), .fallback = "tutti.batches", FORM(topic),
     .help = "Topic for the progress of batches (jobs with a `batch_id`); created compacted."},
    {"kafka.topics.control", OPT_STRING, IN_CONFIG(kafka.control), .fallback = "tutti.control", FORM(topic),
     .help = "Topic for commands to the fleet: cancel a job or a batch."},
    {"kafka.start", OPT_ENUM, IN_CONFIG(kafka.start), .fallback = "earliest", .words = "earliest latest",
     .help = "Where to begin in a partition for which the group has no commit."},
    {"kafka.on_gap", OPT_ENUM, IN_CONFIG(kafka.on_gap), .fallback = "continue", .words = "continue stop",
     .help = "What to do when retention deleted the committed offset, or overtakes the reading: go on behind the gap "
             "(counted and logged), or stop."},
    {"kafka.slot", OPT_STRING, IN_CONFIG(kafka.slot), .flags = OPT_AUTO, .fallback = "auto", FORM(label),
     .help = "Stable name of this process in the group. `auto` leases one in Redis; set it to the pod's name "
             "in a StatefulSet."},
    {"kafka.delivery", OPT_ENUM, IN_CONFIG(kafka.delivery), .fallback = "exactly_once",
     .words = "exactly_once at_least_once",
     .help = "`exactly_once` writes records and offsets in one transaction. Changing it needs a full stop of "
             "the group."},
    {"kafka.commit_interval", OPT_DURATION, IN_CONFIG(kafka.commit_interval_us), RANGE(10 * MS, 10 * SECOND),
     .fallback = "200ms",
     .help = "How long finished jobs are gathered before they are committed together."},
    {"kafka.prefetch_bytes", OPT_SIZE, IN_CONFIG(kafka.prefetch_bytes), RANGE(16 * KIB, 64 * MIB), .fallback = "512KiB",
     .help = "Records held ready per partition."},
    {"kafka.properties", OPT_MAP_TEXT, IN_CONFIG(kafka.properties),
     .help = "Any librdkafka property, for example `security.protocol`; each one is checked by librdkafka "
             "when the file is read. "
             "Relative `*.location` paths count from the file's directory."},

    {"redis.url", OPT_URL, IN_CONFIG(redis.url), .fallback = "redis://localhost:6379/0", .words = "redis rediss",
     .help = "Redis that holds the shared limits: `redis://` or `rediss://user:pass@host:port/db`."},
    {"redis.when_down", OPT_ENUM, IN_CONFIG(redis.when_down), .fallback = "closed", .words = "closed",
     .help = "What happens while Redis is away: `closed` starts no new paid call."},
    {"redis.ca_file", OPT_PATH, IN_CONFIG(redis.ca_file),
     .help = "CA certificates (PEM) for `rediss://`; the system's store without it."},

    {"journal.enabled", OPT_BOOL, IN_CONFIG(journal.is_enabled), .fallback = "true",
     .help = "Keep paid answers until they are committed, so that a crash never pays for them again."},
    {"journal.url", OPT_URL, IN_CONFIG(journal.url), .fallback_help = "`redis.url`", .words = "redis rediss",
     .help = "Redis of the journal."},
    {"journal.ttl", OPT_DURATION, IN_CONFIG(journal.ttl_us), .flags = OPT_AUTO, RANGE(MINUTE, 365 * DAY),
     .fallback = "auto",
     .help = "How long an answer is kept when nothing commits it. `auto`: 8 days, Kafka's usual retention and"
             " one; set it when the jobs topic keeps records longer (a warning says so at start)."},

    {"providers.*.api", OPT_ENUM, IN_PROVIDER(api), .flags = OPT_RELOAD | OPT_REQUIRED,
     .words = "openai anthropic gemini",
     .help = "Wire dialect. `openai` serves every OpenAI-compatible endpoint."},
    {"providers.*.base_url", OPT_URL, IN_PROVIDER(base_url), .flags = OPT_RELOAD | OPT_REQUIRED, .words = "http https",
     .help = "Where requests go. `openai` adds `/chat/completions`, so its URL ends in `/v1`; `anthropic` adds "
             "`/v1/messages`, `gemini` `/v1beta/models/NAME:generateContent`."},
    {"providers.*.api_key", OPT_SECRET, IN_PROVIDER(api_key), .flags = OPT_RELOAD,
     .help = "Key sent to the provider; write `${env:NAME}` or `${file:PATH}`. Without it none is sent."},
    {"providers.*.api_keys", OPT_LIST, IN_PROVIDER(api_keys), .flags = OPT_RELOAD | OPT_HIDDEN, FORM(filled),
     .help = "Several keys instead of `api_key`, used in turn. Each is a meter of its own with the models' limits; one "
             "that is refused, used up or limited rests while the others go on."},
    {"providers.*.ca_file", OPT_PATH, IN_PROVIDER(ca_file), .flags = OPT_RELOAD,
     .help = "CA certificates (PEM) for this provider; the system's store without it."},

    {"models.*.provider", OPT_STRING, IN_MODEL(provider_name), .flags = OPT_REQUIRED | OPT_RELOAD, FORM(filled),
     .help = "A name under `providers`."},
    {"models.*.name", OPT_STRING, IN_MODEL(name), .flags = OPT_RELOAD, .fallback_help = "the model's id", FORM(model),
     .help = "The vendor's name of the model."},
    {"models.*.aliases", OPT_LIST, IN_MODEL(aliases), .flags = OPT_RELOAD, FORM(model),
     .help = "Other names that jobs may use."},
    {"models.*.limits.requests_per_minute", OPT_COUNT, IN_MODEL(limits.requests_per_minute), .flags = OPT_RELOAD,
     RANGE(2, 100000000), .fallback_help = "no limit",
     .help = "Requests per minute, over all processes. Models of one provider, key and vendor name share one limit."},
    {"models.*.limits.tokens_per_minute", OPT_COUNT, IN_MODEL(limits.tokens_per_minute), .flags = OPT_RELOAD,
     RANGE(100, 1000000000), .fallback_help = "no limit",
     .help = "Input and output tokens per minute, over all processes."},
    {"models.*.limits.concurrency", OPT_COUNT, IN_MODEL(limits.concurrency), .flags = OPT_RELOAD, RANGE(1, 1000000),
     .fallback_help = "no limit", .help = "Calls under way at once, over all processes."},
    {"models.*.limits.largest_call", OPT_COUNT, IN_MODEL(limits.largest_call), .flags = OPT_RELOAD,
     RANGE(1, 1000000000),
     .fallback_help = "the larger of 5 % of `tokens_per_minute` and twice `max_output_tokens`, at most half "
                      "of `tokens_per_minute`",
     .help = "Most tokens one call may reserve (prompt and `max_output_tokens`); a larger one ends "
             "`over_pool`. It is also the "
             "token bucket's size: a large one costs utilisation."},
    {"models.*.price.input", OPT_MONEY, IN_MODEL(price.input), .flags = OPT_RELOAD, .fallback_help = "unknown",
     .help = "USD per million input tokens. Unknown prices give `cost_usd: null`."},
    {"models.*.price.output", OPT_MONEY, IN_MODEL(price.output), .flags = OPT_RELOAD, .fallback_help = "unknown",
     .help = "USD per million output tokens."},
    {"models.*.price.cached_input", OPT_MONEY, IN_MODEL(price.cached_input), .flags = OPT_RELOAD,
     .fallback_help = "as `input`",
     .help = "USD per million input tokens that the provider had cached."},
    {"models.*.max_output_tokens", OPT_COUNT, IN_MODEL(max_output_tokens), .flags = OPT_RELOAD, RANGE(1, 10000000),
     .fallback = "1024", .help = "Output tokens asked for when the job names none."},
    {"models.*.max_answer_bytes", OPT_SIZE, IN_MODEL(max_answer_bytes), .flags = OPT_RELOAD, RANGE(1 * KIB, 64 * MIB),
     .fallback = "1MiB", .help = "Largest response body accepted."},
    {"models.*.params", OPT_MAP_JSON, IN_MODEL(params), .flags = OPT_RELOAD,
     .help = "Request parameters sent with every call (`temperature: 0.7`); the job's own win."},
    {"models.*.drop_params", OPT_LIST, IN_MODEL(drop_params), .flags = OPT_RELOAD, FORM(filled),
     .help = "Parameters this model refuses (`[temperature, top_p]`): left out of its requests, which the result "
             "notes as `param_dropped`."},
    {"models.*.fallbacks", OPT_LIST, IN_MODEL(fallbacks), .flags = OPT_RELOAD, FORM(filled),
     .help = "Models to ask instead, in this order, when this one cannot answer: ids or aliases."},
    {"models.*.timeout.connect", OPT_DURATION, IN_MODEL(timeout.connect_us), .flags = OPT_RELOAD, RANGE(1 * MS, DAY),
     .fallback = "5s", .help = "Connection and TLS handshake. Default values are lowered to `total`."},
    {"models.*.timeout.first_byte", OPT_DURATION, IN_MODEL(timeout.first_byte_us),
     .flags = OPT_RELOAD, RANGE(1 * MS, DAY),
     .fallback = "60s", .help = "From the request written to the first byte of the answer."},
    {"models.*.timeout.idle", OPT_DURATION, IN_MODEL(timeout.idle_us), .flags = OPT_RELOAD, RANGE(1 * MS, DAY),
     .fallback = "30s", .help = "Longest gap inside an answer."},
    {"models.*.timeout.total", OPT_DURATION, IN_MODEL(timeout.total_us), .flags = OPT_RELOAD, RANGE(1 * MS, DAY),
     .fallback = "120s", .help = "The whole call; at most `jobs.deadline`, to which the default is lowered."},

    {"jobs.default_models", OPT_LIST, IN_CONFIG(jobs.default_models), .flags = OPT_RELOAD, FORM(filled),
     .fallback_help = "none", .help = "Models of a job that names none: ids or aliases."},
    {"jobs.default_provider", OPT_STRING, IN_CONFIG(jobs.default_provider), .flags = OPT_RELOAD, FORM(filled),
     .fallback_help = "none",
     .help = "Provider to which a model name that nothing else matches is sent as the vendor's name. Without it such a "
             "name is `unknown_model`."},
    {"jobs.dedupe", OPT_DURATION, IN_CONFIG(jobs.dedupe_us), .flags = OPT_RELOAD, RANGE(0, 7 * DAY), .fallback = "1h",
     .help = "How long an explicit `job_id` is remembered: a second record with the same `job_id` and `run` at another "
             "position is dropped and counted. 0: never. Needs the journal."},
    {"jobs.deadline", OPT_DURATION, IN_CONFIG(jobs.deadline_us), .flags = OPT_RELOAD, RANGE(100 * MS, 30 * DAY),
     .fallback = "5m",
     .help = "Time for one job from its first permit; it stands still while a limit is paused."},
    {"jobs.max_in_flight", OPT_COUNT, IN_CONFIG(jobs.max_in_flight), .flags = OPT_RELOAD, RANGE(1, 1000000),
     .fallback = "2000",
     .help = "Jobs held in memory per worker; more stay in Kafka."},
    {"jobs.max_bytes", OPT_SIZE, IN_CONFIG(jobs.max_bytes), .flags = OPT_RELOAD, RANGE(1 * KIB, 64 * MIB),
     .fallback = "1MiB",
     .help = "Largest job record; a larger one is a dead letter."},
    {"jobs.unknown_keys", OPT_ENUM, IN_CONFIG(jobs.unknown_keys), .flags = OPT_RELOAD, .fallback = "error",
     .words = "error warn",
     .help = "A key that tutti does not know makes the record a dead letter (`error`) or is left out, named in "
             "`dropped_params` of the result and logged (`warn`)."},

    {"retry.attempts", OPT_INT, IN_CONFIG(retry.attempts), .flags = OPT_RELOAD, RANGE(1, 20), .fallback = "4",
     .help = "Tries per call, the first included."},
    {"retry.base", OPT_DURATION, IN_CONFIG(retry.base_us), .flags = OPT_RELOAD, RANGE(1 * MS, HOUR),
     .fallback = "500ms",
     .help = "First back-off; it doubles with each try, with jitter. A provider's own hint is never undercut."},
    {"retry.cap", OPT_DURATION, IN_CONFIG(retry.cap_us), .flags = OPT_RELOAD, RANGE(1 * MS, HOUR), .fallback = "20s",
     .help = "Longest back-off."},

    {"breaker.failures", OPT_INT, IN_CONFIG(breaker.failures), .flags = OPT_RELOAD, RANGE(0, 1000), .fallback = "5",
     .help = "Failures of a model in a row (unreachable, overloaded, timeout, 5xx) after which it is not asked any "
             "more for `breaker.open_for`. 0: no breaker."},
    {"breaker.open_for", OPT_DURATION, IN_CONFIG(breaker.open_us), .flags = OPT_RELOAD, RANGE(10 * MS, HOUR),
     .fallback = "30s",
     .help = "Rest before one call of the fleet tries the model again."},

    {"admin.listen", OPT_STRING, IN_CONFIG(admin_listen), .fallback = "127.0.0.1:8088", FORM(listen),
     .help = "Address of the status page, health checks and metrics; port 0: a free one, `off`: none. It has no "
             "password: keep it on the loopback or behind a proxy."},

    {"shutdown.grace", OPT_DURATION, IN_CONFIG(shutdown_grace_us), .flags = OPT_RELOAD, RANGE(0, HOUR),
     .fallback = "25s",
     .help = "After SIGTERM: time for calls under way to finish. Keep it below the supervisor's own limit."},

    {"log.level", OPT_ENUM, IN_CONFIG(log_level), .flags = OPT_RELOAD, .fallback = "info",
     .words = "debug info warn error",
     .help = "Least severity that is logged."},
    {"log.format", OPT_ENUM, IN_CONFIG(log_format), .flags = OPT_RELOAD, .fallback = "auto",
     .words = "auto pretty logfmt json",
     .help = "`auto`: pretty on a terminal, else logfmt."},

    {"workers", OPT_INT, IN_CONFIG(workers), .flags = OPT_AUTO, RANGE(1, 64), .fallback = "auto",
     .help = "Worker threads; `auto`: one per processor this process may use, at most 4."},
};
/* clang-format on */
static_assert(ARRAY_LEN(options) <= OPTION_MAX, "callers keep arrays of OPTION_MAX");

static const char *const type_names[] = {
    [OPT_STRING] = "text",  [OPT_SECRET] = "secret", [OPT_URL] = "URL",   [OPT_PATH] = "path",
    [OPT_INT] = "integer",  [OPT_COUNT] = "count",   [OPT_SIZE] = "size", [OPT_DURATION] = "duration",
    [OPT_MONEY] = "price",  [OPT_BOOL] = "boolean",  [OPT_ENUM] = "word", [OPT_LIST] = "list",
    [OPT_MAP_TEXT] = "map", [OPT_MAP_JSON] = "map",
};
static_assert(ARRAY_LEN(type_names) == OPT_TYPE_MAX, "a name per type");

/* What the same thing is called elsewhere: LiteLLM, librdkafka and Java clients, vendors' SDKs. */
static const struct {
    const char *foreign;
    const char *ours;
} foreign_keys[] = {
    {"rpm", "requests_per_minute"},
    {"tpm", "tokens_per_minute"},
    {"max_parallel_requests", "concurrency"},
    {"api_base", "base_url"},
    {"endpoint", "base_url"},
    {"url", "base_url"},
    {"apikey", "api_key"},
    {"apiKey", "api_key"},
    {"key", "api_key"},
    {"dialect", "api"},
    {"api_type", "api"},
    {"model_name", "name"},
    {"model", "name"},
    {"vendor_model", "name"},
    {"deployment", "name"},
    {"request_timeout", "timeout"},
    {"max_tokens", "max_output_tokens"},
    {"bootstrap.servers", "brokers"},
    {"bootstrap_servers", "brokers"},
    {"bootstrap", "brokers"},
    {"group.id", "group"},
    {"group_id", "group"},
    {"auto.offset.reset", "start"},
    {"timeouts", "timeout"},
    {"num_retries", "attempts"},
    {"max_retries", "attempts"},
};

const struct option *option_all(size_t *out_n)
{
    *out_n = ARRAY_LEN(options);
    return options;
}

const struct option *option_find(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (strcmp(options[i].path, path) == 0)
            return &options[i];
    return NULL;
}

bool option_is_section(const char *path)
{
    size_t len = strlen(path);

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (strncmp(options[i].path, path, len) == 0 && options[i].path[len] == '.')
            return true;
    return false;
}

size_t option_index(const struct option *o)
{
    return (size_t)(o - options);
}

const char *option_type_name(enum option_type type)
{
    return type_names[type];
}

const char *option_foreign(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(foreign_keys); i++)
        if (strcmp(foreign_keys[i].foreign, key) == 0)
            return foreign_keys[i].ours;
    return NULL;
}
