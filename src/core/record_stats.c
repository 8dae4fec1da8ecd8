/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over attempts and jobs, and the records that carry them. Pure but for the arena; never reads a record again: the
 * outcomes that the call records are written from are added up. source: CONTRACTS 1, 2, 6; reference/interfaces.md 5 */
#include "core/record_stats.h"

#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/record.h"
#include "core/registry.h"

enum { FIRST_EDGE_MS = 10, HEADERS = 7, NUMBER_CHARS = 24 };

#define DOUBLE_INT_MAX ((INT64_C(1) << 53) - 1)

struct attempt_names attempt_names(const struct call *c, const struct attempt *a)
{
    const struct model *m = call_served(c, &a->outcome);

    return (struct attempt_names){
        .provider = m != NULL ? m->provider->id : NULL,
        .request_model = text_cut(c->asked != NULL ? text_of(c->asked->id) : c->name, FOREIGN_NAME_MAX),
        .vendor_model = m != NULL ? m->vendor_model : NULL,
        .model = m,
    };
}

/* --- sums --- */

/* -1 stays "nobody knows any". What no call record can carry (2^53 and more, from outside) is in no sum either. */
static void add_known(int64_t *sum, int64_t v)
{
    if (v < 0 || v > DOUBLE_INT_MAX)
        return;
    if (__builtin_add_overflow(*sum < 0 ? 0 : *sum, v, sum))
        *sum = INT64_MAX;
}

static void add_cost(int64_t *sum, int64_t nusd)
{
    if (nusd >= 0 && __builtin_add_overflow(*sum < 0 ? 0 : *sum, nusd, sum))
        *sum = INT64_MAX;
}

static int64_t to_ms(int64_t us)
{
    return us >= 0 ? us / 1000 : -1;
}

static void add_to_bucket(uint32_t buckets[STATS_BUCKETS], int64_t ms)
{
    int i = 0;

    if (ms < 0)
        return;
    for (int64_t edge = FIRST_EDGE_MS; ms > edge && i < STATS_BUCKETS - 1; edge *= 2)
        i++;
    buckets[i]++;
}

void model_stats_init(struct model_stats *s)
{
    *s = (struct model_stats){
        .input_tokens = -1, .output_tokens = -1, .cached_input_tokens = -1, .reasoning_tokens = -1, .cost_nusd = -1};
}

static void add_times(struct model_stats *s, const struct outcome *o)
{
    int64_t duration_ms = to_ms(o->duration_us);

    add_known(&s->throttle_ms, to_ms(o->throttle_us));
    add_known(&s->duration_ms_sum, duration_ms);
    if (duration_ms > s->duration_ms_max)
        s->duration_ms_max = duration_ms;
    add_to_bucket(s->duration_buckets, duration_ms);
    add_to_bucket(s->ttft_buckets, to_ms(o->ttft_us));
    if (o->ended_ms > s->last_ended_ms)
        s->last_ended_ms = o->ended_ms;
}

void model_stats_add(struct model_stats *s, const struct attempt *a)
{
    const struct outcome *o = &a->outcome;

    s->calls_total++;
    s->calls_ok += o->fault == FAULT_NONE;
    s->cancelled += o->fault == FAULT_CANCELLED;
    s->calls_failed += o->fault != FAULT_NONE && o->fault != FAULT_CANCELLED;
    s->rate_limited += o->fault == FAULT_RATE_LIMITED;
    s->retries += a->number > 1;
    s->recalled += o->is_recalled;
    s->calls_unpriced += o->cost_nusd < 0 && (o->fault == FAULT_NONE || o->usage.input_tokens >= 0);
    add_known(&s->input_tokens, o->usage.input_tokens);
    add_known(&s->output_tokens, o->usage.output_tokens);
    add_known(&s->cached_input_tokens, o->usage.cached_input_tokens);
    add_known(&s->reasoning_tokens, o->usage.reasoning_tokens);
    add_cost(&s->cost_nusd, o->cost_nusd);
    add_times(s, o);
}

void batch_counts_init(struct batch_counts *c)
{
    *c = (struct batch_counts){.input_tokens = -1, .output_tokens = -1, .cost_nusd = -1};
}

static void add_attempt(struct batch_counts *c, const struct outcome *o)
{
    c->calls_total++;
    c->calls_ok += o->fault == FAULT_NONE;
    c->calls_failed += o->fault != FAULT_NONE && o->fault != FAULT_CANCELLED;
    add_known(&c->input_tokens, o->usage.input_tokens);
    add_known(&c->output_tokens, o->usage.output_tokens);
    add_cost(&c->cost_nusd, o->cost_nusd);
    /* as cost_complete of the results: an answer without a price, or an end that nobody saw, may have been billed */
    c->is_cost_incomplete |= o->cost_nusd < 0 && (o->fault == FAULT_NONE || o->is_ambiguous);
}

