/* SPDX-License-Identifier: Apache-2.0 */
/* What decode.c (keys) and decode_params.c (merge, params) share. */
#ifndef CORE_DECODE_H
#define CORE_DECODE_H

#include "base/scan.h"
#include "core/job.h"

struct decode {
    struct job *job;
    struct arena *arena;
    struct job_spec *spec;
    struct job_error *err;
    struct scan s;
};

/* Notes an invalid_job at a JSON Pointer; the first one stands. Returns -EINVAL. */
int decode_fail(struct decode *d, const char *pointer, const char *message);
/* "/labels/a~1b": the JSON Pointer (RFC 6901) of a key of the record below `parent`, in the arena. */
const char *decode_pointer(struct decode *d, const char *parent, struct text key);
/* A word of the record as it may stand in a text header: at most `max_bytes`, cut between characters, no control
 * characters. In the arena. */
const char *decode_word(struct decode *d, struct text t, size_t max_bytes);
/* Notes an unknown word: "<what> '<word>' (did you mean '<nearest>'?)<hint>". words[n] are the known ones. */
void decode_fail_word(struct decode *d, const char *pointer, const char *what, struct text word,
                      const char *const *words, size_t n, const char *hint);
/* Is the next value of this type? Else fails. */
bool decode_is(struct decode *d, enum scan_type type, const char *pointer, const char *message);
const struct merge_ops *decode_find_merge(const struct env *env, const char *name);
void decode_merge(struct decode *d);
void decode_params(struct decode *d);

#endif
