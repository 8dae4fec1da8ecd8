/* SPDX-License-Identifier: Apache-2.0 */
/* A job: one record of a jobs topic on its way to one terminal record. Its source position is its identity. Everything
 * it holds lives in its arena and dies with it. A job runs as a table of steps (core/step.c); completions only store
 * and wake. */
#ifndef CORE_JOB_H
#define CORE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/text.h"
#include "core/health.h"
#include "core/outcome.h"
#include "core/retry.h"
#include "loop.h"
#include "seam/broker.h"
#include "seam/http.h"
#include "seam/journal.h"
#include "seam/limiter.h"
#include "seam/merge.h"
#include "seam/provider.h"

struct arena;
struct call;
struct inflight;
struct inflight_model;
struct job;
struct model;
struct registry;
struct rng;

enum { JOB_MAGIC = 0x4a4f4231, CALL_MAGIC = 0x43414c31, JOB_MODELS_MAX = 64 };

/* What a worker gives its jobs. Owned by the worker. */
struct env {
    struct loop *loop;
    struct rng *rng;
    const struct registry *registry;
    const struct merge_ops *const *merges; /* merges[n_merges]: the strategies a job may name */
    int n_merges;
    struct http *http;
    struct limiter *limiter;
    struct journal *journal; /* NULL: journal.enabled is false */
    struct broker *broker;
    struct inflight *inflight; /* calls under way per model, for the statistics; NULL: nobody counts */
    struct health *health;     /* breakers and keys; NULL: nothing is tracked */
    struct retry_conf retry;
    int64_t deadline_us; /* jobs.deadline */
    int64_t dedupe_us;   /* jobs.dedupe; 0: explicit job ids are not held against each other */
    size_t max_bytes;    /* jobs.max_bytes */
    bool is_lenient;     /* jobs.unknown_keys: warn */
    int max_deliveries;  /* crash-loop guard: more claims without progress than this is a dead letter */
    const char *group;
    const char *worker_id;       /* in the records */
    const char *build;           /* commit */
    int64_t duplicate_logged_us; /* log_is_due()'s of dropped duplicates */
    int64_t unknown_logged_us;   /* the same of unknown keys */
    /* Called once when the job has nothing left to do: it is published and may be freed, or was abandoned. */
    void (*job_over)(struct job *j, void *arg);
    /* Called when the job's records are ready (job->pub is filled; none of a duplicate): hand them to the broker. */
    void (*job_publish)(struct job *j, void *arg);
    /* Has a command cancelled the job that was just decoded? NULL: there are no commands. */
    bool (*job_is_cancelled)(struct job *j, void *arg);
    void *arg;
};

/* One entry of `models`: a model that is asked, once or several times. */
struct job_member {
    struct text name;                   /* as asked */
    int samples;                        /* calls of it, >= 1 */
    double weight;                      /* of each of its votes, > 0 */
    struct text system;                 /* TEXT_NONE: the job's */
    const struct request_param *params; /* params[n_params], laid over the job's */
    int n_params;
    int64_t max_output_tokens; /* from its params, -1: the job's, else the model's */
};

enum detail { DETAIL_FULL, DETAIL_FINAL, DETAIL_FULL_WITH_PROMPT };
enum output_format { FORMAT_AS_IS, FORMAT_PLAIN, FORMAT_MARKDOWN, FORMAT_JSON };

/* The decoded body; all in the job's arena (slices of the copied record where they can be). Small: it is cleared for
 * every job. */
