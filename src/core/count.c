/* SPDX-License-Identifier: Apache-2.0 */
/* Turns outcomes into metrics, by model: a handful of relaxed adds per attempt, in a block that the registry holds.
 * Loop thread, but for count_words(). */
#include "core/count.h"

#include <assert.h>

#include "base/log.h"
#include "base/metrics.h"
#include "core/registry.h"

static_assert((int)FAULT_MAX <= (int)METRIC_CODES_MAX && (int)THROTTLE_MAX <= (int)METRIC_REASONS_MAX,
              "a counter for each");

static struct model_metrics *block_of(const struct call *c)
{
    return c->model != NULL ? c->model->metrics : NULL;
}

/* Not outcome.why: a provider may quote the prompt in it. */
static void log_failed(const struct call *c, const struct outcome *o)
{
    const struct job *j = c->job;

    log_event(LOG_DEBUG, "call_failed",
              "job=\"%s\" part=%d off=%lld call=%s model=\"%s\" attempt=%d fault=%s status=%d", j->spec.job_id,
              (int)j->pos.partition, (long long)j->pos.offset, c->key, c->model != NULL ? c->model->id : "", c->attempt,
              fault_code(o->fault), o->http_status);
}

void count_attempt(const struct call *c, const struct outcome *o)
{
    struct call_sample s = {.code = (int)o->fault,
                            .ended_ms = o->ended_ms,
                            .duration_us = o->duration_us,
                            .ttft_us = o->ttft_us,
                            .throttle_us = o->throttle_us,
                            .reason = (int)(c->was_gated ? THROTTLE_BREAKER : c->permit.throttle),
                            .tokens = {[TOKENS_INPUT] = o->usage.input_tokens,
                                       [TOKENS_OUTPUT] = o->usage.output_tokens,
                                       [TOKENS_CACHED] = o->usage.cached_input_tokens,
                                       [TOKENS_REASONING] = o->usage.reasoning_tokens},
                            .reserved_tokens = o->reserved_tokens,
                            .cost_nusd = o->cost_nusd};

    metrics_add_call(block_of(c), &s);
    if (o->fault != FAULT_NONE)
        log_failed(c, o);
    if (o->is_ambiguous)
        metric_add(METRIC_CALLS_AMBIGUOUS, 1);
}

void count_retry(const struct call *c)
{
    metrics_add_retry(block_of(c));
}

void count_under_way(const struct call *c, int n)
{
    if (n > 0)
        metric_add(METRIC_CALLS_STARTED, 1);
    metrics_add_in_flight(block_of(c), n);
}

void count_job(const struct job *j)
{
    static const enum metric by_status[] = {
        [JOB_OK] = METRIC_JOBS_OK, [JOB_PARTIAL] = METRIC_JOBS_PARTIAL, [JOB_FAILED] = METRIC_JOBS_FAILED};
    static const char *const words[] = {[JOB_OK] = "ok", [JOB_PARTIAL] = "partial", [JOB_FAILED] = "failed"};

    metric_observe(HISTOGRAM_JOB_DURATION, (j->ended_ms - j->read_ms) * 1000);
    if (j->error.code != NULL) {
        metric_add(METRIC_DEAD_LETTERS, 1);
        metrics_add_dead_letter(j->error.code);
        log_event(LOG_DEBUG, "job_dead_letter", "topic=\"%s\" part=%d off=%lld code=%s pointer=\"%s\"", j->pos.topic,
                  (int)j->pos.partition, (long long)j->pos.offset, j->error.code, j->error.pointer);
    } else {
        metric_add(by_status[j->status], 1);
        log_event(LOG_DEBUG, "job_ended", "job=\"%s\" topic=\"%s\" part=%d off=%lld status=%s error=%s ms=%lld",
                  j->spec.job_id, j->pos.topic, (int)j->pos.partition, (long long)j->pos.offset, words[j->status],
                  j->error_code != NULL ? j->error_code : "-", (long long)(j->ended_ms - j->read_ms));
    }
}

static const char *code_word(int code)
{
    return code < FAULT_MAX ? fault_code((enum fault)code) : NULL;
}

static const char *reason_word(int reason)
{
    return reason < THROTTLE_MAX ? throttle_name((enum throttle)reason) : NULL;
}

void count_words(void)
{
    static const struct metric_words words = {code_word, reason_word, FAULT_CANCELLED};

    metrics_set_words(&words);
}
