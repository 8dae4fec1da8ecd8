/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of counters per model and the families printed from them. A block is found or made under a lock, once per
 * model; adding to it is relaxed atomics. Blocks are never freed: a thread may add at any moment. Any thread. */
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/metrics_internal.h"

enum { DEAD_LETTER_CODES_MAX = 32, PRODUCE_TOPICS_MAX = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct model_metrics *blocks[METRIC_MODELS_MAX]; /* under the lock */
static int n_blocks;
static struct model_metrics other = {.provider = (char *)"other", .model = (char *)"other"};
static struct metric_words words;

/* Claimed in order, by whoever counts a code first. */
static struct {
    _Atomic(const char *) code;
    _Atomic int64_t count;
} dead_letters[DEAD_LETTER_CODES_MAX];

/* The topics written to, in the order in which the first broker named them. */
static struct {
    char *name;
    int64_t errors;
} topics[PRODUCE_TOPICS_MAX]; /* under the lock; failures are rare enough for one */
static int n_topics;

static int64_t get(const _Atomic int64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void add(_Atomic int64_t *v, int64_t n)
{
    atomic_fetch_add_explicit(v, n, memory_order_relaxed);
}

struct model_metrics *metrics_model(const char *provider, const char *model)
{
    struct model_metrics *m = &other;
    int i = 0;

    if (provider == NULL || model == NULL)
        return m;
    pthread_mutex_lock(&lock);
    while (i < n_blocks && (strcmp(blocks[i]->model, model) != 0 || strcmp(blocks[i]->provider, provider) != 0))
        i++;
    if (i == n_blocks && n_blocks < METRIC_MODELS_MAX) {
        blocks[n_blocks] = mem_zero(sizeof(**blocks));
        blocks[n_blocks]->provider = mem_strdup(provider);
        blocks[n_blocks]->model = mem_strdup(model);
        n_blocks++;
    }
    if (i < n_blocks)
        m = blocks[i];
    pthread_mutex_unlock(&lock);
    return m;
}

int metrics_models(struct model_metrics **out)
{
    int n;

    pthread_mutex_lock(&lock);
    n = n_blocks;
    memcpy(out, blocks, sizeof(blocks[0]) * (size_t)n);
    pthread_mutex_unlock(&lock);
    out[n] = &other;
    return n + 1;
}

void metrics_add_call(struct model_metrics *m, const struct call_sample *s)
{
    if (m == NULL)
        m = &other;
    CHECK(s->code >= 0 && s->code < METRIC_CODES_MAX && s->reason >= 0 && s->reason < METRIC_REASONS_MAX);
    add(&m->calls[s->code], 1);
    if (s->duration_us >= 0)
        metric_hist_add(&m->duration, METRIC_CALL_EDGE_US, s->duration_us);
    if (s->ttft_us >= 0)
        metric_hist_add(&m->ttft, METRIC_CALL_EDGE_US, s->ttft_us);
    if (s->throttle_us > 0)
        add(&m->throttle_us[s->reason], s->throttle_us);
    for (int i = 0; i < TOKENS_MAX; i++)
        if (s->tokens[i] > 0)
            add(&m->tokens[i], s->tokens[i]);
    if (s->cost_nusd > 0)
        add(&m->cost_nusd, s->cost_nusd);
    if (s->reserved_tokens > 0 && s->tokens[TOKENS_INPUT] >= 0 && s->tokens[TOKENS_OUTPUT] >= 0) {
        add(&m->billed_tokens, s->tokens[TOKENS_INPUT] + s->tokens[TOKENS_OUTPUT]);
        add(&m->estimated_tokens, s->reserved_tokens);
    }
    atomic_store_explicit(&m->last_code, s->code, memory_order_relaxed);
    atomic_store_explicit(&m->last_ms, s->ended_ms, memory_order_relaxed);
}

void metrics_add_in_flight(struct model_metrics *m, int n)
{
    add(m != NULL ? &m->in_flight : &other.in_flight, n);
}

void metrics_add_retry(struct model_metrics *m)
{
    add(m != NULL ? &m->retries : &other.retries, 1);
}

void metrics_move_breaker(struct model_metrics *m, int from, int to)
{
    if (m == NULL)
        m = &other;
    add(&m->breakers[from], -1);
    add(&m->breakers[to], 1);
}

void metrics_add_dead_letter(const char *code)
{
    for (int i = 0; i < DEAD_LETTER_CODES_MAX; i++) {
        const char *there = NULL;

        if (atomic_compare_exchange_strong(&dead_letters[i].code, &there, code) || strcmp(there, code) == 0) {
            add(&dead_letters[i].count, 1);
            return;
        }
    }
}

void metrics_add_produce_errors(const char *topic, int64_t n)
{
    int i = 0;

    pthread_mutex_lock(&lock);
    while (i < n_topics && strcmp(topics[i].name, topic) != 0)
        i++;
    if (i == n_topics && n_topics < PRODUCE_TOPICS_MAX)
        topics[n_topics++].name = mem_strdup(topic);
    if (i < n_topics)
        topics[i].errors += n;
    pthread_mutex_unlock(&lock);
}

void metrics_set_words(const struct metric_words *w)
{
    words = *w;
}

const char *metrics_code_word(int code)
{
    const char *word = code != 0 && words.code != NULL ? words.code(code) : NULL;

    return word != NULL ? word : "";
}

const char *metrics_outcome_word(int code)
{
    if (code == 0)
        return "ok";
    return code == words.cancelled ? "cancelled" : "error";
}

/* --- printing --- */

/* "provider="p",model="m"" */
static void print_names(struct buf *out, const struct model_metrics *m)
{
    metrics_print_label(out, "provider", m->provider, true);
    metrics_print_label(out, "model", m->model, false);
}

static void begin(struct buf *out, const char *name, const struct model_metrics *m)
{
    buf_add_str(out, name);
    buf_add_char(out, '{');
    print_names(out, m);
}

static void end(struct buf *out, int64_t value, int decimals)
{
    buf_add_str(out, "} ");
    metrics_print_decimal(out, value, decimals);
    buf_add_char(out, '\n');
}

static void print_calls(struct buf *out, const struct model_metrics *m, const char *name)
{
    for (int code = 0; code < METRIC_CODES_MAX; code++) {
        if (code != 0 && get(&m->calls[code]) == 0)
            continue; /* 0 is always there, so that a rate of errors has something to be compared with */
        begin(out, name, m);
        metrics_print_label(out, "outcome", metrics_outcome_word(code), false);
        metrics_print_label(out, "error_code", metrics_code_word(code), false);
        end(out, get(&m->calls[code]), 0);
    }
}

static void print_throttle(struct buf *out, const struct model_metrics *m, const char *name)
{
    for (int r = 0; r < METRIC_REASONS_MAX; r++) {
        const char *word = words.reason != NULL ? words.reason(r) : NULL;

        if (get(&m->throttle_us[r]) == 0)
            continue;
        begin(out, name, m);
        metrics_print_label(out, "reason", word != NULL ? word : "turn", false);
        end(out, get(&m->throttle_us[r]), 6);
    }
}

static void print_tokens(struct buf *out, const struct model_metrics *m, const char *name)
{
    static const char *const directions[TOKENS_MAX] = {"input", "output", "cached", "reasoning"};

    for (int i = 0; i < TOKENS_MAX; i++) {
        begin(out, name, m);
        metrics_print_label(out, "direction", directions[i], false);
        end(out, get(&m->tokens[i]), 0);
    }
}

static void print_retries(struct buf *out, const struct model_metrics *m, const char *name)
{
    begin(out, name, m);
    end(out, get(&m->retries), 0);
}

static void print_cost(struct buf *out, const struct model_metrics *m, const char *name)
{
    begin(out, name, m);
    end(out, get(&m->cost_nusd), 9);
}

static void print_in_flight(struct buf *out, const struct model_metrics *m, const char *name)
{
    begin(out, name, m);
    end(out, get(&m->in_flight), 0);
}

static void print_breaker(struct buf *out, const struct model_metrics *m, const char *name)
{
    begin(out, name, m);
    end(out, get(&m->breakers[1]) > 0 ? 1 : get(&m->breakers[2]) > 0 ? 2 : 0, 0);
}

static void print_hist(struct buf *out, const struct model_metrics *m, const char *name, const struct metric_hist *h)
{
    struct buf labels;

    buf_init(&labels, 0);
    print_names(&labels, m);
    metrics_print_hist(out, name, labels.p, METRIC_CALL_EDGE_US, h);
    buf_done(&labels);
}

static void print_duration(struct buf *out, const struct model_metrics *m, const char *name)
{
    print_hist(out, m, name, &m->duration);
}

static void print_ttft(struct buf *out, const struct model_metrics *m, const char *name)
{
    print_hist(out, m, name, &m->ttft);
}

static void print_estimate(struct buf *out, const struct model_metrics *m, const char *name)
{
    int64_t estimated = get(&m->estimated_tokens);

    if (estimated == 0)
        return;
    buf_add_str(out, name);
    buf_add_char(out, '{');
    metrics_print_label(out, "model", m->model, true);
    end(out, (int64_t)((__int128)get(&m->billed_tokens) * 10000 / estimated), 4);
}

static const struct family {
    const char *name, *kind, *help;
    void (*print)(struct buf *out, const struct model_metrics *m, const char *name);
} families[] = {
    {"tutti_calls_total", "counter", "Attempts at providers that ended", print_calls},
    {"tutti_call_duration_seconds", "histogram", "From sending a request to its end", print_duration},
    {"tutti_call_ttft_seconds", "histogram", "From sending a request to the first byte", print_ttft},
    {"tutti_call_retries_total", "counter", "Attempts after the first of a call", print_retries},
    {"tutti_call_throttle_seconds_total", "counter", "Time attempts waited for a permit, by what held them back",
     print_throttle},
    {"tutti_tokens_total", "counter", "Tokens as the providers counted them", print_tokens},
    {"tutti_cost_usd_total", "counter", "Cost of priced attempts", print_cost},
    {"tutti_inflight_calls", "gauge", "Attempts under way", print_in_flight},
    {"tutti_breaker_state", "gauge", "0 closed, 1 open in a worker, 2 half open", print_breaker},
    {"tutti_token_estimate_ratio", "gauge", "Tokens billed per token estimated, since the start", print_estimate},
};

static void print_dead_letters(struct buf *out)
{
    metrics_print_head(out, "tutti_dlq_total", "counter", "Dead letters, by cause");
    for (int i = 0; i < DEAD_LETTER_CODES_MAX; i++) {
        const char *code = atomic_load(&dead_letters[i].code);

        if (code == NULL)
            break;
        buf_add_str(out, "tutti_dlq_total{");
        metrics_print_label(out, "error_code", code, true);
        end(out, get(&dead_letters[i].count), 0);
    }
}

static void print_topics(struct buf *out)
{
    metrics_print_head(out, "tutti_kafka_produce_errors_total", "counter", "Records that Kafka did not take, by topic");
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_topics; i++) {
        buf_add_str(out, "tutti_kafka_produce_errors_total{");
        metrics_print_label(out, "topic", topics[i].name, true);
        end(out, topics[i].errors, 0);
    }
    pthread_mutex_unlock(&lock);
}

void metrics_print_models(struct buf *out)
{
    struct model_metrics *all[METRIC_MODELS_MAX + 1];
    int n = 0;

    for (int i = 0, n_all = metrics_models(all); i < n_all; i++)
        if (strcmp(all[i]->model, "other") != 0 || get(&all[i]->last_ms) != 0 || get(&all[i]->in_flight) != 0)
            all[n++] = all[i]; /* those that others fold into only show when something did */
    for (size_t f = 0; f < ARRAY_LEN(families); f++) {
        metrics_print_head(out, families[f].name, families[f].kind, families[f].help);
        for (int i = 0; i < n; i++)
            families[f].print(out, all[i], families[f].name);
    }
    print_dead_letters(out);
    print_topics(out);
}