struct job_spec {
    const char *job_id; /* never NULL once decoded */
    bool has_own_id;    /* job_id was named by the job (body, ce_id, batch), not made from its position */
    int64_t run;
    const struct chat_message *messages; /* messages[n_messages], >= 1 once decoded; attachments are part of them */
    int n_messages;
    struct text system;               /* TEXT_NONE: none */
    struct text tools;                /* raw JSON array in OpenAI's shape; TEXT_NONE: none */
    struct text tool_choice;          /* raw JSON in OpenAI's shape; TEXT_NONE: none */
    const struct job_member *members; /* members[n_members]; 0: jobs.default_models */
    int n_members;
    const struct merge_ops *merge;      /* never NULL once decoded */
    struct text merge_conf;             /* the job's merge object, raw JSON; TEXT_NONE: only a name was given */
    const struct request_param *params; /* params[n_params] */
    int n_params;
    int64_t max_output_tokens;  /* from params, -1: the model's */
    int64_t deadline_ms;        /* -1: not named */
    int quorum;                 /* -1: default */
    const struct text *dropped; /* dropped[n_dropped]: names in a batch line that no request of ours can carry */
    int n_dropped;
    bool is_input_truncated; /* an attachment was cut */
    enum detail detail;
    enum output_format output_format;
    struct text batch_id; /* TEXT_NONE: none */
    struct text custom_id;
    struct text tenant;
    struct text labels;   /* raw JSON object, TEXT_NONE: none */
    struct text metadata; /* raw JSON, TEXT_NONE: none */
};

/* Why a record is no job: CONTRACTS 7 dead-letter codes. */
struct job_error {
    const char *code;  /* "invalid_job"...; NULL: no error */
    const char *stage; /* "decode" */
    char pointer[256]; /* JSON Pointer, or a byte offset for syntax errors */
    char message[256]; /* what is wrong and what to do */
};

/* Decodes and checks the record's value (core/decode.c). `j` has source, headers and arena set; fills j->spec.
 * 0, or -EINVAL with *err filled. Reads jobs of CONTRACTS 3 and batch lines of OpenAI, Anthropic and Gemini. */
int job_decode(struct job *j, struct job_error *err);

/* One attempt that reached a transfer (or was recalled): becomes one call record. */
struct attempt {
    struct list link; /* call->attempts, oldest first */
    int number;       /* 1.. of the model that was asked */
    int ordinal;      /* of the call key it was made under: each model of a call has its own */
    struct outcome outcome;
};

/* One sample of a member of a stage: a model that was asked, through all its attempts. */
struct call {
    uint32_t magic;
    struct job *job;
    int member;                       /* place of its model in the order asked: j->members[member] */
    int sample;                       /* 0.. of the member's */
    struct text name;                 /* as asked */
    const struct model *asked;        /* what the name means, request_model; NULL: unknown_model */
    const struct model *model;        /* who is asked now: `asked` or one of its fallbacks */
    int fallback_index;               /* 0: `asked`, 1..: place in its list of fallbacks */
    int key_slot;                     /* provider key in use, index into model->provider->keys */
    bool has_key;                     /* key_slot was chosen for this model */
    unsigned keys_tried;              /* bits of slots that the provider refused for this model */
    unsigned given_up;                /* bits of fallback_index: models that have had all their attempts, or refused */
    const char *key;                  /* "answer:0:0:0:0": stage, member, sample, round, ordinal */
    int ordinal;                      /* of the key */
    struct gate gate;                 /* before the breaker of `model` */
    bool was_gated;                   /* this attempt had to wait there */
    enum breaker_state breaker_state; /* when the request under way was sent */
    enum { CALL_IDLE, CALL_GATED, CALL_ASKING, CALL_SENDING, CALL_BACKING_OFF, CALL_OVER } state;
    int attempt; /* of the attempt under way, 1.. of this model */
    struct list attempts;
    const struct outcome *outcome; /* final, set when OVER */
    struct outcome unsent;         /* storage for a final outcome without an attempt */
    struct wire wire;
    bool is_built;
    struct permit permit;
    bool has_permit;
    int64_t estimate_tokens;
    struct transfer transfer;
    struct inflight_model *under_way; /* while sending: where it is counted; NULL: nowhere */
    struct timer backoff;
    int n_stale;      /* permits in a row that were too old when the request could be written */
    int64_t asked_us; /* loop time when the permit of this attempt was first asked for */
    bool is_waiting;  /* for admission: a permit, the journal, a paused pool; the job's relative clock stands still */
};

