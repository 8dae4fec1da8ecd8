/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the decoder share: a walk over objects by tables of keys, with the place kept for the error. Pure
 * but for the arena. */
#ifndef CORE_DECODE_H
#define CORE_DECODE_H

#include "base/scan.h"
#include "core/job.h"

/* The place in the document, as a list on the stack. */
struct decode_path {
    const struct decode_path *up; /* NULL: below the document itself */
    const char *key;              /* NULL: an item of an array */
    int index;
};

/* Parameters while they are read. */
struct param_set {
    struct request_param *items; /* items[n] */
    int n, cap;
    int64_t max_output_tokens; /* -1: not given */
};

struct part_list {
    struct message_part *items; /* items[n] */
    int n, cap;
};

struct message_list {
    struct chat_message *items; /* items[n] */
    int n, cap;
};

struct template_vars;

/* A function of a Gemini line, whose calls have names and no ids. */
struct called {
    struct text name;
    int n_calls, n_responses;
};

struct attachment {
    struct text name, text;
};

struct decode {
    struct job *job;
    struct arena *arena;
    struct job_spec *spec;
    struct job_error *err;
    struct scan s;
    const struct decode_path *path;
    const char *dialect; /* of the batch line that is read, "openai"...; NULL: a job of ours */
    struct param_set params;
    struct message_list messages;
    struct text prompt;
    struct attachment *attachments; /* attachments[n_attachments] */
    int n_attachments;
    struct text model;     /* the one a batch line names; TEXT_NONE */
    int64_t samples;       /* that a batch line asks for, 1 */
    struct text *drops;    /* spec->dropped while it grows */
    struct called *called; /* called[n_called] */
    int n_called, cap_called;
    const struct template_vars *vars; /* NULL: the job has none, and braces are plain text */
    size_t input_bytes;               /* of the texts of a job with vars, so far */
};

typedef void (*decode_reader)(struct decode *d, void *out);

struct decode_key {
    const char *name;
    decode_reader read; /* the value is there and not null; reads or fails */
    const char *param;  /* instead of `read`: the parameter of ours that it is */
    const char *drop;   /* instead of both: nothing of ours can carry it; the name told in dropped_params */
};

#define DECODE_KEY(word, reader) \
    { \
        .name = (word), .read = (reader) \
    }
#define DECODE_PARAM(word, ours) \
    { \
        .name = (word), .param = (ours) \
    }
#define DECODE_DROP(word, as) \
    { \
        .name = (word), .drop = (as) \
    }

/* The keys an object may have (64 at most). */
struct decode_table {
    const struct decode_key *keys; /* keys[n] */
    size_t n;
    void (*unknown)(struct decode *d, struct text key, void *out); /* NULL: another key is an error */
    const char *hint;                                              /* of that error, "; ...", may be NULL */
};
#define DECODE_TABLE(array, ...) \
    { \
        .keys = (array), .n = ARRAY_LEN(array), __VA_ARGS__ \
    }

/* --- decode_walk.c --- */

/* Notes an error at the place the walk is at, or one key below; the first one stands. */
void decode_fail(struct decode *d, const char *message);
void decode_fail_at(struct decode *d, const char *key, const char *message);
void decode_fail_code(struct decode *d, const char *code, const char *message);
/* Notes an unknown word: "<what> '<word>' (did you mean '<nearest>'?)<hint>". words[n] are the known ones. */
void decode_fail_word(struct decode *d, const char *what, struct text word, const char *const *words, size_t n,
                      const char *hint);
/* A word of the record as it may stand in a text header: at most `max_bytes`, cut between characters, no control
 * characters. In the arena. */
