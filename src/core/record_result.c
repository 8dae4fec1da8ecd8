/* SPDX-License-Identifier: Apache-2.0 */
/* The result record: one per job that was understood. Texts are copied through in the form they have; what does not fit
 * the topic is cut, longest first, at a marked place. source: CONTRACTS 4 */
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "core/record.h"
#include "core/registry.h"

enum {
    CUT_STEP = 64, /* a cap is found to within this many bytes */
    ENVELOPE_BYTES = 2500,
    ENTRY_BYTES = 700, /* of an entry in answers[], without its text */
};

/* Sums over all attempts of the job. */
struct totals {
    int ok, failed, cancelled, recalled, total, retries, models_ok, answers_ok;
    int64_t input, output, cached, reasoning; /* -1: nobody reported any */
    int64_t cost_nusd;                        /* of what is known; -1: nothing is known */
    bool is_cost_complete;
};

static void add_known(int64_t *sum, int64_t v)
{
    if (v >= 0 && __builtin_add_overflow(*sum < 0 ? 0 : *sum, v, sum))
        *sum = INT64_MAX; /* counts come from outside */
}

static void add_attempt(struct totals *t, const struct attempt *a)
{
    const struct outcome *o = &a->outcome;

    t->total++;
    t->ok += o->fault == FAULT_NONE;
    t->cancelled += o->fault == FAULT_CANCELLED;
    t->failed += o->fault != FAULT_NONE && o->fault != FAULT_CANCELLED;
    t->recalled += o->is_recalled;
    t->retries += a->number > 1;
    add_known(&t->input, o->usage.input_tokens);
    add_known(&t->output, o->usage.output_tokens);
    add_known(&t->cached, o->usage.cached_input_tokens);
    add_known(&t->reasoning, o->usage.reasoning_tokens);
    add_known(&t->cost_nusd, o->cost_nusd);
    /* a clean refusal (429, 401) is not billed; an answer without a price, or an end that nobody saw, may have been */
    if (o->cost_nusd < 0 && (o->fault == FAULT_NONE || o->is_ambiguous))
        t->is_cost_complete = false;
}

/* What is the same however often the result is encoded. */
struct result {
    char event_id[37];
    char prompt_sha256[DIGEST_HEX + 1];
    struct text prompt; /* all of the input as one text, with detail full_with_prompt */
    struct totals totals;
};

static struct totals sum(const struct job *j)
{
    struct totals t = {
        .input = -1, .output = -1, .cached = -1, .reasoning = -1, .cost_nusd = -1, .is_cost_complete = true};

    for (int i = 0, ok_member = -1; i < j->n_calls; i++) {
        if (outcome_is_ok(j->calls[i].outcome)) {
            t.answers_ok++;
            t.models_ok += j->calls[i].member != ok_member; /* its samples stand together */
            ok_member = j->calls[i].member;
        }
        LIST_EACH (it, &j->calls[i].attempts)
            add_attempt(&t, LIST_ENTRY(it, struct attempt, link));
    }
    return t;
}

static const char *const status_names[] = {[JOB_OK] = "ok", [JOB_PARTIAL] = "partial", [JOB_FAILED] = "failed"};

static void write_reasons(struct json_write *w, unsigned degraded)
{
    static const char *const names[] = {"model_failed",  "model_skipped",   "stage_timeout", "quorum_reduced",
                                        "param_dropped", "input_truncated", "stage_fallback"};

    jw_key(w, "degraded_reasons");
    jw_open(w, '[');
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (degraded & 1U << i)
            jw_str(w, names[i]);
    jw_close(w, ']');
}

/* What the request left out, for this model. */
static void write_dropped(struct json_write *w, const struct job *j, const struct call *c)
{
    jw_key(w, "dropped_params");
    jw_open(w, '[');
    for (int i = 0; i < j->spec.n_dropped; i++)
        jw_text(w, text_cut(j->spec.dropped[i], FOREIGN_NAME_MAX));
    for (int i = 0; i < c->wire.n_dropped; i++)
        jw_text(w, text_cut(c->wire.dropped[i], FOREIGN_NAME_MAX));
    jw_close(w, ']');
}

