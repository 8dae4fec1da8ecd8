/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions: what a stage was left with, journaled so that a crash never changes it. A late answer to a call that the
 * decision lists as failed is ignored; a job with a decision finishes on the names it began with. Loop thread. source:
 * DESIGN 6 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/scan.h"
#include "core/attempt.h"
#include "core/job.h"

/* 2 adds which sample of which member a call is. One that has one sample of each is still written as 1, so that a
 * worker of the version before can read it. */
enum { DECISION_PLAIN = 1, DECISION_SAMPLES = 2 };

/* One decided call, as read back. */
struct decided {
    struct text name;
    enum fault fault;
    int attempts;
    int64_t member, sample; /* -1, 0 in version 1: its place */
};

struct decision {
    int64_t version;
    int64_t at_ms;
    int64_t started_ms;
    bool is_timed_out;
    bool is_cancelled;
    struct decided *calls;
    int n_calls;
};

static bool has_samples(const struct job *j)
{
    return j->n_calls > j->n_members;
}

static void write_call(struct json_write *w, const struct call *c)
{
    int attempts = 0;

    LIST_EACH (it, &c->attempts)
        attempts++;
    jw_open(w, '{');
    jw_kv_text(w, "name", c->name);
    if (has_samples(c->job)) {
        jw_kv_int(w, "member", c->member);
        jw_kv_int(w, "sample", c->sample);
    }
    jw_kv_int(w, "attempts", attempts);
    jw_kv_str(w, "fault", fault_code(c->outcome->fault));
    jw_close(w, '}');
}

void job_decide(struct job *j)
{
    struct journal *journal = j->env->journal;
    struct json_write w;
    struct buf b;

    if (journal == NULL || j->is_decided)
        return;
    buf_init(&b, 0);
    jw_init(&w, &b);
    jw_open(&w, '{');
    jw_kv_int(&w, "v", has_samples(j) ? DECISION_SAMPLES : DECISION_PLAIN);
    jw_kv_str(&w, "stage", "answer");
    jw_kv_int(&w, "at_ms", j->ended_ms);
    jw_kv_int(&w, "started_ms", j->started_ms);
    jw_kv_bool(&w, "timed_out", j->is_timed_out);
    jw_kv_bool(&w, "cancelled", j->is_cancelled);
    jw_key(&w, "calls");
    jw_open(&w, '[');
    for (int i = 0; i < j->n_calls; i++)
        write_call(&w, &j->calls[i]);
    jw_close(&w, ']');
    jw_close(&w, '}');
    journal->ops->decide(journal, &j->pos, text_slice(b.p, b.len));
    buf_done(&b);
}

static void read_call(struct scan *s, struct arena *a, struct decided *out)
{
    struct text key, fault = TEXT_NONE;
    int64_t attempts = 0;

    *out = (struct decided){.name = TEXT_NONE, .member = -1};
    if (scan_enter_object(s) < 0)
        return;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "name"))
            scan_text(s, a, &out->name);
        else if (text_is(key, "fault"))
            scan_text(s, a, &fault);
        else if (text_is(key, "attempts"))
            scan_int(s, &attempts);
        else if (text_is(key, "member"))
            scan_int(s, &out->member);
        else if (text_is(key, "sample"))
            scan_int(s, &out->sample);
        else
            scan_skip(s, NULL);
    }
    out->attempts = (int)attempts;
    if (fault.p != NULL && fault_parse(text_decode(a, fault, NULL), &out->fault) < 0)
        scan_fail(s, -EINVAL, "unknown fault");
}

static void read_calls(struct scan *s, struct arena *a, struct decision *d)
{
    d->calls = arena_zero(a, sizeof(*d->calls) * JOB_MODELS_MAX);
    if (scan_enter_array(s) < 0)
        return;
    while (scan_next_item(s)) {
        if (d->n_calls == JOB_MODELS_MAX) {
            scan_fail(s, -E2BIG, "too many calls");
            return;
        }
        read_call(s, a, &d->calls[d->n_calls++]);
    }
}

