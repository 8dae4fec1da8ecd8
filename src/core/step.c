/* SPDX-License-Identifier: Apache-2.0 */
/* A job as a table of steps. Each step returns AGAIN (go on with the next) or WAIT (something will wake the job).
 * Completions only store their result and wake, so nothing re-enters. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "core/count.h"
#include "core/job.h"
#include "core/registry.h"

enum step_next { AGAIN, WAIT };

#define DEADLINE_FAR_MS \
    (INT64_C(1) << 45) /* the year 3084; sums with a deadline_ms stay far below int64 in microseconds */

enum {
    CLAIM_AGAIN_US = 1000000, /* a live owner has the record: ask again after this */
    SUSPECT_AFTER = 3,        /* claims without progress after which a decoded job is noted as harmless */
    LOG_PERIOD_US = 60000000, /* of duplicates */
};

/* --- the clock --- */

int64_t job_time_left_us(struct job *j)
{
    int64_t now = loop_now_us(j->env->loop);

    if (j->deadline_us != INT64_MAX)
        return j->deadline_us - now;
    return j->n_waiting > 0 ? j->clock_left_us : INT64_MAX;
}

static void on_deadline(void *arg)
{
    struct job *j = arg;

    j->is_timed_out = true;
    loop_wake(j->env->loop, &j->wake);
}

static void start_deadline(struct job *j)
{
    timer_init(&j->timer, on_deadline, j);
    timer_start(j->env->loop, &j->timer, j->deadline_us);
}

void job_first_permit(struct job *j)
{
    if (j->started_ms == 0)
        j->started_ms = loop_wall_ms(j->env->loop);
}

void job_clock_stop(struct job *j)
{
    if (j->n_waiting++ > 0 || j->is_deadline_absolute || j->deadline_us == INT64_MAX)
        return;
    j->clock_left_us = j->deadline_us - loop_now_us(j->env->loop);
    j->deadline_us = INT64_MAX;
    timer_stop(j->env->loop, &j->timer);
}

void job_clock_go(struct job *j)
{
    CHECK(j->n_waiting > 0);
    if (--j->n_waiting > 0 || j->is_deadline_absolute || j->is_abandoned || j->n_over == j->n_calls)
        return;
    j->deadline_us = loop_now_us(j->env->loop) + (j->clock_left_us > 0 ? j->clock_left_us : 0);
    start_deadline(j);
}

/* --- the steps --- */

static void on_claim(struct claim *c, void *arg)
{
    struct job *j = arg;

    c->done = NULL;
    j->is_claimed = c->result == CLAIM_OURS;
    loop_wake(j->env->loop, &j->wake);
}

static void on_claim_again(void *arg)
{
    struct job *j = arg;

    loop_wake(j->env->loop, &j->wake);
}

static void dead_letter(struct job *j, const char *code, const char *stage, const char *message)
{
    j->error.code = code;
    j->error.stage = stage;
    snprintf(j->error.message, sizeof(j->error.message), "%s", message);
}

static void ask_claim(struct job *j)
{
    struct journal *journal = j->env->journal;

    memset(&j->claim, 0, sizeof(j->claim));
    list_init(&j->claim.link);
    j->claim.pos = j->pos;
    memcpy(j->claim.digest, j->digest, sizeof(j->claim.digest));
    j->claim.arena = j->arena;
    j->claim.done = on_claim;
    j->claim.arg = j;
    journal->ops->claim(journal, &j->claim);
}

static enum step_next step_claim(struct job *j)
{
    struct loop *loop = j->env->loop;

    if (j->env->journal == NULL) {
        j->claim.deliveries = 1;
    } else if (!j->is_claimed) {
        if (j->claim.done != NULL || timer_is_running(&j->timer))
            return WAIT;
        if (j->claim.arena != NULL && j->claim.result == CLAIM_OWNER_ALIVE) {
            j->claim.arena = NULL; /* asks anew after the wait */
            timer_init(&j->timer, on_claim_again, j);
            timer_start(loop, &j->timer, loop_now_us(loop) + CLAIM_AGAIN_US);
            return WAIT;
        }
        ask_claim(j);
        return WAIT;
    }
    j->step = STEP_DECODE;
    return AGAIN;
}

static enum step_next step_decode(struct job *j)
{
    if (j->claim.deliveries > j->env->max_deliveries)
        dead_letter(j, "crash_loop", "decode",
                    "the record was taken up too often without any progress: it may crash the workers");
    else if (job_decode(j, &j->error) == 0)
        j->error.code = NULL;
    j->step = j->error.code != NULL ? STEP_ENCODE : STEP_IDENTIFY;
    return AGAIN;
}

static void on_identified(struct identify *i, void *arg)
{
    struct job *j = arg;

    i->done = NULL;
    j->is_identified = true;
    loop_wake(j->env->loop, &j->wake);
}

