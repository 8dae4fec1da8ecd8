/* SPDX-License-Identifier: Apache-2.0 */
/* Call records: one per attempt at a provider call, recalled ones included and marked. No prompt or answer text.
 * source: CONTRACTS 5 */
#include "core/record.h"
#include "core/registry.h"

enum { RECORD_BYTES = 2000 }; /* about one record without its labels: most buffers never grow */

/* Without a model (its entry was taken out of the configuration since the journaled attempt) only the name is known. */
static void write_names(struct json_write *w, const struct call *c, const struct outcome *o)
{
    const struct model *m = call_served(c, o);

    jw_kv_str(w, "stage", "answer");
    jw_kv_int(w, "member", c->member);
    jw_kv_int(w, "sample", c->sample);
    jw_kv_str(w, "provider", m != NULL ? m->provider->id : NULL);
    record_kv_name(w, "request_model", c->asked != NULL ? text_of(c->asked->id) : c->name);
    record_kv_name(w, "served_model", m != NULL ? text_of(m->id) : o->served_model);
    jw_kv_str(w, "vendor_model", m != NULL ? m->vendor_model : NULL);
    record_kv_name(w, "response_model", o->response_model);
    jw_kv_str(w, "operation", "answer");
}

static void write_fault(struct json_write *w, const struct outcome *o)
{
    jw_kv_str(w, "status", record_call_status(o));
    jw_kv_str(w, "error_code", fault_code(o->fault));
    jw_kv_str(w, "error_detail", o->detail);
    jw_kv_bool(w, "error_retryable", fault_is_retryable(o->fault));
    jw_kv_int_opt(w, "http_status", o->http_status > 0 ? o->http_status : -1);
    jw_kv_int_opt(w, "retry_after_ms", o->retry_after_us >= 0 ? o->retry_after_us / 1000 : -1);
}

static int64_t ms(int64_t us)
{
    return us >= 0 ? us / 1000 : -1;
}

static void write_times(struct json_write *w, const struct outcome *o)
{
    jw_kv_int_opt(w, "queue_ms", ms(o->queue_us));
    jw_kv_int_opt(w, "throttle_ms", ms(o->throttle_us));
    jw_kv_str(w, "throttle_reason", o->throttle_reason);
    jw_kv_int_opt(w, "connect_ms", ms(o->connect_us));
    jw_kv_int_opt(w, "ttft_ms", ms(o->ttft_us));
    jw_kv_int_opt(w, "duration_ms", ms(o->duration_us));
}

static void write_usage(struct json_write *w, const struct outcome *o)
{
    record_kv_count(w, "input_tokens", o->usage.input_tokens);
    record_kv_count(w, "output_tokens", o->usage.output_tokens);
    record_kv_count(w, "cached_input_tokens", o->usage.cached_input_tokens);
    record_kv_count(w, "reasoning_tokens", o->usage.reasoning_tokens);
    jw_kv_int_opt(w, "reserved_tokens", o->reserved_tokens);
    jw_kv_bool(w, "usage_estimated", o->usage_estimated);
    jw_kv_usd_opt(w, "cost_usd", o->cost_nusd);
    jw_kv_null(w, "price_version");
    jw_kv_str(w, "breaker_state", o->breaker_state != NULL ? o->breaker_state : breaker_state_name(BREAKER_CLOSED));
}

/* An old journal entry does not say which key: then only a single one is known. */
static const char *key_id(const struct provider *p, const struct outcome *o)
{
    return o->key_id != NULL ? o->key_id : p != NULL && p->n_keys == 1 ? p->keys[0].id : NULL;
}

static void write_wire(struct json_write *w, const struct call *c, const struct outcome *o)
{
    const struct model *m = call_served(c, o);
    const struct provider *p = m != NULL ? m->provider : NULL;

    jw_kv_str(w, "finish_reason", finish_name(o->finish));
    record_kv_name(w, "raw_finish_reason", o->raw_finish);
    record_kv_name(w, "provider_request_id", o->request_id);
    jw_kv_str(w, "endpoint", p != NULL ? p->base_url : NULL);
    jw_kv_str(w, "key_id", key_id(p, o));
    jw_kv_int_opt(w, "bytes_out", o->bytes_out);
    jw_kv_int_opt(w, "bytes_in", o->bytes_in);
}

struct call_record {
    const struct call *call;
    const struct attempt *attempt;
    bool is_final;
    char event_id[37];
};

static void encode(const struct job *j, const struct call_record *r, struct text labels, struct buf *b)
{
    const struct outcome *o = &r->attempt->outcome;
    struct json_write w;

    buf_clear(b);
    jw_init(&w, b);
    jw_open(&w, '{');
    jw_kv_int(&w, "schema_version", 1);
    jw_kv_str(&w, "event_id", r->event_id);
    record_kv_job(&w, j);
    record_kv_time(&w, o->ended_ms);
    write_names(&w, r->call, o);
    write_fault(&w, o);
    jw_kv_int(&w, "attempt", r->attempt->number);
    jw_kv_int(&w, "fallback_index", o->fallback_index);
    jw_kv_bool(&w, "hedge", false);
    jw_kv_bool(&w, "is_final", r->is_final);
    jw_kv_bool(&w, "recalled", o->is_recalled);
    jw_kv_bool(&w, "cache_hit", false);
    jw_kv_bool(&w, "streamed", false);
    write_times(&w, o);
    write_usage(&w, o);
    write_wire(&w, r->call, o);
    record_kv_origin(&w, j, labels);
    jw_close(&w, '}');
}

/* Labels are all that can make it large: they are left out of a record that would not fit its topic. */
static void add_call(struct job *j, struct call_record *r, size_t limit, struct buf *b)
{
    record_event_id(j, "call", r->call, r->attempt, r->event_id);
    encode(j, r, j->spec.labels, b);
    if (b->len > limit)
        encode(j, r, TEXT_NONE, b);
    record_add(j, OUT_CALLS, "tutti.call.v1", r->event_id, r->attempt->outcome.ended_ms, b);
}

void record_encode_calls(struct job *j)
{
    size_t limit = j->env->broker->ops->limit(j->env->broker, OUT_CALLS);
    struct buf b;

    buf_init(&b, 0);
    (void)buf_reserve(&b, RECORD_BYTES + j->spec.labels.len);
    for (int i = 0; i < j->n_calls; i++) {
        struct call *c = &j->calls[i];

        LIST_EACH (it, &c->attempts) {
            struct call_record r = {
                .call = c,
                .attempt = LIST_ENTRY(it, struct attempt, link),
                .is_final = it->next == &c->attempts,
            };

            add_call(j, &r, limit, &b);
        }
    }
    buf_done(&b);
}