/* A ballot of a vote, null elsewhere and where none was cast. */
static void write_ballot(struct json_write *w, const struct ballot *b, struct cutter *cut)
{
    if (b != NULL && b->votes >= 0)
        record_kv_number(w, "votes", b->votes);
    else
        jw_kv_null(w, "votes");
    record_kv_cut(w, "vote", b != NULL ? b->value : TEXT_NONE, cut);
}

static void write_texts(struct json_write *w, const struct job *j, const struct outcome *o, struct cutter *cut)
{
    bool is_final = j->spec.detail == DETAIL_FINAL; /* tool calls are data: they stay */

    record_kv_cut(w, "answer", is_final ? TEXT_NONE : o->answer, cut);
    record_kv_cut(w, "refusal", is_final ? TEXT_NONE : o->refusal, cut);
    record_kv_cut(w, "reasoning", is_final ? TEXT_NONE : o->reasoning, cut);
    jw_kv_raw(w, "tool_calls", o->tool_calls.len <= cut->cap ? o->tool_calls : TEXT_NONE); /* JSON is never cut */
    cut->has_cut |= o->tool_calls.len > cut->cap;
}

static void write_answer(struct json_write *w, const struct job *j, int i, struct cutter *cut)
{
    const struct call *c = &j->calls[i];
    const struct outcome *o = c->outcome;
    const struct model *m = call_served(c, o);
    int attempts = 0;

    LIST_EACH (it, &c->attempts)
        attempts++;
    jw_open(w, '{');
    jw_kv_str(w, "stage", "answer");
    jw_kv_int(w, "member", c->member);
    jw_kv_int(w, "sample", c->sample);
    record_kv_name(w, "request_model", c->asked != NULL ? text_of(c->asked->id) : c->name);
    jw_kv_str(w, "served_model", m != NULL && o->fault == FAULT_NONE ? m->id : NULL);
    jw_kv_str(w, "vendor_model", m != NULL ? m->vendor_model : NULL);
    jw_kv_str(w, "provider", m != NULL ? m->provider->id : NULL);
    jw_kv_int(w, "fallback_index", o->fallback_index);
    jw_kv_str(w, "status", record_call_status(o));
    write_texts(w, j, o, cut);
    jw_kv_str(w, "finish_reason", finish_name(o->finish));
    jw_kv_int(w, "attempts", attempts);
    jw_kv_int_opt(w, "duration_ms", o->duration_us >= 0 ? o->duration_us / 1000 : -1);
    record_kv_count(w, "input_tokens", o->usage.input_tokens);
    record_kv_count(w, "output_tokens", o->usage.output_tokens);
    jw_kv_usd_opt(w, "cost_usd", o->cost_nusd);
    jw_kv_str(w, "error_code", fault_code(o->fault));
    jw_kv_str(w, "error_message", o->fault != FAULT_NONE ? o->why : NULL);
    write_dropped(w, j, c);
    jw_kv_null(w, "score");
    write_ballot(w, j->merged.ballots != NULL ? &j->merged.ballots[i] : NULL, cut);
    jw_kv_bool(w, "selected", j->merged.selected[i]);
    jw_close(w, '}');
}

static void write_stages(struct json_write *w, const struct job *j, const struct totals *t)
{
    jw_key(w, "stages");
    jw_open(w, '[');
    jw_open(w, '{');
    jw_kv_str(w, "stage", "answer");
    jw_kv_str(w, "strategy", j->spec.merge->name);
    jw_kv_str(w, "status", status_names[j->status]);
    jw_kv_int(w, "asked", j->n_calls);
    jw_kv_int(w, "ok", t->answers_ok);
    jw_kv_int(w, "failed", j->n_calls - t->answers_ok);
    jw_kv_int_opt(w, "started_at_ms", j->started_ms > 0 ? j->started_ms : -1);
    jw_kv_int_opt(w, "duration_ms", j->started_ms > 0 ? j->ended_ms - j->started_ms : -1);
    jw_close(w, '}');
    jw_close(w, ']');
}