void batch_counts_add_job(struct batch_counts *c, const struct job *j)
{
    bool is_first = c->jobs_total == 0;

    c->jobs_total++;
    c->jobs_ok += j->status == JOB_OK;
    c->jobs_partial += j->status == JOB_PARTIAL;
    c->jobs_failed += j->status == JOB_FAILED;
    if (is_first || j->ended_ms < c->first_ended_ms)
        c->first_ended_ms = j->ended_ms;
    if (is_first || j->ended_ms > c->last_ended_ms)
        c->last_ended_ms = j->ended_ms;
    for (int i = 0; i < j->n_calls; i++)
        LIST_EACH (it, &j->calls[i].attempts)
            add_attempt(c, &LIST_ENTRY(it, struct attempt, link)->outcome);
}

void batch_counts_add(struct batch_counts *to, const struct batch_counts *c)
{
    if (c->jobs_total == 0)
        return;
    if (to->jobs_total == 0 || c->first_ended_ms < to->first_ended_ms)
        to->first_ended_ms = c->first_ended_ms;
    if (to->jobs_total == 0 || c->last_ended_ms > to->last_ended_ms)
        to->last_ended_ms = c->last_ended_ms;
    to->jobs_total += c->jobs_total;
    to->jobs_ok += c->jobs_ok;
    to->jobs_partial += c->jobs_partial;
    to->jobs_failed += c->jobs_failed;
    to->calls_total += c->calls_total;
    to->calls_ok += c->calls_ok;
    to->calls_failed += c->calls_failed;
    add_known(&to->input_tokens, c->input_tokens);
    add_known(&to->output_tokens, c->output_tokens);
    add_cost(&to->cost_nusd, c->cost_nusd);
    to->is_cost_incomplete |= c->is_cost_incomplete;
}

/* --- records --- */

static void add_header(struct record *r, struct message_header *headers, const char *name, const char *value)
{
    headers[r->n_headers++] = (struct message_header){.name = name, .value = value, .value_len = strlen(value)};
}

/* Moves the value into a record of the origin's arena and ends the buffer. */
static struct record *make(const struct stats_origin *o, enum output output, const char *type, const char *key,
                           const char *event_id, int64_t ts_ms, struct buf *value)
{
    const struct env *env = o->env;
    size_t limit = env->broker->ops->limit(env->broker, output);
    struct record *r = NULL;
    struct message_header *h;
    char ts[TIMESTAMP_CHARS + 1];

    if (value->len > limit) {
        log_event(LOG_WARN, "stats_too_large", "key=\"%s\" bytes=%zu limit=%zu", key, value->len, limit);
    } else {
        r = arena_zero(o->arena, sizeof(*r));
        h = arena_zero(o->arena, sizeof(*h) * HEADERS);
        record_timestamp(ts_ms, ts);
        add_header(r, h, "content-type", "application/json");
        add_header(r, h, "ce_specversion", "1.0");
        add_header(r, h, "ce_id", arena_strdup(o->arena, event_id));
        add_header(r, h, "ce_source", arena_printf(o->arena, "/tutti/%s/%s", env->group, env->worker_id));
        add_header(r, h, "ce_type", type);
        add_header(r, h, "ce_time", arena_strdup(o->arena, ts));
        add_header(r, h, "ce_subject", key);
        r->headers = h;
        r->output = output;
        r->key = key;
        r->key_len = strlen(key);
        r->value = arena_copy(o->arena, value->p, value->len);
        r->value_len = value->len;
    }
    buf_done(value);
    return r;
}

/* An instant has no sign, whatever the machine's clock says. */
static int64_t instant(int64_t ms)
{
    return ms > 0 ? ms : 0;
}

void model_stats_event_id(const struct stats_origin *o, const struct model_stats_head *h, char out[37])
{
    char number[NUMBER_CHARS], window[NUMBER_CHARS];
    const char *const parts[] = {o->env->worker_id,
                                 o->incarnation,
                                 number,
                                 "model-stats",
                                 window,
                                 h->provider != NULL ? h->provider : "",
                                 h->request_model,
                                 h->vendor_model != NULL ? h->vendor_model : ""};

    snprintf(number, sizeof(number), "%llu", (unsigned long long)o->number);
    snprintf(window, sizeof(window), "%lld", (long long)h->window_ms);
    digest_uuid8(parts, ARRAY_LEN(parts), out);
}

static void write_buckets(struct json_write *w, const char *key, const uint32_t buckets[STATS_BUCKETS])
{
    jw_key(w, key);
    jw_open(w, '[');
    for (int i = 0; i < STATS_BUCKETS; i++)
        jw_int(w, buckets[i]);
    jw_close(w, ']');
}

static void write_counts(struct json_write *w, const struct model_stats *s)
{
    jw_kv_int(w, "calls_total", s->calls_total);
    jw_kv_int(w, "calls_ok", s->calls_ok);
    jw_kv_int(w, "calls_failed", s->calls_failed);
    jw_kv_int(w, "cancelled", s->cancelled);
    jw_kv_int(w, "rate_limited", s->rate_limited);
    jw_kv_int(w, "retries", s->retries);
    jw_kv_int(w, "cache_hits", 0);
    jw_kv_int(w, "recalled", s->recalled);
    jw_kv_int(w, "calls_unpriced", s->calls_unpriced);
    record_kv_count(w, "input_tokens", s->input_tokens);
    record_kv_count(w, "output_tokens", s->output_tokens);
    record_kv_count(w, "cached_input_tokens", s->cached_input_tokens);
    record_kv_count(w, "reasoning_tokens", s->reasoning_tokens);
    jw_kv_usd_opt(w, "cost_usd", s->cost_nusd);
}