enum job_step {
    STEP_CLAIM,
    STEP_DECODE,
    STEP_IDENTIFY,
    STEP_PLAN,
    STEP_STAGE,
    STEP_MERGE,
    STEP_ENCODE,
    STEP_PUBLISH,
    STEP_MAX
};

enum job_status { JOB_OK, JOB_PARTIAL, JOB_FAILED };

/* CONTRACTS 5 degraded_reasons, as bits. */
enum degraded {
    DEGRADED_MODEL_FAILED = 1 << 0,
    DEGRADED_MODEL_SKIPPED = 1 << 1,
    DEGRADED_STAGE_TIMEOUT = 1 << 2,
    DEGRADED_QUORUM_REDUCED = 1 << 3,
    DEGRADED_PARAM_DROPPED = 1 << 4,
    DEGRADED_INPUT_TRUNCATED = 1 << 5,
    DEGRADED_STAGE_FALLBACK = 1 << 6,
    DEGRADED_BUT_OK = DEGRADED_PARAM_DROPPED | DEGRADED_STAGE_FALLBACK, /* those that leave the status ok */
};

struct job {
    uint32_t magic;
    struct list link; /* the engine's list of the partition */
    struct env *env;
    struct arena *arena;
    void *owner;       /* the engine's partition; NULL once it is lost */
    bool is_held_back; /* the engine waits for an orphan of the same position before job_start() */

    /* source */
    struct position pos;
    uint8_t digest[16]; /* of the value */
    int64_t ts_ms;
    const char *source_key; /* NULL: none */
    size_t source_key_len;
    const char *value; /* NULL: none */
    size_t value_len;
    struct message_header *headers; /* headers[n_headers] */
    int n_headers;

    /* progress */
    enum job_step step;
    struct wake wake;
    struct timer timer; /* claim again; later the deadline */
    struct claim claim;
    bool is_claimed;
    struct identify identify;
    bool is_identified;
    bool is_abandoned; /* starts nothing new; only calls under way are waited for and journaled */
    bool is_published; /* handed to the broker */
    bool is_over;      /* env->job_over() was called */
    bool is_stage_started;
    bool is_decided;   /* the stage's outcome was replayed from the journal */
    bool is_cancelled; /* by a command */
    struct job_spec spec;
    struct job_error error; /* of a dead letter */

    /* the one stage */
    const struct job_member *members; /* members[n_members]: who is asked, the job's own or jobs.default_models */
    int n_members;
    struct call *calls; /* calls[n_calls], in the order asked; the samples of a member stand together */
    int n_calls;
    struct stage_view view; /* see job_stage_view() */
    int n_over;
    int quorum;
    bool is_deadline_absolute;
    int64_t deadline_us;   /* loop time as things stand; INT64_MAX while the relative clock stands still */
    int64_t clock_left_us; /* what is left of jobs.deadline while it stands still */
    int n_waiting;         /* calls that wait for admission */
    bool is_timed_out;     /* the stage ended at its deadline */

    /* result */
    enum job_status status;
    unsigned degraded;      /* enum degraded bits */
    const char *error_code; /* job codes of CONTRACTS 7; NULL */
    const char *error_message;
    struct merged merged;
    int64_t read_ms;    /* wall clock at intake */
    int64_t asked_ms;   /* first permit asked for; 0: never */
    int64_t started_ms; /* first permit granted (or first recalled answer); 0: never */
    int64_t ended_ms;   /* fixed when the stage is left: all records of the job carry it */
    struct publication pub;
};