static void write_source(struct json_write *w, const struct job *j, const struct result *r, struct cutter *cut)
{
    bool is_bare = cut->is_bare;
    struct text key = j->source_key != NULL && !is_bare ? text_slice(j->source_key, j->source_key_len) : TEXT_NONE;

    jw_kv_str(w, "source_topic", j->pos.topic);
    jw_kv_int(w, "source_partition", j->pos.partition);
    jw_kv_int(w, "source_offset", j->pos.offset);
    jw_kv_text(w, "source_key", key);
    jw_kv_str(w, "prompt_sha256", r->prompt_sha256);
    record_kv_cut(w, "prompt", j->spec.detail == DETAIL_FULL_WITH_PROMPT && !is_bare ? r->prompt : TEXT_NONE, cut);
}

static void write_times(struct json_write *w, const struct job *j)
{
    bool has_started = j->started_ms > 0;

    record_kv_time(w, j->ended_ms);
    record_kv_count(w, "submitted_at_ms", j->ts_ms); /* the producer's clock: anything */
    jw_kv_int_opt(w, "started_at_ms", has_started ? j->started_ms : -1);
    jw_kv_int_opt(w, "queue_ms",
                  has_started && j->ts_ms >= 0 && j->started_ms >= j->ts_ms ? j->started_ms - j->ts_ms : -1);
    jw_kv_int_opt(w, "duration_ms", has_started ? j->ended_ms - j->started_ms : -1);
}

static void write_totals(struct json_write *w, const struct job *j, const struct totals *t)
{
    jw_kv_int(w, "models_asked", j->n_members);
    jw_kv_int(w, "models_ok", t->models_ok);
    jw_kv_int(w, "calls_total", t->total);
    jw_kv_int(w, "calls_ok", t->ok);
    jw_kv_int(w, "calls_failed", t->failed);
    jw_kv_int(w, "calls_cancelled", t->cancelled);
    jw_kv_int(w, "calls_recalled", t->recalled);
    jw_kv_int(w, "retries", t->retries);
    record_kv_count(w, "input_tokens", t->input);
    record_kv_count(w, "output_tokens", t->output);
    record_kv_count(w, "cached_input_tokens", t->cached);
    record_kv_count(w, "reasoning_tokens", t->reasoning);
    jw_kv_usd_opt(w, "cost_usd", t->cost_nusd);
    jw_kv_bool(w, "cost_complete", t->is_cost_complete);
}

static void write_merged(struct json_write *w, const struct job *j, struct cutter *cut)
{
    const struct call *winner = j->merged.winner >= 0 ? &j->calls[j->merged.winner] : NULL;

    jw_kv_str(w, "status", status_names[j->status]);
    jw_kv_str(w, "strategy", j->spec.merge->name);
    jw_kv_null(w, "pattern");
    record_write_answer(w, j, cut);
    jw_kv_str(w, "winner", winner != NULL && winner->asked != NULL ? winner->asked->id : NULL);
    jw_kv_null(w, "ultra_model");
    if (j->merged.ballots != NULL && j->status != JOB_FAILED)
        record_kv_number(w, "agreement", j->merged.agreement);
    else
        jw_kv_null(w, "agreement");
    jw_kv_int(w, "quorum", j->quorum);
    write_reasons(w, j->degraded);
}

static bool is_job_code_retryable(const struct job *j)
{
    if (j->error_code == NULL)
        return false;
    if (strcmp(j->error_code, "quorum_not_met") == 0)
        for (int i = 0; i < j->n_calls; i++)
            if (fault_is_retryable(j->calls[i].outcome->fault))
                return true;
    return strcmp(j->error_code, "deadline_exceeded") == 0;
}

static void write_answers(struct json_write *w, const struct job *j, struct cutter *cut)
{
    jw_key(w, "answers");
    jw_open(w, '[');
    for (int i = 0; i < j->n_calls && !cut->is_bare; i++)
        write_answer(w, j, i, cut);
    jw_close(w, ']');
}

