/* SPDX-License-Identifier: Apache-2.0 */
/* The wire form of commands: a JSON object of at most three keys. Pure; any thread. */
#include "core/cancel.h"

#include <errno.h>
#include <string.h>

#include "base/json_write.h"
#include "base/scan.h"

#define CANCEL_JOB   "cancel_job"
#define CANCEL_BATCH "cancel_batch"

/* The keys as they were found. */
struct found {
    struct text command, job_id, batch_id;
    int64_t run; /* -1: not given */
};

static void read_run(struct scan *s, int64_t *out)
{
    if (scan_peek(s) == SCAN_NULL)
        scan_skip(s, NULL); /* the same as absent */
    else if (scan_int(s, out) == 0 && *out < 0)
        scan_fail(s, -EINVAL, "run is negative");
}

static void read_keys(struct scan *s, struct arena *a, struct found *f)
{
    struct text key;

    if (scan_enter_object(s) < 0)
        return;
    while (scan_next_key(s, &key)) {
        if (text_is(key, "command"))
            scan_text(s, a, &f->command);
        else if (text_is(key, "job_id"))
            scan_text(s, a, &f->job_id);
        else if (text_is(key, "batch_id"))
            scan_text(s, a, &f->batch_id);
        else if (text_is(key, "run"))
            read_run(s, &f->run);
        else
            scan_fail(s, -EINVAL, "a key that this version does not know");
    }
}

static const char *problem(const struct found *f, struct arena *a, struct cancel *out)
{
    size_t len = 0;

    if (f->command.p == NULL)
        return "command is missing";
    out->is_batch = text_is(f->command, CANCEL_BATCH);
    if (!out->is_batch && !text_is(f->command, CANCEL_JOB))
        return "a command that this version does not know";
    if (out->is_batch ? f->job_id.p != NULL || f->run >= 0 : f->batch_id.p != NULL)
        return "cancel_job goes with job_id and run, cancel_batch with batch_id";
    out->id = text_decode(a, out->is_batch ? f->batch_id : f->job_id, &len);
    if (out->id == NULL)
        return out->is_batch ? "batch_id is missing" : "job_id is missing";
    if (len < 1 || len > CANCEL_ID_MAX || strlen(out->id) != len)
        return "the id must have 1 to 200 bytes";
    return NULL;
}

int cancel_read(const char *value, size_t len, struct arena *a, struct cancel *out, const char **out_why)
{
    struct found f = {.command = TEXT_NONE, .job_id = TEXT_NONE, .batch_id = TEXT_NONE, .run = -1};
    struct cancel c = {.run = -1, .ts_ms = -1};
    struct scan s;

    if (len > CANCEL_BYTES_MAX) {
        *out_why = "the value is too long for a command";
        return -EINVAL;
    }
    scan_init(&s, value, len);
    read_keys(&s, a, &f);
    *out_why = scan_end(&s) < 0 ? s.why : problem(&f, a, &c);
    if (*out_why != NULL)
        return -EINVAL;
    c.run = f.run;
    *out = c;
    return 0;
}

void cancel_write(const struct cancel *c, struct buf *out)
{
    struct json_write w;

    jw_init(&w, out);
    jw_open(&w, '{');
    jw_kv_str(&w, "command", c->is_batch ? CANCEL_BATCH : CANCEL_JOB);
    jw_kv_str(&w, c->is_batch ? "batch_id" : "job_id", c->id);
    if (!c->is_batch && c->run >= 0)
        jw_kv_int(&w, "run", c->run);
    jw_close(&w, '}');
}