static int decision_read(struct text bytes, struct arena *a, struct decision *d)
{
    struct scan s;
    struct text key;

    memset(d, 0, sizeof(*d));
    scan_init(&s, bytes.p, bytes.len);
    if (scan_enter_object(&s) == 0)
        while (scan_next_key(&s, &key)) {
            if (text_is(key, "v"))
                scan_int(&s, &d->version);
            else if (text_is(key, "at_ms"))
                scan_int(&s, &d->at_ms);
            else if (text_is(key, "started_ms"))
                scan_int(&s, &d->started_ms);
            else if (text_is(key, "timed_out"))
                scan_bool(&s, &d->is_timed_out);
            else if (text_is(key, "cancelled"))
                scan_bool(&s, &d->is_cancelled);
            else if (text_is(key, "calls"))
                read_calls(&s, a, d);
            else
                scan_skip(&s, NULL);
        }
    return scan_end(&s) < 0 || d->version < DECISION_PLAIN || d->version > DECISION_SAMPLES || d->n_calls == 0 ? -EINVAL
                                                                                                               : 0;
}

/* The answer that the decision rests on, or NULL when the journal lost it. */
static const struct outcome *recalled_answer(const struct call *c)
{
    const struct outcome *last;

    if (list_is_empty(&c->attempts))
        return NULL;
    last = &LIST_ENTRY(c->attempts.prev, struct attempt, link)->outcome;
    return last->fault == FAULT_NONE ? last : NULL;
}

/* The failed attempt that the call was decided with; an answer that came later is taken off the list again. */
static const struct outcome *recalled_failure(struct call *c, const struct decided *d)
{
    while (!list_is_empty(&c->attempts)) {
        struct attempt *last = LIST_ENTRY(c->attempts.prev, struct attempt, link);

        if (last->outcome.fault != FAULT_NONE && last->number <= d->attempts)
            return last->outcome.fault == d->fault ? &last->outcome : NULL;
        list_del(&last->link);
    }
    return NULL;
}

static void end_as_decided(struct call *c, const struct decided *d)
{
    c->outcome = d->fault == FAULT_NONE ? recalled_answer(c) : recalled_failure(c, d);
    if (c->outcome == NULL) {
        call_end_unsent(c, d->fault, NULL, "as decided before a restart");
        return;
    }
    c->state = CALL_OVER;
    c->job->n_over++;
}

/* The members that were asked. What the job itself says of them (weights) is in its record still; names and counts are
 * the decision's, since jobs.default_models may be others by now. NULL: it does not hold together. */
static struct job_member *decided_members(const struct job *j, const struct decision *d, int *out_n)
{
    struct job_member *members = arena_zero(j->arena, sizeof(*members) * (size_t)d->n_calls);
    int n = 0;

    for (int i = 0; i < d->n_calls; i++) {
        const struct decided *c = &d->calls[i];
        int64_t member = c->member >= 0 ? c->member : i;

        if (member == n && c->sample == 0) {
            members[n] = n < j->spec.n_members ? j->spec.members[n] : (struct job_member){.weight = 1};
            members[n].name = c->name;
            members[n].samples = 1;
            n++;
        } else if (n > 0 && member == n - 1 && c->sample == members[n - 1].samples) {
            members[n - 1].samples++;
        } else {
            return NULL;
        }
    }
    *out_n = n;
    return members;
}

int job_decision_replay(struct job *j)
{
    struct decision d;
    struct job_member *members;
    bool is_complete = true;
    int n = 0;

    if (decision_read(j->claim.decision, j->arena, &d) < 0)
        return -EINVAL;
    members = decided_members(j, &d, &n);
    if (members == NULL)
        return -EINVAL;
    job_plan_members(j, members, n);
    for (int i = 0; i < d.n_calls; i++) {
        attempt_recall(&j->calls[i], j->claim.recalls, j->claim.n_recalls);
        if (d.calls[i].fault == FAULT_NONE && recalled_answer(&j->calls[i]) == NULL)
            is_complete = false;
    }
    if (!is_complete) {
        job_plan(j);
        return -EINVAL;
    }
    for (int i = 0; i < d.n_calls; i++)
        end_as_decided(&j->calls[i], &d.calls[i]);
    j->ended_ms = d.at_ms;
    j->started_ms = d.started_ms;
    j->is_timed_out = d.is_timed_out;
    j->is_cancelled = d.is_cancelled;
    j->is_decided = true;
    return 0;
}