static void encode(const struct job *j, const struct result *r, struct cutter *cut, struct buf *b)
{
    struct json_write w;

    buf_clear(b);
    jw_init(&w, b);
    cut->has_cut = cut->is_bare;
    jw_open(&w, '{');
    jw_kv_int(&w, "schema_version", 1);
    jw_kv_str(&w, "event_id", r->event_id);
    record_kv_job(&w, j);
    write_times(&w, j);
    write_merged(&w, j, cut);
    write_totals(&w, j, &r->totals);
    jw_kv_str(&w, "error_code", j->error_code);
    jw_kv_str(&w, "error_message", j->error_message);
    jw_kv_bool(&w, "error_retryable", is_job_code_retryable(j));
    write_answers(&w, j, cut);
    write_stages(&w, j, &r->totals);
    write_source(&w, j, r, cut);
    record_kv_origin(&w, j, cut->is_bare ? TEXT_NONE : j->spec.labels);
    jw_kv_raw(&w, "job_metadata", cut->is_bare ? TEXT_NONE : j->spec.metadata);
    jw_kv_bool(&w, "answer_truncated", cut->has_cut); /* last: known only now */
    jw_close(&w, '}');
}

/* The envelope itself (labels, metadata, key, names of many models) does not fit. */
static void encode_bare(struct job *j, const struct result *r, struct buf *b)
{
    struct cutter bare = {.cap = SIZE_MAX, .is_bare = true};

    j->status = JOB_FAILED;
    j->error_code = "result_too_large";
    j->error_message = "the result does not fit the results topic even without its texts; raise its max.message.bytes";
    j->merged = (struct merged){.winner = -1};
    b->max = 0; /* few hundred bytes; half a record would be worse than one that is too large */
    encode(j, r, &bare, b);
}

/* Finds the largest cap on a text's length with which the record fits: cuts the longest first. `b` refuses what is over
 * the limit, so that a try costs no more than a record. */
static void encode_cut(struct job *j, const struct result *r, struct buf *b)
{
    struct cutter cut = {.cap = CUT_LEAST};
    size_t low = CUT_LEAST, high = b->max;

    metric_add(METRIC_RESULTS_CUT, 1);
    encode(j, r, &cut, b);
    if (b->is_over) {
        encode_bare(j, r, b);
        return;
    }
    while (high > low + CUT_STEP) {
        cut.cap = low + (high - low) / 2;
        encode(j, r, &cut, b);
        if (b->is_over)
            high = cut.cap;
        else
            low = cut.cap;
    }
    if (cut.cap != low) {
        cut.cap = low;
        encode(j, r, &cut, b);
    }
}

/* About what the result will have, so that its buffer does not grow, and move its texts, step by step. */
static void reserve(const struct job *j, struct buf *b)
{
    size_t bytes = ENVELOPE_BYTES;

    for (int i = 0; i < j->n_calls; i++)
        bytes += ENTRY_BYTES + 2 * j->calls[i].outcome->answer.len; /* in answers[], and merged */
    (void)buf_reserve(b, b->max > 0 && bytes > b->max ? b->max : bytes);
}

void job_encode_result(struct job *j)
{
    struct cutter all = {.cap = SIZE_MAX};
    struct result r = {.totals = sum(j)};
    struct buf b;

    buf_init(&b, j->env->broker->ops->limit(j->env->broker, OUT_RESULTS));
    record_event_id(j, "result", NULL, NULL, r.event_id);
    record_hash_input(j, r.prompt_sha256);
    if (j->spec.detail == DETAIL_FULL_WITH_PROMPT)
        r.prompt = record_input_text(j);
    reserve(j, &b);
    encode(j, &r, &all, &b);
    if (b.is_over)
        encode_cut(j, &r, &b);
    record_add(j, OUT_RESULTS, "tutti.result.v1", r.event_id, j->ended_ms, &b);
    buf_done(&b);
    record_encode_calls(j);
}
