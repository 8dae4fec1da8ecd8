/* SPDX-License-Identifier: Apache-2.0 */
/* What the record encoders share: time stamps, ids, headers, and texts cut to a size. Pure but for the arena. Loop
 * thread. */
#ifndef CORE_RECORD_H
#define CORE_RECORD_H

#include "base/json_write.h"
#include "core/job.h"

enum {
    TIMESTAMP_CHARS = 24,
    CUT_LEAST = 96,         /* smallest cap of a text: holds the mark of a cut and a few words */
    FOREIGN_NAME_MAX = 256, /* bytes kept of a provider's or a job's name for something */
};

/* Room for the texts of one record: what is longer than `cap` is cut at a marked place, so that it is `cap` long then.
 */
struct cutter {
    size_t cap;   /* >= CUT_LEAST; SIZE_MAX: nothing is cut */
    bool is_bare; /* leaves out all of any size: answers, labels, metadata, the source's key */
    bool has_cut;
};

/* 2026-11-22T18:00:00.123Z */
void record_timestamp(int64_t epoch_ms, char out[TIMESTAMP_CHARS + 1]);
/* event_id of CONTRACTS 1. kind "result" (call and attempt NULL) or "call". */
void record_event_id(const struct job *j, const char *kind, const struct call *c, const struct attempt *a,
                     char out[37]);
/* A count from outside: null when unknown, and when no double could hold it (CONTRACTS 1). */
void record_kv_count(struct json_write *w, const char *key, int64_t v);
/* A name from outside, cut to FOREIGN_NAME_MAX. */
void record_kv_name(struct json_write *w, const char *key, struct text t);
void record_kv_cut(struct json_write *w, const char *key, struct text t, struct cutter *cut);
/* A fraction or a sum of weights: at most nine digits. */
void record_kv_number(struct json_write *w, const char *key, double v);
/* core/record_text.c: `answer` and `answer_format`, the merged answer in the job's output_format. */
void record_write_answer(struct json_write *w, const struct job *j, struct cutter *cut);
/* All of the input as one text in the arena: that of a prompt alone as it is, else a heading with the role above each.
 */
struct text record_input_text(const struct job *j);
/* SHA-256 in hex over all of the input: of a prompt alone over its bytes, else over system texts, messages, images and
 * tools in a fixed order. out holds 65 bytes. */
void record_hash_input(const struct job *j, char *out);
/* ts, ts_ms of the moment the thing ended. */
void record_kv_time(struct json_write *w, int64_t ended_ms);
/* job_id, run, batch_id, custom_id, tenant: the same in results and calls. */
void record_kv_job(struct json_write *w, const struct job *j);
/* worker_id, build, trace_id, labels (TEXT_NONE: left out). */
void record_kv_origin(struct json_write *w, const struct job *j, struct text labels);
/* Appends a record of `value` (copied into the arena) with its CloudEvents headers, key job_id. */
void record_add(struct job *j, enum output output, const char *type, const char *event_id, int64_t ended_ms,
                const struct buf *value);
/* Appends a finished record. */
void record_link(struct job *j, struct record *r);
/* "ok", "error", "cancelled": status of a call or of an entry in answers[]. */
const char *record_call_status(const struct outcome *o);
/* core/record_call.c: one record per attempt. */
void record_encode_calls(struct job *j);
/* The value of a header of the job, or NULL. */
const struct message_header *record_job_header(const struct job *j, const char *name);

#endif
