/* SPDX-License-Identifier: Apache-2.0 */
/* Call records: one per attempt at a provider call, recalled ones included and marked. No prompt or answer text.
 * source: CONTRACTS 5 */
#include "core/record.h"
#include "core/registry.h"

static void write_names(struct json_write *w, const struct call *c, const struct outcome *o)
{
    jw_kv_str(w, "stage", "answer");
    jw_kv_int(w, "member", c->member);
    jw_kv_int(w, "sample", 0);
    jw_kv_str(w, "provider", c->model->provider->id);
    jw_kv_str(w, "request_model", c->model->id);
    jw_kv_str(w, "served_model", c->model->id);
    jw_kv_str(w, "vendor_model", c->model->vendor_model);
    jw_kv_text(w, "response_model", o->response_model);
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
    jw_kv_int_opt(w, "input_tokens", o->usage.input_tokens);
    jw_kv_int_opt(w, "output_tokens", o->usage.output_tokens);
    jw_kv_int_opt(w, "cached_input_tokens", o->usage.cached_input_tokens);
    jw_kv_int_opt(w, "reasoning_tokens", o->usage.reasoning_tokens);
    jw_kv_int_opt(w, "reserved_tokens", o->reserved_tokens);
    jw_kv_bool(w, "usage_estimated", o->usage_estimated);
    jw_kv_usd_opt(w, "cost_usd", o->cost_nusd);
    jw_kv_null(w, "price_version");
    jw_kv_str(w, "breaker_state", "closed");
}

static void write_wire(struct json_write *w, const struct call *c, const struct outcome *o)
{
    jw_kv_str(w, "finish_reason", finish_name(o->finish));
    jw_kv_text(w, "raw_finish_reason", o->raw_finish);
    jw_kv_text(w, "provider_request_id", o->request_id);
    jw_kv_str(w, "endpoint", c->model->provider->base_url);
    jw_kv_str(w, "key_id", c->model->provider->key_id);
    jw_kv_int_opt(w, "bytes_out", o->bytes_out);
    jw_kv_int_opt(w, "bytes_in", o->bytes_in);
}

static void encode_attempt(struct job *j, const struct call *c, const struct attempt *a, bool is_final, struct buf *b)
{
    const struct outcome *o = &a->outcome;
    struct json_write w;
    char id[37];

    record_event_id(j, "call", c, a->number, id);
    buf_clear(b);
    jw_init(&w, b);
    jw_open(&w, '{');
    jw_kv_int(&w, "schema_version", 1);
    jw_kv_str(&w, "event_id", id);
    record_kv_job(&w, j);
    record_kv_time(&w, o->ended_ms);
    write_names(&w, c, o);
    write_fault(&w, o);
    jw_kv_int(&w, "attempt", a->number);
    jw_kv_int(&w, "fallback_index", 0);
    jw_kv_bool(&w, "hedge", false);
    jw_kv_bool(&w, "is_final", is_final);
    jw_kv_bool(&w, "recalled", o->is_recalled);
    jw_kv_bool(&w, "cache_hit", false);
    jw_kv_bool(&w, "streamed", false);
    write_times(&w, o);
    write_usage(&w, o);
    write_wire(&w, c, o);
    record_kv_origin(&w, j);
    jw_close(&w, '}');
    record_add(j, OUT_CALLS, "tutti.call.v1", id, o->ended_ms, b);
}

void record_encode_calls(struct job *j)
{
    struct buf b;

    buf_init(&b, 0);
    for (int i = 0; i < j->n_calls; i++) {
        struct call *c = &j->calls[i];

        LIST_EACH (it, &c->attempts)
            encode_attempt(j, c, LIST_ENTRY(it, struct attempt, link), it->next == &c->attempts, &b);
    }
    buf_done(&b);
}