static void ask_identity(struct job *j)
{
    struct journal *journal = j->env->journal;

    j->identify = (struct identify){.pos = j->pos,
                                    .job_id = j->spec.job_id,
                                    .run = j->spec.run,
                                    .ttl_us = j->env->dedupe_us,
                                    .done = on_identified,
                                    .arg = j};
    list_init(&j->identify.link);
    journal->ops->identify(journal, &j->identify);
}

/* The record's offset is finished, with nothing to write: the first one has, or will have, the job's result. */
static enum step_next drop_duplicate(struct job *j)
{
    struct env *env = j->env;
    bool is_due = log_is_due(&env->duplicate_logged_us, loop_now_us(env->loop), LOG_PERIOD_US);

    metric_add(METRIC_JOBS_DUPLICATE, 1);
    log_event(is_due ? LOG_INFO : LOG_DEBUG, "job_duplicate", "job=\"%s\" run=%lld topic=\"%s\" part=%d off=%lld",
              j->spec.job_id, (long long)j->spec.run, j->pos.topic, j->pos.partition, (long long)j->pos.offset);
    j->step = STEP_PUBLISH;
    return AGAIN;
}

/* It was the first one once: what was paid for it since is not thrown away because its time, or Redis' memory, ran out
 * and a later record took the id. */
static bool has_begun_before(const struct job *j)
{
    return j->claim.n_recalls > 0 || j->claim.decision.p != NULL;
}

static enum step_next step_identify(struct job *j)
{
    if (j->env->journal != NULL && j->env->dedupe_us > 0 && j->spec.has_own_id && !j->is_identified) {
        if (j->identify.done == NULL)
            ask_identity(j);
        return WAIT;
    }
    if (j->identify.is_taken && !has_begun_before(j))
        return drop_duplicate(j);
    j->step = STEP_PLAN;
    return AGAIN;
}

/* Claims are counted until a job makes progress, so that a record which kills the workers that read it is found. A job
 * that only waits its turn while workers come and go for other reasons would be taken for one: having survived decoding
 * is progress too. */
static void note_survival(struct job *j)
{
    struct journal *journal = j->env->journal;
    struct recall note = {.call_key = "planned", .attempt = 1, .bytes = TEXT_LIT("{}")};

    if (journal == NULL || j->claim.deliveries < SUSPECT_AFTER)
        return;
    for (int i = 0; i < j->claim.n_recalls; i++)
        if (strcmp(j->claim.recalls[i].call_key, note.call_key) == 0)
            note.attempt++;
    /* a job that decodes but always kills its worker later still ends, after this many times SUSPECT_AFTER claims */
    if (note.attempt <= j->env->max_deliveries)
        journal->ops->record(journal, &j->pos, &note);
}

static enum step_next step_plan(struct job *j)
{
    j->clock_left_us = j->env->deadline_us;
    j->is_cancelled |= j->env->job_is_cancelled != NULL && j->env->job_is_cancelled(j, j->env->arg);
    note_survival(j);
    job_plan(j);
    j->step = STEP_STAGE;
    return AGAIN;
}

static void set_absolute_deadline(struct job *j)
{
    struct loop *loop = j->env->loop;
    int64_t from_ms =
        j->ts_ms >= 0 && j->ts_ms < DEADLINE_FAR_MS ? j->ts_ms : j->read_ms; /* a wild timestamp counts as none */
    int64_t at_ms = from_ms + j->spec.deadline_ms;

    if (j->spec.deadline_ms < 0)
        return;
    j->is_deadline_absolute = true;
    j->deadline_us = loop_now_us(loop) + (at_ms - loop_wall_ms(loop)) * 1000;
    if (j->deadline_us <= loop_now_us(loop))
        j->is_timed_out = true;
    else
        start_deadline(j);
}

static void start_stage(struct job *j)
{
    j->is_stage_started = true;
    if (j->claim.decision.p != NULL && job_decision_replay(j) == 0)
        return;
    set_absolute_deadline(j);
    for (int i = 0; i < j->n_calls; i++)
        call_recall(&j->calls[i], j->claim.recalls, j->claim.n_recalls);
    for (int i = 0; i < j->n_calls && !j->is_timed_out && !j->is_cancelled; i++)
        if (j->calls[i].state == CALL_IDLE)
            call_start(&j->calls[i]);
}

void job_call_over(struct job *j)
{
    loop_wake(j->env->loop, &j->wake);
}