struct record *record_model_stats(const struct stats_origin *o, const struct model_stats_head *h,
                                  const struct model_stats *s)
{
    char event_id[37];
    const char *key = arena_printf(o->arena, "%s/%s", h->provider != NULL ? h->provider : "", h->request_model);
    struct json_write w;
    struct buf b;

    model_stats_event_id(o, h, event_id);
    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_int(&w, "schema_version", 1);
    jw_kv_str(&w, "event_id", event_id);
    record_kv_time(&w, instant(s->last_ended_ms));
    jw_kv_int(&w, "window_start_at_ms", h->window_ms);
    jw_kv_int(&w, "window_end_at_ms", h->window_ms + STATS_WINDOW_MS);
    jw_kv_str(&w, "worker_id", o->env->worker_id);
    jw_kv_str(&w, "build", o->env->build);
    jw_kv_str(&w, "provider", h->provider);
    jw_kv_str(&w, "request_model", h->request_model);
    jw_kv_str(&w, "vendor_model", h->vendor_model);
    write_counts(&w, s);
    record_kv_count(&w, "throttle_ms", s->throttle_ms);
    jw_kv_int(&w, "inflight_max", h->inflight_max);
    record_kv_count(&w, "duration_ms_sum", s->duration_ms_sum);
    record_kv_count(&w, "duration_ms_max", s->duration_ms_max);
    write_buckets(&w, "duration_bucket_counts", s->duration_buckets);
    write_buckets(&w, "ttft_bucket_counts", s->ttft_buckets);
    jw_kv_int_opt(&w, "limit_rpm", h->limit_rpm > 0 ? h->limit_rpm : -1);
    jw_kv_int_opt(&w, "limit_tpm", h->limit_tpm > 0 ? h->limit_tpm : -1);
    jw_kv_null(&w, "limit_input_tpm"); /* pools have one meter for both kinds of tokens */
    jw_kv_null(&w, "limit_output_tpm");
    jw_kv_str(&w, "breaker_state", h->breaker_state);
    jw_close(&w, '}');
    return make(o, OUT_MODEL_STATS, "tutti.model-stats.v1", key, event_id, instant(s->last_ended_ms), &b);
}

void batch_event_id(const struct stats_origin *o, const struct batch_head *h, char out[37])
{
    char number[NUMBER_CHARS], partition[NUMBER_CHARS];
    const char *const parts[] = {o->env->worker_id, o->incarnation, number,        "batch",
                                 h->topic,          partition,      h->assignment, h->batch_id};

    snprintf(number, sizeof(number), "%llu", (unsigned long long)o->number);
    snprintf(partition, sizeof(partition), "%d", h->partition);
    digest_uuid8(parts, ARRAY_LEN(parts), out);
}

struct record *record_batch(const struct stats_origin *o, const struct batch_head *h, const struct batch_counts *c)
{
    const char *key = arena_printf(o->arena, "%s/%d/%s", h->batch_id, h->partition, h->assignment);
    char event_id[37];
    struct json_write w;
    struct buf b;

    batch_event_id(o, h, event_id);
    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_int(&w, "schema_version", 1);
    jw_kv_str(&w, "event_id", event_id);
    record_kv_time(&w, instant(c->last_ended_ms));
    jw_kv_str(&w, "batch_id", h->batch_id);
    jw_kv_str(&w, "source_topic", h->topic);
    jw_kv_int(&w, "source_partition", h->partition);
    jw_kv_str(&w, "assignment", h->assignment);
    jw_kv_int(&w, "jobs_total", c->jobs_total);
    jw_kv_int(&w, "jobs_ok", c->jobs_ok);
    jw_kv_int(&w, "jobs_partial", c->jobs_partial);
    jw_kv_int(&w, "jobs_failed", c->jobs_failed);
    jw_kv_int(&w, "calls_total", c->calls_total);
    jw_kv_int(&w, "calls_ok", c->calls_ok);
    jw_kv_int(&w, "calls_failed", c->calls_failed);
    record_kv_count(&w, "input_tokens", c->input_tokens);
    record_kv_count(&w, "output_tokens", c->output_tokens);
    jw_kv_usd_opt(&w, "cost_usd", c->cost_nusd);
    jw_kv_bool(&w, "cost_complete", !c->is_cost_incomplete);
    jw_kv_int(&w, "first_ended_at_ms", instant(c->first_ended_ms));
    jw_kv_int(&w, "last_ended_at_ms", instant(c->last_ended_ms));
    jw_kv_str(&w, "worker_id", o->env->worker_id);
    jw_kv_str(&w, "build", o->env->build);
    jw_close(&w, '}');
    return make(o, OUT_BATCHES, "tutti.batch.v1", key, event_id, instant(c->last_ended_ms), &b);
}