/* Makes a job out of a record (copied once into its arena). It does nothing before job_start(). */
struct job *job_new(struct env *env, const char *topic, int32_t partition, const struct message *m);
/* Begins with STEP_CLAIM. env->job_publish and env->job_over follow from later turns. */
void job_start(struct job *j);
/* Runs steps until the job waits. Called by its wake only. */
void job_wake(struct job *j);
/* Its partition goes away or the process drains. A job that has not begun a call lets go of its claim and is over
 * (job_over() in a later turn); one with calls under way goes on only to journal their answers and is then over.
 * Idempotent. */
void job_abandon(struct job *j);
/* Has it sent a request, or recalled an answer? Then a drain waits for it. */
bool job_has_begun(const struct job *j);
/* A command takes the job back: calls under way are closed, and the job ends as failed with what answers there are.
 * No-op for a job that has left its stage or was abandoned. */
void job_cancel(struct job *j);
/* The broker committed its records: forget the journal entry. The job may be freed after this. */
void job_committed(struct job *j);
/* The job ends here without a commit: whoever takes up its record next need not wait for this one. */
void job_release(struct job *j);
/* Frees; stops whatever is still running. */
void job_free(struct job *j);

/* core/call.c, used by the steps. */
void call_init(struct call *c, struct job *j, int member, int sample, struct text name, const struct model *model);
/* Asks for the first permit; the call is over in a later turn at the earliest. */
void call_start(struct call *c);
/* Ends the call now with `fault` (cancelled, deadline_exceeded); whatever is under way is closed. No-op when over. */
void call_end(struct call *c, enum fault fault, const char *detail);
/* Takes up what the journal remembers of this call: replays attempts; may end it, or set where it goes on. */
void call_recall(struct call *c, const struct recall *recalls, int n);
bool call_is_under_way(const struct call *c); /* a transfer is running */
/* Stops waiting for permits and back-offs; a running transfer goes on and is journaled when it ends. */
void call_abandon(struct call *c);
/* The model that gave this outcome of the call: `asked` or a fallback; NULL: none that is configured (any more). */
const struct model *call_served(const struct call *c, const struct outcome *o);
/* Ends a call that makes no attempt: unknown model, a decided failure. */
void call_end_unsent(struct call *c, enum fault fault, const char *detail, const char *why);

/* core/step.c, used by the calls. */
void job_call_over(struct job *j);    /* a call of the job has just ended */
void job_first_permit(struct job *j); /* something was granted: notes when the job started */
/* A call begins / ends to wait for admission. jobs.deadline counts only while none of its calls waits, so that a
 * backlog or an outage never makes a job late. */
void job_clock_stop(struct job *j);
void job_clock_go(struct job *j);
int64_t job_time_left_us(struct job *j); /* to the deadline as it stands now; INT64_MAX: none yet */

/* core/plan.c: the calls of the job out of models + merge; names that resolve to no model become calls that fail. */
void job_plan(struct job *j);
/* The same for the members of a decision (the plan the job began with). members[n] in the job's arena. */
void job_plan_members(struct job *j, const struct job_member *members, int n);
/* The stage as its merge sees it; the arrays live in the job's arena. */
const struct stage_view *job_stage_view(struct job *j);
/* core/request.c: what of the request the dialects or the batch line's shape left out becomes DEGRADED_PARAM_DROPPED,
 * an attachment that was cut DEGRADED_INPUT_TRUNCATED. Once all calls are over. */
void job_note_input(struct job *j);
/* core/decide.c: notes in the journal that the stage was left, and with what. */
void job_decide(struct job *j);
/* Leaves the stage exactly as the journaled decision says: every call is over. -EINVAL: it cannot be used (an answer it
 * rests on is missing, another version wrote it); nothing was changed. */
int job_decision_replay(struct job *j);

/* core/record*.c: fills j->pub. Sizes are held under env->broker's limit() by cutting texts (answer_truncated). */
void job_encode_result(struct job *j);
void job_encode_dead_letter(struct job *j);

#endif