const char *decode_word(struct decode *d, struct text t, size_t max_bytes);
/* Is the next value of this type? Else fails. */
bool decode_is(struct decode *d, enum scan_type type, const char *message);
/* Reads an object: each known key once, null as if it were not there. */
void decode_object(struct decode *d, const struct decode_table *t, void *out);
/* For a table's `unknown`: other keys are not looked at. */
void decode_pass_over(struct decode *d, struct text key, void *unused);
/* Reads an object and goes back to its beginning: for a key that says what the others mean. */
void decode_ahead(struct decode *d, const struct decode_table *t, void *out);
/* Reads an array: `read` once per item. Returns how many. */
int decode_items(struct decode *d, decode_reader read, void *out);
/* Runs `read` one level deeper, at `key`. */
void decode_below(struct decode *d, const char *key, decode_reader read, void *out);
bool decode_has_failed(const struct decode *d);
/* Is an unknown key left out with a note (jobs.unknown_keys: warn)? Then its value was passed over. */
bool decode_leaves_out(struct decode *d, const char *key);
int64_t decode_int(struct decode *d, int64_t min, int64_t max, const char *message);
/* A string of any size; a string of 1 to 200 bytes; passed over. */
void decode_text(struct decode *d, void *out_text);
void decode_short(struct decode *d, void *out_text);
void decode_skip(struct decode *d, void *unused);
/* Refuses a key that is known and not served. */
void decode_refuse(struct decode *d, void *unused);
/* The next value as it will stand in records and requests: on one line, without lone surrogates and NULs. */
struct text decode_raw(struct decode *d);
/* The same of a value that `check` has read first; TEXT_NONE when it failed. */
struct text decode_raw_checked(struct decode *d, decode_reader check);
/* Notes the name of something that no request of ours can carry (told in dropped_params); passes over its value. */
void decode_note_drop(struct decode *d, const char *name);
/* An array in the arena that grows: room for one more of `size` bytes each. */
void *decode_grow(struct decode *d, void *items, int n, int *cap, size_t size);

/* --- decode_keys.c: the keys of a job that stand for themselves --- */
bool decode_is_job_id(const char *s, size_t n);
void decode_job_id(struct decode *d, void *unused);
void decode_run(struct decode *d, void *unused);
void decode_version(struct decode *d, void *unused);
void decode_deadline(struct decode *d, void *unused);
void decode_quorum(struct decode *d, void *unused);
void decode_detail(struct decode *d, void *unused);
void decode_output_format(struct decode *d, void *unused);
void decode_labels(struct decode *d, void *unused);
void decode_metadata(struct decode *d, void *unused);

/* --- decode_params.c, decode_merge.c, decode_models.c --- */
void decode_params(struct decode *d, void *out_params); /* struct param_set */
/* The next value as the parameter of ours `name`. */
void decode_param(struct decode *d, const char *name, struct param_set *out);
/* The next value as a parameter of the batch line's dialect. */
void decode_foreign_param(struct decode *d, struct text key, void *unused);
void decode_add_param(struct decode *d, const char *name, struct text json, const char *dialect);
const struct merge_ops *decode_find_merge(const struct env *env, const char *name);
void decode_merge(struct decode *d, void *unused);
void decode_models(struct decode *d, void *unused);
/* Who is asked, once everything was read: checks the sum of the samples and what depends on it. */
void decode_finish_models(struct decode *d);

/* --- decode_messages.c, decode_attach.c --- */
void decode_prompt(struct decode *d, void *unused);
void decode_messages(struct decode *d, void *unused); /* ours and OpenAI's */
void decode_system(struct decode *d, void *out_text); /* a string that is not blank */
void decode_tools(struct decode *d, void *unused);
void decode_tool_choice(struct decode *d, void *unused);
void decode_add_part(struct decode *d, struct part_list *to, enum part_kind kind, struct text text);
/* An image by its URL, which is checked. */
void decode_add_image(struct decode *d, struct part_list *to, struct text url);
struct chat_message *decode_add_message(struct decode *d, enum role role, const struct part_list *parts);
void decode_attachments(struct decode *d, void *unused);
/* The messages, once everything was read: the prompt as one, the attachments behind the last of the user's. */
void decode_finish_messages(struct decode *d);

/* --- decode_vars.c --- */

/* The value of `vars` (raw JSON), before any text is read: those behind it and before it are filled in alike. */
void decode_vars(struct decode *d, struct text raw);
/* Fills the job's vars into a text that was just read. */
void decode_expand(struct decode *d, struct text *t);

/* --- batch lines: decode_openai.c, decode_responses.c, decode_anthropic.c, decode_gemini.c --- */
void decode_openai_body(struct decode *d, void *unused); /* of chat completions */
void decode_responses_body(struct decode *d, void *unused);
void decode_anthropic_params(struct decode *d, void *unused);
void decode_anthropic_tools(struct decode *d, void *unused);
void decode_anthropic_tool_choice(struct decode *d, void *unused);
void decode_gemini_tools(struct decode *d, void *unused);
void decode_gemini_request(struct decode *d, void *unused);
void decode_line_model(struct decode *d, void *unused);
void decode_line_samples(struct decode *d, void *unused);

#endif
