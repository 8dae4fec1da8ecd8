/* SPDX-License-Identifier: Apache-2.0 */
/* A command on the control topic: take a job or a batch back. Pure; any thread. */
#ifndef CORE_CANCEL_H
#define CORE_CANCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;

enum { CANCEL_ID_MAX = 200, CANCEL_BYTES_MAX = 8192 };

struct cancel {
    bool is_batch;  /* all jobs of a batch; else one job */
    const char *id; /* batch id, or job id */
    int64_t run;    /* of the job; -1: every run */
    int64_t ts_ms;  /* of the command's record: younger jobs are not meant; not part of the value */
};

/* Reads a record's value; the id lands in the arena. A key or command that this version does not know is refused, never
 * half understood.
 * errors  -EINVAL, *out_why is a static text that holds nothing of the value
 * source  docs/schemas/control.schema.json */
int cancel_read(const char *value, size_t len, struct arena *a, struct cancel *out, const char **out_why);
/* Appends the value that cancel_read() reads. */
void cancel_write(const struct cancel *c, struct buf *out);

#endif
