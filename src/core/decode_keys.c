/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a job that stand for themselves: ids, numbers, closed words, what is echoed. Pure but for the arena.
 * source: CONTRACTS 3 */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/decode.h"

static bool is_id_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._:/@-", c) != NULL);
}

bool decode_is_job_id(const char *s, size_t n)
{
    if (n < 1 || n > 200)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_id_char(s[i]))
            return false;
    return true;
}

void decode_job_id(struct decode *d, void *unused)
{
    struct text t = TEXT_NONE;
    size_t len = 0;
    char *id;

    (void)unused;
    decode_text(d, &t);
    id = text_decode(d->arena, t, &len);
    if (id != NULL && decode_is_job_id(id, len))
        d->spec->job_id = id; /* else the dead letter names the default one: this one may be of any size */
    else
        decode_fail(d, "job_id must be 1 to 200 characters of A-Z a-z 0-9 . _ : / @ -");
}

void decode_run(struct decode *d, void *unused)
{
    (void)unused;
    d->spec->run = decode_int(d, 0, INT32_MAX, "run must be an integer from 0 on");
}

void decode_version(struct decode *d, void *unused)
{
    int64_t v = decode_int(d, 1, INT32_MAX, "schema_version must be an integer from 1 on");

    (void)unused;
    if (v > 1)
        decode_fail_code(d, "unsupported_version",
                         "this tutti knows schema_version 1; a newer one is needed for this job");
}

void decode_deadline(struct decode *d, void *unused)
{
    (void)unused;
    d->spec->deadline_ms =
        decode_int(d, 1, INT64_C(1) << 40, "deadline_ms must be a positive integer, in milliseconds");
}

void decode_quorum(struct decode *d, void *unused)
{
    (void)unused;
    d->spec->quorum = (int)decode_int(d, 1, JOB_MODELS_MAX, "quorum must be an integer from 1 to 64");
}

/* Index of the word among words[n], or an error. */
static int read_word(struct decode *d, const char *what, const char *const *words, size_t n)
{
    struct text t = TEXT_NONE;

    decode_text(d, &t);
    for (size_t i = 0; t.p != NULL && i < n; i++)
        if (text_is(t, words[i]))
            return (int)i;
    if (t.p != NULL)
        decode_fail_word(d, what, t, words, n, "");
    return 0;
}

void decode_detail(struct decode *d, void *unused)
{
    static const char *const words[] = {
        [DETAIL_FULL] = "full", [DETAIL_FINAL] = "final", [DETAIL_FULL_WITH_PROMPT] = "full_with_prompt"};

    (void)unused;
    d->spec->detail = (enum detail)read_word(d, "unknown detail", words, ARRAY_LEN(words));
}

void decode_output_format(struct decode *d, void *unused)
{
    static const char *const words[] = {"plain", "markdown", "json"};

    (void)unused;
    d->spec->output_format =
        (enum output_format)(FORMAT_PLAIN + read_word(d, "unknown output_format", words, ARRAY_LEN(words)));
}

static void check_label(struct decode *d, struct text key, void *unused)
{
    struct text value;

    (void)unused;
    if (scan_peek(&d->s) == SCAN_STRING)
        scan_string(&d->s, &value, NULL);
    else
        decode_fail_at(d, decode_word(d, key, 100), "a label must be a string");
}

static void check_labels(struct decode *d, void *unused)
{
    static const struct decode_table open = {.unknown = check_label};

    (void)unused;
    decode_object(d, &open, NULL);
}

void decode_labels(struct decode *d, void *unused)
{
    (void)unused;
    d->spec->labels = decode_raw_checked(d, check_labels);
}

void decode_metadata(struct decode *d, void *unused)
{
    (void)unused;
    if (decode_is(d, SCAN_OBJECT, "metadata must be an object"))
        d->spec->metadata = decode_raw(d);
}