/* What the stage came to: status, degraded reasons, error. */
static void conclude(struct job *j, bool is_satisfied)
{
    int good = 0, unknown = 0, failed = 0;

    for (int i = 0; i < j->n_calls; i++) {
        const struct outcome *o = j->calls[i].outcome;

        good += outcome_is_ok(o);
        unknown += o->fault == FAULT_UNKNOWN_MODEL;
        if (outcome_is_ok(o) && o->fallback_index > 0)
            j->degraded |= DEGRADED_STAGE_FALLBACK;
        failed += !outcome_is_ok(o) && o->fault != FAULT_UNKNOWN_MODEL && o->fault != FAULT_CANCELLED;
    }
    job_note_input(j);
    if (failed > 0 && !is_satisfied)
        j->degraded |= DEGRADED_MODEL_FAILED;
    if (unknown > 0)
        j->degraded |= DEGRADED_MODEL_SKIPPED;
    if (j->is_timed_out && good < j->n_calls && !is_satisfied)
        j->degraded |= DEGRADED_STAGE_TIMEOUT;
    if (j->is_cancelled) {
        j->status = JOB_FAILED;
        j->error_code = "cancelled";
        j->error_message = "cancelled by a command; answers[] has what had been answered by then";
        metric_add(METRIC_JOBS_CANCELLED, 1);
        return;
    }
    if (good >= j->quorum && good > 0) {
        j->status = (j->degraded & ~(unsigned)DEGRADED_BUT_OK) != 0 ? JOB_PARTIAL : JOB_OK;
        return;
    }
    j->status = JOB_FAILED;
    if (unknown == j->n_calls) {
        j->error_code = "unknown_model";
        j->error_message = "none of the models is configured";
    } else if (j->is_timed_out) {
        j->error_code = "deadline_exceeded";
        j->error_message = arena_printf(j->arena, "%d of %d models had answered at the deadline, %d needed", good,
                                        j->n_calls, j->quorum);
    } else {
        j->error_code = "quorum_not_met";
        j->error_message = arena_printf(j->arena, "%d of %d models answered, %d needed; answers[] has their errors",
                                        good, j->n_calls, j->quorum);
    }
}

/* Ends what is still open when the stage is left. */
static void end_calls(struct job *j, bool is_satisfied)
{
    enum fault fault = is_satisfied || j->is_cancelled ? FAULT_CANCELLED : FAULT_DEADLINE_EXCEEDED;
    const char *detail = j->is_cancelled ? "by_command" : is_satisfied ? "not_needed" : "job_deadline";

    for (int i = 0; i < j->n_calls; i++)
        call_end(&j->calls[i], fault, detail);
}

static enum step_next step_stage(struct job *j)
{
    bool is_satisfied, is_complete;

    if (!j->is_stage_started)
        start_stage(j);
    is_satisfied = j->spec.merge->enough != NULL && j->spec.merge->enough(job_stage_view(j));
    is_complete = j->n_over == j->n_calls || is_satisfied;
    if (!is_complete && !j->is_timed_out && !j->is_cancelled)
        return WAIT;
    if (is_complete && !j->is_decided)
        j->is_cancelled = false; /* the command came too late: all is answered */
    timer_stop(j->env->loop, &j->timer);
    end_calls(j, is_satisfied);
    if (!j->is_decided)
        j->ended_ms = loop_wall_ms(j->env->loop);
    job_decide(j);
    conclude(j, is_satisfied);
    j->step = STEP_MERGE;
    return AGAIN;
}

static enum step_next step_merge(struct job *j)
{
    if (j->status != JOB_FAILED &&
        j->spec.merge->merge(job_stage_view(j), j->arena, &j->merged, &j->error_message) < 0) {
        j->status = JOB_FAILED;
        j->error_code = "merge_failed";
    }
    j->step = STEP_ENCODE;
    return AGAIN;
}

static enum step_next step_encode(struct job *j)
{
    if (j->ended_ms == 0)
        j->ended_ms = loop_wall_ms(j->env->loop);
    if (j->error.code != NULL)
        job_encode_dead_letter(j);
    else
        job_encode_result(j); /* may turn the status: result_too_large */
    count_job(j);
    j->step = STEP_PUBLISH;
    return AGAIN;
}

static enum step_next step_publish(struct job *j)
{
    if (!j->is_published) {
        j->is_published = true;
        j->env->job_publish(j, j->env->arg);
    }
    return WAIT; /* the broker's published() or dropped() ends it */
}

static enum step_next (*const steps[STEP_MAX])(struct job *) = {
    [STEP_CLAIM] = step_claim,   [STEP_DECODE] = step_decode,   [STEP_IDENTIFY] = step_identify,
    [STEP_PLAN] = step_plan,     [STEP_STAGE] = step_stage,     [STEP_MERGE] = step_merge,
    [STEP_ENCODE] = step_encode, [STEP_PUBLISH] = step_publish,
};

/* An abandoned job waits for the calls under way, lets go of its claim and is over. */
static void leave(struct job *j)
{
    for (int i = 0; i < j->n_calls; i++)
        if (call_is_under_way(&j->calls[i]))
            return;
    job_release(j);
    j->is_over = true;
    j->env->job_over(j, j->env->arg);
}

void job_wake(struct job *j)
{
    CHECK(j->magic == JOB_MAGIC);
    if (j->is_over)
        return;
    if (j->is_abandoned && !j->is_published) {
        leave(j);
        return;
    }
    while (steps[j->step](j) == AGAIN)
        ;
}
